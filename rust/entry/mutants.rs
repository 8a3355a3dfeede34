// SPDX-License-Identifier: GPL-2.0

//! Deliberate bugs, to see the tests fail: `debug=` of a module that was built with DEBUG=1.
//!
//! Without DEBUG=1 nothing of them is left in the code.

use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};

/// Catch-ups do not flush.
pub(crate) const SKIP_FLUSH: u32 = 1;
/// Not a bug, but to measure the hooks: armed, and no CPU promises.
pub(crate) const NO_PROMISE: u32 = 2;
/// The parameter `ceiling` changes nothing.
pub(crate) const CEILING_STAYS: u32 = 3;
/// The parameters `user_ceiling` and `wait_ceiling` change places.
pub(crate) const CEILINGS_SWAPPED: u32 = 4;
/// What is flushed at once counts as left to the exit to user mode.
pub(crate) const NOW_COUNTS_AS_RANGES: u32 = 5;
/// No CPU is taken for an isolated one.
pub(crate) const NOBODY_IS_ISOLATED: u32 = 6;

/// The largest number.
pub(crate) const LAST: u32 = NOBODY_IS_ISOLATED;

/// The bug that was chosen, if any.
#[repr(C)]
pub(crate) struct Choice {
    number: AtomicU32,
    reached: AtomicU64,
}

impl Choice {
    /// None.
    pub(crate) const fn none() -> Self {
        Self {
            number: AtomicU32::new(0),
            reached: AtomicU64::new(0),
        }
    }

    /// Chooses a bug; 0: none.
    pub(crate) fn choose(&self, number: u32) {
        self.number.store(number, Ordering::Relaxed);
    }

    /// Whether this is the place of the bug that was chosen. Each yes counts.
    #[inline(always)]
    pub(crate) fn is(&self, number: u32) -> bool {
        if !cfg!(deferred_flush_debug) || self.number.load(Ordering::Relaxed) != number {
            return false;
        }
        self.reached.fetch_add(1, Ordering::Relaxed);
        true
    }

    /// The bug that was chosen, and how often it was reached.
    pub(crate) fn reached(&self) -> (u32, u64) {
        (
            self.number.load(Ordering::Relaxed),
            self.reached.load(Ordering::Relaxed),
        )
    }
}
