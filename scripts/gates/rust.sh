# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash disable=SC2016
# Gates of the Rust sources.

rust_copy() { # GATE: a tree with them only
	local tree
	tree=$(scratch "$1-tree")
	cp "$TOP/Kbuild" "$tree"
	cp -r "$TOP/rust" "$tree"
	rm -rf "$tree/rust/host/target"
	echo "$tree"
}

# --- rustfmt
gate_rustfmt() { # [TREE]
	local tree=${1:-$TOP} config=$BUILD/kernel-src/.rustfmt.toml files format bad
	mapfile -t files < <(find "$tree/rust" -name '*.rs' -not -path '*/target/*')
	[[ ${#files[@]} -gt 0 ]] || die "no Rust files in $tree"
	[[ -f $config ]] || die "no $config"
	format=("$RUST_PREFIX/rustfmt" --check --edition 2021 --config-path "$config")
	# Not by standard input: its exit status is 0, then.
	bad=$(scratch rustfmt)/bad.rs
	echo 'fn  main(){}' >"$bad"
	sees '^Diff in .*/bad.rs' "${format[@]}" "$bad"
	"${format[@]}" "${files[@]}"
	echo "${#files[@]} files"
}

control_rustfmt__format() {
	local tree
	tree=$(rust_copy rustfmt)
	sed -i 's/^pub struct /pub  struct /' "$tree/rust/protocol/word.rs"
	fails_for '^Diff in .*/rust/protocol/word.rs' rustfmt "$tree"
}

control_rustfmt__no_files() {
	local tree
	tree=$(scratch rustfmt-tree)
	mkdir "$tree/rust"
	fails_for 'no Rust files' rustfmt "$tree"
}

control_rustfmt__no_tool() {
	RUST_PREFIX=$(scratch rustfmt-tool) fails_for 'planted fault \(exit 127\)' rustfmt
}

control_rustfmt__crash() {
	RUST_PREFIX=$(tool "$(scratch rustfmt-tool)" rustfmt 'kill -SEGV $$') \
		fails_for 'planted fault \(exit 139\)' rustfmt
}

control_rustfmt__silent() {
	RUST_PREFIX=$(tool "$(scratch rustfmt-tool)" rustfmt 'exit 0') \
		fails_for 'planted fault \(exit 0\)' rustfmt
}

# --- clippy
# The crates, by what Kbuild builds of them.
crates() { # TREE
	local object
	grep -oE '[a-z_][a-z_/]*\.o' "$1/rust/Kbuild" | sort -u | while read -r object; do
		[[ ! -e $1/rust/${object%.o}.rs ]] || echo "rust/$object"
	done
}

gate_clippy() { # [TREE]
	local tree=${1:-$TOP} out crates log
	out=$(scratch clippy)
	log=$out/log
	mapfile -t crates < <(crates "$tree")
	[[ ${#crates[@]} -gt 0 ]] || die "no crates in $tree/rust/Kbuild"
	# From nothing: what has been built before says nothing again.
	kernel_make "$(realpath "$BUILD/kernel-src")" O="$(realpath "$BUILD/kernel")" M="$tree" \
		MO="$out" CLIPPY=1 W=e "${crates[@]}" 2>&1 | tee "$log"
	if grep -E '^(warning|error)' "$log"; then
		die "clippy warns"
	fi
	[[ $(grep -cE '^ *CLIPPY ' "$log") -eq ${#crates[@]} ]] ||
		die "clippy has not looked at all of ${crates[*]}"
	for crate in "${crates[@]}"; do
		[[ -s $out/$crate ]] || die "there is no $crate"
	done
}

control_clippy__lint() {
	local tree
	tree=$(rust_copy clippy)
	echo 'pub fn planted(x: u64) -> u64 { return x.clone(); }' >>"$tree/rust/protocol/word.rs"
	fails_for 'needless.return' clippy "$tree"
}

# Not by the lint's name only: whatever make says counts.
control_clippy__make_fails() {
	local tree
	tree=$(rust_copy clippy)
	echo '$(error planted)' >>"$tree/rust/Kbuild"
	fails_for 'planted.  Stop' clippy "$tree"
}

control_clippy__no_tool() {
	local bin name
	bin=$(scratch clippy-tool)
	for name in rustc rustfmt rustdoc; do
		ln -s "$RUST_PREFIX/$name" "$bin"
	done
	RUST_PREFIX=$bin fails_for 'clippy-driver: (not found|No such file)' clippy
}

control_clippy__silent() {
	PATH=$(tool "$(scratch clippy-tool)" make 'exit 0'):$PATH \
		fails_for 'has not looked at all' clippy
}

# --- rustdoc
gate_rustdoc() { # [TREE]
	local tree=${1:-$TOP} target log
	target=$(scratch rustdoc)
	log=$target/log
	cd "$tree/rust/host" || die "no crate in $tree/rust/host"
	CARGO_TARGET_DIR=$target RUSTDOC=$RUST_PREFIX/rustdoc RUSTDOCFLAGS=-Dwarnings \
		cargo doc --locked --no-deps --document-private-items 2>&1 | tee "$log"
	grep -q 'Generated ' "$log" || die "no documentation was generated"
	[[ -n $(find "$target/doc" -name '*.html' -path '*engine*' -print -quit) ]] ||
		die "the engine is not documented"
}

control_rustdoc__link() {
	local tree
	tree=$(rust_copy rustdoc)
	sed -i '0,/^\/\/\/ /s//\/\/\/ See [`nowhere`]. /' "$tree/rust/protocol/engine.rs"
	fails_for 'unresolved link to `nowhere`' rustdoc "$tree"
}

control_rustdoc__no_tool() {
	RUST_PREFIX=$(scratch rustdoc-tool) fails_for 'could not execute process' rustdoc
}

control_rustdoc__silent() {
	PATH=$(tool "$(scratch rustdoc-tool)" cargo 'exit 0'):$PATH \
		fails_for 'no documentation was generated' rustdoc
}
