// SPDX-License-Identifier: GPL-2.0

//! What this CPU has in `deferred_flush_cpu` and `deferred_flush_local`.
//!
//! Each access is one instruction: neither an NMI nor an interrupt comes in between.

use crate::percpu::{deferred_flush_cpu, deferred_flush_local, Cpu, Local};
use crate::protocol::word::{Promise, State};
use core::arch::asm;
use core::marker::PhantomData;
use core::mem::offset_of;
use core::sync::atomic::AtomicU64;

/// A field of [`Local`], by its offset.
///
/// # Invariants
///
/// It is an `AtomicU64`.
#[derive(Clone, Copy)]
pub(crate) struct Field<const OFFSET: usize>(());

macro_rules! fields {
    ($($name:ident: $field:ident,)*) => {
        $(
            pub(crate) const $name: Field<{ offset_of!(Local, $field) }> = {
                // Of another type, this does not compile.
                const _: fn(&Local) -> &AtomicU64 = |local| &local.$field;
                // INVARIANT: See the line above.
                Field(())
            };
        )*
    };
}

fields! {
    TLB_GEN: tlb_gen,
    CATCH_UPS: catch_ups,
    CR3_FLUSHES: cr3_flushes,
    PAGES: pages,
    FULL: full,
    FLUSHES: flushes,
    ASID_PAGES: asid_pages,
    ASID_FULL: asid_full,
    CREDIT: credit,
    ASKED: asked,
    PAID: paid,
}

/// This CPU, whichever it is.
///
/// # Invariants
///
/// While it exists, `%gs` is the kernel's, and the code that has it stays on this CPU.
pub(crate) struct ThisCpu {
    /// It is of no use to a thread on another CPU.
    _not_send: PhantomData<*mut ()>,
}

impl ThisCpu {
    /// # Safety
    ///
    /// `%gs` is the kernel's, and preemption or interrupts are off for as long as it is used.
    #[inline(always)]
    pub(crate) unsafe fn assume() -> Self {
        // INVARIANT: By the safety requirements.
        Self {
            _not_send: PhantomData,
        }
    }

    /// The state of its promise.
    #[inline(always)]
    pub(crate) fn state(&self) -> State {
        // Of another type, this does not compile.
        const _: fn(&Cpu) -> &Promise = |cpu| &cpu.state;
        let word: u64;

        // `readonly`, and not `pure`: it stays where it is among assembly and writes, but the
        // compiler may move other reads across it. That of the generation would cost a flush.
        // SAFETY: By the invariants, this reads `Cpu::state` of this CPU, an aligned `u64`.
        unsafe {
            asm!(
                "mov {word}, qword ptr gs:[rip + {var} + {offset}]",
                word = out(reg) word,
                var = sym deferred_flush_cpu,
                offset = const offset_of!(Cpu, state),
                options(nostack, preserves_flags, readonly),
            )
        };
        State::new(word)
    }

    /// Reads a field.
    #[inline(always)]
    pub(crate) fn read<const OFFSET: usize>(&self, _: Field<OFFSET>) -> u64 {
        let value: u64;

        // `readonly`: as above.
        // SAFETY: By the invariants, this reads an aligned `u64` in `Local` of this CPU.
        unsafe {
            asm!(
                "mov {value}, qword ptr gs:[rip + {var} + {offset}]",
                value = out(reg) value,
                var = sym deferred_flush_local,
                offset = const OFFSET,
                options(nostack, preserves_flags, readonly),
            )
        };
        value
    }

    /// Writes a field.
    #[inline(always)]
    pub(crate) fn write<const OFFSET: usize>(&mut self, _: Field<OFFSET>, value: u64) {
        // SAFETY: By the invariants, this writes an `AtomicU64` in `Local` of this CPU, which no
        // other CPU writes.
        unsafe {
            asm!(
                "mov qword ptr gs:[rip + {var} + {offset}], {value}",
                value = in(reg) value,
                var = sym deferred_flush_local,
                offset = const OFFSET,
                options(nostack, preserves_flags),
            )
        }
    }

    /// Adds to a field.
    #[inline(always)]
    pub(crate) fn add<const OFFSET: usize>(&mut self, _: Field<OFFSET>, value: u64) {
        // SAFETY: As for `write()`.
        unsafe {
            asm!(
                "add qword ptr gs:[rip + {var} + {offset}], {value}",
                value = in(reg) value,
                var = sym deferred_flush_local,
                offset = const OFFSET,
                options(nostack),
            )
        }
    }
}
