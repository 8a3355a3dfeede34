// SPDX-License-Identifier: GPL-2.0

//! The per-CPU variables of `arch/x86/mm/deferred_flush.c`, as
//! `arch/x86/include/asm/deferred_flush.h` declares them.

use crate::protocol::user::{Range, RANGES};
use core::cell::UnsafeCell;
use core::mem::{offset_of, size_of};
use core::sync::atomic::{AtomicU64, AtomicU8};

/// `struct deferred_flush_cpu`: the user-mapped page.
#[repr(C, align(4096))]
pub(crate) struct Cpu {
    /// The word, see `protocol/word.rs`.
    pub(crate) state: AtomicU64,
    /// When to promise: `PROMISE_*` of `protocol/policy.rs`.
    pub(crate) promise: AtomicU8,
    /// What waits for the user CR3: the ranges in so many bytes. Set to 0 by interrupts and NMIs.
    pub(crate) range_bytes: AtomicU64,
    /// Only `hooks::record()` writes them, and the exit path reads them.
    pub(crate) ranges: UnsafeCell<[Range; RANGES]>,
}

// SAFETY: `ranges` are reached only by their CPU, with interrupts off, and not by NMIs.
unsafe impl Sync for Cpu {}

// As `shim.c` has it for the other side.
const _: () = assert!(offset_of!(Cpu, range_bytes) == 16 && offset_of!(Cpu, ranges) == 24);
const _: () = assert!(RANGES == 4 && size_of::<Range>() == 24);

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
    /// Flushes of user addresses that were left to the exit to user mode: as ranges, ...
    pub(crate) user_ranges: AtomicU64,
    /// ... as a flush of everything. ...
    pub(crate) user_full: AtomicU64,
    /// ... And those that were not: initiators that waited for other CPUs.
    pub(crate) user_now: AtomicU64,
    /// Pages that ASIDs had to flush when they were chosen.
    pub(crate) asid_pages: AtomicU64,
    /// Those that were flushed in full.
    pub(crate) asid_full: AtomicU64,
    /// Promises that the policy may still make in vain, ...
    pub(crate) credit: AtomicU64,
    /// ... exits at which it was asked, ...
    pub(crate) asked: AtomicU64,
    /// ... and `catch_ups` when it was last asked.
    pub(crate) paid: AtomicU64,
    /// Generation of each ASID that is not loaded. C has them; Rust gets them as arguments.
    asid_gen: [AtomicU64; 6],
}

// `shim.c` has the same.
const _: () = assert!(size_of::<Local>() == 23 * 8 && offset_of!(Local, credit) == 14 * 8);

extern "C" {
    // Their addresses are per-CPU offsets: not to be used as they are.
    pub(crate) static deferred_flush_cpu: Cpu;
    pub(crate) static deferred_flush_local: Local;
}
