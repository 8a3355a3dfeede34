# SPDX-License-Identifier: GPL-2.0
"""boot.sh and accel.sh, with a vng that boots nothing."""

import os
import signal
import socket
import threading
import unittest
from pathlib import Path

import scratch
from scratch import runs, wait_for

# Says what boot.sh judges, or (HANG) has a QEMU that goes on. PLAN: one word for each boot.
VNG = """\
echo "$*" >>"$COUNT"
for arg; do case $arg in bash*command.sh) out=${arg#bash }; out=${out%/*} ;; esac; done
[ -n "$out" ] || { echo "$PROBE_SAYS"; exit "${PROBE:-1}"; }
if [ -n "$HANG" ]; then sleep 60 & echo $! >"$COUNT.pid"; wait; fi
what=$(echo $PLAN | cut -d ' ' -f $(grep -c command.sh "$COUNT"))
echo linux >"$out/dmesg"; echo booted
case $what in
stale) echo "Oops: int3: 0000"; echo "Code: 90 <90> 90" ;;
int3) echo "Oops: int3: 0000"; echo "Code: cc <90> 90" ;;
dies) ;;
*) echo "${what:-0}" >"$out/status" ;;
esac
"""


class BootCase(scratch.ScratchCase):
    """A kernel that is a file."""

    def setUp(self) -> None:
        super().setUp()
        self.count = self.dir / "count"
        self.stub("vng", VNG, self.entry("venv-virtme-ng-1.42") / "bin")
        image = self.build / "kernel/arch/x86/boot/bzImage"
        image.parent.mkdir(parents=True)
        image.touch()
        self.image = str(image)
        self.out = self.build / "guest/x"

    def boot(self, *args: str, **env: str) -> tuple[int, str]:
        """A guest that runs nothing."""
        return self.run_script("boot/boot.sh", "--out", str(self.out), *args, "--", "true", **env)

    def commands(self) -> list[str]:
        """How vng was called."""
        return self.count.read_text().splitlines() if self.count.exists() else []


class Boot(BootCase):
    """TCG."""

    def setUp(self) -> None:
        super().setUp()
        self.env["ACCEL"] = "tcg"

    def test_status_of_the_command(self) -> None:
        self.assertEqual(0, self.boot()[0])
        self.assertEqual(3, self.boot(PLAN="0 3")[0])

    def test_a_guest_that_dies(self) -> None:
        rc, output = self.boot(PLAN="dies")
        self.assertEqual(1, rc)
        self.assertIn("died before it had a status", output)

    def test_no_retry_is_no_file(self) -> None:
        self.boot()
        self.assertFalse((self.out / "retries").exists())

    def test_retries_are_counted(self) -> None:
        rc, output = self.boot(PLAN="stale stale 0")
        self.assertEqual(0, rc, output)
        self.assertEqual("2\n", (self.out / "retries").read_text())
        self.assertEqual(3, len(self.commands()))
        self.count.unlink()
        self.boot()
        self.assertFalse((self.out / "retries").exists())

    def test_an_int3_in_memory_is_no_reason_to_retry(self) -> None:
        self.assertEqual(1, self.boot(PLAN="int3 0")[0])
        self.assertEqual(1, len(self.commands()))

    def test_time_limit(self) -> None:
        rc, output = self.boot("--timeout", "1", HANG="1")
        self.assertEqual(124, rc, output)
        self.assertFalse(runs(int(Path(f"{self.count}.pid").read_text())))

    def test_ended_by_a_signal(self) -> None:
        pid = Path(f"{self.count}.pid")
        lib = self.top / "scripts/lib/lib.sh"
        for below_session in (True, False):
            if not below_session:
                # As below a runner that ends just this script.
                lib.write_text(lib.read_text().replace('!= "$BUILD" ]]', '= nothing ]]'))
            for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGKILL):
                for whole_group in (False, True):
                    if below_session and number == signal.SIGKILL:
                        continue
                    with self.subTest(number, below_session=below_session, group=whole_group):
                        pid.unlink(missing_ok=True)
                        run = self.start("boot/boot.sh", "--out", str(self.out), "--", "true", HANG="1")
                        self.assertTrue(wait_for(lambda: pid.exists() and pid.read_text().strip()))
                        qemu = int(pid.read_text())
                        (os.killpg if whole_group else os.kill)(run.pid, number)
                        code = run.wait(10)
                        self.assertEqual(number, -code if code < 0 else code - 128)
                        if number == signal.SIGKILL:
                            wait_for(lambda pid=qemu: not runs(pid), 3)
                        self.assertFalse(runs(qemu))

    def test_no_kernel(self) -> None:
        rc, output = self.boot("--kernel", "other")
        self.assertEqual((1, "error: no build/other: run scripts/build/kernel.sh\n"), (rc, output))


