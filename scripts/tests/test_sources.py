# SPDX-License-Identifier: GPL-2.0
"""Where sources and tools come from, when the place before has nothing. No network: curl, apt-get,
pip and cargo are stubs; tar, git and gpg are real, with keys made here."""

import re
import shutil
import subprocess
import tempfile
import unittest
from pathlib import Path

import scratch

APT = """\
[ -n "$APT" ] || { echo "E: nothing is reached"; exit 100; }
case "$*" in
*indextargets*) echo http://deb.example/debian ;;
*"source --download-only qemu") touch qemu_7.2.dsc ;;
*download*) touch linux-source-7.3_7.3.4-1_all.deb ;;
esac
"""
CURL = """\
while [ $# -gt 1 ]; do [ "$1" != -o ] || to=$2; shift; done
case $1 in
*search=0x*) key=${1##*0x}; file=$SITE/$key.asc ;;
*) file=$SITE/${1##*/} ;;
esac
[ -e "$file" ] || { echo "curl: (6) Could not resolve host"; exit 6; }
cp "$file" "$to"
"""


def setUpModule() -> None:  # pylint: disable=invalid-name
    """Two keys: one that the scripts trust, and another."""
    Keys.make()
    unittest.addModuleCleanup(Keys.remove)


class Keys:
    """A key ring of the tests' own."""

    home = Path()
    right = wrong = ""

    @classmethod
    def gpg(cls, *args: str) -> str:
        """Run gpg with it."""
        return subprocess.run(
            ["gpg", "--homedir", cls.home, "--batch", "--yes", "--passphrase", "",
             "--pinentry-mode", "loopback", *args],
            check=True, capture_output=True, text=True).stdout

    @classmethod
    def export(cls, key: str, to: Path) -> None:
        """Write a public key."""
        cls.gpg("--output", str(to), "--armor", "--export", key)

    @classmethod
    def make(cls) -> None:
        """Make both."""
        cls.home = Path(tempfile.mkdtemp(prefix="gpg"))
        for name in ("right", "wrong"):
            cls.gpg("--quick-generate-key", f"{name}@example.org", "ed25519", "sign", "never")
            listing = cls.gpg("--list-keys", "--with-colons", f"{name}@example.org")
            fingerprint, = re.findall("^fpr:+([0-9A-F]+):", listing, re.MULTILINE)
            setattr(cls, name, fingerprint)

    @classmethod
    def remove(cls) -> None:
        """And its agent."""
        subprocess.run(["gpgconf", "--homedir", cls.home, "--kill", "all"], check=False)
        shutil.rmtree(cls.home, ignore_errors=True)


