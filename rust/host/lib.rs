// SPDX-License-Identifier: GPL-2.0

//! The files of `rust/protocol`, as the kernel compiles them, for tests on the host.

#![cfg_attr(not(loom), no_std)]
#![warn(missing_docs)]

#[path = "../protocol/mod.rs"]
mod protocol;
pub use protocol::*;

/// Copies of them with one change each, which `build.rs` wrote.
#[cfg(loom)]
#[allow(missing_docs, unused, clippy::all)]
pub mod twins {
    include!(concat!(env!("OUT_DIR"), "/twins.rs"));
}
