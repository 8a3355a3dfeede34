#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Install what the build and the tests need and is missing.
# Usage: setup.sh
# Exit:  0; 1 if something is missing that it may not or cannot install; 2 for wrong settings.
set -euo pipefail
. "$(dirname "$0")/../lib/lib.sh"
[[ $# -eq 0 ]] || usage

debian_packages() {
	local packages=(gcc make patch flex bison bc libelf-dev libssl-dev dwarves cpio kmod
		xz-utils rsync perl python3 python3-venv git curl gnupg shellcheck qemu-system-x86 udev
		linux-perf stress-ng acpica-tools libclang-19-dev
		dpkg-dev ninja-build meson libglib2.0-dev libpixman-1-dev libcap-ng-dev
		libattr1-dev libfdt-dev
		gcc-multilib libcap-dev libnuma-dev liburing-dev ccache)
	# Debian 12 has a Rust that is new enough under another name.
	if apt-cache show rustc-web >/dev/null 2>&1; then
		packages+=(rustc-web rust-web-src rustfmt-web rust-web-clippy)
	else
		packages+=(rustc rust-src rustfmt rust-clippy)
	fi
	printf '%s\n' "${packages[@]}"
}

install_debian() {
	local missing=() package packages
	# Without package lists, apt-cache finds nothing.
	if ! apt-cache show libelf-dev >/dev/null 2>&1 && [[ $(id -u) -eq 0 ]]; then
		step "update package lists" apt-get update
	fi
	mapfile -t packages < <(debian_packages)
	for package in "${packages[@]}"; do
		dpkg-query -W -f '${db:Status-Status}\n' "$package" 2>/dev/null |
			grep -qx installed || missing+=("$package")
	done
	[[ ${#missing[@]} -gt 0 ]] || return 0

	local install=(apt-get install -y --no-install-recommends "${missing[@]}")
	export DEBIAN_FRONTEND=noninteractive
	if [[ $(id -u) -eq 0 ]]; then
		step "update package lists" apt-get update
		step "install ${#missing[@]} packages" "${install[@]}"
	elif sudo -n true 2>/dev/null; then
		step "update package lists" sudo -n apt-get update
		step "install ${#missing[@]} packages" sudo -n "${install[@]}"
	else
		die "packages are missing. As root, run: ${install[*]}"
	fi
}

# Where nothing is installed: what it is called there.
fedora=(gcc make patch flex bison bc elfutils-libelf-devel openssl-devel dwarves cpio kmod xz rsync perl
	python3 git curl gnupg2 ShellCheck qemu-system-x86 seabios-bin systemd-udev perf stress-ng
	acpica-tools clang-devel ninja-build meson glib2-devel pixman-devel libcap-ng-devel libattr-devel
	libfdt-devel glibc-devel.i686 libgcc.i686 libcap-devel numactl-devel liburing-devel
	rust cargo rust-src rustfmt clippy ccache)
arch=(base-devel bc libelf openssl pahole cpio kmod xz rsync perl python git curl gnupg shellcheck
	qemu-system-x86 seabios systemd perf stress-ng acpica clang ninja meson glib2-devel pixman libcap-ng
	attr dtc lib32-glibc lib32-gcc-libs libcap numactl liburing rust rust-src ccache)

hint() {
	local like
	# shellcheck disable=SC1090
	like=$(. "${OS_RELEASE:-/etc/os-release}" 2>/dev/null && echo " ${ID:-} ${ID_LIKE:-} ") || true
	case $like in
	*" fedora "*) echo "; as root: dnf install ${fedora[*]}" ;;
	*" arch "*) echo "; as root: pacman -S --needed ${arch[*]}" ;;
	*" debian "*) ;;
	*) echo "; their packages on Debian: $(debian_packages 2>/dev/null | tr '\n' ' ')" ;;
	esac
}

check_tools() {
	local missing=() tool
	for tool in gcc make patch flex bison bc cpio xz rsync perl python3 git shellcheck \
		qemu-system-x86_64 ninja perf iasl ccache cargo "$RUST_PREFIX/rustc" "$RUST_PREFIX/rustfmt" \
		"$RUST_PREFIX/clippy-driver"; do
		command -v "$tool" >/dev/null || missing+=("$tool")
	done
	[[ ${#missing[@]} -eq 0 ]] || die "missing tools: ${missing[*]}$(hint)"
}

# --- virtme-ng
vng_pypi() {
	python3 -m venv "$1" && "$1/bin/python" -m pip install -q "virtme-ng==$VIRTME_NG_VERSION"
}

# It runs from its sources, if Python's argcomplete and requests are there.
vng_git() {
	clone "$vng_repository" "v$VIRTME_NG_VERSION" "$1/src" &&
		mkdir "$1/bin" && ln -s ../src/vng "$1/bin/vng" && "$1/bin/vng" --version
}

vng_system() {
	have vng && vng --version && mkdir "$1/bin" && ln -s "$(command -v vng)" "$1/bin/vng"
}

vng_repository=https://github.com/arighi/virtme-ng.git
install_vng() {
	obtain "virtme-ng $VIRTME_NG_VERSION" "$VENV" "install virtme-ng, and put vng into PATH" \
		"Python's package index" vng_pypi "$vng_repository" vng_git "vng in PATH" vng_system
}

# --- bindgen
bindgen_crate() {
	cargo install --locked bindgen-cli --version "$BINDGEN_VERSION" --root "$1"
}

bindgen_system() {
	local version
	have bindgen && version=$(bindgen --version) && version=${version#bindgen } || return 1
	[[ $(printf '%s\n' "$BINDGEN_MINIMUM" "$version" | sort -V | head -n 1) = "$BINDGEN_MINIMUM" ]] ||
		{ echo "it is $version, the kernel needs $BINDGEN_MINIMUM"; return 1; }
	mkdir "$1/bin" && ln -s "$(command -v bindgen)" "$1/bin/bindgen"
}

install_bindgen() {
	obtain "bindgen" "$BINDGEN_ROOT" "install bindgen $BINDGEN_MINIMUM or newer, and put it into PATH" \
		"the registry of crates" bindgen_crate "bindgen in PATH" bindgen_system
}

mkdir -p "$CACHE" || die "no cache in $CACHE: set XDG_CACHE_HOME= to a folder that can be written"
if [[ -e /etc/debian_version ]]; then
	install_debian
fi
check_tools
entry "$VENV" install_vng
entry "$BINDGEN_ROOT" install_bindgen
