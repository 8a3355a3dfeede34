# SPDX-License-Identifier: GPL-2.0
# Everything is done by scripts/; this names it. KDIR= (a built tree) or KERNEL_SRC= (a source
# tree) may be given to all of them; what needs another kernel is left out then.

.PHONY: help demo check check-all check-host check-debug check-mutants check-mainline measure soak \
	kernel qemu modules selftests bundle tree series clean clean-cache

help:
	@echo "make demo        build all, run the storms, print what the module saves"
	@echo "make check       the tests; TESTS=PATTERN runs these only, TESTS=list shows them,"
	@echo "                 FRESH=1 believes no earlier result"
	@echo "make check-all   all tests, restartable; CHECK_MINUTES=N does what N minutes allow"
	@echo "make check-host, check-mutants, check-mainline, check-debug   some of them"
	@echo "make soak        everything at once, for 15 minutes"
	@echo "make measure     instructions per system call, against mainline"
	@echo "make qemu        the sticky QEMU, with PCIDs and a TLB that forgets nothing, in build/qemu;"
	@echo "                 QEMU=sticky make demo uses it"
	@echo "make bundle      an archive that runs the tests on any x86-64 Linux, without installing"
	@echo "make modules     the kernel, and the module for it in build/module"
	@echo "make tree        a git tree with the patches applied, to change them in; TREE=DIR,"
	@echo "                 SERIES=qemu for those of QEMU"
	@echo "make series      write its commits back to patches/, and check them"
	@echo "make clean       remove build/; the cache stays"
	@echo "make clean-cache remove from the cache what was not used for 30 days (DAYS=30)"

demo:
	@scripts/demo.sh

check:
	@python3 -B scripts/check check

check-all:
	@python3 -B scripts/check all

check-host check-mutants check-debug:
	@TESTS="$(@:check-%=%)/*" python3 -B scripts/check

check-mainline:
	@TESTS='mainline/* kselftests/*' python3 -B scripts/check

measure soak bundle:
	@scripts/$@.sh

kernel:
	@scripts/build/setup.sh
	@scripts/build/kernel.sh

qemu:
	@scripts/build/setup.sh
	@scripts/build/qemu.sh

tree:
	@scripts/build/setup.sh
	@scripts/tree.sh

series:
	@scripts/series.sh

modules selftests: kernel
	@scripts/build/module.sh

clean-cache:
	@scripts/clean-cache.sh

clean:
	@scripts/tree.sh --written
	@scripts/lib/session.py rm -rf "$(or $(BUILD),build)"
