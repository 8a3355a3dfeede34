// SPDX-License-Identifier: GPL-2.0

//! The log of recent flushes, so that catching up can flush pages instead of everything.

use super::atomic::{fence, AtomicU64, Ordering};
use super::range::PageRange;

/// Flushes that are remembered, a power of two. A CPU that is further behind flushes everything.
#[cfg(not(loom))]
pub const SLOTS: usize = 64;
/// Two, so that a model reaches the overwriting.
#[cfg(loom)]
pub const SLOTS: usize = 2;

const _: () = assert!(SLOTS.is_power_of_two());

/// In [`Slot::seq`]: a writer is between two generations.
const BUSY: u64 = 1 << 63;

/// One flush.
///
/// # Invariants
///
/// `seq` is the generation whose range is in `start` and `pages`, or has [`BUSY`] set. It only
/// grows (apart from [`BUSY`]), and only the writer that set [`BUSY`] writes the other fields.
struct Slot {
    seq: AtomicU64,
    start: AtomicU64,
    pages: AtomicU64,
}

impl Slot {
    #[cfg(not(loom))]
    const fn new() -> Self {
        // INVARIANT: Generations start at 1. That of 0 is a range of no pages.
        Self {
            seq: AtomicU64::new(0),
            start: AtomicU64::new(0),
            pages: AtomicU64::new(0),
        }
    }

    #[cfg(loom)]
    fn new() -> Self {
        Self {
            seq: AtomicU64::new(0),
            start: AtomicU64::new(0),
            pages: AtomicU64::new(0),
        }
    }
}

/// The last [`SLOTS`] flushes, by generation.
pub struct Log {
    slots: [Slot; SLOTS],
}

impl Log {
    /// An empty log.
    #[cfg(not(loom))]
    pub const fn new() -> Self {
        Self {
            slots: [const { Slot::new() }; SLOTS],
        }
    }

    /// An empty log.
    #[cfg(loom)]
    pub fn new() -> Self {
        Self {
            slots: core::array::from_fn(|_| Slot::new()),
        }
    }

    #[inline(always)]
    fn slot(&self, gen: u64) -> &Slot {
        let index = gen as usize & (SLOTS - 1);

        // SAFETY: `SLOTS` is a power of two, so the mask keeps `index` below it.
        unsafe { &*self.slots.as_ptr().wrapping_add(index) }
    }

    /// Publishes the range of generation `gen`.
    ///
    /// May do nothing if other initiators are at the same slot, one lap before or behind. Readers
    /// then find no range for `gen`.
    pub fn publish(&self, gen: u64, range: PageRange) {
        let slot = self.slot(gen);
        let old = slot.seq.load(Ordering::Relaxed);

        if old & BUSY != 0 || old >= gen {
            return;
        }
        // Full barrier on x86: readers see `BUSY` before they can see the new range.
        if slot
            .seq
            .compare_exchange(old, BUSY | gen, Ordering::SeqCst, Ordering::Relaxed)
            .is_err()
        {
            return;
        }
        // Says the same in the memory model of Rust, and is for the compiler. Pairs with the fence
        // in `read()`.
        fence(Ordering::Release);
        // INVARIANT: This writer set `BUSY`.
        slot.start.store(range.start(), Ordering::Relaxed);
        slot.pages.store(range.pages(), Ordering::Relaxed);
        // INVARIANT: The range is that of `gen`, and `gen` is larger than `old`.
        // Pairs with the acquire in `read()`.
        slot.seq.store(gen, Ordering::Release);
    }

    /// The range of generation `gen`, if it is in the log.
    #[inline(always)]
    pub fn read(&self, gen: u64) -> Option<PageRange> {
        let slot = self.slot(gen);

        // Pairs with the release in `publish()`.
        if slot.seq.load(Ordering::Acquire) != gen {
            return None;
        }
        let start = slot.start.load(Ordering::Relaxed);
        let pages = slot.pages.load(Ordering::Relaxed);
        // Pairs with the fence in `publish()`: if a later range was read, so is `BUSY` or a later
        // generation. x86 does not reorder loads, this is for the compiler.
        fence(Ordering::Acquire);
        if slot.seq.load(Ordering::Relaxed) != gen {
            return None;
        }
        // SAFETY: By the invariants of the slot both are those of the range of `gen`, as `seq` was
        // `gen` before and after they were read.
        Some(unsafe { PageRange::from_parts(start, pages) })
    }
}

impl Default for Log {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::super::cases::pages;
    use super::*;

    const LAP: u64 = SLOTS as u64;

    #[test]
    fn a_generation_is_read_until_it_is_overwritten() {
        let log = Log::new();
        let (first, second) = (pages(1, 2).unwrap(), pages(5, 1).unwrap());

        assert!(log.read(1).is_none());
        log.publish(1, first);
        assert_eq!(log.read(1), Some(first));
        log.publish(1 + LAP, second);
        assert!(log.read(1).is_none());
        assert_eq!(log.read(1 + LAP), Some(second));
    }

    #[test]
    fn a_slow_writer_does_not_overwrite_a_later_lap() {
        let log = Log::new();
        let (first, second) = (pages(1, 2).unwrap(), pages(5, 1).unwrap());

        log.publish(1 + LAP, second);
        log.publish(1, first);
        assert_eq!(log.read(1 + LAP), Some(second));
        assert!(log.read(1).is_none());
    }

    #[test]
    fn before_the_first_flush_there_is_nothing_to_flush() {
        assert_eq!(Log::new().read(0).map(|range| range.pages()), Some(0));
    }
}
