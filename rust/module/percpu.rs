// SPDX-License-Identifier: GPL-2.0

//! Access to per-CPU variables, of this CPU and of others.

use crate::layout::{deferred_flush_cpu, deferred_flush_local, Cpu, Local};
use core::arch::asm;
use core::sync::atomic::{AtomicU64, Ordering};
use kernel::bindings;
use kernel::cpu::{nr_cpu_ids, CpuId};
use kernel::cpumask::Cpumask;
use kernel::types::NotThreadSafe;

/// A CPU that has per-CPU variables.
///
/// # Invariants
///
/// It is one of `cpu_possible_mask`.
#[derive(Clone, Copy)]
pub(crate) struct PossibleCpu(CpuId);

impl PossibleCpu {
    /// Its number.
    pub(crate) fn number(self) -> u32 {
        self.0.as_u32()
    }
}

/// All of them, with ascending numbers.
pub(crate) fn possible_cpus() -> impl Iterator<Item = PossibleCpu> {
    // SAFETY: It is valid, and does not change after boot.
    let mask = unsafe { Cpumask::from_raw(&raw const bindings::__cpu_possible_mask) };

    (0..nr_cpu_ids())
        .filter_map(CpuId::from_u32)
        .filter(|cpu| mask.test(*cpu))
        // INVARIANT: It is in the mask.
        .map(PossibleCpu)
}

/// This CPU stays the one that runs this.
///
/// # Invariants
///
/// Preemption is disabled while it exists.
pub(crate) struct Pinned(NotThreadSafe);

impl Pinned {
    /// Says so.
    ///
    /// # Safety
    ///
    /// Preemption is disabled until it is dropped.
    pub(crate) unsafe fn assume() -> Self {
        // INVARIANT: By the safety requirement.
        Self(NotThreadSafe)
    }
}

/// A static per-CPU variable.
///
/// # Invariants
///
/// The address is that of the symbol of a per-CPU variable of this type.
pub(crate) struct PerCpu<T: Sync>(*const T);

// SAFETY: It only gives references, to what is `Sync`.
unsafe impl<T: Sync> Sync for PerCpu<T> {}

impl<T: Sync> PerCpu<T> {
    /// That of `cpu`.
    pub(crate) fn on(&self, cpu: PossibleCpu) -> &'static T {
        let offsets = (&raw const bindings::__per_cpu_offset).cast::<usize>();
        // SAFETY: The number of a possible CPU is below `NR_CPUS`, and its offset stays as it is.
        let offset = unsafe { offsets.add(cpu.number() as usize).read() };

        // SAFETY: By the invariants, there is a variable, and the areas of possible CPUs stay.
        unsafe { &*self.0.wrapping_byte_add(offset) }
    }

    /// That of this CPU.
    pub(crate) fn this<'a>(&self, _pinned: &'a Pinned) -> &'a T {
        let offset: usize;

        // As `this_cpu_ptr()` does it: complains where preemption is enabled.
        #[cfg(CONFIG_DEBUG_PREEMPT)]
        // SAFETY: Has no preconditions.
        let _ = unsafe { bindings::debug_smp_processor_id() };
        // SAFETY: `%gs` is the kernel's, and this a per-CPU variable of 8 bytes.
        unsafe {
            asm!("mov {offset}, qword ptr gs:[rip + {this_cpu_off}]", offset = out(reg) offset,
                 this_cpu_off = sym bindings::this_cpu_off, options(nostack, preserves_flags))
        };
        // SAFETY: As above.
        unsafe { &*self.0.wrapping_byte_add(offset) }
    }
}

/// What user mode can see of a CPU.
// INVARIANT: C defines it as a per-CPU variable with this layout.
pub(crate) static CPU: PerCpu<Cpu> = PerCpu(&raw const deferred_flush_cpu);

/// The counters of a CPU.
// INVARIANT: As above.
pub(crate) static LOCAL: PerCpu<Local> = PerCpu(&raw const deferred_flush_local);

impl Local {
    /// Counts on this CPU, in one of its counters.
    ///
    /// Not atomic: only this CPU writes a counter. Those that interrupts count are counted with
    /// interrupts off everywhere.
    pub(crate) fn count(pinned: &Pinned, counter: impl FnOnce(&Self) -> &AtomicU64) {
        let counter = counter(LOCAL.this(pinned));

        counter.store(
            counter.load(Ordering::Relaxed).wrapping_add(1),
            Ordering::Relaxed,
        );
    }
}
