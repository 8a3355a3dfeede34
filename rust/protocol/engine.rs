// SPDX-License-Identifier: GPL-2.0

//! Generations, and catching up with them.

use super::atomic::{AtomicU64, Ordering};
use super::log::{Log, SLOTS};

/// A TLB that can be flushed.
pub trait Tlb {
    /// Flushes the translation of one kernel page, by its address.
    fn flush_one(&mut self, addr: u64);
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
#[repr(C)]
pub struct Engine {
    /// Generation of the last kernel range flush. 0: none yet.
    generation: AtomicU64,
    /// More pages than this are flushed by a full flush.
    ceiling: AtomicU64,
    log: Log,
}

/// A shootdown that has begun. It is over when every online CPU has been asked for its promise,
/// and those without one have been interrupted.
#[must_use = "CPUs keep stale translations until each has been asked"]
#[derive(Debug)]
pub struct Shootdown {
    generation: u64,
}

impl Shootdown {
    /// Hands the obligation to C, which asks the CPUs one by one.
    pub fn into_generation(self) -> u64 {
        self.generation
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

    /// Sets the number of pages above which a catch-up flushes everything.
    pub fn set_ceiling(&self, pages: u64) {
        // A heuristic: any value a CPU sees is right.
        self.ceiling.store(pages, Ordering::Relaxed);
    }

    /// Begins the shootdown of `[start, end)`, whose PTEs have been changed.
    pub fn begin(&self, start: u64, end: u64) -> Shootdown {
        // (a) Full barrier. Orders the PTE changes before the loads of the targets' words, and
        // before the generation: who reads it, walks the new PTEs. Pairs with (c) in
        // `deferred_flush_take_back()` and in the entry code. See MP+deferred-flush-entry.litmus.
        let generation = self
            .generation
            .fetch_add(1, Ordering::SeqCst)
            .wrapping_add(1);

        self.log.publish(generation, start, end);
        Shootdown { generation }
    }

    /// The generation to catch up to.
    ///
    /// To be read before the flush: a flush that begins in between has a larger generation and did
    /// not see the promise of this CPU, or makes the CMPXCHG that ends the promise fail.
    #[inline(always)]
    pub fn generation(&self) -> u64 {
        // Acquire: the PTEs of this generation are visible to the walks behind it. Pairs with (a).
        self.generation.load(Ordering::Acquire)
    }

    /// Flushes from `tlb` what changed after generation `from`, up to and including `to`.
    #[inline(always)]
    pub fn flush(&self, from: u64, to: u64, tlb: &mut impl Tlb) -> Flushed {
        let mut budget = self.ceiling.load(Ordering::Relaxed);
        let mut pages: u64 = 0;
        let mut gen = from;

        if to.wrapping_sub(from) > SLOTS as u64 {
            tlb.flush_all();
            return Flushed::All;
        }
        while gen < to {
            gen = gen.wrapping_add(1);

            // Overwritten, not yet published, or not worth it: flush everything.
            let range = match self.log.read(gen) {
                Some(range) if range.pages() <= budget => range,
                _ => {
                    tlb.flush_all();
                    return Flushed::All;
                }
            };
            let mut addr = range.start();
            let mut left = range.pages();

            budget = budget.wrapping_sub(left);
            pages = pages.wrapping_add(left);
            while left != 0 {
                tlb.flush_one(addr);
                addr = addr.wrapping_add(super::range::PAGE_SIZE);
                left = left.wrapping_sub(1);
            }
        }
        Flushed::Pages(pages)
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    extern crate std;

    use super::*;
    use std::vec::Vec;

    #[derive(Default)]
    struct Recorder {
        pages: Vec<u64>,
        all: u32,
    }

    impl Tlb for Recorder {
        fn flush_one(&mut self, addr: u64) {
            self.pages.push(addr);
        }
        fn flush_all(&mut self) {
            self.all += 1;
        }
    }

    fn engine(ranges: &[(u64, u64)]) -> Engine {
        let engine = Engine::new(33);
        for &(start, end) in ranges {
            let _ = engine.begin(start, end).into_generation();
        }
        engine
    }

    #[test]
    fn small_ranges_are_flushed_by_page() {
        let engine = engine(&[(0x1000, 0x3000), (0x9000, 0xa000)]);
        let mut tlb = Recorder::default();

        assert_eq!(engine.flush(0, 2, &mut tlb), Flushed::Pages(3));
        assert_eq!(tlb.pages, [0x1000, 0x2000, 0x9000]);
        assert_eq!(tlb.all, 0);
    }

    #[test]
    fn what_was_caught_up_with_is_not_flushed_again() {
        let engine = engine(&[(0x1000, 0x3000), (0x9000, 0xa000)]);
        let mut tlb = Recorder::default();

        assert_eq!(engine.flush(1, 2, &mut tlb), Flushed::Pages(1));
        assert_eq!(tlb.pages, [0x9000]);
        assert_eq!(engine.flush(2, 2, &mut tlb), Flushed::Pages(0));
    }

    #[test]
    fn the_ceiling_holds_for_the_sum() {
        let engine = engine(&[(0, 33 << 12), (64 << 12, 65 << 12)]);
        let mut tlb = Recorder::default();

        assert_eq!(engine.flush(0, 1, &mut tlb), Flushed::Pages(33));
        assert_eq!(engine.flush(0, 2, &mut tlb), Flushed::All);
        assert_eq!(tlb.all, 1);
    }

    #[test]
    fn a_cpu_more_than_the_log_behind_flushes_all() {
        let ranges: Vec<_> = (0..SLOTS as u64 + 1)
            .map(|i| (i << 12, (i + 1) << 12))
            .collect();
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
        let engine = engine(&[(0x1000, 0x2000)]);
        let mut tlb = Recorder::default();

        engine.generation.store(2, Ordering::Relaxed);
        assert_eq!(engine.flush(0, 2, &mut tlb), Flushed::All);
    }
}
