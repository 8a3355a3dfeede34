# SPDX-License-Identifier: GPL-2.0
# Everything is done by scripts/; this names it. KDIR= (a built tree) or KERNEL_SRC= (a source
# tree) may be given to all of them.

.PHONY: help demo check check-host check-debug check-mutants check-mainline measure soak kernel qemu modules selftests clean

help:
	@echo "make demo        build all, run the storms, print what the module saves"
	@echo "make check       the tests"
	@echo "make check-host  the tests that need no kernel and no guest"
	@echo "make check-mutants   kernels with one deliberate bug each have to be caught"
	@echo "make check-mainline  mainline, and its own x86 and mm selftests, on our QEMU"
	@echo "make check-debug the selftests on a kernel with lockdep and entry checks"
	@echo "make soak        everything at once, for 15 minutes"
	@echo "make measure     instructions per system call, against mainline"
	@echo "make qemu        the QEMU with PCIDs and a TLB that forgets nothing, in build/qemu;"
	@echo "                 QEMU=sticky make demo|check uses it"
	@echo "make modules     the kernel, and the module for it in build/module"
	@echo "make clean       remove build/; the cache stays"

demo check:
	@scripts/$@.sh

check-host:
	@scripts/check.sh host

check-mutants check-mainline:
	@scripts/check.sh $(@:check-%=%)

check-debug measure soak:
	@scripts/$@.sh

kernel:
	@scripts/setup.sh
	@scripts/kernel.sh

qemu:
	@scripts/setup.sh
	@scripts/qemu.sh

modules selftests: kernel
	@scripts/module.sh

clean:
	rm -rf build
