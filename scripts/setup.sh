#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Install what the build and the tests need and is missing.
# Usage: setup.sh
# Exit:  0; 1 if something is missing that it may not or cannot install.
set -euo pipefail
. "$(dirname "$0")/lib.sh"

debian_packages() {
	local packages=(gcc make patch flex bison bc libelf-dev libssl-dev dwarves cpio kmod
		xz-utils rsync perl python3 python3-venv git shellcheck qemu-system-x86 udev
		linux-perf stress-ng acpica-tools libclang-19-dev
		dpkg-dev ninja-build meson libglib2.0-dev libpixman-1-dev libcap-ng-dev
		libattr1-dev libfdt-dev
		gcc-multilib libcap-dev libnuma-dev liburing-dev)
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

check_tools() {
	local missing=() tool
	for tool in gcc make patch flex bison bc cpio xz rsync perl python3 git shellcheck \
		qemu-system-x86_64 ninja perf iasl cargo "$RUST_PREFIX/rustc" "$RUST_PREFIX/rustfmt" \
		"$RUST_PREFIX/clippy-driver"; do
		command -v "$tool" >/dev/null || missing+=("$tool")
	done
	[[ ${#missing[@]} -eq 0 ]] || die "missing tools: ${missing[*]}"
}

install_venv() {
	begin "$VENV"
	python3 -m venv "$VENV" &&
		"$VENV/bin/python" -m pip install -q "virtme-ng==$VIRTME_NG_VERSION" &&
		finish "$VENV"
}

install_bindgen() {
	begin "$BINDGEN_ROOT"
	cargo install --locked bindgen-cli --version "$BINDGEN_VERSION" --root "$BINDGEN_ROOT" &&
		finish "$BINDGEN_ROOT"
}

mkdir -p "$CACHE"
if [[ -e /etc/debian_version ]]; then
	install_debian
fi
check_tools
finished "$VENV" || step "install virtme-ng $VIRTME_NG_VERSION" install_venv
finished "$BINDGEN_ROOT" || step "build bindgen $BINDGEN_VERSION" install_bindgen
