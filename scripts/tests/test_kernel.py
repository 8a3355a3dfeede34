# SPDX-License-Identifier: GPL-2.0
"""When a kernel is built, and from what: kernel.sh on a small source."""

import unittest
from pathlib import Path

import scratch

# Builds the way Kbuild does: what is younger than its object.
MAKEFILE = """\
VERSION = 7
PATCHLEVEL = 3
objects := $(patsubst %.c,$(O)/%.o,$(wildcard *.c))
boot = $(O)/arch/x86/boot
bzImage: prepare $(objects) ; mkdir -p $(boot); cat $(objects) >$(boot)/bzImage
allnoconfig: ; cp $(KCONFIG_ALLCONFIG) $(O)/.config
olddefconfig modules mrproper: ;
prepare tools/objtool: ; mkdir -p $(O)/tools/objtool; touch $(O)/tools/objtool/objtool
$(O)/%.o: %.c ; echo $< >>$(COUNT); cp $< $@
"""
PATCH = """\
From: Some One <some.one@example.org>
Subject: [PATCH] {file}: {subject}

---
diff --git a/{file} b/{file}
index 123456789..abcdef012 100644
--- a/{file}
+++ b/{file}
@@ -1 +1 @@
-old {file}
+{new}
"""
GONE = """\
Subject: [PATCH] gone

diff --git a/c.c b/c.c
deleted file mode 100644
--- a/c.c
+++ /dev/null
@@ -1 +0,0 @@
-old c.c
"""


class Kernel(scratch.ScratchCase):
    """Three files, and patches for two of them."""

    def setUp(self) -> None:
        super().setUp()
        self.tools()
        (self.stubs / "make").unlink()
        for path in (self.top / "scripts/build/configs").iterdir():
            path.write_text("CONFIG_X=y\n")
        self.debug = self.top / "scripts/build/configs/debug.config"
        self.debug.write_text("CONFIG_DEBUG=y\n")
        source = self.dir / "source"
        (source / "arch/x86").mkdir(parents=True)
        (source / "Makefile").write_text(MAKEFILE)
        for name in "abc":
            (source / f"{name}.c").write_text(f"old {name}.c\n")
        self.env["KERNEL_SRC"] = str(source)
        self.patches = self.top / "patches/linux-7.3"
        (self.patches / "0001-x.patch").unlink()
        self.patch(1, "a.c", "new a")
        self.patch(2, "b.c", "new b")

    def patch(self, number: int, file: str, new: str, subject: str = "x") -> None:
        """Write one of the series."""
        text = PATCH.format(file=file, new=new, subject=subject)
        (self.patches / f"000{number}-x.patch").write_text(text)

    def kernel(self, *args: str, **env: str) -> tuple[list[str], str]:
        """What was compiled, and what the kernel is, then."""
        count = Path(self.env["COUNT"])
        count.unlink(missing_ok=True)
        rc, output = self.run_script("build/kernel.sh", *args, **env)
        self.assertEqual(0, rc, output)
        image = self.link().joinpath("arch/x86/boot/bzImage").read_text()
        return sorted(count.read_text().split()) if count.exists() else [], image

    def link(self) -> Path:
        """The kernel that was built last."""
        return self.top / "build/kernel"

    def test_what_is_said_does_not_count(self) -> None:
        self.assertEqual((["a.c", "b.c", "c.c"], "new a\nnew b\nold c.c\n"), self.kernel())
        first = self.link().resolve()
        self.patch(1, "a.c", "new a", "Another subject")
        cover = self.patches / "0000-cover-letter.patch"
        cover.write_text("Subject: [PATCH 0/2] x\n\nno patch\n")
        self.assertEqual(([], "new a\nnew b\nold c.c\n"), self.kernel())
        self.assertEqual(first, self.link().resolve())

    def test_only_what_has_changed(self) -> None:
        self.kernel()
        first = self.link().resolve()
        self.patch(1, "a.c", "newer a")
        self.assertEqual((["a.c"], "newer a\nnew b\nold c.c\n"), self.kernel())
        self.assertNotEqual(first, self.link().resolve())
        # The other one is what it was.
        self.assertEqual("new a\n", (first.parent / "a.c").read_text())
        self.assertEqual("new a\nnew b\nold c.c\n", (first / "arch/x86/boot/bzImage").read_text())

    def test_a_patch_less_and_a_file_less(self) -> None:
        self.kernel()
        (self.patches / "0002-x.patch").unlink()
        (self.patches / "0003-x.patch").write_text(GONE)
        self.assertEqual((["b.c"], "new a\nold b.c\n"), self.kernel())
        self.assertFalse((self.link() / "c.o").exists())
        (self.patches / "0003-x.patch").unlink()
        self.patch(2, "b.c", "newer b")
        self.assertEqual((["b.c", "c.c"], "new a\nnewer b\nold c.c\n"), self.kernel())

    def test_a_build_that_is_younger_than_the_source(self) -> None:
        self.kernel()
        self.patch(1, "a.c", "newer a")
        self.kernel()
        self.patch(1, "a.c", "new a")
        debug = ("--config", str(self.debug))
        self.assertEqual("new a\nnew b\nold c.c\n", self.kernel(*debug)[1])
        # Its source is from before that build.
        self.patch(1, "a.c", "newer a")
        self.assertEqual((["a.c"], "newer a\nnew b\nold c.c\n"), self.kernel(*debug))

    def test_mainline_is_a_kernel_of_its_own(self) -> None:
        self.kernel()
        self.assertEqual((["a.c", "b.c", "c.c"], "old a.c\nold b.c\nold c.c\n"),
                         self.kernel("--mainline", "--name", "kernel"))

    def test_tools_count(self) -> None:
        self.kernel()
        for name in ("gcc", "ld", "pahole", "rustc"):
            with self.subTest(name):
                self.stub(name, "echo another")
                self.assertEqual(["a.c", "b.c", "c.c"], self.kernel()[0])


if __name__ == "__main__":
    unittest.main()
