// SPDX-License-Identifier: GPL-2.0

// The machine of `model.rs`: the CPUs that initiate, and the one that promises.

use code::cases;
use code::catch_up::Target;
use code::engine::{Engine, FlushPage, Flushed, Tlb};
use code::range::{Page, PageRange, PAGE_SIZE};
use code::word::{Promise, State, Verdict, AWAY, CLOSED, TEXT, WORK};
use loom::sync::atomic::{fence, AtomicU64, Ordering};
use loom::sync::Arc;

const PAGES: usize = 3;
const OLD: u64 = 0;
const NEW: u64 = 1;
/// Text that is replaced at once: an INT3.
const BREAKPOINT: u64 = 2;

/// What the CPUs share.
struct Machine {
    promise: Promise,
    engine: Engine,
    ptes: [AtomicU64; PAGES],
    /// An instruction.
    text: AtomicU64,
    /// `deferred_flush_cpu.promise`: whether the target promises on its way out.
    wanted: AtomicU64,
    /// Whether `disarm()` has sent its IPI.
    disarmed: AtomicU64,
}

/// How text is changed.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Poke {
    /// That of a module: it goes with a flush of its page.
    Flush,
    /// `deferred_flush_text()`
    Once,
    /// The same, behind another one, which has left the word as this one wants it.
    Twice,
    /// Broken: twice, and without (e).
    NoBarrier,
}

impl Machine {
    fn new(ceiling: u64) -> Arc<Self> {
        Arc::new(Self {
            promise: Promise::new(State::new(0)),
            engine: Engine::new(ceiling),
            ptes: std::array::from_fn(|_| AtomicU64::new(OLD)),
            text: AtomicU64::new(OLD),
            wanted: AtomicU64::new(1),
            disarmed: AtomicU64::new(0),
        })
    }

    /// A page walk. The walker takes no locks and orders nothing.
    fn walk(&self, page: usize) -> u64 {
        self.ptes[page].load(Ordering::Relaxed)
    }

    /// Changes the PTE of `page` and asks the target for its promise:
    /// `flush_tlb_kernel_range_deferrable()`.
    fn shoot_down(&self, page: usize) -> Verdict {
        self.ptes[page].store(NEW, Ordering::Relaxed);
        self.engine.begin(range(page)).ask(&self.promise)
    }

    /// Changes the text and asks the target for its promise.
    fn poke(&self, poke: Poke) -> Verdict {
        match poke {
            Poke::Flush => {
                self.text.store(NEW, Ordering::Relaxed);
                self.engine.begin(range(PAGES)).ask(&self.promise)
            }
            Poke::NoBarrier => {
                let _ = self.change_text(BREAKPOINT);
                self.text.store(NEW, Ordering::Relaxed);
                self.promise.rely_for_text()
            }
            Poke::Once => self.change_text(NEW),
            Poke::Twice => {
                // If this is an IPI, the other one is none the less.
                let _ = self.change_text(BREAKPOINT);
                self.change_text(NEW)
            }
        }
    }

    fn change_text(&self, text: u64) -> Verdict {
        self.text.store(text, Ordering::Relaxed);
        // (e)
        fence(Ordering::SeqCst);
        self.promise.rely_for_text()
    }

    /// `disarm()` of `arch/x86/mm/deferred_flush.c`, until it waits for its IPIs.
    fn disarm(&self) {
        self.wanted.store(0, Ordering::Relaxed);
        self.disarmed.store(1, Ordering::SeqCst);
    }
}

/// One page, by its number.
fn range(page: usize) -> Option<PageRange> {
    cases::pages(page as u32, 1)
}

/// How the target enters the kernel.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Entry {
    /// `deferred_flush_take_back()`: without PTI, and from idle.
    C,
    /// The entry code with PTI: locked BTR, CR3 write, bookkeeping later.
    Pti,
}

