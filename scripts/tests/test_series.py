# SPDX-License-Identifier: GPL-2.0
"""make tree and make series, on small sources: nothing is lost, and no error changes anything."""

import hashlib
import re
import shutil
import subprocess
import unittest
from pathlib import Path

import scratch

COVER = """\
From 0000000000000000000000000000000000000000 Mon Sep 17 00:00:00 2001
From: Some One <some.one@example.org>
Date: Mon, 2 Nov 2026 10:00:00 +0000
Subject: [PATCH 0/2] mm: Change what
 is there

It is better.

	As a table

---
Some One (2):
  stale

---
change-id: 20261102-what-0123456789ab
"""
PATCH = """\
From 0000000000000000000000000000000000000000 Mon Sep 17 00:00:00 2001
From: Some One <some.one@example.org>
Date: Mon, 2 Nov 2026 10:0{number}:00 +0000
Subject: [PATCH {number}/2] mm: Change {name}

It was {old}.

Signed-off-by: Some One <some.one@example.org>
---
 mm/{name} | 2 +-
 1 file changed, 1 insertion(+), 1 deletion(-)

diff --git a/mm/{name} b/mm/{name}
index {before}..{after} 100644
--- a/mm/{name}
+++ b/mm/{name}
@@ -1 +1 @@
-{old}
+{new}
"""
# The kernel's Makefile, as far as it is used: without bindgen it drops CONFIG_RUST in silence.
MAKEFILE = """\
VERSION = 7
PATCHLEVEL = 3
SUBLEVEL = 4
all: ; @echo "built in $(O) with $(RUSTC) and $(BINDGEN)"
sync = $(BINDGEN) --version >/dev/null 2>&1 || sed -i /CONFIG_RUST=y/d $(O)/.config
allnoconfig: ; cp $(KCONFIG_ALLCONFIG) $(O)/.config; $(sync)
%config: ; $(sync)
scripts_basic: ; $(sync)
mrproper modules: ; @:
bzImage prepare tools/objtool: ; mkdir -p $(O)/tools/objtool; touch $(O)/tools/objtool/objtool $(O)/built
"""
CHECKPATCH = """\
my $bad = grep { /^\\+.*BAD/ } <STDIN>;
print "-:1: ERROR:X: planted\\n" if $bad;
printf "total: %d errors, 0 warnings, 0 checks, 3 lines checked\\n", $bad ? 1 : 0;
exit($bad ? 1 : 0);
"""


def blob(text: str) -> str:
    """Its name in git, as in a patch."""
    data = text.encode()
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()[:9]


