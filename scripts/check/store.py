# SPDX-License-Identifier: GPL-2.0
"""Results of earlier runs on this machine, by the key of their inputs; and when each scenario ran.

Kept is a pass only, and only one at the first try: never a failure, a timeout or what was flaky.
"""

import json
import os
import random
import tempfile
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path

from ktap import FAILED, Result

# A kept pass is not believed for longer, and one of so many is tried again all the same.
DAYS = 7
AGAIN = 20


@dataclass
class Outcome:
    """What came of one scenario."""

    name: str
    results: list[Result]
    seconds: float = 0.0
    retries: int = 0
    cached: bool = False
    # Exit statuses of programs, for those that are compared with them.
    exits: dict[str, int] = field(default_factory=dict)
    # Where to look: output on the console.
    tail: str = ""

    @property
    def failed(self) -> bool:
        return not self.results or any(r.status == FAILED for r in self.results)


def write(path: Path, text: str) -> None:
    """Writes a file as a whole, or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile("w", dir=path.parent, delete=False, encoding="utf-8") as file:
        file.write(text)
    os.replace(file.name, path)


class Store:
    """The folder of kept results."""

    def __init__(self, folder: Path, fresh: bool, now: float | None = None,
                 chance: random.Random | None = None) -> None:
        self.folder = folder
        self.fresh = fresh
        self.now = time.time() if now is None else now
        self.chance = chance or random.Random()

    def get(self, key: str) -> Outcome | None:
        """An earlier pass with these inputs."""
        path = self.folder / f"{key}.json"
        try:
            data = json.loads(path.read_text(encoding="utf-8"))
            if self.fresh or self.now - data["time"] > DAYS * 86400:
                return None
            results = [Result(**result) for result in data["results"]]
            outcome = Outcome(data["name"], results, data["seconds"], cached=True,
                              exits=data["exits"])
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return None if outcome.failed or self.chance.randrange(AGAIN) == 0 else outcome

    def put(self, key: str, outcome: Outcome) -> None:
        """Keeps a pass, and forgets an earlier one if this is none."""
        path = self.folder / f"{key}.json"
        if outcome.failed or outcome.retries:
            path.unlink(missing_ok=True)
            return
        data = {"name": outcome.name, "time": self.now, "seconds": outcome.seconds,
                "exits": outcome.exits, "results": [asdict(r) for r in outcome.results]}
        write(path, json.dumps(data))

    def _history(self, name: str) -> Path:
        return self.folder / "history" / (name.replace("/", "-") + ".json")

    def ran(self, outcome: Outcome, key: str) -> None:
        """Remembers that a scenario has just run. One that failed has to come first the next time."""
        if outcome.failed:
            self._history(outcome.name).unlink(missing_ok=True)
            return
        write(self._history(outcome.name), json.dumps(
            {"time": self.now, "key": key, "seconds": outcome.seconds}))

    def last(self, name: str) -> dict:
        """When a scenario ran last, with which key, and for how long; time is 0 for never."""
        try:
            data = json.loads(self._history(name).read_text(encoding="utf-8"))
            return {"time": float(data["time"]), "key": str(data["key"]),
                    "seconds": float(data["seconds"])}
        except (OSError, ValueError, KeyError, TypeError):
            return {"time": 0.0, "key": "", "seconds": 0.0}

    def expire(self, days: int = 30) -> None:
        """Removes what nobody will ask for again."""
        for path in self.folder.glob("*.json"):
            if self.now - path.stat().st_mtime > days * 86400:
                path.unlink(missing_ok=True)