class Cpus(BootCase):
    """What the CPUs of a guest do that has no end."""

    REGISTERS = ("CPU#0\r\nRIP=ffffffff81000010 RFL=00000046 [---Z-P-] CPL=0 II=0 A20=1 SMM=0 HLT=0\r\n"
                 "RSP=ffffc90000003e58\r\nCR3=000000000a80a000\r\n"
                 "CPU#1\r\nRIP=0000000000401000 RFL=00000246 [-----P-] CPL=3 II=0 A20=1 SMM=0 HLT=0\r\n")
    STACK = "ffffc90000003e58: 0xffffffff81000123 0x0000000000000007\r\n"

    def answer(self, listener: socket.socket) -> None:
        """As QEMU's monitor does."""
        connection = listener.accept()[0]
        with connection:
            connection.sendall(b"QEMU 7.2 monitor\r\n(qemu) ")
            while command := connection.recv(4096).decode():
                text = ""
                if "registers" in command:
                    text = self.REGISTERS
                elif "0xffffc90000003e58" in command:
                    text = self.STACK
                connection.sendall(f"{command}\r\n{text}(qemu) ".encode())

    def test_functions_and_their_callers(self) -> None:
        (self.build / "System.map").write_text(
            "ffffffff81000000 T waits\nffffffff81000100 t calls\nffffffff82000000 D data\n")
        name = f"deferred-flush-test-{os.getpid()}"
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(f"\0{name}")
            listener.listen()
            threading.Thread(target=self.answer, args=[listener], daemon=True).start()
            rc, output = self.run_script("boot/registers.py", "0", name, str(self.build / "System.map"))
        self.assertEqual(0, rc, output)
        once = ("CPU 0: waits+0x10 RFL=00000046 CPL=0 HLT=0 RSP=ffffc90000003e58 CR3=000000000a80a000\n"
                "    calls+0x23\nCPU 1: 0x401000 RFL=00000246 CPL=3 HLT=0\n")
        self.assertEqual(f"{once}2 s later:\n{once}", output)

    def test_shown_with_the_console(self) -> None:
        self.stub("registers.py", "echo CPU 0: waits+0x10; exec sleep 60", self.top / "scripts/boot")
        rc, output = self.boot("--timeout", "1", HANG="1", ACCEL="tcg")
        self.assertEqual(124, rc, output)
        self.assertIn("    | CPU 0: waits+0x10\n", output)
        self.assertNotIn("Terminated", output)


class Firmware(BootCase):
    """Of the sticky QEMU, wherever a distribution has it."""

    def sticky(self, **env: str) -> tuple[int, str]:
        """Boot it."""
        self.stub("qemu-system-x86_64", "", self.build / "qemu")
        return self.boot("--qemu", "sticky", **env)

    def test_given(self) -> None:
        folder = self.dir / "firmware"
        folder.mkdir()
        (folder / "bios-256k.bin").touch()
        self.sticky(QEMU_FIRMWARE=str(folder))
        self.assertIn(f"-L {folder}", self.commands()[0])

    def test_none(self) -> None:
        lib = self.top / "scripts/lib/lib.sh"
        lib.write_text(lib.read_text().replace("/usr/share/", "/nonexistent/"))
        rc, output = self.sticky()
        self.assertEqual(1, rc)
        self.assertEqual("error: no SeaBIOS: pass QEMU_FIRMWARE= (the folder with bios-256k.bin)\n",
                         output)


