// SPDX-License-Identifier: GPL-2.0

//! Writes the broken twins of `tests/loom.rs`: copies of `rust/protocol` with one change each, and
//! the tests that have to fail with them.

use std::path::{Path, PathBuf};
use std::{env, fs};

/// One change to the files in `rust/protocol`, and how it has to show.
struct Twin {
    name: &'static str,
    file: &'static str,
    /// What is replaced; it is there once.
    right: &'static str,
    wrong: &'static str,
    /// The functions of `tests/loom/model.rs` that have to panic, and what they have to say.
    fails: &'static [(&'static str, &'static str)],
}

const DEFERRED: &str = "stale translation after a deferred flush";
const IPI: &str = "the IPI left a stale translation";
const TEXT: &str = "old text after a poke that was deferred";
const TORN: &str = "a range of no generation";

include!("twins.rs");

/// `text`, but for the change.
fn broken(twin: &Twin, text: &str) -> String {
    let found = text.matches(twin.right).count();

    assert_eq!(
        found, 1,
        "twin {}: {:?} in {}",
        twin.name, twin.right, twin.file
    );
    text.replace(twin.right, twin.wrong)
}

/// A copy of `core` in `dir`.
fn copy(twin: &Twin, core: &Path, dir: &Path) {
    fs::create_dir_all(dir).unwrap();
    for entry in fs::read_dir(core).unwrap() {
        let from = entry.unwrap().path();
        let name = from.file_name().unwrap();
        let mut text = fs::read_to_string(&from).unwrap();

        if name == twin.file {
            text = broken(twin, &text);
        }
        fs::write(dir.join(name), text).unwrap();
    }
}

fn main() {
    let home = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").unwrap());
    let out = PathBuf::from(env::var_os("OUT_DIR").unwrap());
    let (mut modules, mut tests) = (String::new(), String::new());

    println!("cargo:rerun-if-changed=../protocol");
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-changed=twins.rs");
    for twin in TWINS {
        let name = twin.name;
        let dir = out.join(name);

        copy(twin, &home.join("../protocol"), &dir);
        modules += &format!("#[path = {:?}]\npub mod {name};\n", dir.join("mod.rs"));
        tests += &format!(
            "#[allow(dead_code)]\n\
             mod {name} {{\n\
             use deferred_flush_core::twins::{name} as code;\n\
             include!({:?});\n",
            home.join("tests/loom/model.rs")
        );
        for (model, panic) in twin.fails {
            tests += &format!(
                "#[test]\n\
                 #[should_panic(expected = {panic:?})]\n\
                 fn {model}_fails() {{ {model}(); }}\n"
            );
        }
        tests += "}\n";
    }
    fs::write(out.join("twins.rs"), modules).unwrap();
    fs::write(out.join("tests.rs"), tests).unwrap();
}