class SeriesCase(scratch.ScratchCase):
    """A project with two files, and a patch for each."""

    project, number = "linux", "7.3"

    def setUp(self) -> None:
        super().setUp()
        self.tools()
        (self.stubs / "make").unlink()
        self.env |= {"EMAIL": "me@example.org", "GIT_AUTHOR_NAME": "Me", "GIT_CONFIG_NOSYSTEM": "1"}
        for config in ("base", "deferred_flush"):
            (self.top / f"scripts/build/configs/{config}.config").write_text(
                {"base": "CONFIG_RUST=y\n"}.get(config, "CONFIG_X86_DEFERRED_FLUSH=y\n"))
        (self.top / "scripts/gates/checkpatch-allow.txt").write_text("")
        # What they say is another test's.
        for name in ("build/kernel.sh", "build/prefixes.sh", "build/prefixes-qemu.sh"):
            self.stub(name, f'echo "{name} $*"; [ -z "$BROKEN" ]', self.top / "scripts")
        self.source = self.dir / "source"
        self.make_source()
        self.patches = self.top / f"patches/{self.project}-{self.number}"
        (self.patches / "0001-x.patch").unlink()
        for number, name in enumerate(("one", "two"), 1):
            old, new = f"old {name}", f"new {name}"
            text = PATCH.format(number=number, name=name, old=old, new=new,
                                before=blob(old + "\n"), after=blob(new + "\n"))
            (self.patches / f"000{number}-mm-Change-{name}.patch").write_text(text)
        self.tree = self.build / f"tree-{self.project}"
        self.env["SERIES"] = self.project

    def make_source(self) -> None:
        """As the settings are checked for, and the scripts use it."""
        for name, text in {"mm/one": "old one\n", "mm/two": "old two\n", "Makefile": MAKEFILE,
                           "scripts/checkpatch.pl": CHECKPATCH, ".gitignore": "*.o\n",
                           "arch/x86/ignored.o": "in the release all the same\n",
                           "VERSION": "7.2.22\n", "softmmu/x": "\n"}.items():
            path = self.source / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        self.env["KERNEL_SRC" if self.project == "linux" else "QEMU_SRC"] = str(self.source)

    def files(self) -> dict[str, str]:
        """The series."""
        return {path.name: path.read_text() for path in self.patches.parent.rglob("*")
                if path.is_file()}

    def git(self, *args: str, **env: str) -> str:
        """In the tree."""
        return subprocess.run(["git", "-C", self.tree, *args], check=True, text=True,
                              capture_output=True, env=self.env | env).stdout

    def make_tree(self, **env: str) -> str:
        """That has to work."""
        rc, output = self.run_script("tree.sh", **env)
        self.assertEqual(0, rc, output)
        return output

    def edit(self, name: str, text: str, subject: str) -> None:
        """Change a commit, by a fixup that is squashed."""
        (self.tree / name).write_text(text)
        commit = self.git("log", "--format=%H", f"--grep={subject}").strip()
        self.git("commit", "-qa", "--fixup", commit)
        self.git("rebase", "-q", "-i", "--autosquash", "deferred-flush-base",
                 GIT_SEQUENCE_EDITOR="true", GIT_EDITOR="true")

    def assert_refused(self, reason: str, script: str = "series.sh", rc: int = 1,
                       **env: str) -> None:
        """One error, and no change."""
        before = self.files()
        status, output = self.run_script(script, **env)
        errors = [line for line in output.splitlines() if "error: " in line]
        self.assertEqual((rc, 1), (status, len(errors)), output)
        self.assertRegex(errors[0], "^error: .*" + reason)
        self.assertEqual(before, self.files())
        self.assertEqual([], list(self.build.glob("series-new.*")))
        self.assertEqual([], list(self.patches.parent.glob("*.new")))


class Identity(SeriesCase):
    """What nobody has changed."""

    def test_same_bytes(self) -> None:
        before = self.files()
        self.make_tree()
        rc, output = self.run_script("series.sh")
        self.assertEqual(0, rc, output)
        self.assertIn("is this series already", output)
        self.assertEqual(before, self.files())

    def test_same_commits(self) -> None:
        self.make_tree()
        first = self.git("rev-parse", "HEAD")
        shutil.rmtree(self.tree)
        shutil.rmtree(self.cache)
        self.tools()
        (self.stubs / "make").unlink()
        self.make_tree(GIT_COMMITTER_NAME="Another", TZ="Asia/Tokyo")
        self.assertEqual(first, self.git("rev-parse", "HEAD"))

    def test_the_release(self) -> None:
        self.make_tree()
        self.assertIn("Linux 7.3.4", self.git("log", "-1", "--format=%s", "deferred-flush-base"))
        # What .gitignore names is part of it, and out/ is not.
        self.assertTrue((self.tree / "arch/x86/ignored.o").exists())
        self.assertEqual("", self.git("status", "--porcelain"))

    def test_of_another_release(self) -> None:
        path = next(self.patches.glob("0001-*"))
        path.write_text(re.sub("^index [0-9a-f]+", "index 123456789", path.read_text(),
                               flags=re.MULTILINE))
        before = self.files()
        self.make_tree()
        self.assertEqual(0, self.run_script("series.sh")[0])
        self.assertEqual(before, self.files())

    def test_whatever_the_user_has_configured(self) -> None:
        before = self.files()
        (self.dir / "home/.gitconfig").write_text(
            "[diff]\nnoprefix=true\ncontext=9\n[format]\nsignature=x\nnumbered=false\n"
            "[core]\nabbrev=20\nautocrlf=true\n[commit]\ngpgSign=true\n[am]\nthreeWay=true\n")
        self.make_tree()
        self.assertEqual(0, self.run_script("series.sh")[0])
        self.assertEqual(before, self.files())

    def test_twice(self) -> None:
        self.make_tree()
        self.assertIn("is there, and holds the series", self.make_tree())


