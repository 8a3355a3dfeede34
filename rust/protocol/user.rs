// SPDX-License-Identifier: GPL-2.0

//! Flushes of user addresses that wait for the user CR3.
//!
//! With PTI each mm has two PCIDs. A flush of user addresses has to reach the kernel's at once; the
//! user's is not in use until the exit to user mode. What is recorded here, the exit path replays
//! by INVLPG after it has loaded the user CR3.

use core::mem::offset_of;

/// Ranges that are remembered; `DEFERRED_FLUSH_RANGES` of `arch/x86/include/asm/deferred_flush.h`.
pub const RANGES: usize = 4;

/// Addresses that are flushed one by one: `start`, `start + step`, ... below `end`.
///
/// # Invariants
///
/// Either `step` is a power of two, `start < end`, and `end - start` is a multiple of `step`; or
/// all of them are 0, as C leaves places that have not been used: no address.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    start: u64,
    end: u64,
    step: u64,
}

impl Range {
    /// What `flush_tlb_func()` flushes for `[start, end)` in steps of `1 << shift` bytes.
    ///
    /// `None` if that is nothing, or cannot be written down: `shift` is 0 to 63.
    #[inline]
    pub fn new(start: u64, end: u64, shift: u32) -> Option<Self> {
        let step = 1u64.checked_shl(shift)?;
        let rest = step - 1;
        let bytes = end.checked_sub(start)?.checked_add(rest)? & !rest;

        if bytes == 0 {
            return None;
        }
        // INVARIANT: `bytes` is a multiple of `step`, and not 0.
        Some(Self {
            start,
            end: start.checked_add(bytes)?,
            step,
        })
    }

    /// Offsets of the fields, in bytes: of `start`, `end` and `step`, which the exit path reads.
    pub const OFFSETS: [usize; 3] = [
        offset_of!(Self, start),
        offset_of!(Self, end),
        offset_of!(Self, step),
    ];

    /// A place that has not been used. It covers nothing, and nothing covers it.
    // INVARIANT: All of them are 0.
    pub const UNUSED: Self = Self {
        start: 0,
        end: 0,
        step: 0,
    };

    /// Number of addresses.
    pub fn count(&self) -> u64 {
        self.end
            .wrapping_sub(self.start)
            .checked_shr(self.step.trailing_zeros())
            // `step` is 0.
            .unwrap_or(0)
    }

    /// The addresses, in the order of the replay.
    pub fn addresses(self) -> impl Iterator<Item = u64> {
        (0..self.count()).map(move |n| self.start.wrapping_add(n.wrapping_mul(self.step)))
    }

    /// Whether an address of one plus a number of steps can be an address of the other.
    fn in_phase(&self, other: &Self) -> bool {
        self.start.wrapping_sub(other.start) & self.step.wrapping_sub(1) == 0
    }

    /// Whether each address of `other` is one of this range.
    ///
    /// So a range in pages may cover one of huge pages, but never the other way round: INVLPG of
    /// an address in a huge page that has been split removes one of its pages.
    fn covers(&self, other: &Self) -> bool {
        self.step <= other.step
            && self.in_phase(other)
            && self.start <= other.start
            && other.end.wrapping_sub(other.step) < self.end
    }

    /// The smallest range that covers both, if they have the same step and phase.
    fn span(&self, other: &Self) -> Option<Self> {
        if self.step != other.step || !self.in_phase(other) {
            return None;
        }
        // INVARIANT: Both ends are a multiple of `step` away from both starts.
        Some(Self {
            start: self.start.min(other.start),
            end: self.end.max(other.end),
            step: self.step,
        })
    }

    /// `span()`, if it has no address that is in neither.
    fn join(&self, other: &Self) -> Option<Self> {
        if self.covers(other) {
            return Some(*self);
        }
        if other.covers(self) {
            return Some(*other);
        }
        if self.start > other.end || other.start > self.end {
            return None;
        }
        self.span(other)
    }
}

/// A flush of user addresses that has reached the kernel PCID.
#[derive(Clone, Copy, Debug)]
pub struct Flush {
    /// The addresses. `None`: cannot be written down, see [`Range::new`].
    pub range: Option<Range>,
    /// Nothing is pending: what is recorded so far has been flushed.
    pub fresh: bool,
    /// Page tables are freed: the ways to them have to be flushed, too, wherever they are cached.
    pub tables: bool,
    /// This CPU is the initiator, and about to wait for others.
    pub waits: bool,
}

