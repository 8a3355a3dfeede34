// SPDX-License-Identifier: GPL-2.0

//! The functions that C calls, and their registration.

use crate::asid::catch_up_asid;
use crate::control::Settings;
use crate::percpu::Cpu;
use crate::protocol::policy::Policy;
use crate::protocol::user::{Flush, Limits, Pending, Range, Recorded};
use crate::protocol::word::{self, Verdict};
use crate::{ffi, mutants};
use core::sync::atomic::{AtomicU64, Ordering};
use kernel::prelude::*;

static OPS: ffi::Ops = ffi::Ops {
    begin,
    defer,
    catch_up: ffi::catch_up,
    catch_up_asid,
    found,
    pays: ffi::pays,
    record,
};

/// See [`Limits`]. Heuristics: any value a CPU sees is right.
static USER_CEILING: AtomicU64 = AtomicU64::new(0);
static WAIT_CEILING: AtomicU64 = AtomicU64::new(0);

/// `DEFERRED_FLUSH_USER_*` of `arch/x86/include/asm/deferred_flush.h`.
const USER_FRESH: c_uint = 1;
const USER_TABLES: c_uint = 2;
const USER_WAITS: c_uint = 4;

/// Begins the shootdown of a kernel range, and returns its generation.
///
/// # Safety
///
/// - The PTEs of the range have been changed.
/// - Preemption is disabled until the caller has asked `defer()` for every online CPU, and
///   interrupted those for which it said no.
unsafe extern "C" fn begin(start: c_ulong, end: c_ulong) -> u64 {
    // SAFETY: Preemption is disabled by the second safety requirement.
    ffi::count(&unsafe { ffi::this_local() }.flushes, 1);

    ffi::engine()
        .begin(start as u64, end as u64)
        .into_generation()
}

/// Relies on the promise of `cpu`, if it gave one. Otherwise it has to be interrupted.
///
/// # Safety
///
/// - `word` points to `deferred_flush_cpu.state` of `cpu`.
/// - `gen` is what `begin()` returned, and preemption has been disabled since.
unsafe extern "C" fn defer(cpu: c_uint, word: *const AtomicU64, gen: u64) -> bool {
    // SAFETY: Static per-CPU variables stay valid, and all write it atomically, or only from that
    // CPU while it has given no promise.
    let word = unsafe { &*word };
    // SAFETY: Preemption is disabled by the second safety requirement.
    let local = unsafe { ffi::this_local() };

    match word::rely(word, gen) {
        Verdict::Deferred => {
            ffi::count(&local.deferred, 1);
            ffi::trace_defer(cpu, gen);
            true
        }
        Verdict::Ipi => {
            ffi::count(&local.ipis, 1);
            ffi::trace_ipi(cpu, gen);
            false
        }
    }
}

/// A reason to promise: the tick found this CPU in user mode, or a flush interrupted it.
///
/// # Safety
///
/// Interrupts are off.
unsafe extern "C" fn found() -> bool {
    // SAFETY: Interrupts are off.
    let local = unsafe { ffi::this_local() };

    local.credit.store(ffi::credit(), Ordering::Relaxed);
    true
}