class SourceCase(scratch.ScratchCase):
    """A project with a release on a site, and in git."""

    script = project = release = ""
    addresses = ("", "")

    def setUp(self) -> None:
        super().setUp()
        self.tools()
        for config in ("base", "deferred_flush"):
            (self.top / f"scripts/build/configs/{config}.config").write_text("CONFIG_X=y\n")
        self.site = self.dir / "site"
        self.site.mkdir()
        self.env |= {"SITE": str(self.site), "GIT_CONFIG_NOSYSTEM": "1",
                     "GIT_ALLOW_PROTOCOL": "file"}
        self.stub("apt-get", APT)
        self.stub("apt-cache", "echo '  Candidate: 7.3.4-1'")
        self.stub("curl", CURL)
        self.stub("ninja", "exit 0")
        self.stub("df", "echo; echo x 1 1 99999 1% /")
        path = self.top / f"scripts/build/source-{self.project}.sh"
        text, count = re.subn(r"^signers=\(.*\)$", f"signers=({Keys.right})", path.read_text(),
                              flags=re.MULTILINE)
        self.assertEqual(1, count)
        path.write_text(text)

    def fetch(self, **env: str) -> tuple[int, str]:
        """Get the source, and go on with it."""
        return self.run_script(self.script, **env)

    def files(self, folder: Path) -> None:
        """What the project's sources are."""
        (folder / "file").write_text("old\n")
        (folder / "configure").write_text("#!/bin/sh\n")
        (folder / "configure").chmod(0o755)

    def publish_key(self) -> None:
        """A keyserver that sends whatever key is asked for: the right one."""
        Keys.export(Keys.right, self.site / f"{Keys.right}.asc")

    def publish(self, key: str = "") -> Path:
        """A release on the site, signed."""
        tree = self.dir / f"{self.project}-{self.release}"
        tree.mkdir()
        self.files(tree)
        tar = self.site / f"{tree.name}.tar"
        subprocess.run(["tar", "-cf", tar, "-C", self.dir, tree.name], check=True)
        self.sign(tar, key or Keys.right)
        self.publish_key()
        return tar.with_suffix(".tar.xz")

    def sign(self, tar: Path, key: str) -> None:
        """As the project does."""
        raise NotImplementedError

    def detach(self, file: Path, key: str, to: str) -> None:
        """A detached signature."""
        Keys.gpg("--local-user", key, "--output", str(self.site / to), "--detach-sign", str(file))

    def publish_git(self, key: str = "") -> None:
        """A repository with a signed tag, in the place of the project's."""
        repository = self.dir / "repository"
        repository.mkdir()
        self.files(repository)
        config = {"user.name": "x", "user.email": "x@example.org",
                  "user.signingkey": key or Keys.right,
                  f"url.file://{repository}.insteadOf": self.addresses[1]}
        self.env["GIT_CONFIG_COUNT"] = str(len(config))
        for number, (name, value) in enumerate(config.items()):
            self.env |= {f"GIT_CONFIG_KEY_{number}": name, f"GIT_CONFIG_VALUE_{number}": value}
        for command in ("init -q", "add .", "commit -qm x", *self.more_git(repository),
                        f"tag -s -m x v{self.release}"):
            subprocess.run(["git", "-C", repository, *command.split()], check=True,
                           env=self.env | {"GNUPGHOME": str(Keys.home)})
        self.publish_key()

    def more_git(self, _: Path) -> list[str]:
        """What else is in the repository."""
        return []

    def failed(self, *reasons: str) -> None:
        """One error with what was tried."""
        rc, output = self.fetch()
        self.assertEqual(1, rc)
        error = output[output.index("error: "):].splitlines()
        self.assertRegex(error[0], r"^error: no (kernel|QEMU) source. Tried:$")
        self.assertEqual(5, len(error), output)
        for place, reason, line in zip(("Debian's archive", *self.addresses), reasons, error[1:]):
            self.assertTrue(line.startswith(f"  {place}: "), line)
            self.assertRegex(line, reason)
        self.assertRegex(error[4], r"^pass (KERNEL|QEMU)_SRC= \(a source tree of 7\.[23]\)")
        self.assertEqual([], list(self.cache.glob("*source*")))

    # The tests of both projects.
    def nothing_there(self) -> None:
        self.failed("nothing is reached|apt", "Could not resolve host", "(?i)fatal|not allowed")

    def release_after_debian(self) -> None:
        self.publish()
        rc, output = self.fetch()
        self.assertEqual(0, rc, output)
        self.assertRegex(output, r"from Debian's archive\s*FAILED")
        self.assertNotRegex(output, r"from .*\.git")

    def release_that_was_changed(self) -> None:
        file = self.publish()
        with subprocess.Popen(["xz", "-dc", file], stdout=subprocess.PIPE) as xz:
            data = xz.stdout.read() if xz.stdout else b""
        self.assertIn(b"old\n", data)
        file.write_bytes(subprocess.run(["xz", "-c"], input=data.replace(b"old\n", b"bad\n"),
                                        stdout=subprocess.PIPE, check=True).stdout)
        self.failed(".", f"not signed by any of {Keys.right}", ".")

    def release_signed_by_another(self) -> None:
        self.publish(Keys.wrong)
        shutil.copy(self.site / f"{Keys.right}.asc", self.site / f"{Keys.wrong}.asc")
        self.failed(".", f"not signed by any of {Keys.right}", ".")

    def release_signed_by_another_key_that_the_server_sends(self) -> None:
        self.publish(Keys.wrong)
        Keys.export(Keys.wrong, self.site / f"{Keys.right}.asc")
        self.failed(".", f"not signed by any of {Keys.right}", ".")

    def release_with_a_checksum(self, variable: str) -> None:
        file = self.publish(Keys.wrong)
        digest = subprocess.run(["sha256sum", file], check=True, capture_output=True,
                                text=True).stdout.split()[0]
        rc, output = self.fetch(**{variable: "0" * 64})
        self.assertEqual(1, rc)
        self.assertIn(f"{file.name} has not the SHA-256 000", output)
        rc, output = self.fetch(**{variable: digest})
        self.assertEqual(0, rc, output)

    def git_after_the_release(self) -> None:
        self.publish_git()
        rc, output = self.fetch()
        self.assertEqual(0, rc, output)
        self.assertRegex(output, rf"from {re.escape(self.addresses[0])}\s*FAILED")

    def git_signed_by_another(self) -> None:
        self.publish_git(Keys.wrong)
        self.failed(".", ".", f"not signed by any of {Keys.right}")


