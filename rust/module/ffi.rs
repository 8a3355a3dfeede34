// SPDX-License-Identifier: GPL-2.0

//! The edge to C and to the entry crate: declarations, and safe wrappers without policy.

use crate::mutants;
use crate::percpu::PossibleCpu;
use kernel::bindings;
use kernel::error::to_result;
use kernel::prelude::*;

/// What `shim.h` declares.
#[allow(
    clippy::all,
    clippy::undocumented_unsafe_blocks,
    dead_code,
    improper_ctypes,
    non_camel_case_types,
    non_upper_case_globals,
    unreachable_pub
)]
pub(crate) mod shim {
    use kernel::bindings::tracepoint;
    use kernel::ffi;

    include!(concat!(env!("DEFERRED_FLUSH_OBJ"), "/module/shim.h.rs"));
}

mod entry {
    use super::*;

    // rust/entry/deferred_flush_entry.rs
    unsafe extern "C" {
        pub(crate) fn deferred_flush_begin(start: c_ulong, end: c_ulong) -> u64;
        pub(crate) fn deferred_flush_catch_up(how: u32);
        pub(crate) fn deferred_flush_catch_up_asid(pcid: c_uint, gen: u64) -> bool;
        pub(crate) fn deferred_flush_pays() -> bool;
        pub(super) safe fn deferred_flush_set_ceiling(pages: u64);
        pub(super) safe fn deferred_flush_set_credit(credit: u64);
        pub(super) safe fn deferred_flush_credit() -> u64;
        pub(super) static deferred_flush_mutants: mutants::Choice;
    }
}

pub(crate) use entry::deferred_flush_begin as begin;
pub(crate) use entry::deferred_flush_catch_up as catch_up;
pub(crate) use entry::deferred_flush_catch_up_asid as catch_up_asid;
pub(crate) use entry::deferred_flush_pays as pays;

/// Has a catch-up of more pages than these flush everything.
pub(crate) fn set_ceiling(pages: u64) {
    entry::deferred_flush_set_ceiling(pages);
}

/// Promises in vain before a CPU stops to promise.
pub(crate) fn credit() -> u64 {
    entry::deferred_flush_credit()
}

/// Sets them. A heuristic: any value a CPU sees is right.
pub(crate) fn set_credit(credit: u64) {
    entry::deferred_flush_set_credit(credit);
}

/// The deliberate bug.
pub(crate) fn mutants() -> &'static mutants::Choice {
    // SAFETY: The other object of this module defines it, from the same source.
    unsafe { &entry::deferred_flush_mutants }
}

/// See `deferred_flush_register()`.
///
/// # Safety
///
/// The functions in `ops` keep the contracts that `struct deferred_flush_ops` gives.
pub(crate) unsafe fn register(ops: &'static bindings::deferred_flush_ops) -> Result {
    // SAFETY: `ops` is valid for as long as the module is, which unregisters before it goes.
    to_result(unsafe { bindings::deferred_flush_register(ops) })
}

/// See `deferred_flush_unregister()`.
pub(crate) fn unregister() {
    // SAFETY: Has no preconditions.
    unsafe { bindings::deferred_flush_unregister() }
}

/// See `deferred_flush_arm()`.
pub(crate) fn arm() -> Result {
    // SAFETY: Has no preconditions.
    to_result(unsafe { bindings::deferred_flush_arm() })
}

/// See `deferred_flush_disarm()`.
pub(crate) fn disarm() {
    // SAFETY: Has no preconditions.
    unsafe { bindings::deferred_flush_disarm() }
}

/// Whether `cpu` is kept from the noise of the kernel: `nohz_full=`.
pub(crate) fn is_isolated(cpu: PossibleCpu) -> bool {
    // SAFETY: Has no preconditions.
    unsafe { shim::deferred_flush_shim_isolated(cpu.number()) }
}
