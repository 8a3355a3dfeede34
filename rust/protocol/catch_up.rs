// SPDX-License-Identifier: GPL-2.0

//! How a CPU catches up.

use super::engine::{Engine, Flushed, Tlb};
use super::word::State;

/// The CPU that catches up: its TLB and its books. Nobody else writes them.
pub trait Target: Tlb {
    /// The generation up to which it has flushed.
    fn tlb_gen(&self) -> u64;
    /// Notes up to which generation it has flushed.
    fn set_tlb_gen(&mut self, gen: u64);
    /// Counts a catch-up that somebody relied on.
    fn count_catch_up(&mut self);
    /// Counts a flush by the CR3 write of the entry code.
    fn count_cr3_flush(&mut self);
    /// Counts what was flushed here.
    fn count(&mut self, flushed: Flushed);
}

impl Engine {
    /// Brings `target`, whose word was read as `state`, to the present generation.
    ///
    /// An NMI may come in at any place, and do the same.
    #[inline(always)]
    pub fn catch_up(&self, state: State, target: &mut impl Target) {
        let mut from = target.tlb_gen();

        if state.is_flushed() {
            // The generation in the word was there before the entry code's CR3 write. One that is
            // read now need not be: taking it would skip a flush.
            let flushed = state.generation();

            if flushed > from {
                from = flushed;
            }
            target.count_cr3_flush();
        }
        // For text as well: the promise has paid.
        if state.serializes() {
            target.count_catch_up();
        }

        // Before the flush, see `Engine::generation()`.
        let to = self.generation();

        let flushed = self.flush(from, to, target);
        target.count(flushed);
        // An NMI may have stored a later one. Going back costs a flush, not correctness.
        target.set_tlb_gen(to);
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::super::cases;
    use super::super::word::{AWAY, CLOSED, TEXT};
    use super::*;

    #[test]
    fn text_is_a_catch_up_without_a_flush() {
        for word in [AWAY | TEXT | CLOSED, TEXT] {
            let engine = Engine::new(cases::CATCH_UP_CEILING);
            let case = &cases::CATCH_UPS[0];
            let mut books = case.before();
            let mut counted = case.before();

            engine.catch_up(State::new(word), &mut books);
            engine.catch_up(State::new(0), &mut counted);
            counted.count_catch_up();
            assert_eq!(books, counted);
        }
    }

    #[test]
    fn the_books_are_what_was_found_and_done() {
        for case in cases::CATCH_UPS {
            let engine = Engine::new(cases::CATCH_UP_CEILING);
            let mut books = case.before();

            for &pages in cases::CATCH_UP_PAGES {
                engine.begin(cases::pages(1, pages)).into_raw();
            }
            engine.catch_up(case.state, &mut books);
            assert_eq!(books, case.after, "{}", case.name);
        }
    }
}
