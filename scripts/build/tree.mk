# SPDX-License-Identifier: GPL-2.0
# The GNUmakefile of a tree that make tree has made: below the tools, which tree.sh has put in
# front. Git does not know it there. A plain make in the tree, in out/, or with O= builds with these
# tools. It ends where it would lose CONFIG_RUST, as the kernel does without a word.

tree := $(patsubst %/,%,$(dir $(realpath $(lastword $(MAKEFILE_LIST)))))
out := $(if $(O),$(abspath $(O)),$(tree)/out)

# But for what is given to make.
given = $(filter command,$(firstword $(origin $(firstword $(subst =, ,$(1))))))
tools := $(foreach tool,$(tools),$(if $(call given,$(tool)),,$(tool)))
# The release is called as in the cache, without the plus sign of a git tree.
export LOCALVERSION ?=
goals := $(or $(MAKECMDGOALS),all)
# These may find any configuration.
others := %config clean mrproper distclean help %docs rustavailable
kernel = $(MAKE) --no-print-directory -C $(tree) -f Makefile O=$(out) $(tools)
has_rust = [ ! -e $(out)/.config ] || grep -qx CONFIG_RUST=y $(out)/.config || { \
	echo "error: $(out)/.config has no CONFIG_RUST=y (any more): see make rustavailable," \
	"and copy $(tree)/out/demo.config over it" >&2; exit 1; }

.PHONY: $(goals) through-the-kernels-makefile
$(goals): through-the-kernels-makefile ; @:
through-the-kernels-makefile:
ifneq ($(filter-out $(others),$(goals)),)
	@$(has_rust)
ifeq ($(M),)
	+@$(kernel) -s scripts_basic
	@$(has_rust)
endif
endif
	+@$(kernel) $(MAKECMDGOALS)
	@$(has_rust)