/// What is wrong in the parts of the target that are not Rust.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Bug {
    None,
    /// The load and the store of an operation without LOCK.
    NoLock,
    /// Flushes, and then ends a promise on which others may rely meanwhile.
    NotClosed,
    /// Closes the promise behind the flush.
    ClosedLate,
    /// Tests one value of the word, and expects another.
    TwoLoads,
    /// Ends the promise, and then flushes.
    StoreThenFlush,
    /// Ends the promise without flushing.
    NoFlush,
    /// NMIs that hit on the user CR3 do not flush.
    NotParanoid,
    /// Flushes by INVPCID, and leaves it at that.
    NoSerialize,
    /// Serializes before it closes the promise.
    SerializesFirst,
    /// Knows WORK only.
    NoText,
    /// The IPI of `disarm()` leaves what this CPU was about to write.
    KeepsPromise,
}

/// The target. Its TLB is as greedy as can be: what is flushed is filled again at once.
struct Cpu<'a> {
    machine: &'a Machine,
    entry: Entry,
    bug: Bug,
    /// Places to pass before the NMI comes.
    nmi_in: Option<usize>,
    user_cr3: bool,
    /// The IPI of `disarm()` has come.
    disarmed: bool,
    entries: [u64; PAGES],
    /// `deferred_flush_local.tlb_gen`
    tlb_gen: u64,
    /// The instruction, as it was fetched.
    fetched: u64,
    /// What kernel code found in the TLB, and executed.
    used: Vec<([u64; PAGES], u64)>,
}

impl FlushPage for Cpu<'_> {
    fn flush_page(&mut self, page: Page) {
        let page = (page.addr() / PAGE_SIZE) as usize;

        self.place_for_an_nmi();
        // The page of the text is the last one, and its translation does not change.
        if page < PAGES {
            self.entries[page] = self.machine.walk(page);
        }
    }
}

impl Tlb for Cpu<'_> {
    fn flush_all(&mut self) {
        self.place_for_an_nmi();
        for page in 0..PAGES {
            self.entries[page] = self.machine.walk(page);
        }
    }
}

impl Target for Cpu<'_> {
    fn tlb_gen(&self) -> u64 {
        self.tlb_gen
    }
    fn set_tlb_gen(&mut self, gen: u64) {
        self.place_for_an_nmi();
        self.tlb_gen = gen;
        self.place_for_an_nmi();
    }
    fn count_catch_up(&mut self) {
        self.place_for_an_nmi();
    }
    fn count_cr3_flush(&mut self) {}
    fn count(&mut self, _: Flushed) {}
}

impl<'a> Cpu<'a> {
    fn new(machine: &'a Machine, entry: Entry, bug: Bug) -> Self {
        Self {
            machine,
            entry,
            bug,
            nmi_in: None,
            user_cr3: false,
            disarmed: false,
            entries: [OLD; PAGES],
            fetched: OLD,
            tlb_gen: 0,
            used: Vec::new(),
        }
    }

