// SPDX-License-Identifier: GPL-2.0

//! What the hooks in C and the module share: the layouts of per-CPU variables, and constants.
//!
//! The definitions are in `asm/deferred_flush.h` and `asm/deferred_flush_ops.h`. Here are views of
//! them with atomic fields, and numbers that `protocol/` has to know by itself: nothing that
//! differs compiles.

use crate::protocol::policy::{PROMISE_ASK, PROMISE_IDLE, PROMISE_USER};
use crate::protocol::user::{Range, RANGES};
use crate::protocol::word::{Promise, AWAY, CLOSED, GEN_SHIFT, TEXT, WORK};
use core::cell::UnsafeCell;
use core::mem::{align_of, offset_of, size_of};
use core::sync::atomic::{AtomicU64, AtomicU8};
use kernel::bindings;

/// Size of a field, by a function that picks it.
const fn size_of_field<T, F>(_pick: fn(&T) -> &F) -> usize {
    size_of::<F>()
}

/// A view of a struct of C. It has the same fields at the same places, of the same sizes.
macro_rules! view {
    (
        $(#[$attr:meta])*
        struct $name:ident of $c:ident {
            $($(#[$field_attr:meta])* $vis:vis $field:ident: $type:ty,)*
        }
    ) => {
        $(#[$attr])*
        pub(crate) struct $name {
            $($(#[$field_attr])* $vis $field: $type,)*
        }

        const _: () = {
            assert!(size_of::<$name>() == size_of::<bindings::$c>());
            assert!(align_of::<$name>() == align_of::<bindings::$c>());
            $(
                assert!(offset_of!($name, $field) == offset_of!(bindings::$c, $field));
                assert!(
                    size_of_field(|view: &$name| &view.$field)
                        == size_of_field(|c: &bindings::$c| &c.$field)
                );
            )*
            // None is left out.
            let _ = |bindings::$c { $($field: _,)* }: &bindings::$c| ();
        };
    };
}

view! {
    /// `struct deferred_flush_cpu`: the user-mapped page.
    #[repr(C, align(4096))]
    struct Cpu of deferred_flush_cpu {
        /// The word, see `protocol/word.rs`.
        pub(crate) state: Promise,
        /// When to promise: `PROMISE_*` of `protocol/policy.rs`.
        pub(crate) promise: AtomicU8,
        /// What waits for the user CR3: the ranges in so many bytes. Set to 0 by interrupts and
        /// NMIs.
        pub(crate) range_bytes: AtomicU64,
        /// Only `hooks::record()` writes them, and the exit path reads them.
        pub(crate) ranges: UnsafeCell<[Range; RANGES]>,
    }
}

// SAFETY: `ranges` are reached only by their CPU, with interrupts off, and not by NMIs.
unsafe impl Sync for Cpu {}

view! {
    /// `struct deferred_flush_local`: written by its CPU only, each field with one instruction.
    #[repr(C)]
    struct Local of deferred_flush_local {
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
        asid_gen: [AtomicU64; bindings::DEFERRED_FLUSH_ASIDS as usize],
    }
}

/// How to flush everything: only PTI leaves vmalloc and module mappings non-global.
pub(crate) const HOW_CR3: u32 = bindings::deferred_flush_how_DEFERRED_FLUSH_CR3;
/// By INVPCID. Else: by CR4.
pub(crate) const HOW_INVPCID: u32 = bindings::deferred_flush_how_DEFERRED_FLUSH_INVPCID;

const _: () = {
    assert!(AWAY == bindings::DEFERRED_FLUSH_AWAY);
    assert!(WORK == bindings::DEFERRED_FLUSH_WORK);
    assert!(CLOSED == 1 << bindings::DEFERRED_FLUSH_CLOSED_BIT);
    assert!(TEXT == 1 << bindings::DEFERRED_FLUSH_TEXT_BIT);
    assert!(GEN_SHIFT == bindings::DEFERRED_FLUSH_GEN_SHIFT);
    assert!(PROMISE_USER as u32 == bindings::DEFERRED_FLUSH_PROMISE_USER);
    assert!(PROMISE_IDLE as u32 == bindings::DEFERRED_FLUSH_PROMISE_IDLE);
    assert!(PROMISE_ASK as u32 == bindings::DEFERRED_FLUSH_PROMISE_ASK);
    assert!(RANGES == bindings::DEFERRED_FLUSH_RANGES as usize);
    assert!(size_of::<Range>() == size_of::<bindings::deferred_flush_range>());
    let [start, end, step] = Range::OFFSETS;
    assert!(start == offset_of!(bindings::deferred_flush_range, start));
    assert!(end == offset_of!(bindings::deferred_flush_range, end));
    assert!(step == offset_of!(bindings::deferred_flush_range, step));
};

extern "C" {
    // Their addresses are per-CPU offsets: not to be used as they are.
    pub(crate) static deferred_flush_cpu: Cpu;
    pub(crate) static deferred_flush_local: Local;
}
