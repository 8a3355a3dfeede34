// SPDX-License-Identifier: GPL-2.0

//! The per-CPU variables of `arch/x86/mm/deferred_flush.c`, as
//! `arch/x86/include/asm/deferred_flush.h` declares them.

use core::sync::atomic::{AtomicU64, AtomicU8};

/// `struct deferred_flush_cpu`: the user-mapped page.
#[repr(C, align(4096))]
pub(crate) struct Cpu {
    /// The word, see `core/word.rs`.
    pub(crate) state: AtomicU64,
    /// Nonzero: promise on exit to user mode.
    pub(crate) promise: AtomicU8,
}

/// `struct deferred_flush_local`: written by its CPU only, each field with one instruction.
#[repr(C)]
pub(crate) struct Local {
    /// Flushes up to this generation are done.
    pub(crate) tlb_gen: AtomicU64,
    /// Entries and NMIs that found work.
    pub(crate) catch_ups: AtomicU64,
    /// Of these, flushed by the CR3 write of the entry code.
    pub(crate) cr3_flushes: AtomicU64,
    /// Pages flushed by INVLPG.
    pub(crate) pages: AtomicU64,
    /// Full flushes.
    pub(crate) full: AtomicU64,
    /// Flushes that this CPU initiated.
    pub(crate) flushes: AtomicU64,
    /// Targets that these left to catch up by themselves.
    pub(crate) deferred: AtomicU64,
    /// Targets that these interrupted.
    pub(crate) ipis: AtomicU64,
    /// `catch_ups` at the last report.
    pub(crate) reported: AtomicU64,
}

extern "C" {
    // Their addresses are per-CPU offsets: not to be used as they are.
    pub(crate) static deferred_flush_cpu: Cpu;
    pub(crate) static deferred_flush_local: Local;
}