/// Numbers of addresses.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// As many may be flushed one by one on exit to user mode.
    pub ceiling: u64,
    /// As many are flushed at once by an initiator that waits for other CPUs: it has the time.
    pub wait: u64,
}

/// What has become of a flush.
#[must_use = "a flush that has not been recorded has to be made up for"]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recorded {
    /// The exit path will flush these addresses.
    Ranges = 0,
    /// It has to flush all of the user PCID.
    Full = 1,
    /// Not recorded: to be flushed by the caller, at once.
    Now = 2,
}

/// What the user PCID of the loaded ASID waits for.
///
/// It lies in the page that user mode can read by Meltdown: there are user addresses only, and that
/// of the LDT.
///
/// # Invariants
///
/// `bytes` is the size of the ranges in use, which are the first ones. 0: there are none, and if a
/// flush is pending, it is one of everything.
#[derive(Debug)]
pub struct Pending<'a> {
    bytes: u64,
    ranges: &'a mut [Range; RANGES],
}

const RANGE_BYTES: u64 = size_of::<Range>() as u64;

impl<'a> Pending<'a> {
    /// What is recorded in the first `bytes` bytes of `ranges`: what [`Self::bytes`] returned last
    /// for them, or 0.
    pub fn new(bytes: u64, ranges: &'a mut [Range; RANGES]) -> Self {
        // INVARIANT: By the contract, `bytes` is the size of ranges in use, or 0.
        Self { bytes, ranges }
    }

    /// Size of the ranges in use: to be handed to the exit path.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The ranges in use.
    pub fn ranges(&self) -> &[Range] {
        // A count beyond the end would be a bug. Showing fewer than that must not make it a panic.
        self.ranges
            .get(..(self.bytes / RANGE_BYTES) as usize)
            .unwrap_or(&[])
    }

    /// Forgets all ranges: what is pending is a full flush.
    fn promote(&mut self) -> Recorded {
        // INVARIANT: No range is in use.
        self.bytes = 0;
        Recorded::Full
    }

    /// Addresses that would be flushed one by one.
    fn count(&self) -> u64 {
        self.ranges()
            .iter()
            .fold(0, |sum, range| sum.saturating_add(range.count()))
    }

    fn push(&mut self, range: Range) -> bool {
        let Some(slot) = self.ranges.get_mut((self.bytes / RANGE_BYTES) as usize) else {
            return false;
        };

        *slot = range;
        self.bytes = self.bytes.wrapping_add(RANGE_BYTES);
        true
    }

    /// Removes a range in use.
    fn remove(&mut self, index: usize) {
        let Some(last) = self.ranges().last().copied() else {
            return;
        };

        // INVARIANT: The last one in use takes the place.
        if let Some(slot) = self.ranges.get_mut(index) {
            *slot = last;
            self.bytes = self.bytes.wrapping_sub(RANGE_BYTES);
        }
    }

    /// Adds a flush, unless the caller has to do it at once.
    #[inline]
    pub fn record(&mut self, flush: Flush, limits: Limits) -> Recorded {
        if flush.fresh {
            // INVARIANT: No range is in use.
            self.bytes = 0;
        } else if self.bytes == 0 {
            return Recorded::Full;
        }
        if flush.tables {
            return self.promote();
        }
        match flush.range {
            Some(range) if flush.waits && range.count() <= limits.wait => Recorded::Now,
            Some(range) if range.count() <= limits.ceiling => {
                // The usual case: there is nothing to join it with.
                if self.bytes == 0 && self.push(range) {
                    return Recorded::Ranges;
                }
                self.add(range, limits.ceiling)
            }
            _ => self.promote(),
        }
    }

    #[inline(never)]
    fn add(&mut self, mut range: Range, ceiling: u64) -> Recorded {
        // Each turn takes a range out, or is the last.
        while let Some((index, joined)) = self.joinable(&range).or_else(|| self.bridge(&range)) {
            self.remove(index);
            range = joined;
        }
        if self.count().saturating_add(range.count()) > ceiling || !self.push(range) {
            return self.promote();
        }
        Recorded::Ranges
    }

