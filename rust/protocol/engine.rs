// SPDX-License-Identifier: GPL-2.0

//! Generations, and catching up with them.

use super::atomic::{AtomicU64, Ordering};
use super::log::{Log, SLOTS};
use super::range::{Page, PageRange};
use super::word::{Promise, Verdict};
use core::mem::ManuallyDrop;

/// A TLB of which single kernel pages can be flushed.
pub trait FlushPage {
    /// Flushes the translation of one page.
    fn flush_page(&mut self, page: Page);
}

/// A TLB that can be flushed in full as well.
pub trait Tlb: FlushPage {
    /// Flushes all deferrable kernel translations.
    fn flush_all(&mut self);
}

/// What [`Engine::flush`] did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flushed {
    /// This many pages, one by one.
    Pages(u64),
    /// Everything.
    All,
}

/// The global state: what has been flushed, and how far.
pub struct Engine {
    /// Generation of the last kernel range flush. 0: none yet.
    generation: AtomicU64,
    /// More pages than this are flushed by a full flush.
    ceiling: AtomicU64,
    log: Log,
}

/// A shootdown that has begun. It is over when every online CPU has been asked for its promise,
/// and those without one have been interrupted.
///
/// # Invariants
///
/// `generation` comes from [`Engine::begin`], so barrier (a) is behind.
#[must_use = "CPUs keep stale translations until each has been asked"]
#[derive(Debug)]
pub struct Shootdown {
    generation: u64,
}

impl Shootdown {
    /// Asks a CPU for its promise, and relies on it if there is one. The only way to do so.
    pub fn ask(&self, promise: &Promise) -> Verdict {
        promise.rely(self.generation)
    }

    /// Hands the obligation to C, which has the CPUs asked one by one.
    pub fn into_raw(self) -> u64 {
        self.generation
    }

    /// The shootdown that C carries on. The obligation stays with C.
    ///
    /// # Safety
    ///
    /// `generation` is what [`Self::into_raw`] returned, and that shootdown is not over.
    pub unsafe fn borrow_raw(generation: u64) -> ManuallyDrop<Self> {
        // INVARIANT: It comes from `begin()` by way of `into_raw()`.
        ManuallyDrop::new(Self { generation })
    }
}

impl Engine {
    /// An engine that flushes up to `ceiling` pages one by one.
    #[cfg(not(loom))]
    pub const fn new(ceiling: u64) -> Self {
        Self {
            generation: AtomicU64::new(0),
            ceiling: AtomicU64::new(ceiling),
            log: Log::new(),
        }
    }

    /// An engine that flushes up to `ceiling` pages one by one.
    #[cfg(loom)]
    pub fn new(ceiling: u64) -> Self {
        Self {
            generation: AtomicU64::new(0),
            ceiling: AtomicU64::new(ceiling),
            log: Log::new(),
        }
    }

    /// Sets the number of pages above which a catch-up flushes everything. More than
    /// [`MAX_PAGES`](super::range::MAX_PAGES) are as good as these for a single flush.
    pub fn set_ceiling(&self, pages: u64) {
        // A heuristic: any value a CPU sees is right.
        self.ceiling.store(pages, Ordering::Relaxed);
    }

    /// Begins the shootdown of `range`, whose PTEs have been changed. `None`: of everything.
    pub fn begin(&self, range: Option<PageRange>) -> Shootdown {
        // (a) Full barrier. Orders the PTE changes before the loads of the targets' words, and
        // before the generation: who reads it, walks the new PTEs. Pairs with (c) in
        // `deferred_flush_take_back()` and in the entry code. See MP+deferred-flush-entry.litmus.
        let generation = self
            .generation
            .fetch_add(1, Ordering::SeqCst)
            .wrapping_add(1);

        // Who finds no range for a generation flushes everything.
        if let Some(range) = range {
            self.log.publish(generation, range);
        }
        // INVARIANT: (a) is behind.
        Shootdown { generation }
    }

    /// The generation to catch up to.
    ///
    /// To be read before the flush: a flush that begins in between has a larger generation, and did
    /// not see an open promise of this CPU.
    #[inline(always)]
    pub fn generation(&self) -> u64 {
        // Acquire: the PTEs of this generation are visible to the walks behind it. Pairs with (a).
        self.generation.load(Ordering::Acquire)
    }

    /// Flushes from `tlb` what changed after generation `from`, up to and including `to`, page by
    /// page, and returns the number of pages.
    ///
    /// `None`: that is too much, or not known. All of it has to be flushed, and some pages may have
    /// been.
    #[inline(always)]
    pub fn flush_pages(&self, from: u64, to: u64, tlb: &mut impl FlushPage) -> Option<u64> {
        let mut budget = self.ceiling.load(Ordering::Relaxed);
        let mut pages: u64 = 0;
        let mut gen = from;

        if to.wrapping_sub(from) > SLOTS as u64 {
            return None;
        }
        while gen < to {
            gen = gen.wrapping_add(1);

            // Overwritten, not published (yet), or not worth it.
            let range = match self.log.read(gen) {
                Some(range) if range.pages() <= budget => range,
                _ => return None,
            };

            budget = budget.wrapping_sub(range.pages());
            pages = pages.wrapping_add(range.pages());
            for page in range {
                tlb.flush_page(page);
            }
        }
        Some(pages)
    }