class Cover(SeriesCase):
    """The cover letter."""

    def setUp(self) -> None:
        super().setUp()
        (self.patches / "0000-cover-letter.patch").write_text(COVER)

    def test_shortlog_and_diffstat(self) -> None:
        self.make_tree()
        subject, _, body = self.git("log", "-1", "--format=%B", "HEAD~2").partition("\n\n")
        self.assertEqual("mm: Change what is there", subject)
        self.assertIn("\n\n\tAs a table\n\n--- b4-submit-tracking ---\n", body)
        self.assertEqual(0, self.run_script("series.sh")[0])
        text = (self.patches / "0000-cover-letter.patch").read_text()
        head, _, tail = text.partition("\n---\n")
        self.assertEqual(COVER.partition("\n---\n")[0].replace("what\n is", "what is"), head)
        self.assertEqual(
            "Some One (2):\n  mm: Change one\n  mm: Change two\n\n mm/one | 2 +-\n mm/two | 2 +-\n"
            " 2 files changed, 2 insertions(+), 2 deletions(-)\n\n"
            "---\nchange-id: 20261102-what-0123456789ab\n", tail)
        # And now it is what it is.
        shutil.rmtree(self.tree)
        self.make_tree()
        self.assertIn("is this series already", self.run_script("series.sh")[1])

    def test_lost(self) -> None:
        self.make_tree()
        self.git("rebase", "-q", "--onto", "deferred-flush-base", "HEAD~2")
        self.assert_refused("has lost the cover letter")


class Changes(SeriesCase):
    """What somebody has changed."""

    def test_one_line(self) -> None:
        before = self.files()
        self.make_tree()
        self.edit("mm/one", "newer one\n", "Change one")
        rc, output = self.run_script("series.sh")
        self.assertEqual(0, rc, output)
        # range-diff, checks, and the patches that are built
        self.assertRegex(output, r"mm: Change one\n(.*\n)*.*2:  \w+ = 2:  \w+ mm: Change two")
        self.assertRegex(output, r"build/kernel.sh \nbuild/prefixes.sh \S*series-new")
        name = "0001-mm-Change-one.patch"
        wanted = before | {name: before[name].replace("+new one", "+newer one").replace(
            blob("new one\n"), blob("newer one\n"))}
        self.assertEqual(wanted, self.files())
        self.assertIn("is this series already", self.run_script("series.sh")[1])

    def test_a_third_patch(self) -> None:
        self.make_tree()
        (self.tree / "mm/three").write_text("three\n")
        self.git("add", "mm/three")
        self.git("commit", "-qm", "mm: Add three")
        self.assertEqual(0, self.run_script("series.sh", "--no-build")[0])
        files = self.files()
        self.assertIn("Subject: [PATCH 3/3] mm: Add three\n", files["0003-mm-Add-three.patch"])
        self.assertIn("Subject: [PATCH 1/3] mm: Change one\n", files["0001-mm-Change-one.patch"])
        self.assertNotIn("scripts/prefixes", self.run_script("series.sh", "--no-build")[1])

    def test_checkpatch_complains(self) -> None:
        self.make_tree()
        self.edit("mm/one", "BAD one\n", "Change one")
        self.assert_refused("checkpatch complains: git rebase -i")

    def test_a_prefix_does_not_build(self) -> None:
        self.make_tree()
        self.edit("mm/one", "newer one\n", "Change one")
        before = self.files()
        rc, _ = self.run_script("series.sh", BROKEN="1")
        self.assertEqual((1, before), (rc, self.files()))