class Mended(BootCase):
    """Stock, but for the emulator's stale INT3s."""

    def command(self, accel: str) -> str:
        """How vng is called where KVM does or does not work."""
        (self.top / "scripts/boot/accel.sh").unlink()
        self.stub("accel.sh", f"echo {accel}", self.top / "scripts/boot")
        self.stub("qemu-system-x86_64", "", self.build / "qemu")
        folder = self.dir / "firmware"
        folder.mkdir()
        (folder / "bios-256k.bin").touch()
        rc, output = self.boot("--qemu", "mended", QEMU_FIRMWARE=str(folder))
        self.assertEqual(0, rc, output)
        return self.commands()[-1]

    def test_kvm(self) -> None:
        self.assertNotIn("--qemu", self.command("kvm"))

    def test_its_tlb_is_not_kept(self) -> None:
        command = self.command("tcg")
        self.assertIn(f"--qemu {self.build}/qemu/qemu-system-x86_64", command)
        self.assertIn("pcid=off", command)
        self.assertNotIn("keep", command)

    def test_not_built(self) -> None:
        self.assertEqual((1, "error: no build/qemu: run make qemu\n"), self.boot("--qemu", "mended"))


@unittest.skipUnless(os.access("/dev/kvm", os.W_OK), "no /dev/kvm that can be written")
class Accel(BootCase):
    """KVM is used where it boots the kernel."""

    def accel(self, **env: str) -> str:
        """The verdict."""
        rc, output = self.run_script("boot/accel.sh", self.image, **env)
        self.assertEqual(0, rc, output)
        return output.splitlines()[-1]

    def age(self, seconds: int) -> None:
        """Make the memo older."""
        memo, = (path for path in self.build.glob("accel-*") if path.suffix != ".log")
        then = memo.stat().st_mtime - seconds
        os.utime(memo, (then, then))

    def test_that_it_works_is_remembered(self) -> None:
        self.assertEqual("kvm", self.accel(PROBE="77"))
        self.age(100 * 86400)
        self.assertEqual("kvm", self.accel(PROBE="1"))
        self.assertEqual(1, len(self.commands()))

    def test_that_it_does_not_is_remembered_for_a_day(self) -> None:
        self.assertEqual("tcg", self.accel())
        self.assertEqual("tcg", self.accel(PROBE="77"))
        self.assertEqual(1, len(self.commands()))
        self.age(86400 + 120)
        self.assertEqual("kvm", self.accel(PROBE="77"))

    def test_another_dev_kvm_is_tried_anew(self) -> None:
        self.stub("stat", 'exec /usr/bin/stat -c "$2 $CHANGED" "$3"')
        self.assertEqual("tcg", self.accel())
        self.assertEqual("tcg", self.accel(PROBE="77"))
        self.assertEqual("kvm", self.accel(PROBE="77", CHANGED="1"))

    def test_a_qemu_that_went_on_without_it(self) -> None:
        self.assertEqual("tcg", self.accel(PROBE="77", PROBE_SAYS="qemu: falling back to tcg"))

    def test_boot_uses_it(self) -> None:
        self.boot(PROBE="77")
        self.assertNotIn("--disable-kvm", self.commands()[-1])
        self.boot(PROBE="77", ACCEL="tcg")
        self.assertIn("--disable-kvm", self.commands()[-1])
        self.assertEqual(3, len(self.commands()))

    def test_insist_on_it(self) -> None:
        rc, output = self.boot(ACCEL="kvm")
        self.assertEqual(1, rc)
        self.assertIn("error: ACCEL=kvm: KVM does not boot this kernel here", output)


if __name__ == "__main__":
    unittest.main()