    /// A range in use that joins with `range` without a gap, and the result.
    fn joinable(&self, range: &Range) -> Option<(usize, Range)> {
        self.ranges()
            .iter()
            .enumerate()
            .find_map(|(index, old)| Some((index, old.join(range)?)))
    }

    /// If all places are taken: the range in use that is nearest, and both with the gap between.
    fn bridge(&self, range: &Range) -> Option<(usize, Range)> {
        if self.ranges().len() < RANGES {
            return None;
        }
        self.ranges()
            .iter()
            .enumerate()
            .filter_map(|(index, old)| Some((index, *old, old.span(range)?)))
            .min_by_key(|(_, old, span)| span.count().wrapping_sub(old.count()))
            .map(|(index, _, span)| (index, span))
    }
}

#[cfg(test)]
mod tests {
    use super::super::cases;
    use super::*;

    const LIMITS: Limits = Limits {
        ceiling: 33,
        wait: 5,
    };
    const MANY: Limits = Limits {
        ceiling: 2000,
        wait: 0,
    };

    fn flush(range: Range, fresh: bool) -> Flush {
        Flush {
            range: Some(range),
            fresh,
            tables: false,
            waits: false,
        }
    }

    fn pages(first: u64, count: u64) -> Range {
        Range::new(first << 12, (first + count) << 12, 12).unwrap()
    }

    fn record(pending: &mut Pending, first: u64, count: u64) -> Recorded {
        let fresh = pending.ranges().is_empty();

        pending.record(flush(pages(first, count), fresh), LIMITS)
    }

    #[test]
    fn a_range_is_what_the_loop_in_c_visits() {
        assert_eq!(Range::new(0x1000, 0x1000, 12), None);
        assert_eq!(Range::new(0x2000, 0x1000, 12), None);
        assert_eq!(Range::new(0, u64::MAX, 12), None);
        assert_eq!(Range::new(0x1000, 0x2000, 64), None);
        assert_eq!(Range::new(0x1000, 0x1001, 12).unwrap().count(), 1);
        assert_eq!(Range::new(0x1000, 0x401000, 21).unwrap().count(), 2);
    }

    #[test]
    fn a_place_that_was_not_used_is_no_address() {
        let used = pages(0, 1);

        assert_eq!(Range::UNUSED.count(), 0);
        assert_eq!(Range::UNUSED.addresses().next(), None);
        for (one, other) in [
            (Range::UNUSED, used),
            (used, Range::UNUSED),
            (Range::UNUSED, Range::UNUSED),
        ] {
            assert!(!one.covers(&other));
        }
    }

    #[test]
    fn flushes_wait_as_ranges_or_in_full() {
        let mut ranges = [Range::UNUSED; RANGES];
        let mut pending = Pending::new(0, &mut ranges);

        for case in cases::USER_FLUSHES {
            assert_eq!(
                pending.record(case.flush(), cases::USER_LIMITS),
                case.recorded,
                "{case:?}"
            );
            assert_eq!(pending.ranges().len(), case.ranges, "{case:?}");
            assert_eq!(pending.count(), case.addresses, "{case:?}");
        }
    }

    #[test]
    fn adjacent_ranges_are_joined_in_both_directions() {
        for order in [[1, 2, 3], [3, 2, 1], [1, 3, 2]] {
            let mut ranges = [Range::UNUSED; RANGES];
            let mut pending = Pending::new(0, &mut ranges);

            for page in order {
                assert_eq!(record(&mut pending, page, 1), Recorded::Ranges);
            }
            assert_eq!(pending.ranges(), [pages(1, 3)]);
        }
    }

