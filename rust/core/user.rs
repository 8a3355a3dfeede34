// SPDX-License-Identifier: GPL-2.0

//! Flushes of user addresses that wait for the user CR3.
//!
//! With PTI each mm has two PCIDs. A flush of user addresses has to reach the kernel's at once; the
//! user's is not in use until the exit to user mode. What is recorded here, the exit path replays by
//! INVLPG after it has loaded the user CR3. Nothing calls this yet.

/// Ranges that are remembered.
pub const RANGES: usize = 4;

/// Addresses that are flushed one by one: `start`, `start + step`, ... below `end`.
///
/// # Invariants
///
/// `step` is a power of two, `start < end`, and `end - start` is a multiple of `step`.
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
    pub fn new(start: u64, end: u64, shift: u32) -> Option<Self> {
        let step = 1u64.checked_shl(shift)?;
        let bytes = end.checked_sub(start)?.checked_next_multiple_of(step)?;

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

    /// Number of addresses.
    pub fn count(&self) -> u64 {
        self.end.wrapping_sub(self.start) >> self.step.trailing_zeros()
    }

    /// The addresses, in the order of the replay.
    pub fn addresses(self) -> impl Iterator<Item = u64> {
        (0..self.count()).map(move |n| self.start.wrapping_add(n.wrapping_mul(self.step)))
    }

    /// Whether an address of one plus a number of steps can be an address of the other.
    fn in_phase(&self, other: &Self) -> bool {
        self.start.wrapping_sub(other.start) & (self.step - 1) == 0
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

/// What has become of a flush.
#[must_use = "a flush that has not been recorded has to be made up for by a full one"]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recorded {
    /// The exit path will flush these addresses.
    Ranges,
    /// It has to flush all of the user PCID.
    Full,
}

/// What the user PCID of the loaded ASID waits for.
///
/// In the page that user mode can read by Meltdown: user addresses only.
///
/// # Invariants
///
/// `bytes` is the size of the ranges in use, which are the first ones. 0: there are none, and if a
/// flush is pending, it is one of everything.
#[repr(C)]
#[derive(Debug)]
pub struct Pending {
    bytes: u64,
    ranges: [Range; RANGES],
}

const RANGE_BYTES: u64 = size_of::<Range>() as u64;

impl Pending {
    /// Nothing is recorded.
    pub const fn new() -> Self {
        // INVARIANT: No range is in use.
        Self {
            bytes: 0,
            ranges: [Range {
                start: 0,
                end: 0,
                step: 0,
            }; RANGES],
        }
    }

    /// The ranges in use.
    pub fn ranges(&self) -> &[Range] {
        // A count beyond the end would be a bug. Showing fewer than that must not make it a panic.
        self.ranges
            .get(..(self.bytes / RANGE_BYTES) as usize)
            .unwrap_or(&[])
    }

    /// Forgets all ranges: what is pending is a full flush.
    pub fn promote(&mut self) -> Recorded {
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

    /// Removes a range in use, and returns it.
    fn take(&mut self, index: usize) -> Option<Range> {
        let last = *self.ranges().last()?;
        let slot = self.ranges.get_mut(index)?;
        let range = *slot;

        *slot = last;
        self.bytes = self.bytes.wrapping_sub(RANGE_BYTES);
        Some(range)
    }

    /// Adds `range`.
    ///
    /// `fresh`: what is recorded so far has been flushed. Otherwise, if it is a full flush it stays
    /// one. More than `ceiling` addresses become a full flush.
    pub fn record(&mut self, mut range: Range, fresh: bool, ceiling: u64) -> Recorded {
        if fresh {
            self.bytes = 0;
        } else if self.bytes == 0 {
            return Recorded::Full;
        }
        if range.count() > ceiling {
            return self.promote();
        }

        // Each turn takes a range out, or is the last.
        while let Some((index, joined)) = self.joinable(&range).or_else(|| self.bridge(&range)) {
            self.take(index);
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

impl Default for Pending {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CEILING: u64 = 33;

    fn pages(first: u64, count: u64) -> Range {
        Range::new(first << 12, (first + count) << 12, 12).unwrap()
    }

    fn record(pending: &mut Pending, first: u64, count: u64) -> Recorded {
        let fresh = pending.ranges().is_empty();

        pending.record(pages(first, count), fresh, CEILING)
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
    fn adjacent_ranges_are_joined_in_both_directions() {
        for order in [[1, 2, 3], [3, 2, 1], [1, 3, 2]] {
            let mut pending = Pending::new();

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
        let mut pending = Pending::new();

        assert_eq!(pending.record(huge, true, 2000), Recorded::Ranges);
        assert_eq!(pending.record(small, false, 2000), Recorded::Ranges);
        assert_eq!(pending.ranges(), [small]);
        assert_eq!(pending.record(huge, false, 2000), Recorded::Ranges);
        assert_eq!(pending.ranges(), [small]);

        assert_eq!(pending.record(huge, true, 2000), Recorded::Ranges);
        assert_eq!(record(&mut pending, 0x200, 1), Recorded::Ranges);
        assert_eq!(pending.ranges(), [huge, pages(0x200, 1)]);
    }

    #[test]
    fn more_than_the_ceiling_is_full_and_stays_so() {
        let mut pending = Pending::new();

        assert_eq!(record(&mut pending, 0, 33), Recorded::Ranges);
        assert_eq!(record(&mut pending, 100, 1), Recorded::Full);
        assert!(pending.ranges().is_empty());
        assert_eq!(pending.record(pages(7, 1), false, CEILING), Recorded::Full);
        assert_eq!(pending.record(pages(7, 1), true, CEILING), Recorded::Ranges);
    }

    #[test]
    fn a_fifth_range_takes_the_nearest_gap_along() {
        let mut pending = Pending::new();

        for first in [0, 10, 20, 30] {
            assert_eq!(record(&mut pending, first, 1), Recorded::Ranges);
        }
        assert_eq!(record(&mut pending, 23, 1), Recorded::Ranges);
        assert!(pending.ranges().contains(&pages(20, 4)));
        assert_eq!(pending.ranges().len(), RANGES);
    }

    #[test]
    fn what_is_fresh_forgets_what_was_flushed() {
        let mut pending = Pending::new();

        assert_eq!(record(&mut pending, 1, 1), Recorded::Ranges);
        assert_eq!(pending.record(pages(9, 1), true, CEILING), Recorded::Ranges);
        assert_eq!(pending.ranges(), [pages(9, 1)]);
    }
}
