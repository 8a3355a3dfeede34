# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash disable=SC2034
# Sourced by the scripts here: settings, messages, timed steps, the cache.

TOP=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
BUILD=${BUILD:-$TOP/build}
CACHE=${XDG_CACHE_HOME:-$HOME/.cache}/deferred-flush
JOBS=${JOBS:-$(nproc)}

# Versions that are not the distribution's choice.
VIRTME_NG_VERSION=1.42
BINDGEN_VERSION=0.72.1
KERNEL_SERIES=7.3
QEMU_SERIES=7.2

VENV=$CACHE/venv-virtme-ng-$VIRTME_NG_VERSION
BINDGEN_ROOT=$CACHE/bindgen-$BINDGEN_VERSION
BINDGEN=$BINDGEN_ROOT/bin/bindgen

# The distribution's Rust: the kernel needs the sources of the standard library, which a rustup
# toolchain may lack.
RUST_PREFIX=${RUST_PREFIX:-/usr/bin}

die() {
	echo "error: $*" >&2
	exit 1
}

note() {
	echo "==> $*"
}

# step NAME COMMAND...: runs it with its output in build/log, and shows how long it takes. A function
# has to chain its commands: errexit is off in there, for bash as for the `||` below.
step() {
	local name=$1 log start rc=0
	shift
	mkdir -p "$BUILD/log"
	log=$BUILD/log/${name//[^A-Za-z0-9]/-}.log
	start=$SECONDS
	printf '==> %-46s' "$name"
	"$@" >"$log" 2>&1 </dev/null || rc=$?
	if [[ $rc -ne 0 ]]; then
		echo "FAILED after $((SECONDS - start)) s"
		tail -n 40 "$log" >&2
		die "$name failed (exit $rc), see $log"
	fi
	echo "$((SECONDS - start)) s"
}

# A cache entry is finished when finish() has been called for it. begin() removes a half-made one.
finished() {
	[[ -e $1/.finished ]]
}

begin() {
	rm -rf "$1"
	mkdir -p "$1"
}

finish() {
	touch "$1/.finished"
}

# private_apt DIR SUITE deb|deb-src: APT_OPTS for an apt that knows only this suite, from the mirror
# that the system uses. The system's own configuration is not touched.
private_apt() {
	local mirror
	# shellcheck disable=SC2016 # apt expands it
	mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' |
		grep -E '/debian/?$' | head -n 1)
	[[ -n $mirror ]] || { echo "apt knows no Debian mirror"; return 1; }
	rm -rf "$1"
	mkdir -p "$1/lists/partial" "$1/cache/archives/partial"
	echo "$3 [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror $2 main" \
		>"$1/sources.list"
	APT_OPTS=(-o Dir::Etc::SourceList="$1/sources.list" -o Dir::Etc::SourceParts=/dev/null
		-o Dir::State::lists="$1/lists" -o Dir::Cache="$1/cache")
	apt-get "${APT_OPTS[@]}" update
}

hash_of() {
	sha256sum | cut -c1-16
}

# summary FILE: the closing line of a file of "ok|not ok|skip NAME" lines. Fails if a test failed, and
# if none ran: no results are not a pass.
summary() {
	awk '/^ok / { passed++ } /^not ok / { failed++; print } /^skip / { skipped++ }
		END {
			if (!passed && !failed) { print "not ok: no test ran"; failed++ }
			printf "%d passed, %d failed, %d skipped\n", passed, failed, skipped
			exit failed > 0
		}' "$1"
}

kernel_make() {
	make -C "$1" \
		RUSTC="$RUST_PREFIX/rustc" HOSTRUSTC="$RUST_PREFIX/rustc" \
		RUSTFMT="$RUST_PREFIX/rustfmt" RUSTDOC="$RUST_PREFIX/rustdoc" \
		CLIPPY_DRIVER="$RUST_PREFIX/clippy-driver" BINDGEN="$BINDGEN" \
		-j"$JOBS" "${@:2}"
}

# Build what gives a guest idle states, and print QEMU's option for it.
idle_states() {
	make -s -C "$TOP/selftests/machine" OUTPUT="$BUILD/machine" "$BUILD/machine/cpuidle.aml" \
		>"$BUILD/log/cpuidle.log" 2>&1 || die "no ACPI table, see $BUILD/log/cpuidle.log"
	echo "-acpitable file=$BUILD/machine/cpuidle.aml"
}
