# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash disable=SC2034
# Sourced by the scripts here: settings, messages, timed steps, the cache.

TOP=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
BUILD=${BUILD:-$TOP/build}
[[ $BUILD = /* ]] || BUILD=$PWD/$BUILD
CACHE=${XDG_CACHE_HOME:-${HOME:-}/.cache}/deferred-flush
JOBS=${JOBS:-$(nproc)}

# The first script of a run goes on below session.py: it checks the settings, locks build/, and ends
# whatever is left of the run when that ends, also by a signal.
if [[ ${SESSION_BUILD:-} != "$BUILD" ]]; then
	command -v python3 >/dev/null || { echo "error: python3 is missing" >&2; exit 1; }
	export BUILD
	exec python3 -B "$TOP/scripts/lib/session.py" "$0" "$@"
fi

# Versions that are not the distribution's choice.
VIRTME_NG_VERSION=1.42
BINDGEN_VERSION=0.72.1
BINDGEN_MINIMUM=0.71.1
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

usage() {
	sed -n 's/^# Usage: //p' "$0" >&2
	exit 2
}

# attempt NAME COMMAND...: runs it with its output in build/log, and shows how long it takes. A function
# has to chain its commands: errexit is off in there, for bash as for the `||` below.
attempt() {
	local name=$1 start rc=0
	shift
	mkdir -p "$BUILD/log"
	LOG=$BUILD/log/${name//[^A-Za-z0-9]/-}.log
	start=$SECONDS
	printf '==> %-45s ' "$name"
	"$@" >"$LOG" 2>&1 </dev/null || rc=$?
	if [[ $rc -ne 0 ]]; then
		echo "FAILED after $((SECONDS - start)) s"
		return $rc
	fi
	echo "$((SECONDS - start)) s"
}

# step NAME COMMAND...: the same for what has to work.
step() {
	local rc=0 full=''
	attempt "$@" || rc=$?
	[[ $rc -ne 0 ]] || return 0
	tail -n 40 "$LOG" >&2
	[[ $(free_mib "$BUILD") -ge 64 && $(free_mib "$CACHE") -ge 64 ]] || full='; the disk is full'
	die "$1 failed (exit $rc), see $LOG$full"
}

# --- the disk and the cache
free_mib() {
	df -Pm "$1" | awk 'NR == 2 { print $4 }'
}

need_space() { # MIB WHAT
	local free
	free=$(free_mib "$CACHE")
	[[ $free -ge $1 ]] ||
		die "$2 needs $1 MiB in $CACHE, and $free are free: make clean-cache removes what is old"
}

# A cache entry is finished when its last file says so. It cannot be built under another name: virtual
# environments, kernels and QEMU know where they are. An interrupted one is removed by the next run.
finished() {
	[[ -e $1/.finished ]]
}

# entry DIR COMMAND...: make a cache entry that is not there yet. Others who want it wait meanwhile.
entry() {
	local dir=$1 lock
	shift
	if ! finished "$dir"; then
		mkdir -p "$CACHE/.locks"
		exec {lock}>>"$(lock_of "$dir")"
		flock -n "$lock" || { note "another run makes ${dir##*/}: waiting for it"; flock "$lock"; }
		# Not in a condition: errexit.
		finished "$dir" || begin "$dir"
		finished "$dir" || "$@"
		finish "$dir"
		exec {lock}>&-
	fi
	# When it was used last (clean-cache.sh).
	touch "$dir/.finished"
}

