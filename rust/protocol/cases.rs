// SPDX-License-Identifier: GPL-2.0

//! What tests expect of the protocol: those of the host, and KUnit in both objects of the module.

use super::catch_up::Target;
use super::engine::{FlushPage, Flushed, Tlb};
use super::policy::Policy;
use super::range::{Page, PageRange, PAGE_SIZE};
use super::user::{Flush, Limits, Range, Recorded};
use super::word::{State, Verdict, AWAY, CLOSED, GEN_SHIFT, TEXT, WORK};

/// The `count` pages from the page number `first` on.
pub fn pages(first: u32, count: u16) -> Option<PageRange> {
    let first = u64::from(first);

    // SAFETY: Addresses below 2^47 are canonical, and these are below 2^45.
    unsafe { PageRange::new(first * PAGE_SIZE, (first + u64::from(count)) * PAGE_SIZE) }
}

const fn state(bits: u64, gen: u64) -> State {
    State::new(bits | (gen << GEN_SHIFT))
}

/// What a word means.
#[derive(Debug)]
#[allow(missing_docs)]
pub struct Meaning {
    pub state: State,
    pub away: bool,
    pub open: bool,
    pub work: bool,
    pub flushed: bool,
    pub serializes: bool,
    pub gen: u64,
}

/// The states of `arch/x86/include/asm/deferred_flush.h`.
pub const MEANINGS: &[Meaning] = &[
    Meaning {
        state: state(0, 0),
        away: false,
        open: false,
        work: false,
        flushed: false,
        serializes: false,
        gen: 0,
    },
    Meaning {
        state: state(AWAY, 0),
        away: true,
        open: true,
        work: false,
        flushed: false,
        serializes: false,
        gen: 0,
    },
    Meaning {
        state: state(AWAY | WORK, 3),
        away: true,
        open: true,
        work: true,
        flushed: false,
        serializes: true,
        gen: 3,
    },
    Meaning {
        state: state(AWAY | WORK | CLOSED, 3),
        away: true,
        open: false,
        work: true,
        flushed: false,
        serializes: true,
        gen: 3,
    },
    // Closed after an NMI had taken the promise back.
    Meaning {
        state: state(CLOSED, 0),
        away: false,
        open: false,
        work: false,
        flushed: false,
        serializes: false,
        gen: 0,
    },
    Meaning {
        state: state(WORK, 3),
        away: false,
        open: false,
        work: true,
        flushed: true,
        serializes: true,
        gen: 3,
    },
    Meaning {
        state: state(AWAY | TEXT, 0),
        away: true,
        open: true,
        work: false,
        flushed: false,
        serializes: true,
        gen: 0,
    },
    // Taken back by the entry code: there is nothing in the books.
    Meaning {
        state: state(TEXT, 0),
        away: false,
        open: false,
        work: false,
        flushed: false,
        serializes: true,
        gen: 0,
    },
];

/// A CPU that is asked for its promise, for generation [`ASKED_FOR`].
#[derive(Debug)]
#[allow(missing_docs)]
pub struct Asked {
    pub before: State,
    pub verdict: Verdict,
    pub after: State,
}

/// The generation of the flush in [`ASKED`].
pub const ASKED_FOR: u64 = 7;

/// Only a promise defers.
pub const ASKED: &[Asked] = &[
    Asked {
        before: state(0, 0),
        verdict: Verdict::Ipi,
        after: state(0, 0),
    },
    Asked {
        before: state(AWAY, 0),
        verdict: Verdict::Deferred,
        after: state(AWAY | WORK, ASKED_FOR),
    },
    Asked {
        before: state(AWAY | WORK, ASKED_FOR - 1),
        verdict: Verdict::Deferred,
        after: state(AWAY | WORK, ASKED_FOR),
    },
    // The generation never goes back.
    Asked {
        before: state(AWAY | WORK, ASKED_FOR + 1),
        verdict: Verdict::Deferred,
        after: state(AWAY | WORK, ASKED_FOR + 1),
    },
    // About to be kept, even if for a later flush.
    Asked {
        before: state(AWAY | WORK | CLOSED, ASKED_FOR - 1),
        verdict: Verdict::Ipi,
        after: state(AWAY | WORK | CLOSED, ASKED_FOR - 1),
    },
    Asked {
        before: state(AWAY | WORK | CLOSED, ASKED_FOR + 1),
        verdict: Verdict::Ipi,
        after: state(AWAY | WORK | CLOSED, ASKED_FOR + 1),
    },
    Asked {
        before: state(CLOSED, 0),
        verdict: Verdict::Ipi,
        after: state(CLOSED, 0),
    },
    // Taken back by the entry code: the promise is gone, the work is not lost.
    Asked {
        before: state(WORK, ASKED_FOR - 1),
        verdict: Verdict::Ipi,
        after: state(WORK, ASKED_FOR - 1),
    },
    // Work implies to serialize.
    Asked {
        before: state(AWAY | TEXT, 0),
        verdict: Verdict::Deferred,
        after: state(AWAY | WORK, ASKED_FOR),
    },
];

