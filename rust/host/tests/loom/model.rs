// SPDX-License-Identifier: GPL-2.0

// What happens on a machine. `code` is `rust/protocol`, or a broken twin of it.

use code::log::{Log, SLOTS};
use loom::thread;

include!("machine.rs");

/// Preemptions in an execution, of all threads together, if LOOM_MAX_PREEMPTIONS does not say
/// otherwise. With 2 all twins are caught, with 1 not all.
const PREEMPTIONS: usize = 3;

/// What is different from case to case.
#[derive(Clone, Copy)]
struct Case {
    entry: Entry,
    bug: Bug,
    /// Pages that each initiator flushes, one after the other.
    initiators: &'static [&'static [usize]],
    poke: Option<Poke>,
    ceiling: u64,
    /// How often the target leaves, and comes back.
    trips: usize,
    nmi_in: Option<usize>,
}

impl Case {
    /// One flush of a page.
    const ONE: Self = Self {
        entry: Entry::C,
        bug: Bug::None,
        initiators: &[&[0]],
        poke: None,
        ceiling: 1,
        trips: 1,
        nmi_in: None,
    };
    /// Two, at the same time.
    const TWO: Self = Self {
        initiators: &[&[0], &[1]],
        ..Self::ONE
    };
}

fn builder() -> loom::model::Builder {
    let mut builder = loom::model::Builder::new();

    builder.preemption_bound = builder.preemption_bound.or(Some(PREEMPTIONS));
    builder
}

/// Whether the NMI came in one of the interleavings.
fn run(case: Case) -> bool {
    let came = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let seen = came.clone();

    builder().check(move || {
        let machine = Machine::new(case.ceiling);
        let initiators: Vec<_> = case
            .initiators
            .iter()
            .map(|pages| {
                let machine = machine.clone();
                thread::spawn(move || -> Vec<_> {
                    let ask = |&page| (page, machine.shoot_down(page));
                    pages.iter().map(ask).collect()
                })
            })
            .collect();
        let poker = case.poke.map(|poke| {
            let machine = machine.clone();
            thread::spawn(move || machine.poke(poke))
        });

        let mut cpu = Cpu::new(&machine, case.entry, case.bug);

        for trip in 0..case.trips {
            cpu.leave();
            if trip == 0 {
                cpu.nmi_in = case.nmi_in;
            }
            cpu.enter();
            cpu.run();
        }
        if case.nmi_in.is_some() && cpu.nmi_in.is_none() {
            came.store(true, std::sync::atomic::Ordering::Relaxed);
        }
        cpu.nmi_in = None;
        let used = std::mem::take(&mut cpu.used);
        // Flushes may have come between the trips.
        let used = if case.trips == 1 {
            &used[..]
        } else {
            &used[used.len() - 1..]
        };
        let verdicts: Vec<_> = initiators
            .into_iter()
            .flat_map(|initiator| initiator.join().unwrap())
            .collect();

        for &(page, verdict) in &verdicts {
            if verdict == Verdict::Deferred {
                // The initiator went on, and the address may be in use again.
                assert!(
                    used.iter().all(|(entries, _)| entries[page] == NEW),
                    "stale translation after a deferred flush"
                );
            }
        }
        let poked = poker.map(|poker| poker.join().unwrap());

        if poked == Some(Verdict::Deferred) {
            assert!(
                used.iter().all(|&(_, executed)| executed == NEW),
                "old text after a poke that was deferred"
            );
        }
        // The others send their IPI and wait: after that, nothing may be stale. It ends by IRET.
        cpu.catch_up();
        cpu.serialize();
        for (page, _) in verdicts {
            assert_eq!(cpu.entries[page], NEW, "the IPI left a stale translation");
        }
        assert!(
            poked.is_none() || cpu.fetched == NEW,
            "the IPI left old text"
        );
    });
    seen.load(std::sync::atomic::Ordering::Relaxed)
}

/// Text is changed, and nothing is flushed.
const TEXT_ONLY: Case = Case {
    initiators: &[],
    poke: Some(Poke::Once),
    ..Case::ONE
};

fn c_text() {
    run(TEXT_ONLY);
}

fn c_text_twice() {
    run(Case {
        poke: Some(Poke::Twice),
        ..TEXT_ONLY
    });
}

/// With an NMI at each place where one can come.
fn run_with_nmi(case: Case) {
    let places = (0..)
        .take_while(|&places| {
            run(Case {
                nmi_in: Some(places),
                ..case
            })
        })
        .count();

    assert!(places > 0, "no NMI came");
}

fn c_one_flush() {
    run(Case::ONE);
}

fn c_two_flushes() {
    run(Case::TWO);
}

/// The third generation takes the slot of the first.
fn c_three_flushes() {
    assert_eq!(SLOTS, 2);
    run(Case {
        initiators: &[&[0, 1, 2]],
        ceiling: 3,
        ..Case::ONE
    });
}

fn pti_one_flush() {
    run(Case {
        entry: Entry::Pti,
        ..Case::ONE
    });
}

fn pti_two_flushes() {
    run(Case {
        entry: Entry::Pti,
        ..Case::TWO
    });
}

/// The word still has the work of the first trip on the way out.
fn c_two_trips() {
    run(Case {
        trips: 2,
        ..Case::TWO
    });
}

fn pti_two_trips() {
    run(Case {
        entry: Entry::Pti,
        trips: 2,
        ..Case::TWO
    });
}

/// The hooks are patched out, and the module goes, while a CPU is away and another flushes.
fn disarm(entry: Entry, bug: Bug) {
    builder().check(move || {
        let machine = Machine::new(1);
        let initiator = {
            let machine = machine.clone();
            thread::spawn(move || machine.shoot_down(0))
        };
        let disarmer = {
            let machine = machine.clone();
            thread::spawn(move || machine.disarm())
        };
        let mut cpu = Cpu::new(&machine, entry, bug);

        cpu.found();
        cpu.interrupts();
        cpu.leave_if_wanted();
        cpu.enter();
        cpu.interrupts();
        cpu.run();
        let verdict = initiator.join().unwrap();
        if verdict == Verdict::Deferred {
            assert_eq!(
                cpu.used[0].0[0], NEW,
                "stale translation after a deferred flush"
            );
        }
        disarmer.join().unwrap();
        cpu.interrupts();
        // That of the initiator; `synchronize_rcu()` waits for it.
        if verdict == Verdict::Ipi {
            cpu.catch_up();
        }
        assert_eq!(cpu.entries[0], NEW, "the IPI left a stale translation");
        // From here on there is no engine to catch up with.
        for _ in 0..2 {
            assert_eq!(cpu.state(), 0, "a promise that nobody keeps");
            cpu.leave_if_wanted();
        }
    });
}

/// A slot of the log is overwritten while it is read.
fn overwritten_while_read() {
    const FIRST: u64 = 1;
    const SECOND: u64 = FIRST + SLOTS as u64;

    // Both numbers differ.
    fn range(gen: u64) -> PageRange {
        cases::pages(8 * gen as u32, gen as u16).unwrap()
    }

    builder().check(|| {
        let log = Arc::new(Log::new());
        // It comes second: of the accesses to an object, loom remembers the last one only, and
        // writers begin with a load.
        let reader = {
            let log = log.clone();
            thread::spawn(move || [FIRST, SECOND].map(|gen| (gen, log.read(gen))))
        };

        for gen in [FIRST, SECOND] {
            log.publish(gen, range(gen));
        }
        for (gen, found) in reader.join().unwrap() {
            if let Some(found) = found {
                assert_eq!(found, range(gen), "a range of no generation");
            }
        }
    });
}