lock_of() {
	local name=${1#"$CACHE"/}
	echo "$CACHE/.locks/${name//\//-}"
}

begin() {
	rm -rf "$1"
	mkdir -p "$1"
}

finish() {
	touch "$1/.finished"
}

# --- sources
# obtain WHAT DIR HINT [NAME FUNCTION]...: get it from the first place that has it. FUNCTION puts it
# into DIR.
obtain() {
	local what=$1 dir=$2 hint=$3 tried=''
	shift 3
	while [[ $# -gt 0 ]]; do
		begin "$dir"
		if attempt "$what from $1" "$2" "$dir"; then
			return 0
		fi
		tried+=$'\n'"  $1: $(sed -n '/[^[:space:]]/h; $ { g; p }' "$LOG")"
		shift 2
	done
	rm -rf "$dir"
	die "no $what. Tried:$tried"$'\n'"$hint"
}

have() {
	command -v "$1" >/dev/null || { echo "$1 is missing"; return 1; }
}

# private_apt DIR SUITE deb|deb-src: APT_OPTS for an apt that knows only this suite, from the mirror
# that the system uses. The system's own configuration is not touched.
private_apt() {
	local mirror
	have apt-get || return 1
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

# Both give up where nothing comes for a minute.
download() { # URL TO
	have curl && curl -fsSL --proto =https --retry 2 --connect-timeout 20 \
		--speed-limit 1000 --speed-time 60 -o "$2" "$1"
}

clone() { # URL TAG TO
	git -c http.lowSpeedLimit=1000 -c http.lowSpeedTime=60 clone -q --depth 1 --branch "$2" "$1" "$3"
}

# keyring DIR FINGERPRINT...: a GNUPGHOME with these keys. It does not matter who sends them.
keyring() {
	local dir=$1 key
	shift
	have gpg || return 1
	export GNUPGHOME=$dir
	mkdir -p "$dir" && chmod 700 "$dir" || return 1
	for key in "$@"; do
		download "https://keyserver.ubuntu.com/pks/lookup?op=get&options=mr&search=0x$key" \
			"$dir/$key.asc" && gpg --batch --quiet --import "$dir/$key.asc" || return 1
	done
}

# signed_by FINGERPRINT...: does gpg's status, on standard input, say that one of them has signed?
signed_by() {
	local status key
	status=$(cat)
	for key in "$@"; do
		! grep -qE "^\[GNUPG:\] VALIDSIG .* $key\$" <<<"$status" || return 0
	done
	echo "not signed by any of $*"
	return 1
}

# pinned FILE SHA256: is it that file?
pinned() {
	echo "$2  $1" | sha256sum -c --quiet || { echo "${1##*/} has not the SHA-256 $2"; return 1; }
}

# tree_key DIR: what identifies a source tree of the user.
tree_key() {
	(cd "$1" && find . -path ./.git -prune -o -type f -printf '%P %s %T@\n' | sort | hash_of)
}

# series DIR: its patches, without the cover letter.
series() {
	local patch
	for patch in "$1"/*.patch; do
		[[ ! -f $patch || ${patch##*/} = 0000-* ]] || echo "$patch"
	done
}

# series_diff PATCH...: what they change, without what is said about it, its dates, and names of blobs.
series_diff() {
	awk 'FNR == 1 { inside = 0 }
		!inside && /^(diff --git |--- [^ ])/ { inside = 1 }
		inside && !/^index [0-9a-f]+\.\.[0-9a-f]/' /dev/null "$@"
}

# apply_patches DIR PATCH...: any hunk that fails, or only applies with fuzz, stops this.
apply_patches() {
	local to=$1 patch
	for patch in "${@:2}"; do
		echo "applying ${patch##*/}"
		patch -d "$to" -p1 -N -F0 --no-backup-if-mismatch <"$patch" ||
			{ echo "${patch##*/} does not apply to this ${PATCHED:-kernel}"; return 1; }
	done
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

# What kernels are built with. Who built it, and when, is no part of an image.
KERNEL_TOOLS=(RUSTC="$RUST_PREFIX/rustc" HOSTRUSTC="$RUST_PREFIX/rustc"
	RUSTFMT="$RUST_PREFIX/rustfmt" RUSTDOC="$RUST_PREFIX/rustdoc"
	CLIPPY_DRIVER="$RUST_PREFIX/clippy-driver" BINDGEN="$BINDGEN"
	KBUILD_BUILD_TIMESTAMP=2026-01-01 KBUILD_BUILD_USER=build KBUILD_BUILD_HOST=build
	KBUILD_BUILD_VERSION=1)

kernel_make() { # SOURCE ARG...
	make -C "$1" "${KERNEL_TOOLS[@]}" -j"$JOBS" "${@:2}"
}

# Build what gives a guest idle states, and print QEMU's option for it.
idle_states() {
	make -s -C "$TOP/selftests/machine" OUTPUT="$BUILD/machine" "$BUILD/machine/cpuidle.aml" \
		>"$BUILD/log/cpuidle.log" 2>&1 || die "no ACPI table, see $BUILD/log/cpuidle.log"
	echo "-acpitable file=$BUILD/machine/cpuidle.aml"
}

# firmware: the options that have the sticky QEMU find the distribution's firmware.
firmware() {
	local dir options='' bios=''
	for dir in ${QEMU_FIRMWARE:+"$QEMU_FIRMWARE"} /usr/share/qemu /usr/share/seabios \
		/usr/share/qemu-kvm /usr/share/qemu-firmware; do
		[[ -d $dir ]] || continue
		options+=" -L $dir"
		[[ ! -e $dir/bios-256k.bin ]] || bios=$dir
	done
	[[ -n $bios ]] || die "no SeaBIOS: pass QEMU_FIRMWARE= (the folder with bios-256k.bin)"
	echo "$options"
}
