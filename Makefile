# SPDX-License-Identifier: GPL-2.0
# Everything is done by scripts/; this names it. KDIR= (a built tree) or KERNEL_SRC= (a source
# tree) may be given to all of them.

.PHONY: help demo check check-host check-debug measure kernel modules selftests clean

help:
	@echo "make demo        build all, run the storms, print what the module saves"
	@echo "make check       all tests"
	@echo "make check-host  the tests that need no kernel and no guest"
	@echo "make check-debug the selftests on a kernel with lockdep and entry checks"
	@echo "make measure     instructions per system call, against mainline"
	@echo "make modules     the kernel, and the module for it in build/module"
	@echo "make clean       remove build/; the cache stays"

demo check:
	@scripts/$@.sh

check-host:
	@scripts/check.sh host

check-debug measure:
	@scripts/$@.sh

kernel:
	@scripts/setup.sh
	@scripts/kernel.sh

modules selftests: kernel
	@scripts/module.sh

clean:
	rm -rf build
