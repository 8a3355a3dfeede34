// SPDX-License-Identifier: GPL-2.0

//! Ranges of kernel addresses.

/// Size of a page in bytes; kernel ranges are flushed in these steps.
pub const PAGE_SIZE: u64 = 4096;

/// A range of kernel pages.
///
/// # Invariants
///
/// `start` is page aligned, and `pages` is not 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PageRange {
    start: u64,
    pages: u64,
}

impl PageRange {
    /// The pages that `[start, end)` touches, in bytes. At least one, as `flush_tlb_kernel_range()`
    /// flushes one for `[addr, addr + PAGE_SIZE - 1)`.
    ///
    /// An `end` below `start`, or of `TLB_FLUSH_ALL`, makes a range so large that it is flushed in
    /// full: flushing too much is safe.
    #[inline(always)]
    pub const fn new(start: u64, end: u64) -> Self {
        let start = start & !(PAGE_SIZE - 1);
        let bytes = end.wrapping_sub(start).saturating_add(PAGE_SIZE - 1);
        let pages = bytes >> PAGE_SIZE.trailing_zeros();

        // INVARIANT: `start` was rounded down, and an empty range counts as one page.
        Self {
            start,
            pages: if pages == 0 { 1 } else { pages },
        }
    }

    /// Address of the first page.
    #[inline(always)]
    pub const fn start(&self) -> u64 {
        self.start
    }

    /// Number of pages.
    #[inline(always)]
    pub const fn pages(&self) -> u64 {
        self.pages
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_is_every_page_it_touches() {
        for (start, end, first, pages) in [
            (0x1000, 0x2000, 0x1000, 1),
            (0x1000, 0x1fff, 0x1000, 1),
            (0x1000, 0x1000, 0x1000, 1),
            (0x1fff, 0x2001, 0x1000, 2),
            (0x1000, 0x22000, 0x1000, 33),
        ] {
            let range = PageRange::new(start, end);
            assert_eq!((range.start(), range.pages()), (first, pages));
        }
    }

    #[test]
    fn a_range_of_everything_is_huge() {
        assert!(PageRange::new(0, u64::MAX).pages() > 1 << 40);
        assert!(PageRange::new(0x1000, u64::MAX).pages() > 1 << 40);
    }

    #[test]
    fn a_reversed_range_is_huge() {
        assert!(PageRange::new(0x3000, 0x1000).pages() > 1 << 40);
    }
}
