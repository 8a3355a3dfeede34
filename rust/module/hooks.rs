// SPDX-License-Identifier: GPL-2.0

//! The functions that C calls, and their registration.

use crate::layout::{Cpu, Local};
use crate::percpu::{possible_cpus, Pinned, CPU, LOCAL};
use crate::protocol::engine::Shootdown;
use crate::protocol::policy::Policy;
use crate::protocol::user::{Flush, Limits, Pending, Range, Recorded};
use crate::protocol::word::{Promise, Verdict};
use crate::settings::Settings;
use crate::{ffi, mutants, trace};
use core::sync::atomic::{AtomicU64, Ordering};
use kernel::bindings;
use kernel::prelude::*;

static OPS: bindings::deferred_flush_ops = bindings::deferred_flush_ops {
    begin: Some(ffi::begin),
    defer: Some(defer),
    defer_text: Some(defer_text),
    catch_up: Some(ffi::catch_up),
    catch_up_asid: Some(ffi::catch_up_asid),
    found: Some(found),
    pays: Some(ffi::pays),
    record: Some(record),
};

/// See [`Limits`]. Heuristics: any value a CPU sees is right.
static USER_CEILING: AtomicU64 = AtomicU64::new(0);
static WAIT_CEILING: AtomicU64 = AtomicU64::new(0);

/// Relies on the promise of `cpu`, if it gave one. Otherwise it has to be interrupted.
///
/// # Safety
///
/// - `word` points to `deferred_flush_cpu.state` of `cpu`.
/// - Preemption is disabled. `gen` is what `begin()` returned, and that shootdown is not over.
unsafe extern "C" fn defer(cpu: c_uint, word: *mut u64, gen: u64) -> bool {
    // SAFETY: By the second safety requirement.
    let pinned = unsafe { Pinned::assume() };
    // SAFETY: Static per-CPU variables stay valid. Others write it by locked instructions only; that
    // CPU also by single stores of all of it. And `Promise` has the layout of `u64`.
    let promise = unsafe { &*word.cast::<Promise>() };
    // SAFETY: By the second safety requirement.
    let shootdown = unsafe { Shootdown::borrow_raw(gen) };

    match shootdown.ask(promise) {
        Verdict::Deferred => {
            Local::count(&pinned, |local| &local.deferred);
            trace::defer(cpu, gen);
            true
        }
        Verdict::Ipi => {
            Local::count(&pinned, |local| &local.ipis);
            trace::ipi(cpu, gen);
            false
        }
    }
}

/// Relies on the promise of a CPU for text that has been changed, if it gave one. Otherwise it has to
/// be interrupted.
///
/// # Safety
///
/// `word` points to `deferred_flush_cpu.state` of a CPU. A full barrier is behind the change.
unsafe extern "C" fn defer_text(word: *mut u64) -> bool {
    // SAFETY: As in `defer()`.
    let promise = unsafe { &*word.cast::<Promise>() };

    promise.rely_for_text() == Verdict::Deferred
}

/// A reason to promise: the tick found this CPU in user mode, or a flush interrupted it.
///
/// # Safety
///
/// Interrupts are off.
unsafe extern "C" fn found() -> bool {
    // SAFETY: Interrupts are off, and so is preemption.
    let pinned = unsafe { Pinned::assume() };

    LOCAL
        .this(&pinned)
        .credit
        .store(ffi::credit(), Ordering::Relaxed);
    true
}

/// Leaves the user PCID's part of a flush of user addresses to the exit to user mode.
///
/// `false`: the caller has to do it, by INVPCID.
///
/// # Safety
///
/// - `cpu` points to `deferred_flush_cpu` of this CPU, and interrupts are off.
/// - `DEFERRED_FLUSH_USER_FRESH` is set in `flags` only if the exit path has nothing to do for the
///   loaded ASID.
unsafe extern "C" fn record(
    cpu: *mut bindings::deferred_flush_cpu,
    start: c_ulong,
    end: c_ulong,
    stride_shift: c_uint,
    flags: c_uint,
) -> bool {
    // SAFETY: Interrupts are off, and so is preemption.
    let pinned = unsafe { Pinned::assume() };
    // SAFETY: Static per-CPU variables stay valid, and `Cpu` is a view of this one.
    let cpu = unsafe { &*cpu.cast::<Cpu>() };
    // SAFETY: Those of this CPU are reached here and on its exit path only. That comes later, and
    // what could come in between is off, or an NMI, which leaves them alone. They are ranges:
    // zeroes, with which C begins, are a valid one, and nobody else has written others.
    let ranges = unsafe { &mut *cpu.ranges.get() };
    let flush = Flush {
        range: Range::new(start as u64, end as u64, stride_shift),
        fresh: flags & bindings::DEFERRED_FLUSH_USER_FRESH != 0,
        tables: flags & bindings::DEFERRED_FLUSH_USER_TABLES != 0,
        waits: flags & bindings::DEFERRED_FLUSH_USER_WAITS != 0,
    };
    let limits = Limits {
        ceiling: USER_CEILING.load(Ordering::Relaxed),
        wait: WAIT_CEILING.load(Ordering::Relaxed),
    };

    let mut pending = Pending::new(cpu.range_bytes.load(Ordering::Relaxed), ranges);
    let recorded = pending.record(flush, limits);

    // An NMI may have made the ranges void since. It was not about this ASID's user addresses: no
    // NMI flushes such. See `deferred_flush_promote()`.
    cpu.range_bytes.store(pending.bytes(), Ordering::Relaxed);
    Local::count(&pinned, |local| match recorded {
        Recorded::Ranges => &local.user_ranges,
        Recorded::Full => &local.user_full,
        Recorded::Now if ffi::mutants().is(mutants::NOW_COUNTS_AS_RANGES) => &local.user_ranges,
        Recorded::Now => &local.user_now,
    });
    trace::record(start, end, stride_shift, trace::how(recorded));
    recorded != Recorded::Now
}