/// The same for text that has been changed, which has no generation.
pub const ASKED_FOR_TEXT: &[Asked] = &[
    Asked {
        before: state(0, 0),
        verdict: Verdict::Ipi,
        after: state(0, 0),
    },
    Asked {
        before: state(AWAY, 0),
        verdict: Verdict::Deferred,
        after: state(AWAY | TEXT, 0),
    },
    Asked {
        before: state(AWAY | TEXT, 0),
        verdict: Verdict::Deferred,
        after: state(AWAY | TEXT, 0),
    },
    Asked {
        before: state(AWAY | WORK, ASKED_FOR),
        verdict: Verdict::Deferred,
        after: state(AWAY | WORK, ASKED_FOR),
    },
    Asked {
        before: state(AWAY | TEXT | CLOSED, 0),
        verdict: Verdict::Ipi,
        after: state(AWAY | TEXT | CLOSED, 0),
    },
    Asked {
        before: state(AWAY | WORK | CLOSED, ASKED_FOR),
        verdict: Verdict::Ipi,
        after: state(AWAY | WORK | CLOSED, ASKED_FOR),
    },
    Asked {
        before: state(TEXT, 0),
        verdict: Verdict::Ipi,
        after: state(TEXT, 0),
    },
];

/// A range in bytes, and its first address and number of pages, if it is written down.
#[derive(Debug)]
#[allow(missing_docs)]
pub struct Touches {
    pub start: u64,
    pub end: u64,
    pub range: Option<(u64, u64)>,
}

const fn touches(start: u64, end: u64, range: Option<(u64, u64)>) -> Touches {
    Touches { start, end, range }
}

/// A range is every page that it touches, unless it is so large that all is flushed.
pub const TOUCHES: &[Touches] = &[
    touches(0x1000, 0x2000, Some((0x1000, 1))),
    touches(0x1000, 0x1fff, Some((0x1000, 1))),
    touches(0x1000, 0x1000, Some((0x1000, 1))),
    touches(0x1fff, 0x2001, Some((0x1000, 2))),
    touches(0x1000, 0x22000, Some((0x1000, 33))),
    touches(0, 4096 << 12, Some((0, 4096))),
    // The end of the address space.
    touches(u64::MAX - 0xfff, 0, Some((u64::MAX - 0xfff, 1))),
    touches(0, (4096 << 12) + 1, None),
    // TLB_FLUSH_ALL, and reversed ones.
    touches(0, u64::MAX, None),
    touches(0x1000, u64::MAX, None),
    touches(0x3000, 0x1000, None),
    touches(u64::MAX - 0xfff, u64::MAX - 0x2fff, None),
];

/// The books of a CPU that catches up. It has no TLB.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Books {
    pub tlb_gen: u64,
    pub catch_ups: u64,
    pub cr3_flushes: u64,
    pub pages: u64,
    pub full: u64,
}

impl FlushPage for Books {
    fn flush_page(&mut self, _: Page) {}
}

impl Tlb for Books {
    fn flush_all(&mut self) {}
}

