// SPDX-License-Identifier: GPL-2.0

//! Ranges of kernel addresses.

/// Size of a page in bytes; kernel ranges are flushed in these steps.
pub const PAGE_SIZE: u64 = 4096;

/// Pages beyond which a range is not written down: a full flush is faster on any machine.
pub const MAX_PAGES: u64 = 4096;

/// A page that can be flushed by itself.
///
/// # Invariants
///
/// Its address is page aligned, and canonical: INVPCID raises #GP for any other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Page(u64);

impl Page {
    /// Its first byte.
    #[inline(always)]
    pub const fn addr(self) -> u64 {
        self.0
    }
}

/// A range of kernel pages, to be flushed one by one.
///
/// # Invariants
///
/// `start` is page aligned, and the `pages` pages from there on, at most [`MAX_PAGES`], are at
/// canonical addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PageRange {
    start: u64,
    pages: u64,
}

impl PageRange {
    /// The pages that `[start, end)` touches, in bytes. At least one, as `flush_tlb_kernel_range()`
    /// flushes one for `[addr, addr + PAGE_SIZE - 1)`.
    ///
    /// `None` if there are more than [`MAX_PAGES`]. So it is with an `end` below `start`, or of
    /// `TLB_FLUSH_ALL`.
    ///
    /// # Safety
    ///
    /// If there are no more than that, they are at canonical addresses.
    pub const unsafe fn new(start: u64, end: u64) -> Option<Self> {
        let start = start & !(PAGE_SIZE - 1);
        let bytes = end.wrapping_sub(start).saturating_add(PAGE_SIZE - 1);
        let pages = match bytes >> PAGE_SIZE.trailing_zeros() {
            0 => 1,
            pages => pages,
        };

        if pages > MAX_PAGES {
            return None;
        }
        // INVARIANT: `start` was rounded down. The rest is the safety requirement.
        Some(Self { start, pages })
    }

    /// The range of which these are the parts.
    ///
    /// # Safety
    ///
    /// They are [`Self::start`] and [`Self::pages`] of one range.
    #[inline(always)]
    pub(super) const unsafe fn from_parts(start: u64, pages: u64) -> Self {
        // INVARIANT: They were those of a range.
        Self { start, pages }
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

impl IntoIterator for PageRange {
    type Item = Page;
    type IntoIter = Pages;

    #[inline(always)]
    fn into_iter(self) -> Pages {
        // INVARIANT: By those of the range.
        Pages {
            next: self.start,
            left: self.pages,
        }
    }
}

/// The pages of a [`PageRange`].
///
/// # Invariants
///
/// `next` is page aligned, and the `left` pages from there on are at canonical addresses.
#[derive(Debug)]
pub struct Pages {
    next: u64,
    left: u64,
}

impl Iterator for Pages {
    type Item = Page;

    #[inline(always)]
    fn next(&mut self) -> Option<Page> {
        if self.left == 0 {
            return None;
        }
        // INVARIANT: There is one left, and it is taken.
        let page = Page(self.next);

        self.next = self.next.wrapping_add(PAGE_SIZE);
        self.left = self.left.wrapping_sub(1);
        Some(page)
    }
}

#[cfg(test)]
mod tests {
    use super::super::cases;
    use super::*;

    #[test]
    fn a_range_is_every_page_it_touches() {
        for case in cases::TOUCHES {
            // SAFETY: Low addresses are canonical.
            let range = unsafe { PageRange::new(case.start, case.end) };

            assert_eq!(range.map(|r| (r.start(), r.pages())), case.range);
        }
    }

    #[test]
    fn its_pages_follow_each_other() {
        let range = cases::pages(1, 3).unwrap();

        assert!(range
            .into_iter()
            .map(Page::addr)
            .eq([0x1000, 0x2000, 0x3000]));
    }
}