    /// Flushes from `tlb` what changed after generation `from`, up to and including `to`.
    #[inline(always)]
    pub fn flush(&self, from: u64, to: u64, tlb: &mut impl Tlb) -> Flushed {
        match self.flush_pages(from, to, tlb) {
            Some(pages) => Flushed::Pages(pages),
            None => {
                tlb.flush_all();
                Flushed::All
            }
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    extern crate std;

    use super::super::cases::pages;
    use super::super::word::{State, AWAY};
    use super::*;
    use std::vec::Vec;

    #[derive(Default)]
    struct Recorder {
        pages: Vec<u64>,
        all: u32,
    }

    impl FlushPage for Recorder {
        fn flush_page(&mut self, page: Page) {
            self.pages.push(page.addr());
        }
    }

    impl Tlb for Recorder {
        fn flush_all(&mut self) {
            self.all += 1;
        }
    }

    /// After flushes of so many pages, from these on.
    fn engine(ranges: &[(u32, u16)]) -> Engine {
        let engine = Engine::new(33);

        for &(first, count) in ranges {
            engine.begin(pages(first, count)).into_raw();
        }
        engine
    }

    #[test]
    fn small_ranges_are_flushed_by_page() {
        let engine = engine(&[(1, 2), (9, 1)]);
        let mut tlb = Recorder::default();

        assert_eq!(engine.flush(0, 2, &mut tlb), Flushed::Pages(3));
        assert_eq!(tlb.pages, [0x1000, 0x2000, 0x9000]);
        assert_eq!(tlb.all, 0);
    }

    #[test]
    fn what_was_caught_up_with_is_not_flushed_again() {
        let engine = engine(&[(1, 2), (9, 1)]);
        let mut tlb = Recorder::default();

        assert_eq!(engine.flush(1, 2, &mut tlb), Flushed::Pages(1));
        assert_eq!(tlb.pages, [0x9000]);
        assert_eq!(engine.flush(2, 2, &mut tlb), Flushed::Pages(0));
    }

    #[test]
    fn the_ceiling_holds_for_the_sum() {
        let engine = engine(&[(0, 33), (64, 1)]);
        let mut tlb = Recorder::default();

        assert_eq!(engine.flush(0, 1, &mut tlb), Flushed::Pages(33));
        assert_eq!(engine.flush(0, 2, &mut tlb), Flushed::All);
        assert_eq!(tlb.all, 1);
    }

    #[test]
    fn a_tlb_of_pages_is_told_that_it_is_too_much() {
        struct Pages(u64);

        impl FlushPage for Pages {
            fn flush_page(&mut self, _: Page) {
                self.0 += 1;
            }
        }

        let engine = engine(&[(1, 2), (9, 32)]);
        let mut tlb = Pages(0);

        assert_eq!(engine.flush_pages(0, 1, &mut tlb), Some(2));
        assert_eq!(tlb.0, 2);
        assert_eq!(engine.flush_pages(0, 2, &mut tlb), None);
    }

    #[test]
    fn a_cpu_more_than_the_log_behind_flushes_all() {
        let ranges: Vec<_> = (0..SLOTS as u32 + 1).map(|first| (first, 1)).collect();
        let engine = engine(&ranges);
        let mut tlb = Recorder::default();

        assert_eq!(engine.flush(0, SLOTS as u64 + 1, &mut tlb), Flushed::All);
        assert_eq!(
            engine.flush(SLOTS as u64, SLOTS as u64 + 1, &mut tlb),
            Flushed::Pages(1)
        );
    }

    #[test]
    fn a_generation_that_is_not_published_yet_flushes_all() {
        let engine = engine(&[(1, 1)]);
        let mut tlb = Recorder::default();

        engine.generation.store(2, Ordering::Relaxed);
        assert_eq!(engine.flush(0, 2, &mut tlb), Flushed::All);
    }

    #[test]
    fn a_range_that_is_too_large_flushes_all_whatever_the_ceiling() {
        let engine = Engine::new(u64::MAX);
        let mut tlb = Recorder::default();

        engine.begin(pages(0, u16::MAX)).into_raw();
        assert_eq!(engine.flush(0, 1, &mut tlb), Flushed::All);
    }

    #[test]
    fn a_shootdown_that_went_through_c_asks_for_the_same() {
        let engine = engine(&[(1, 1)]);
        let [asked, again] = [(); 2].map(|()| Promise::new(State::new(AWAY)));
        let shootdown = engine.begin(pages(2, 1));

        assert_eq!(shootdown.ask(&asked), Verdict::Deferred);
        // SAFETY: It is not over.
        let shootdown = unsafe { Shootdown::borrow_raw(shootdown.into_raw()) };

        assert_eq!(shootdown.ask(&again), Verdict::Deferred);
        assert_eq!(asked.state().generation(), 2);
        assert_eq!(asked.state(), again.state());
    }
}