@unittest.skipUnless(shutil.which("gpg"), "no gpg")
class Kernel(SourceCase):
    """kernel.sh"""

    script, project, release = "build/kernel.sh", "linux", "7.3"
    addresses = ("https://cdn.kernel.org/pub/linux/kernel/v7.x",
                 "https://git.kernel.org/pub/scm/linux/kernel/git/torvalds/linux.git")

    def sign(self, tar: Path, key: str) -> None:
        self.detach(tar, key, f"linux-{self.release}.tar.sign")
        subprocess.run(["xz", tar], check=True)

    test_nothing_there = SourceCase.nothing_there
    test_changed = SourceCase.release_that_was_changed
    test_signed_by_another = SourceCase.release_signed_by_another
    test_false_key = SourceCase.release_signed_by_another_key_that_the_server_sends
    test_git_signed_by_another = SourceCase.git_signed_by_another

    def test_debian(self) -> None:
        self.stub("dpkg-deb", "mkdir -p $3/usr/src $3/linux; echo old >$3/linux/file; "
                  "tar -C $3 -cJf $3/usr/src/linux-source-7.3.tar.xz linux")
        rc, output = self.fetch(APT="1")
        self.assertEqual(0, rc, output)
        self.assertIn("kernel source: linux-source-7.3_7.3.4-1_all.deb", output)
        self.assertNotIn("FAILED", output)

    def test_release(self) -> None:
        self.release_after_debian()
        self.assertIn("kernel source: linux-7.3.tar.xz", self.fetch()[1])

    def test_checksum(self) -> None:
        self.release_with_a_checksum("KERNEL_SHA256")

    def test_git(self) -> None:
        self.git_after_the_release()
        rc, output = self.fetch()
        self.assertEqual((0, "==> kernel source: v7.3\n"), (rc, output))


@unittest.skipUnless(shutil.which("gpg"), "no gpg")
class Qemu(SourceCase):
    """qemu.sh"""

    script, project, release = "build/qemu.sh", "qemu", "7.2.22"
    addresses = ("https://download.qemu.org", "https://gitlab.com/qemu-project/qemu.git")

    def sign(self, tar: Path, key: str) -> None:
        subprocess.run(["xz", tar], check=True)
        self.detach(tar.with_suffix(".tar.xz"), key, f"{tar.name}.xz.sig")

    test_nothing_there = SourceCase.nothing_there
    test_release = SourceCase.release_after_debian
    test_changed = SourceCase.release_that_was_changed
    test_signed_by_another = SourceCase.release_signed_by_another
    test_false_key = SourceCase.release_signed_by_another_key_that_the_server_sends

    test_git = SourceCase.git_after_the_release
    test_git_signed_by_another = SourceCase.git_signed_by_another

    def more_git(self, repository: Path) -> list[str]:
        return [f"submodule --quiet add -f file://{repository} {path}"
                for path in ("meson", "ui/keycodemapdb", "tests/fp/berkeley-softfloat-3",
                             "tests/fp/berkeley-testfloat-3")] + ["commit -qm submodules"]

    def test_debian(self) -> None:
        self.stub("dpkg-source", "mkdir $4; echo old >$4/file; "
                  "printf '#!/bin/sh\\n' >$4/configure; chmod +x $4/configure")
        rc, output = self.fetch(APT="1")
        self.assertEqual(0, rc, output)
        self.assertNotIn("FAILED", output)

    def test_checksum(self) -> None:
        self.release_with_a_checksum("QEMU_SHA256")


