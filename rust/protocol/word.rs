// SPDX-License-Identifier: GPL-2.0

//! The word with which a CPU promises, and initiators rely on it.
//!
//! Mirrors `arch/x86/include/asm/deferred_flush.h`, which describes the states.

use super::atomic::{AtomicU64, Ordering};

/// The CPU promised to catch up before it next uses a deferrable kernel translation.
pub const AWAY: u64 = 1 << 0;
/// A flush relied on the promise.
pub const WORK: u64 = 1 << 1;
/// The generation of that flush is in the bits from here up: 62 of them never wrap.
pub const GEN_SHIFT: u32 = 2;

/// Generation that `word` carries; 0 if no flush relied on the promise.
#[inline(always)]
pub const fn generation(word: u64) -> u64 {
    word >> GEN_SHIFT
}

/// Whether the entry code took the promise back and flushed, and only the bookkeeping is left.
#[inline(always)]
pub const fn is_flushed(word: u64) -> bool {
    word & (AWAY | WORK) == WORK
}

/// What an initiator owes a CPU after it asked for its promise.
#[must_use = "a CPU without a promise keeps stale translations until it gets the IPI"]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The CPU catches up by itself.
    Deferred,
    /// The CPU has to be interrupted.
    Ipi,
}

/// Relies on the promise in `word` for the flush of generation `gen`, if there is one.
///
/// The caller has changed the PTEs and taken `gen` from [`Engine::begin`], which is barrier (a).
///
/// [`Engine::begin`]: super::engine::Engine::begin
pub fn rely(word: &AtomicU64, gen: u64) -> Verdict {
    let mut seen = word.load(Ordering::Relaxed);

    loop {
        if seen & AWAY == 0 {
            return Verdict::Ipi;
        }
        // A later flush found the promise, and this CPU found it still there after (a): the
        // catch-up is yet to come, and covers this flush as well.
        if generation(seen) >= gen {
            return Verdict::Deferred;
        }
        // (b) A full barrier if it succeeds. If it fails it orders nothing: judge the new value.
        match word.compare_exchange(
            seen,
            AWAY | WORK | (gen << GEN_SHIFT),
            Ordering::SeqCst,
            Ordering::Relaxed,
        ) {
            Ok(_) => return Verdict::Deferred,
            Err(now) => seen = now,
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn only_a_promise_defers() {
        for (before, gen, verdict, after) in [
            (0, 7, Verdict::Ipi, 0),
            (AWAY, 7, Verdict::Deferred, AWAY | WORK | 7 << GEN_SHIFT),
            (
                AWAY | WORK | 6 << GEN_SHIFT,
                7,
                Verdict::Deferred,
                AWAY | WORK | 7 << GEN_SHIFT,
            ),
            // The generation never goes back.
            (
                AWAY | WORK | 8 << GEN_SHIFT,
                7,
                Verdict::Deferred,
                AWAY | WORK | 8 << GEN_SHIFT,
            ),
            // Taken back by the entry code: the promise is gone, the work is not lost.
            (
                WORK | 6 << GEN_SHIFT,
                7,
                Verdict::Ipi,
                WORK | 6 << GEN_SHIFT,
            ),
        ] {
            let word = AtomicU64::new(before);
            assert_eq!(rely(&word, gen), verdict);
            assert_eq!(word.load(Ordering::Relaxed), after);
        }
    }
}