    fn word(&self) -> &'a AtomicU64 {
        self.machine.promise.word()
    }

    fn state(&self) -> u64 {
        // On x86 a plain load is an acquire, ...
        self.word().load(Ordering::Acquire)
    }

    fn set_state(&self, state: u64) {
        // ... and a plain store a release.
        self.word().store(state, Ordering::Release);
    }

    /// `catch_up()` of `arch/x86/mm/deferred_flush.c`.
    fn catch_up(&mut self) {
        let machine = self.machine;
        let state = State::new(self.state());

        machine.engine.catch_up(state, self);
        let state = self.state();
        if state != 0 && state & AWAY == 0 {
            self.place_for_an_nmi();
            self.set_state(0);
        }
    }

    /// What says that somebody relied on the promise.
    fn relied(&self) -> u64 {
        if self.bug == Bug::NoText {
            WORK
        } else {
            WORK | TEXT
        }
    }

    /// `deferred_flush_take_back()` there, line by line.
    fn take_back(&mut self) {
        let mut old = match self.bug {
            // In front of a load, loom lets nobody come in.
            Bug::NoText => self.word().fetch_or(0, Ordering::SeqCst),
            _ => self.state(),
        };

        self.place_for_an_nmi();
        if self.bug == Bug::StoreThenFlush {
            old = self.word().swap(0, Ordering::SeqCst);
        }
        if old & AWAY == 0 {
            if old & (WORK | TEXT) != 0 {
                self.catch_up();
            }
            return;
        }
        if old & self.relied() == 0 {
            if self.bug == Bug::TwoLoads {
                // Of two loads in a row, loom lets nobody come in between.
                old = self.word().fetch_or(0, Ordering::SeqCst);
            }
            // (c)
            let ended = self
                .word()
                .compare_exchange(old, 0, Ordering::SeqCst, Ordering::Relaxed);

            if ended.is_ok() || self.bug == Bug::StoreThenFlush {
                return;
            }
        }
        self.place_for_an_nmi();
        if self.bug == Bug::SerializesFirst {
            self.serialize();
        }
        if !matches!(
            self.bug,
            Bug::NotClosed | Bug::ClosedLate | Bug::StoreThenFlush
        ) {
            // (c)
            self.word().fetch_or(CLOSED, Ordering::SeqCst);
        }
        self.place_for_an_nmi();
        if self.bug != Bug::NoFlush {
            self.catch_up();
            if !matches!(self.bug, Bug::NoSerialize | Bug::SerializesFirst) {
                self.serialize();
            }
        }
        if self.bug == Bug::ClosedLate {
            self.word().fetch_or(CLOSED, Ordering::SeqCst);
        }
        self.place_for_an_nmi();
        self.set_state(0);
    }

    /// `DEFERRED_FLUSH_TAKE_BACK` of `arch/x86/entry/calling.h`.
    fn take_back_pti(&mut self) {
        self.place_for_an_nmi();
        if self.state() & (AWAY | WORK) != 0 {
            self.place_for_an_nmi();
            // (c)
            if self.bug == Bug::NoLock {
                let old = self.state();
                self.set_state(old & !AWAY);
            } else {
                self.word().fetch_and(!AWAY, Ordering::SeqCst);
            }
            self.place_for_an_nmi();
            if self.state() & WORK != 0 {
                self.flush_all();
            }
        }
        // The CR3 write, with NOFLUSH or without.
        self.serialize();
        self.user_cr3 = false;
    }

    fn enter(&mut self) {
        match self.entry {
            Entry::C => self.take_back(),
            Entry::Pti => self.take_back_pti(),
        }
    }

    /// `deferred_flush_leave_kernel()`.
    fn leave(&mut self) {
        if self.state() != 0 {
            self.take_back();
        }
        self.user_cr3 = self.entry == Entry::Pti;
        // (d)
        self.set_state(AWAY);
    }

    /// `deferred_flush_exit_to_user()`, with interrupts off.
    fn leave_if_wanted(&mut self) {
        if self.machine.wanted.load(Ordering::Relaxed) != 0 {
            self.leave();
        }
    }

    /// `deferred_flush_found()`, with interrupts off.
    fn found(&mut self) {
        let wanted = &self.machine.wanted;
        let promise = wanted.load(Ordering::Relaxed);

        if promise != 0 {
            wanted.store(promise, Ordering::Relaxed);
        }
    }

    /// `disarm_ipi()`, if it is due.
    fn interrupts(&mut self) {
        if self.disarmed || self.machine.disarmed.load(Ordering::SeqCst) == 0 {
            return;
        }
        if self.bug != Bug::KeepsPromise {
            self.machine.wanted.store(0, Ordering::Relaxed);
        }
        self.catch_up();
        self.disarmed = true;
    }

    /// INVLPG and MOV to CR3 do. As greedy as the TLB: what comes next is fetched at once.
    fn serialize(&mut self) {
        self.place_for_an_nmi();
        fence(Ordering::SeqCst);
        self.fetched = self.machine.text.load(Ordering::Relaxed);
    }

    /// Kernel code runs.
    fn run(&mut self) {
        self.used.push((self.entries, self.fetched));
    }

    fn place_for_an_nmi(&mut self) {
        self.nmi_in = match self.nmi_in {
            Some(0) => {
                self.nmi_in = None;
                return self.nmi();
            }
            places => places.map(|places| places - 1),
        };
    }

    fn nmi(&mut self) {
        // `DEFERRED_FLUSH_PARANOID`
        if self.user_cr3 && self.bug != Bug::NotParanoid {
            self.flush_all();
            self.serialize();
        }
        // `deferred_flush_enter_from_kernel()`
        if self.state() != 0 {
            self.take_back();
        }
        self.run();
    }
}
