# SPDX-License-Identifier: GPL-2.0
"""Makes the runner's modules importable for its tests."""

import sys
from pathlib import Path

CHECK = Path(__file__).resolve().parents[1]
TOP = CHECK.parents[1]
sys.path.insert(0, str(CHECK))
