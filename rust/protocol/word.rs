// SPDX-License-Identifier: GPL-2.0

//! The word with which a CPU promises, and initiators rely on it.
//!
//! Mirrors `arch/x86/include/asm/deferred_flush.h`, which describes the states.

use super::atomic::{AtomicU64, Ordering};

/// The CPU promised to catch up before it next uses a deferrable kernel translation.
pub const AWAY: u64 = 1 << 0;
/// A flush relied on the promise.
pub const WORK: u64 = 1 << 1;
/// The CPU has begun to catch up: too late to rely on it.
pub const CLOSED: u64 = 1 << 2;
/// Kernel text was changed relying on the promise: the CPU has to serialize. [`WORK`] implies it.
pub const TEXT: u64 = 1 << 3;
/// The generation of the last flush is in the bits from here up: 60 of them never wrap.
pub const GEN_SHIFT: u32 = 4;

/// What was in a [`Promise`] when it was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct State(u64);

impl State {
    /// The state that `word` stands for.
    #[inline(always)]
    pub const fn new(word: u64) -> Self {
        Self(word)
    }

    /// Whether there was a promise.
    #[inline(always)]
    pub const fn is_away(self) -> bool {
        self.0 & AWAY != 0
    }

    /// Whether a flush may rely on one.
    #[inline(always)]
    pub const fn is_open(self) -> bool {
        self.0 & (AWAY | CLOSED) == AWAY
    }

    /// Whether a flush relied on one.
    #[inline(always)]
    pub const fn has_work(self) -> bool {
        self.0 & WORK != 0
    }

    /// Whether the CPU serializes before it ends the promise, or, in the entry code, behind it.
    #[inline(always)]
    pub const fn serializes(self) -> bool {
        self.0 & (WORK | TEXT) != 0
    }

    /// Generation of that flush; 0 if there is none.
    #[inline(always)]
    pub const fn generation(self) -> u64 {
        self.0 >> GEN_SHIFT
    }

    /// Whether the entry code took the promise back and flushed, and only the bookkeeping is left.
    #[inline(always)]
    pub const fn is_flushed(self) -> bool {
        self.has_work() && !self.is_away()
    }
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

/// The word: `deferred_flush_cpu.state`.
///
/// Its CPU sets and clears [`AWAY`], in C and in the entry code. From here it can be read, and
/// relied on: by [`Shootdown::ask`] and [`Promise::rely_for_text`] only.
///
/// [`Shootdown::ask`]: super::engine::Shootdown::ask
#[repr(transparent)]
#[derive(Debug)]
pub struct Promise(AtomicU64);

impl Promise {
    /// A word in this state.
    #[cfg(not(loom))]
    pub const fn new(state: State) -> Self {
        Self(AtomicU64::new(state.0))
    }

    /// A word in this state.
    #[cfg(loom)]
    pub fn new(state: State) -> Self {
        Self(AtomicU64::new(state.0))
    }

    /// A snapshot for the eye: nothing may depend on it.
    pub fn state(&self) -> State {
        State(self.0.load(Ordering::Relaxed))
    }

    /// For the models of what its CPU does to it.
    #[cfg(loom)]
    pub fn word(&self) -> &AtomicU64 {
        &self.0
    }

    /// Relies on the promise for the flush of generation `gen`, if there is one to rely on.
    ///
    /// The caller has `gen` from [`Engine::begin`], which is barrier (a).
    ///
    /// [`Engine::begin`]: super::engine::Engine::begin
    pub(super) fn rely(&self, gen: u64) -> Verdict {
        let mut seen = self.state();

        loop {
            if !seen.is_open() {
                return Verdict::Ipi;
            }
            // A later flush found the promise, and this CPU found it still open after (a): the
            // catch-up is yet to come, and covers this flush as well.
            if seen.generation() >= gen {
                return Verdict::Deferred;
            }
            // (b) A full barrier if it succeeds. If it fails it orders nothing: judge the new
            // value.
            match self.0.compare_exchange(
                seen.0,
                AWAY | WORK | (gen << GEN_SHIFT),
                Ordering::SeqCst,
                Ordering::Relaxed,
            ) {
                Ok(_) => return Verdict::Deferred,
                Err(now) => seen = State(now),
            }
        }
    }

    /// Relies on the promise for text that has been changed, if there is one to rely on: the CPU
    /// serializes before it runs any of it.
    ///
    /// Barrier (e) lies between the change and this.
    pub fn rely_for_text(&self) -> Verdict {
        let mut word = self.state();

        while word.is_open() {
            // Not closed behind (e): the serializing is yet to come.
            if word.serializes() {
                return Verdict::Deferred;
            }
            // As (b), but the order comes from (e).
            match self.0.compare_exchange(
                word.0,
                word.0 | TEXT,
                Ordering::SeqCst,
                Ordering::Relaxed,
            ) {
                Ok(_) => return Verdict::Deferred,
                Err(other) => word = State(other),
            }
        }
        Verdict::Ipi
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::super::cases;
    use super::*;

    #[test]
    fn only_a_promise_defers() {
        for case in cases::ASKED {
            let promise = Promise::new(case.before);

            assert_eq!(promise.rely(cases::ASKED_FOR), case.verdict);
            assert_eq!(promise.state(), case.after);
        }
    }

    #[test]
    fn only_an_open_promise_is_good_for_text() {
        for case in cases::ASKED_FOR_TEXT {
            let promise = Promise::new(case.before);

            assert_eq!(promise.rely_for_text(), case.verdict);
            assert_eq!(promise.state(), case.after);
        }
    }

    #[test]
    fn work_without_a_promise_means_flushed() {
        for case in cases::MEANINGS {
            assert_eq!(case.state.is_away(), case.away);
            assert_eq!(case.state.is_open(), case.open);
            assert_eq!(case.state.has_work(), case.work);
            assert_eq!(case.state.is_flushed(), case.flushed);
            assert_eq!(case.state.serializes(), case.serializes);
            assert_eq!(case.state.generation(), case.gen);
        }
    }
}