    #[test]
    fn pages_cover_huge_pages_and_not_the_other_way_round() {
        let huge = Range::new(0x200000, 0x600000, 21).unwrap();
        let small = Range::new(0x200000, 0x600000, 12).unwrap();
        let mut ranges = [Range::UNUSED; RANGES];
        let mut pending = Pending::new(0, &mut ranges);

        assert_eq!(pending.record(flush(huge, true), MANY), Recorded::Ranges);
        assert_eq!(pending.record(flush(small, false), MANY), Recorded::Ranges);
        assert_eq!(pending.ranges(), [small]);
        assert_eq!(pending.record(flush(huge, false), MANY), Recorded::Ranges);
        assert_eq!(pending.ranges(), [small]);

        assert_eq!(pending.record(flush(huge, true), MANY), Recorded::Ranges);
        assert_eq!(record(&mut pending, 0x200, 1), Recorded::Ranges);
        assert_eq!(pending.ranges(), [huge, pages(0x200, 1)]);
    }

    #[test]
    fn more_than_the_ceiling_is_full_and_stays_so() {
        let mut ranges = [Range::UNUSED; RANGES];
        let mut pending = Pending::new(0, &mut ranges);

        assert_eq!(record(&mut pending, 0, 33), Recorded::Ranges);
        assert_eq!(record(&mut pending, 100, 1), Recorded::Full);
        assert!(pending.ranges().is_empty());
        assert_eq!(
            pending.record(flush(pages(7, 1), false), LIMITS),
            Recorded::Full
        );
        assert_eq!(
            pending.record(flush(pages(7, 1), true), LIMITS),
            Recorded::Ranges
        );
    }

    #[test]
    fn a_fifth_range_takes_the_nearest_gap_along() {
        let mut ranges = [Range::UNUSED; RANGES];
        let mut pending = Pending::new(0, &mut ranges);

        for first in [0, 10, 20, 30] {
            assert_eq!(record(&mut pending, first, 1), Recorded::Ranges);
        }
        assert_eq!(record(&mut pending, 23, 1), Recorded::Ranges);
        assert!(pending.ranges().contains(&pages(20, 4)));
        assert_eq!(pending.ranges().len(), RANGES);
    }

    #[test]
    fn what_is_fresh_forgets_what_was_flushed() {
        let mut ranges = [Range::UNUSED; RANGES];
        let mut pending = Pending::new(0, &mut ranges);

        assert_eq!(record(&mut pending, 1, 1), Recorded::Ranges);
        assert_eq!(
            pending.record(flush(pages(9, 1), true), LIMITS),
            Recorded::Ranges
        );
        assert_eq!(pending.ranges(), [pages(9, 1)]);
    }

    #[test]
    fn freed_tables_are_a_full_flush() {
        let mut ranges = [Range::UNUSED; RANGES];
        let mut pending = Pending::new(0, &mut ranges);
        let tables = Flush {
            tables: true,
            waits: true,
            ..flush(pages(1, 1), true)
        };

        assert_eq!(pending.record(tables, LIMITS), Recorded::Full);
        assert_eq!(record(&mut pending, 1, 1), Recorded::Ranges);
        assert_eq!(
            pending.record(
                Flush {
                    fresh: false,
                    ..tables
                },
                LIMITS
            ),
            Recorded::Full
        );
        assert!(pending.ranges().is_empty());
    }

    #[test]
    fn an_initiator_that_waits_flushes_a_few_at_once() {
        let mut ranges = [Range::UNUSED; RANGES];
        let mut pending = Pending::new(0, &mut ranges);
        let waits = |count, fresh| Flush {
            waits: true,
            ..flush(pages(1, count), fresh)
        };

        assert_eq!(pending.record(waits(5, true), LIMITS), Recorded::Now);
        assert!(pending.ranges().is_empty());
        assert_eq!(pending.record(waits(6, true), LIMITS), Recorded::Ranges);
        // What is pending stays so.
        assert_eq!(pending.record(waits(5, false), LIMITS), Recorded::Now);
        assert_eq!(pending.ranges(), [pages(1, 6)]);
        // A full flush covers it.
        assert_eq!(pending.record(waits(99, false), LIMITS), Recorded::Full);
        assert_eq!(pending.record(waits(5, false), LIMITS), Recorded::Full);
    }

    #[test]
    fn what_cannot_be_written_down_is_a_full_flush() {
        let mut ranges = [Range::UNUSED; RANGES];
        let mut pending = Pending::new(0, &mut ranges);
        let flush = Flush {
            range: None,
            ..flush(pages(1, 1), true)
        };

        assert_eq!(pending.record(flush, LIMITS), Recorded::Full);
    }
}