class Refused(SeriesCase):
    """One error each."""

    def test_no_tree(self) -> None:
        self.assert_refused("tree-linux is no git tree: run make tree")

    def test_below_another_git_tree(self) -> None:
        subprocess.run(["git", "-C", self.dir, "init", "-q"], check=True)
        self.tree.mkdir(parents=True)
        self.assert_refused("tree-linux is no git tree")

    def test_local_changes(self) -> None:
        self.make_tree()
        (self.tree / "mm/one").write_text("newer one\n")
        self.assert_refused(r"has local changes \( M mm/one\)")
        self.git("checkout", "-q", ".")
        (self.tree / "mm/new").write_text("not added\n")
        self.assert_refused(r"has local changes \(\?\? mm/new\)")

    def test_a_rebase(self) -> None:
        self.make_tree()
        subprocess.run(["git", "-C", self.tree, "rebase", "-q", "-x", "false", "HEAD~1"],
                       check=False, capture_output=True, env=self.env)
        self.assert_refused("a rebase has not ended in")

    def test_an_am(self) -> None:
        self.make_tree()
        patch = self.dir / "bad.patch"
        patch.write_text(next(self.patches.glob("0001-*")).read_text())
        subprocess.run(["git", "-C", self.tree, "am", "-q", patch], check=False,
                       capture_output=True, env=self.env)
        self.assert_refused("a am has not ended in")

    def test_a_fixup(self) -> None:
        self.make_tree()
        (self.tree / "mm/one").write_text("newer one\n")
        self.git("commit", "-qam", "fixup! mm: Change one")
        self.assert_refused("has 'fixup! mm: Change one': git rebase -i --autosquash")

    def test_an_empty_commit(self) -> None:
        self.make_tree()
        self.git("commit", "-q", "--allow-empty", "-m", "mm: Nothing")
        self.assert_refused("changes nothing, 'mm: Nothing'")

    def test_a_merge(self) -> None:
        self.make_tree()
        self.git("checkout", "-q", "-b", "side", "HEAD~1")
        self.git("commit", "-q", "--allow-empty", "-m", "side")
        self.git("merge", "-q", "--no-edit", "deferred-flush")
        self.assert_refused("holds a merge")

    def test_no_commits(self) -> None:
        self.make_tree()
        self.git("reset", "-q", "--hard", "deferred-flush-base")
        self.assert_refused("holds no commits")

    def test_another_tree(self) -> None:
        other = self.dir / "other"
        subprocess.run(["git", "init", "-q", other], check=True)
        self.assert_refused("has no tag deferred-flush-base", TREE=str(other))

    def test_another_release(self) -> None:
        self.make_tree()
        (self.tree / "Makefile").write_text(MAKEFILE.replace("LEVEL = 3", "LEVEL = 4"))
        self.git("commit", "-qam", "Linux 7.4")
        self.git("tag", "-f", "deferred-flush-base")
        self.assert_refused(r"is not based on Linux 7.3 \(but on 7.4\)")

    def test_another_history(self) -> None:
        self.make_tree()
        self.git("checkout", "-q", "--orphan", "new")
        self.git("commit", "-qm", "new")
        self.assert_refused("is not based on the tag deferred-flush-base")

    def test_somebody_else_has_changed_the_series(self) -> None:
        self.make_tree()
        self.edit("mm/one", "newer one\n", "Change one")
        path = next(self.patches.glob("0002-*"))
        path.write_text(path.read_text().replace("It was", "It has been"))
        self.assert_refused("patches/linux-7.3 is not what .* was made from")

    def test_a_patch_that_does_not_apply(self) -> None:
        path = next(self.patches.glob("0002-*"))
        path.write_text(path.read_text().replace("-old two", "-other two"))
        self.assert_refused(r"0002-mm-Change-two.patch does not apply to Linux 7.3.4 "
                            r"\(at mm/two:1\): mend it in patches/linux-7.3", "tree.sh")
        self.assertEqual([], list(self.build.glob("tree-*")))
        path.write_text("")
        self.assert_refused(r"0002-mm-Change-two.patch does not apply to Linux 7.3.4 \(empty\)",
                            "tree.sh")

    def test_tree_with_work_in_it(self) -> None:
        self.make_tree()
        (self.tree / "mm/one").write_text("newer one\n")
        self.assert_refused(r"holds local changes \( M mm/one\)", "tree.sh")
        self.git("commit", "-qam", "mm: More")
        self.assert_refused("holds 3 commits that are not the series", "tree.sh")
        rc, output = self.run_script("tree.sh", "--written")
        self.assertEqual((1, 1), (rc, output.count("error: ")), output)
        self.assertIn("make series SERIES=linux", output)

    def test_a_folder_with_something_in_it(self) -> None:
        self.tree.mkdir(parents=True)
        (self.tree / "file").touch()
        self.assert_refused("is there, and no git tree", "tree.sh")

    def test_settings(self) -> None:
        self.assert_refused("SERIES=foo: must be linux or qemu", "tree.sh", 2, SERIES="foo")