impl Target for Books {
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

/// A CPU that was at generation `from`, and catches up with [`CATCH_UP_PAGES`].
#[derive(Debug)]
#[allow(missing_docs)]
pub struct CatchUp {
    pub name: &'static str,
    pub from: u64,
    pub state: State,
    pub after: Books,
}

impl CatchUp {
    /// The books of the CPU before that.
    pub const fn before(&self) -> Books {
        books(self.from, [0, 0], 0, 0)
    }
}

const fn books(tlb_gen: u64, [catch_ups, cr3_flushes]: [u64; 2], pages: u64, full: u64) -> Books {
    Books {
        tlb_gen,
        catch_ups,
        cr3_flushes,
        pages,
        full,
    }
}

/// The flushes that there have been, by their number of pages.
pub const CATCH_UP_PAGES: &[u16] = &[1, 1, 1, 2];
/// Pages above which the CPU flushes everything.
pub const CATCH_UP_CEILING: u64 = 4;

/// What ends up in its books.
pub const CATCH_UPS: &[CatchUp] = &[
    CatchUp {
        name: "without work nothing but the flush is counted",
        from: 1,
        state: state(0, 0),
        after: books(4, [0, 0], 4, 0),
    },
    CatchUp {
        name: "more than the ceiling is a full flush",
        from: 0,
        state: state(0, 0),
        after: books(4, [0, 0], 0, 1),
    },
    CatchUp {
        name: "a promise is no flush, whatever its generation",
        from: 1,
        state: state(AWAY | WORK, 3),
        after: books(4, [1, 0], 4, 0),
    },
    CatchUp {
        name: "the CR3 write flushed up to the generation in the word",
        from: 1,
        state: state(WORK, 3),
        after: books(4, [1, 1], 2, 0),
    },
    CatchUp {
        name: "a generation in the word that is behind the books does not count",
        from: 4,
        state: state(WORK, 1),
        after: books(4, [1, 1], 0, 0),
    },
];

/// An exit to user mode at which the policy is asked.
#[derive(Debug)]
#[allow(missing_docs)]
pub struct Spent {
    pub credit: u64,
    pub paid: bool,
    pub full: u64,
    pub left: Option<u64>,
}

const fn spent(credit: u64, paid: bool, full: u64, left: Option<u64>) -> Spent {
    Spent {
        credit,
        paid,
        full,
        left,
    }
}

/// What `spend()` says.
pub const SPENT: &[Spent] = &[
    spent(8, false, 8, Some(7)),
    spent(1, false, 8, Some(0)),
    spent(0, false, 8, None),
    spent(0, true, 8, Some(7)),
    spent(3, true, 8, Some(7)),
    // `full` has become smaller.
    spent(8, true, 1, Some(0)),
    spent(0, true, 0, None),
];

/// Policies by name, with what debugfs may add.
pub const NAMES: &[(&str, Option<Policy>)] = &[
    ("off", Some(Policy::Off)),
    ("always\n", Some(Policy::Always)),
    ("adaptive", Some(Policy::Adaptive)),
    ("Always", None),
    ("sometimes", None),
    ("", None),
];

/// Policies by number, as the module parameter has them.
pub const NUMBERS: &[(u32, Option<Policy>)] = &[
    (0, Some(Policy::Off)),
    (1, Some(Policy::Always)),
    (2, Some(Policy::Adaptive)),
    (3, None),
];

/// A flush of user addresses, and what becomes of it.
#[derive(Debug)]
#[allow(missing_docs)]
pub struct UserFlush {
    /// Page number, ...
    pub first: u64,
    /// ... and number of pages.
    pub count: u64,
    pub fresh: bool,
    pub tables: bool,
    pub waits: bool,
    pub recorded: Recorded,
    /// Ranges that wait then, ...
    pub ranges: usize,
    /// ... and all of their addresses.
    pub addresses: u64,
}

impl UserFlush {
    const fn new(pages: [u64; 2], recorded: Recorded, ranges: usize, addresses: u64) -> Self {
        Self {
            first: pages[0],
            count: pages[1],
            fresh: false,
            tables: false,
            waits: false,
            recorded,
            ranges,
            addresses,
        }
    }

    const fn fresh(self) -> Self {
        Self {
            fresh: true,
            ..self
        }
    }

    const fn tables(self) -> Self {
        Self {
            tables: true,
            ..self
        }
    }

    const fn waits(self) -> Self {
        Self {
            waits: true,
            ..self
        }
    }

    /// To be recorded.
    pub fn flush(&self) -> Flush {
        let (start, end) = (self.first << 12, (self.first + self.count) << 12);

        Flush {
            range: Range::new(start, end, 12),
            fresh: self.fresh,
            tables: self.tables,
            waits: self.waits,
        }
    }
}

/// For [`USER_FLUSHES`].
pub const USER_LIMITS: Limits = Limits {
    ceiling: 33,
    wait: 2,
};

/// One after the other.
pub const USER_FLUSHES: &[UserFlush] = &[
    UserFlush::new([1, 2], Recorded::Ranges, 1, 2).fresh(),
    // Covers it.
    UserFlush::new([1, 3], Recorded::Ranges, 1, 3),
    // Next to it.
    UserFlush::new([4, 1], Recorded::Ranges, 1, 4),
    // What waits stays so.
    UserFlush::new([9, 2], Recorded::Now, 1, 4).waits(),
    UserFlush::new([9, 30], Recorded::Full, 0, 0),
    // A full flush stays one.
    UserFlush::new([9, 2], Recorded::Full, 0, 0).waits(),
    UserFlush::new([9, 1], Recorded::Full, 0, 0),
    UserFlush::new([0, 1], Recorded::Ranges, 1, 1).fresh(),
    UserFlush::new([10, 1], Recorded::Ranges, 2, 2),
    UserFlush::new([20, 1], Recorded::Ranges, 3, 3),
    UserFlush::new([30, 1], Recorded::Ranges, 4, 4),
    // All places are taken: the nearest one takes the gap along.
    UserFlush::new([23, 1], Recorded::Ranges, 4, 7),
    UserFlush::new([1, 1], Recorded::Full, 0, 0)
        .fresh()
        .tables(),
];
