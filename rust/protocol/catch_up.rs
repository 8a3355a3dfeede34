// SPDX-License-Identifier: GPL-2.0

//! How a CPU catches up.

use super::engine::{Engine, Flushed, Tlb};
use super::word;

/// The CPU that catches up: its TLB and its books. Nobody else writes them.
pub trait Target: Tlb {
    /// The generation up to which it has flushed.
    fn tlb_gen(&self) -> u64;
    /// Notes up to which generation it has flushed.
    fn set_tlb_gen(&mut self, gen: u64);
    /// Counts a catch-up that a flush relied on.
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
    pub fn catch_up(&self, state: u64, target: &mut impl Target) {
        let mut from = target.tlb_gen();

        if word::is_flushed(state) {
            // The generation in the word was there before the entry code's CR3 write. One that is
            // read now need not be: taking it would skip a flush.
            let flushed = word::generation(state);

            if flushed > from {
                from = flushed;
            }
            target.count_cr3_flush();
        }
        if state & word::WORK != 0 {
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
    use super::super::range::PAGE_SIZE;
    use super::super::word::{AWAY, GEN_SHIFT, WORK};
    use super::*;

    #[derive(Debug, Default, PartialEq, Eq)]
    struct Cpu {
        tlb_gen: u64,
        catch_ups: u32,
        cr3_flushes: u32,
        pages: u64,
        full: u32,
    }

    impl Tlb for Cpu {
        fn flush_one(&mut self, _addr: u64) {}
        fn flush_all(&mut self) {}
    }

    impl Target for Cpu {
        fn tlb_gen(&self) -> u64 {
            self.tlb_gen
        }
        fn set_tlb_gen(&mut self, gen: u64) {
            self.tlb_gen = gen;
        }
        fn count_catch_up(&mut self) {
            self.catch_ups += 1;
        }
        fn count_cr3_flush(&mut self) {
            self.cr3_flushes += 1;
        }
        fn count(&mut self, flushed: Flushed) {
            match flushed {
                Flushed::Pages(pages) => self.pages += pages,
                Flushed::All => self.full += 1,
            }
        }
    }

    /// A CPU that was at generation `from` when it caught up with three flushes of a page each, and
    /// had found `state` in its word.
    fn after_three(from: u64, state: u64) -> Cpu {
        let engine = Engine::new(33);
        let mut cpu = Cpu {
            tlb_gen: from,
            ..Cpu::default()
        };

        for page in 0..3 {
            let _ = engine
                .begin(page * PAGE_SIZE, (page + 1) * PAGE_SIZE)
                .into_generation();
        }
        engine.catch_up(state, &mut cpu);
        assert_eq!(cpu.tlb_gen, 3);
        cpu
    }

    #[test]
    fn without_work_nothing_but_the_flush_is_counted() {
        let cpu = after_three(1, 0);

        assert_eq!((cpu.catch_ups, cpu.cr3_flushes), (0, 0));
        assert_eq!((cpu.pages, cpu.full), (2, 0));
    }

    #[test]
    fn a_promise_is_no_flush_whatever_its_generation() {
        let cpu = after_three(1, AWAY | WORK | 3 << GEN_SHIFT);

        assert_eq!((cpu.catch_ups, cpu.cr3_flushes), (1, 0));
        assert_eq!((cpu.pages, cpu.full), (2, 0));
    }

    #[test]
    fn the_cr3_write_flushed_up_to_the_generation_in_the_word() {
        let cpu = after_three(1, WORK | 2 << GEN_SHIFT);

        assert_eq!((cpu.catch_ups, cpu.cr3_flushes), (1, 1));
        assert_eq!((cpu.pages, cpu.full), (1, 0));
    }

    #[test]
    fn a_generation_in_the_word_that_is_behind_the_books_does_not_count() {
        let cpu = after_three(3, WORK | 1 << GEN_SHIFT);

        assert_eq!((cpu.catch_ups, cpu.cr3_flushes), (1, 1));
        assert_eq!((cpu.pages, cpu.full), (0, 0));
    }
}