class Setup(scratch.ScratchCase):
    """setup.sh"""

    TOOLS = ("gcc make patch flex bison bc cpio xz rsync perl git shellcheck qemu-system-x86_64 "
             "ninja perf iasl cargo rustc rustfmt clippy-driver").split()

    def setUp(self) -> None:
        super().setUp()
        for tool in self.TOOLS:
            self.stub(tool, f'echo "{tool}: no route to host" >&2; exit 1')
        self.stub("dpkg-query", "echo installed")
        self.stub("apt-cache", "exit 0")
        self.stub("python3", f'case "$*" in *venv*) echo "pip: no index" >&2; exit 1 ;; esac\n'
                  f'exec {shutil.which("python3")} "$@"')
        self.vng = self.cache / "venv-virtme-ng-1.42/bin/vng"
        self.bindgen = self.cache / "bindgen-0.72.1/bin/bindgen"

    def test_all_there(self) -> None:
        self.entry("venv-virtme-ng-1.42")
        self.entry("bindgen-0.72.1")
        self.assertEqual((0, ""), self.run_script("build/setup.sh"))

    def test_no_network(self) -> None:
        rc, output = self.run_script("build/setup.sh")
        self.assertEqual(1, rc)
        self.assertIn("error: no virtme-ng 1.42. Tried:\n  Python's package index: pip: no index\n"
                      "  https://github.com/arighi/virtme-ng.git: git: no route to host\n"
                      "  vng in PATH: vng is missing\n"
                      "install virtme-ng, and put vng into PATH\n", output)

    def test_vng_from_git(self) -> None:
        self.entry("bindgen-0.72.1")
        self.stub("git", 'for to; do :; done; mkdir -p $to; '
                  'printf "#!/bin/sh\\necho 1.42" >$to/vng; chmod +x $to/vng; echo "$*" >$COUNT')
        self.assertEqual(0, self.run_script("build/setup.sh")[0])
        self.assertEqual("1.42\n", subprocess.run([self.vng], capture_output=True, text=True,
                                                  check=True).stdout)
        self.assertIn("--branch v1.42", (self.dir / "count").read_text())

    def test_vng_from_git_that_does_not_run(self) -> None:
        self.stub("git", 'for to; do :; done; mkdir -p $to; '
                  'printf "#!/bin/sh\\necho no argcomplete; exit 1" >$to/vng; chmod +x $to/vng')
        rc, output = self.run_script("build/setup.sh")
        self.assertEqual(1, rc)
        self.assertIn("virtme-ng.git: no argcomplete\n", output)
        self.assertFalse(self.vng.exists())

    def test_vng_of_the_distribution(self) -> None:
        self.entry("bindgen-0.72.1")
        vng = self.stub("vng", "echo 1.40")
        self.assertEqual(0, self.run_script("build/setup.sh")[0])
        self.assertEqual(vng, self.vng.resolve())

    def test_bindgen_of_the_distribution(self) -> None:
        self.entry("venv-virtme-ng-1.42")
        bindgen = self.stub("bindgen", "echo bindgen 0.71.1")
        rc, output = self.run_script("build/setup.sh")
        self.assertEqual(0, rc, output)
        self.assertEqual(bindgen, self.bindgen.resolve())

    def test_bindgen_that_is_too_old(self) -> None:
        self.entry("venv-virtme-ng-1.42")
        self.stub("bindgen", "echo bindgen 0.60.1")
        rc, output = self.run_script("build/setup.sh")
        self.assertEqual(1, rc)
        self.assertIn("error: no bindgen. Tried:\n"
                      "  the registry of crates: cargo: no route to host\n"
                      "  bindgen in PATH: it is 0.60.1, the kernel needs 0.71.1\n", output)
        self.assertFalse(self.bindgen.exists())

    def test_the_names_of_packages(self) -> None:
        release = self.dir / "os-release"
        for text, command in (("ID=fedora\n", "dnf install gcc make"),
                              ('ID="rocky"\nID_LIKE="rhel fedora"\n', "dnf install gcc make"),
                              ("ID=arch\n", "pacman -S --needed base-devel"),
                              ("ID=other\n", "their packages on Debian: gcc make")):
            with self.subTest(text=text):
                release.write_text(text)
                rc, output = self.run_script("build/setup.sh", RUST_PREFIX="/nonexistent",
                                             OS_RELEASE=str(release))
                self.assertEqual(1, rc)
                self.assertIn("error: missing tools: /nonexistent/rustc", output)
                self.assertIn(command, output)


if __name__ == "__main__":
    unittest.main()