class Make(SeriesCase):
    """A plain make in the tree."""

    def setUp(self) -> None:
        super().setUp()
        self.make_tree()
        self.config = self.tree / "out/.config"

    def make(self, *args: str, folder: Path | None = None) -> tuple[int, str]:
        """Run it there."""
        done = subprocess.run(["make", "-C", folder or self.tree, *args], check=False, text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=self.env)
        return done.returncode, done.stdout

    def test_the_tools(self) -> None:
        bindgen = self.cache / "bindgen-0.72.1/bin/bindgen"
        wanted = f"built in {self.tree}/out with {self.stubs}/rustc and {bindgen}\n"
        for folder in (self.tree, self.tree / "out"):
            rc, output = self.make(folder=folder)
            self.assertEqual(0, rc, output)
            self.assertIn(wanted, output)
        self.assertIn("with mine and", self.make("RUSTC=mine")[1])

    def test_another_folder(self) -> None:
        other = self.dir / "other"
        other.mkdir()
        shutil.copy(self.config, other)
        self.assertIn(f"built in {other} with", self.make(f"O={other}")[1])

    def test_rust_is_not_lost(self) -> None:
        for goals in ([], ["all"], ["olddefconfig"]):
            with self.subTest(goals):
                shutil.copy(self.tree / "out/demo.config", self.config)
                self.assertEqual(0, self.make(*goals)[0])
                rc, output = self.make(*goals, "BINDGEN=/nonexistent")
                self.assertNotEqual(0, rc)
                self.assertEqual(1, output.count("error: "), output)
                self.assertIn("error: " + str(self.config) + " has no CONFIG_RUST=y", output)
                self.assertNotIn("built in", output)
                # Nor does it go on afterwards, and a configuration can be mended.
                self.assertNotEqual(0, self.make()[0])

    def test_starts_from_a_finished_kernel(self) -> None:
        shutil.rmtree(self.tree)
        shutil.copy(scratch.TOP / "scripts/build/kernel.sh", self.top / "scripts/build/kernel.sh")
        rc, output = self.run_script("build/kernel.sh")
        self.assertEqual(0, rc, output)
        built = (self.build / "kernel/built").stat().st_mtime
        self.assertIn("start from the finished kernel", self.make_tree())
        self.assertTrue((self.tree / "out/built").exists())
        self.assertFalse((self.tree / "out/.finished").exists())
        # Nothing is younger than what was built from it.
        self.assertLess((self.tree / "mm/one").stat().st_mtime, built)
        self.assertEqual("", self.git("status", "--porcelain"))
        self.assertEqual(0, self.make()[0])

    def test_git_does_not_see_it(self) -> None:
        self.assertEqual("", self.git("status", "--porcelain"))


class Qemu(Identity):
    """The same for the other project."""

    project, number = "qemu", "7.2"

    def test_the_release(self) -> None:
        self.make_tree()
        self.assertIn("QEMU 7.2.22", self.git("log", "-1", "--format=%s", "deferred-flush-base"))

    def test_one_line(self) -> None:
        self.make_tree()
        self.edit("mm/one", "newer one\n", "Change one")
        self.stub("gates.sh", 'echo "gates $*"', self.top / "scripts")
        rc, output = self.run_script("series.sh")
        self.assertEqual(0, rc, output)
        self.assertRegex(output, r"build/prefixes-qemu.sh \S*series-new")
        self.assertNotIn("prefixes.sh", output)
        self.assertIn("+newer one\n", self.files()["0001-mm-Change-one.patch"])


if __name__ == "__main__":
    unittest.main()
