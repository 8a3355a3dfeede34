// SPDX-License-Identifier: GPL-2.0

//! The engine of deferred kernel TLB flushes.
//!
//! No dependency on the kernel: the same files are part of both objects of `deferred_flush.ko`, and
//! of the host crate in `rust/host`, where they are tested. `rust/entry` has the engine, and what
//! catches up; the rest of the module has the policies and the user flushes, and asks CPUs.
//!
//! What [`engine::Engine::catch_up`] reaches runs in the entry code. It is therefore
//! `#[inline(always)]`, uses wrapping arithmetic, raw pointers instead of indexing, no division,
//! and no aggregate copies (`Documentation/design.rst`, "Rust in noinstr code").
//!
//! Ordering: a read-modify-write of `core::sync::atomic` with `SeqCst` is one LOCKed instruction on
//! x86-64 and thus a full barrier, as `atomic_*_return()` is under the LKMM. `kernel::sync::atomic`
//! cannot be used here: its operations are calls out of `.noinstr.text`. The barriers (a) to (d)
//! are those of `Documentation/ordering.rst`.

#[cfg(any(test, loom, CONFIG_KUNIT = "y"))]
pub mod cases;
pub mod catch_up;
pub mod engine;
pub mod log;
pub mod policy;
pub mod range;
pub mod user;
pub mod word;

#[cfg(not(loom))]
pub(crate) use core::sync::atomic;
#[cfg(loom)]
pub(crate) use loom::sync::atomic;
