// SPDX-License-Identifier: GPL-2.0

//! The events of `deferred_flush_trace.h`. While one is off it costs a NOP.
//!
//! As `kernel::declare_trace!`, which finds events of the kernel's own headers only.

use crate::ffi::shim;
use crate::protocol::user::Recorded;
use kernel::bindings::tracepoint;
use kernel::jump_label::static_branch_unlikely;
use kernel::prelude::*;

macro_rules! events {
    ($(
        $(#[$attr:meta])*
        fn $name:ident($($arg:ident: $type:ty),*) = $key:ident, $emit:ident;
    )*) => {
        $(
            $(#[$attr])*
            #[inline(always)]
            pub(crate) fn $name($($arg: $type),*) {
                // SAFETY: It is a static key, and C defines the event with these arguments.
                unsafe {
                    if static_branch_unlikely!(shim::$key, tracepoint, key) {
                        shim::$emit($($arg),*);
                    }
                }
            }
        )*
    };
}

events! {
    /// A flush was left to `target`.
    fn defer(target: c_uint, gen: u64) = __tracepoint_defer, rust_do_trace_defer;
    /// `target` is interrupted for a flush.
    fn ipi(target: c_uint, gen: u64) = __tracepoint_ipi, rust_do_trace_ipi;
    /// This CPU has caught up to `gen`, and `count` times since the last such event.
    fn catch_up(gen: u64, count: u64) = __tracepoint_catch_up, rust_do_trace_catch_up;
    /// What has become of a flush of user addresses; for `how` see [`how`].
    fn record(start: c_ulong, end: c_ulong, stride_shift: c_uint, how: c_uint)
        = __tracepoint_record, rust_do_trace_record;
}

/// Its number in the event `record`.
pub(crate) fn how(recorded: Recorded) -> c_uint {
    match recorded {
        Recorded::Ranges => shim::DEFERRED_FLUSH_RECORDED_RANGES,
        Recorded::Full => shim::DEFERRED_FLUSH_RECORDED_FULL,
        Recorded::Now => shim::DEFERRED_FLUSH_RECORDED_NOW,
    }
}

/// The probes that emit `catch_up`, for as long as this exists.
///
/// They may come as soon as the module is loaded, ahead of its initialization.
pub(crate) struct Probes;

impl Drop for Probes {
    fn drop(&mut self) {
        // SAFETY: Has no preconditions.
        unsafe { shim::deferred_flush_probes_exit() }
    }
}
