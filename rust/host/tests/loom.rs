// SPDX-License-Identifier: GPL-2.0

//! The protocol under every interleaving that loom finds.
//!
//! One CPU promises and comes back, others begin shootdowns. Its TLB may fill at any time with
//! what a page walk may see at that time, also right behind a flush. Each test has broken twins,
//! which must fail.
//!
//! What is not here: INVLPG and MOV to CR3 as serializing instructions (a flush is a point in the
//! program order of its thread), and IPIs as such (an initiator that gets [`Verdict::Ipi`] has its
//! flush done after all threads have ended).

#![cfg(loom)]

use deferred_flush_core::engine::{Engine, Tlb};
use deferred_flush_core::range::PAGE_SIZE;
use deferred_flush_core::word::{generation, is_flushed, rely, Verdict, AWAY, WORK};
use loom::sync::atomic::{AtomicU64, Ordering};
use loom::sync::Arc;
use loom::thread;

const PAGES: usize = 2;
const OLD: u64 = 0;
const NEW: u64 = 1;

/// What the CPUs share.
struct Machine {
    word: AtomicU64,
    engine: Engine,
    ptes: [AtomicU64; PAGES],
}

impl Machine {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            word: AtomicU64::new(0),
            engine: Engine::new(1),
            ptes: [AtomicU64::new(OLD), AtomicU64::new(OLD)],
        })
    }

    /// A page walk. The walker takes no locks and orders nothing.
    fn walk(&self, page: usize) -> u64 {
        self.ptes[page].load(Ordering::Relaxed)
    }

    /// Changes the PTE of `page` and asks the target for its promise.
    fn shoot_down(&self, page: usize) -> Verdict {
        let start = page as u64 * PAGE_SIZE;

        self.ptes[page].store(NEW, Ordering::Relaxed);
        let generation = self
            .engine
            .begin(start, start + PAGE_SIZE)
            .into_generation();
        rely(&self.word, generation)
    }
}

/// The target's TLB. As greedy as can be: what is flushed is filled again at once.
struct GreedyTlb<'a> {
    machine: &'a Machine,
    entries: [u64; PAGES],
}

impl<'a> GreedyTlb<'a> {
    fn new(machine: &'a Machine) -> Self {
        Self {
            machine,
            entries: [OLD; PAGES],
        }
    }
}

impl Tlb for GreedyTlb<'_> {
    fn flush_one(&mut self, addr: u64) {
        let page = (addr / PAGE_SIZE) as usize;

        self.entries[page] = self.machine.walk(page);
    }
    fn flush_all(&mut self) {
        for page in 0..PAGES {
            self.entries[page] = self.machine.walk(page);
        }
    }
}

/// A CPU's `deferred_flush_local.tlb_gen`.
struct Local(u64);

/// `deferred_flush_catch_up()`.
fn catch_up(machine: &Machine, tlb: &mut GreedyTlb<'_>, local: &mut Local) {
    let word = machine.word.load(Ordering::Acquire);

    if is_flushed(word) && generation(word) > local.0 {
        local.0 = generation(word);
    }
    let to = machine.engine.generation();
    machine.engine.flush(local.0, to, tlb);
    local.0 = to;
}

/// How the target comes back.
#[derive(Clone, Copy)]
enum Entry {
    /// `deferred_flush_take_back()`: without PTI, and NMIs.
    C,
    /// The entry code with PTI: locked BTR, CR3 write, bookkeeping later.
    Pti,
    /// Broken: the load and the store of an operation without LOCK.
    NoLock,
    /// Broken: flushes, and then ends the promise without looking again.
    FlushThenStore,
    /// Broken: ends the promise without flushing.
    NoFlush,
    /// Broken: with PTI, takes the generation after the CR3 write.
    LateGeneration,
}

fn come_back(machine: &Machine, tlb: &mut GreedyTlb<'_>, local: &mut Local, entry: Entry) {
    match entry {
        Entry::C => loop {
            let old = machine.word.load(Ordering::Acquire);
            if old & WORK != 0 {
                catch_up(machine, tlb, local);
            }
            if machine
                .word
                .compare_exchange(old, 0, Ordering::SeqCst, Ordering::Relaxed)
                .is_ok()
            {
                break;
            }
        },
        Entry::Pti | Entry::LateGeneration => {
            let old = machine.word.fetch_and(!AWAY, Ordering::SeqCst);
            if old & WORK != 0 {
                tlb.flush_all();
                local.0 = match entry {
                    Entry::Pti => generation(old),
                    _ => machine.engine.generation(),
                };
                machine.word.store(0, Ordering::Relaxed);
            }
        }
        Entry::NoLock => {
            let old = machine.word.load(Ordering::Acquire);
            machine.word.store(0, Ordering::Relaxed);
            if old & WORK != 0 {
                tlb.flush_all();
            }
        }
        Entry::FlushThenStore => {
            if machine.word.load(Ordering::Acquire) & WORK != 0 {
                catch_up(machine, tlb, local);
            }
            machine.word.store(0, Ordering::Relaxed);
        }
        Entry::NoFlush => {
            machine.word.swap(0, Ordering::SeqCst);
        }
    }
}

/// Shootdowns of `pages` pages against one target that goes away and comes back by `entry`.
fn run(pages: usize, entry: Entry) {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(3);
    model.check(move || {
        let machine = Machine::new();
        let initiators: Vec<_> = (0..pages)
            .map(|page| {
                let machine = machine.clone();
                thread::spawn(move || machine.shoot_down(page))
            })
            .collect();

        let mut tlb = GreedyTlb::new(&machine);
        let mut local = Local(0);

        // (d) On x86 a plain store is a release.
        machine.word.store(AWAY, Ordering::Release);
        come_back(&machine, &mut tlb, &mut local, entry);
        // What kernel code would use from here on.
        let used = tlb.entries;

        for (page, initiator) in initiators.into_iter().enumerate() {
            if initiator.join().unwrap() == Verdict::Deferred {
                // The initiator went on, and the address may be in use again.
                assert_eq!(used[page], NEW, "stale translation after a deferred flush");
            }
        }
        // The others send their IPI and wait: after that, nothing may be stale.
        catch_up(&machine, &mut tlb, &mut local);
        for page in 0..pages {
            assert_eq!(tlb.entries[page], NEW, "the IPI left a stale translation");
        }
    });
}

#[test]
fn entry_in_c() {
    run(1, Entry::C);
}

#[test]
fn entry_with_pti() {
    run(1, Entry::Pti);
}

#[test]
fn entry_in_c_two_initiators() {
    run(2, Entry::C);
}

#[test]
fn entry_with_pti_two_initiators() {
    run(2, Entry::Pti);
}

#[test]
#[should_panic(expected = "stale translation after a deferred flush")]
fn broken_no_lock() {
    run(1, Entry::NoLock);
}

#[test]
#[should_panic(expected = "stale translation after a deferred flush")]
fn broken_flush_then_store() {
    run(1, Entry::FlushThenStore);
}

#[test]
#[should_panic(expected = "stale translation after a deferred flush")]
fn broken_no_flush() {
    run(1, Entry::NoFlush);
}

#[test]
#[should_panic(expected = "the IPI left a stale translation")]
fn broken_late_generation() {
    run(2, Entry::LateGeneration);
}
