// SPDX-License-Identifier: GPL-2.0

//! The edge to C and to the entry crate: declarations, and safe wrappers without policy.

use crate::mutants;
use crate::percpu::{Cpu, Local};
use crate::protocol::engine::Engine;
use crate::protocol::word;
use core::sync::atomic::{AtomicU64, Ordering};
use kernel::cpu::CpuId;
use kernel::error::to_result;
use kernel::prelude::*;

/// `struct deferred_flush_ops` of `arch/x86/include/asm/deferred_flush_ops.h`.
#[repr(C)]
pub(crate) struct Ops {
    pub(crate) begin: unsafe extern "C" fn(start: c_ulong, end: c_ulong) -> u64,
    pub(crate) defer: unsafe extern "C" fn(cpu: c_uint, word: *const AtomicU64, gen: u64) -> bool,
    pub(crate) catch_up: unsafe extern "C" fn(how: u32),
    pub(crate) catch_up_asid: unsafe extern "C" fn(pcid: c_uint, gen: u64) -> bool,
    pub(crate) found: unsafe extern "C" fn() -> bool,
    pub(crate) pays: unsafe extern "C" fn() -> bool,
    pub(crate) record: unsafe extern "C" fn(
        cpu: *const Cpu,
        start: c_ulong,
        end: c_ulong,
        stride_shift: c_uint,
        flags: c_uint,
    ) -> bool,
}

mod c {
    use super::*;

    extern "C" {
        // arch/x86/mm/deferred_flush.c
        pub(super) fn deferred_flush_register(ops: *const Ops) -> c_int;
        pub(super) fn deferred_flush_unregister();
        pub(super) fn deferred_flush_arm() -> c_int;
        pub(super) fn deferred_flush_disarm();

        // rust/module/shim.c
        pub(super) fn deferred_flush_shim_cpu(cpu: c_uint) -> *const Cpu;
        pub(super) fn deferred_flush_shim_local(cpu: c_uint) -> *const Local;
        pub(super) fn deferred_flush_shim_this_local() -> *const Local;
        pub(super) fn deferred_flush_shim_possible(cpu: c_uint) -> bool;
        pub(super) fn deferred_flush_shim_isolated(cpu: c_uint) -> bool;
        pub(super) fn deferred_flush_shim_exit();
        pub(super) fn deferred_flush_shim_trace_defer(cpu: c_uint, gen: u64);
        pub(super) fn deferred_flush_shim_trace_ipi(cpu: c_uint, gen: u64);
        pub(super) fn deferred_flush_shim_trace_catch_up(gen: u64, count: u64);
        pub(super) fn deferred_flush_shim_trace_record(
            start: c_ulong,
            end: c_ulong,
            stride_shift: c_uint,
            how: c_uint,
        );

        // rust/entry/deferred_flush_entry.rs
        pub(super) static deferred_flush_engine: Engine;
        pub(super) static deferred_flush_credit: AtomicU64;
        pub(super) static deferred_flush_mutants: mutants::Choice;
        pub(crate) fn deferred_flush_catch_up(how: u32);
        pub(crate) fn deferred_flush_pays() -> bool;
    }
}

pub(crate) use c::deferred_flush_catch_up as catch_up;
pub(crate) use c::deferred_flush_pays as pays;

/// The engine.
pub(crate) fn engine() -> &'static Engine {
    // SAFETY: The other object of this module defines it, from the same source.
    unsafe { &c::deferred_flush_engine }
}

/// Promises in vain before a CPU stops to promise.
pub(crate) fn credit() -> u64 {
    // SAFETY: As for `engine()`.
    unsafe { &c::deferred_flush_credit }.load(Ordering::Relaxed)
}

/// Sets them. A heuristic: any value a CPU sees is right.
pub(crate) fn set_credit(credit: u64) {
    // SAFETY: As for `engine()`.
    unsafe { &c::deferred_flush_credit }.store(credit, Ordering::Relaxed);
}

/// The deliberate bug.
pub(crate) fn mutants() -> &'static mutants::Choice {
    // SAFETY: As for `engine()`.
    unsafe { &c::deferred_flush_mutants }
}

/// See `deferred_flush_register()`.
///
/// # Safety
///
/// The functions in `ops` keep the contracts that `struct deferred_flush_ops` gives.
pub(crate) unsafe fn register(ops: &'static Ops) -> Result {
    // SAFETY: `ops` is valid for as long as the module is, which unregisters before it goes.
    to_result(unsafe { c::deferred_flush_register(ops) })
}