/// Leaves the user PCID's part of a flush of user addresses to the exit to user mode.
///
/// `false`: the caller has to do it, by INVPCID.
///
/// # Safety
///
/// - `cpu` points to `deferred_flush_cpu` of this CPU, and interrupts are off.
/// - [`USER_FRESH`] is set in `flags` only if the exit path has nothing to do for the loaded ASID.
unsafe extern "C" fn record(
    cpu: *const Cpu,
    start: c_ulong,
    end: c_ulong,
    stride_shift: c_uint,
    flags: c_uint,
) -> bool {
    // SAFETY: Static per-CPU variables stay valid.
    let cpu = unsafe { &*cpu };
    // SAFETY: Interrupts are off, and NMIs do not touch the ranges. The exit path comes later.
    let ranges = unsafe { &mut *cpu.ranges.get() };
    // SAFETY: Preemption is disabled as well.
    let local = unsafe { ffi::this_local() };
    let flush = Flush {
        range: Range::new(start as u64, end as u64, stride_shift),
        fresh: flags & USER_FRESH != 0,
        tables: flags & USER_TABLES != 0,
        waits: flags & USER_WAITS != 0,
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
    let counter = match recorded {
        Recorded::Ranges => &local.user_ranges,
        Recorded::Full => &local.user_full,
        Recorded::Now if ffi::mutants().is(mutants::NOW_COUNTS_AS_RANGES) => &local.user_ranges,
        Recorded::Now => &local.user_now,
    };
    ffi::count(counter, 1);
    // The names of these numbers are in `DEFERRED_FLUSH_HOW` of `deferred_flush_trace.h`.
    ffi::trace_record(start, end, stride_shift, recorded as c_uint);
    recorded != Recorded::Now
}

/// Traces what this CPU caught up with on its way into the kernel, where nothing can be traced.
///
/// Called while `deferred_flush:catch_up` is on, at system calls and timer interrupts.
///
/// # Safety
///
/// Preemption is disabled.
#[unsafe(no_mangle)]
unsafe extern "C" fn deferred_flush_report() {
    // SAFETY: By the safety requirement.
    let local = unsafe { ffi::this_local() };
    let catch_ups = local.catch_ups.load(Ordering::Relaxed);
    let reported = local.reported.load(Ordering::Relaxed);

    if catch_ups != reported {
        local.reported.store(catch_ups, Ordering::Relaxed);
        ffi::trace_catch_up(
            local.tlb_gen.load(Ordering::Relaxed),
            catch_ups.wrapping_sub(reported),
        );
    }
}

/// The module is registered, and CPUs promise as the policy says.
///
/// # Invariants
///
/// While it exists, `OPS` is registered.
pub(crate) struct Registration(());

impl Registration {
    /// Registers, and applies the policy.
    ///
    /// `EBUSY`: another module is registered, or a kprobe sits on an entry hook. `EOPNOTSUPP`: this
    /// machine does not flush kernel ranges by IPI.
    pub(crate) fn new(settings: &Settings) -> Result<Self> {
        let (mut user, mut wait) = (settings.user_ceiling, settings.wait_ceiling);

        ffi::mutants().choose(settings.debug);
        if !ffi::mutants().is(mutants::CEILING_STAYS) {
            ffi::engine().set_ceiling(settings.ceiling.into());
        }
        ffi::set_credit(settings.credit.into());
        if ffi::mutants().is(mutants::CEILINGS_SWAPPED) {
            (user, wait) = (wait, user);
        }
        USER_CEILING.store(user.into(), Ordering::Relaxed);
        WAIT_CEILING.store(wait.into(), Ordering::Relaxed);

        // SAFETY: The safety sections above are the contract of `struct deferred_flush_ops`.
        unsafe { ffi::register(&OPS) }.inspect_err(|_| {
            pr_err!("cannot register: in use, or this machine flushes without IPIs\n");
        })?;
        // INVARIANT: It is registered. If the policy fails, dropping this unregisters.
        let this = Self(());

        if ffi::mutants().is(mutants::NO_PROMISE) {
            ffi::arm()?;
        } else {
            apply(settings.policy)?;
        }
        Ok(this)
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        ffi::end_probes();
        // When this returns, no CPU is away, and none runs a function of this module.
        ffi::unregister();
        if let (debug @ 1.., count) = ffi::mutants().reached() {
            pr_info!("debug={}: reached {} times\n", debug, count);
        }
    }
}

/// Makes `policy` the one by which CPUs promise. Callers serialize.
///
/// `EBUSY`: a kprobe sits on an entry hook. The policy is `off` then.
pub(crate) fn apply(policy: Policy) -> Result {
    // Also between two that promise: a CPU that has to ask writes what it finds.
    ffi::disarm();
    if policy != Policy::Off {
        ffi::arm()?;
        for cpu in ffi::possible_cpus() {
            let isolated = ffi::is_isolated(cpu) && !ffi::mutants().is(mutants::NOBODY_IS_ISOLATED);

            ffi::set_promise(cpu, policy.promise(isolated));
        }
    }
    Ok(())
}
