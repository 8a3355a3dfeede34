// SPDX-License-Identifier: GPL-2.0

//! The files of `rust/core`, as the kernel compiles them, for tests on the host.

#![cfg_attr(not(loom), no_std)]
#![warn(missing_docs)]

#[path = "../core/mod.rs"]
mod core_logic;
pub use core_logic::*;

/// Copies of them with one change each, which `build.rs` wrote.
#[cfg(loom)]
#[allow(missing_docs, unused, clippy::all)]
pub mod twins {
    include!(concat!(env!("OUT_DIR"), "/twins.rs"));
}