/// See `deferred_flush_unregister()`.
pub(crate) fn unregister() {
    // SAFETY: Has no preconditions.
    unsafe { c::deferred_flush_unregister() }
}

/// See `deferred_flush_arm()`.
pub(crate) fn arm() -> Result {
    // SAFETY: Has no preconditions.
    to_result(unsafe { c::deferred_flush_arm() })
}

/// See `deferred_flush_disarm()`.
pub(crate) fn disarm() {
    // SAFETY: Has no preconditions.
    unsafe { c::deferred_flush_disarm() }
}

/// The possible CPUs.
pub(crate) fn possible_cpus() -> impl Iterator<Item = CpuId> {
    (0..kernel::cpu::nr_cpu_ids())
        .filter_map(CpuId::from_u32)
        // SAFETY: A `CpuId` is below `nr_cpu_ids`.
        .filter(|cpu| unsafe { c::deferred_flush_shim_possible(cpu.as_u32()) })
}

/// Whether `cpu` is kept from the noise of the kernel: `nohz_full=`.
pub(crate) fn is_isolated(cpu: CpuId) -> bool {
    // SAFETY: Has no preconditions.
    unsafe { c::deferred_flush_shim_isolated(cpu.as_u32()) }
}

/// When `cpu` shall promise: `PROMISE_*`. It may write this itself while it has to ask.
pub(crate) fn set_promise(cpu: CpuId, promise: u8) {
    // SAFETY: The static per-CPU variables of all CPUs below `nr_cpu_ids` stay valid.
    let cpu = unsafe { &*c::deferred_flush_shim_cpu(cpu.as_u32()) };

    // Read by the hooks, with interrupts off: seen at one of the next exits.
    cpu.promise.store(promise, Ordering::Relaxed);
}

/// Whether `cpu` is away at this moment.
pub(crate) fn is_away(cpu: CpuId) -> bool {
    // SAFETY: As for `set_promise()`.
    let cpu = unsafe { &*c::deferred_flush_shim_cpu(cpu.as_u32()) };

    // A snapshot for the eye: nothing depends on it.
    cpu.state.load(Ordering::Relaxed) & word::AWAY != 0
}

/// The counters of `cpu`.
pub(crate) fn local(cpu: CpuId) -> &'static Local {
    // SAFETY: As for `set_promise()`.
    unsafe { &*c::deferred_flush_shim_local(cpu.as_u32()) }
}

/// The counters of this CPU.
///
/// # Safety
///
/// Preemption is disabled until the last use, so that no other CPU writes them.
pub(crate) unsafe fn this_local() -> &'static Local {
    // SAFETY: As for `set_promise()`.
    unsafe { &*c::deferred_flush_shim_this_local() }
}

/// Counts on this CPU. Not atomic: only this CPU writes a counter. Those that interrupts count are
/// counted with interrupts off everywhere.
pub(crate) fn count(counter: &AtomicU64, n: u64) {
    counter.store(
        counter.load(Ordering::Relaxed).wrapping_add(n),
        Ordering::Relaxed,
    );
}

/// Ends the probes of `deferred_flush:catch_up`, for good.
pub(crate) fn end_probes() {
    // SAFETY: Has no preconditions.
    unsafe { c::deferred_flush_shim_exit() }
}

/// Tracepoint `deferred_flush:defer`.
pub(crate) fn trace_defer(cpu: u32, gen: u64) {
    // SAFETY: Has no preconditions.
    unsafe { c::deferred_flush_shim_trace_defer(cpu, gen) }
}

/// Tracepoint `deferred_flush:ipi`.
pub(crate) fn trace_ipi(cpu: u32, gen: u64) {
    // SAFETY: Has no preconditions.
    unsafe { c::deferred_flush_shim_trace_ipi(cpu, gen) }
}

/// Tracepoint `deferred_flush:catch_up`.
pub(crate) fn trace_catch_up(gen: u64, count: u64) {
    // SAFETY: Has no preconditions.
    unsafe { c::deferred_flush_shim_trace_catch_up(gen, count) }
}

/// Tracepoint `deferred_flush:record`.
pub(crate) fn trace_record(start: c_ulong, end: c_ulong, stride_shift: c_uint, how: c_uint) {
    // SAFETY: Has no preconditions.
    unsafe { c::deferred_flush_shim_trace_record(start, end, stride_shift, how) }
}