/// Traces what this CPU caught up with on its way into the kernel, where nothing can be traced.
///
/// Called while `deferred_flush:catch_up` is on, at system calls and timer interrupts.
///
/// # Safety
///
/// Interrupts are off: it must not be interrupted by itself.
#[unsafe(no_mangle)]
unsafe extern "C" fn deferred_flush_report() {
    // SAFETY: Interrupts are off, and so is preemption.
    let pinned = unsafe { Pinned::assume() };
    let local = LOCAL.this(&pinned);
    let catch_ups = local.catch_ups.load(Ordering::Relaxed);
    let reported = local.reported.load(Ordering::Relaxed);

    if catch_ups != reported {
        local.reported.store(catch_ups, Ordering::Relaxed);
        trace::catch_up(
            local.tlb_gen.load(Ordering::Relaxed),
            catch_ups.wrapping_sub(reported),
        );
    }
}

/// The module is registered.
///
/// # Invariants
///
/// While it exists, `OPS` is registered.
pub(crate) struct Registration(());

impl Registration {
    /// Registers. No CPU promises yet.
    ///
    /// `EBUSY`: there is one already. `EOPNOTSUPP`: this machine does not flush kernel ranges by
    /// IPI. `ENOSPC`: the kernel has no room for its hooks.
    pub(crate) fn new(settings: &Settings) -> Result<Self> {
        let (mut user, mut wait) = (settings.user_ceiling(), settings.wait_ceiling());

        ffi::mutants().choose(settings.debug());
        if !ffi::mutants().is(mutants::CEILING_STAYS) {
            ffi::set_ceiling(settings.ceiling());
        }
        ffi::set_credit(settings.credit());
        if ffi::mutants().is(mutants::CEILINGS_SWAPPED) {
            (user, wait) = (wait, user);
        }
        USER_CEILING.store(user, Ordering::Relaxed);
        WAIT_CEILING.store(wait, Ordering::Relaxed);

        // SAFETY: The safety sections above are the contract of `struct deferred_flush_ops`.
        unsafe { ffi::register(&OPS) }.inspect_err(|error| match *error {
            EBUSY => pr_err!("cannot register: another module defers flushes\n"),
            EOPNOTSUPP => pr_err!("cannot register: this machine flushes without IPIs\n"),
            ENOSPC => pr_err!("cannot register: the kernel has no room for its hooks\n"),
            error => pr_err!("cannot register: error {}\n", error.to_errno()),
        })?;
        // INVARIANT: It is registered.
        Ok(Self(()))
    }

    /// Makes `policy` the one by which CPUs promise.
    ///
    /// `EBUSY`: a breakpoint sits on an entry hook. The policy is `off` then.
    pub(crate) fn apply(&mut self, policy: Policy) -> Result {
        // Also between two that promise: a CPU that has to ask writes what it finds.
        ffi::disarm();
        if policy == Policy::Off {
            return Ok(());
        }
        self.arm()?;
        for cpu in possible_cpus() {
            let isolated = ffi::is_isolated(cpu) && !ffi::mutants().is(mutants::NOBODY_IS_ISOLATED);
            let promise = policy.promise(isolated);

            // Read by the hooks, with interrupts off: seen at one of the next exits. A CPU may
            // write this itself while it has to ask.
            CPU.on(cpu).promise.store(promise, Ordering::Relaxed);
        }
        Ok(())
    }

    /// Arms the hooks, where no CPU promises until [`Self::apply`] says so.
    ///
    /// `EBUSY`: a breakpoint sits on one of them.
    pub(crate) fn arm(&mut self) -> Result {
        ffi::arm()
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        // When this returns, no CPU is away, and none runs a function in `OPS`.
        ffi::unregister();
        if let (debug @ 1.., count) = ffi::mutants().reached() {
            pr_info!("debug={}: reached {} times\n", debug, count);
        }
    }
}
