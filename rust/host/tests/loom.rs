// SPDX-License-Identifier: GPL-2.0

//! The protocol in all executions with up to three preemptions, or `LOOM_MAX_PREEMPTIONS`, which is
//! 4 in `make check-all`. A switch to another thread counts if the last one could have gone on.
//!
//! One CPU promises and comes back, others begin shootdowns. Its TLB may fill at any time with
//! what a page walk may see at that time, also right behind a flush. The word, the engine, the log
//! and the catch-up are the files of `rust/protocol`; what is C or assembly is written down in
//! `loom/model.rs`.
//!
//! Each model has broken twins, which must fail: one with a [`Bug`] in what is C or assembly, or a
//! copy of `rust/protocol` with one change (`../twins.rs`).
//!
//! What is not here: which instructions serialize (`loom/machine.rs` says it of those that do),
//! IPIs as such (an initiator that gets [`Verdict::Ipi`] has its
//! flush done after all threads have ended), more than one NMI, NMIs while the hooks are patched
//! out, and CPUs that go offline.

#![cfg(loom)]

include!(concat!(env!("OUT_DIR"), "/tests.rs"));

use deferred_flush_core as code;
include!("loom/model.rs");

#[test]
fn entry_in_c() {
    c_one_flush();
}

#[test]
fn entry_in_c_two_initiators() {
    c_two_flushes();
}

#[test]
fn entry_in_c_three_generations() {
    c_three_flushes();
}

#[test]
fn entry_with_pti() {
    pti_one_flush();
}

#[test]
fn entry_with_pti_two_initiators() {
    pti_two_flushes();
}

#[test]
fn log_overwritten_while_read() {
    overwritten_while_read();
}

#[test]
fn two_trips_in_c() {
    c_two_trips();
}

#[test]
fn two_trips_with_pti() {
    pti_two_trips();
}

#[test]
fn nmi_in_c() {
    run_with_nmi(Case::ONE);
}

#[test]
fn nmi_with_pti() {
    run_with_nmi(Case {
        entry: Entry::Pti,
        ..Case::ONE
    });
}

#[test]
fn disarm_in_c() {
    disarm(Entry::C, Bug::None);
}

#[test]
fn disarm_with_pti() {
    disarm(Entry::Pti, Bug::None);
}

/// What it was about to write when `disarm()` wrote 0.
#[test]
#[should_panic(expected = "a promise that nobody keeps")]
fn broken_keeps_promise() {
    disarm(Entry::C, Bug::KeepsPromise);
}

#[test]
#[should_panic(expected = "stale translation after a deferred flush")]
fn broken_no_lock() {
    run(Case {
        entry: Entry::Pti,
        bug: Bug::NoLock,
        ..Case::ONE
    });
}

#[test]
#[should_panic(expected = "stale translation after a deferred flush")]
fn broken_not_closed() {
    run(Case {
        bug: Bug::NotClosed,
        ..Case::TWO
    });
}

#[test]
#[should_panic(expected = "stale translation after a deferred flush")]
fn broken_closed_late() {
    run(Case {
        bug: Bug::ClosedLate,
        ..Case::TWO
    });
}

#[test]
#[should_panic(expected = "stale translation after a deferred flush")]
fn broken_two_loads() {
    run(Case {
        bug: Bug::TwoLoads,
        ..Case::ONE
    });
}

#[test]
#[should_panic(expected = "stale translation after a deferred flush")]
fn broken_no_flush() {
    run(Case {
        bug: Bug::NoFlush,
        ..Case::ONE
    });
}

/// Right without NMIs.
#[test]
fn store_then_flush() {
    run(Case {
        bug: Bug::StoreThenFlush,
        ..Case::ONE
    });
}

#[test]
#[should_panic(expected = "stale translation after a deferred flush")]
fn broken_store_then_flush() {
    run_with_nmi(Case {
        bug: Bug::StoreThenFlush,
        ..Case::ONE
    });
}

#[test]
#[should_panic(expected = "stale translation after a deferred flush")]
fn broken_not_paranoid() {
    run_with_nmi(Case {
        entry: Entry::Pti,
        bug: Bug::NotParanoid,
        ..Case::ONE
    });
}

#[test]
fn text_of_a_module_in_c() {
    run(Case {
        poke: Some(Poke::Flush),
        ..Case::ONE
    });
}

#[test]
fn text_of_a_module_with_pti() {
    run(Case {
        entry: Entry::Pti,
        poke: Some(Poke::Flush),
        ..Case::ONE
    });
}

#[test]
fn text_in_c() {
    c_text();
}

/// The CR3 write behind the end of the promise serializes, so its LOCK is not for text.
#[test]
fn text_with_pti() {
    for bug in [Bug::None, Bug::NoLock] {
        run(Case {
            entry: Entry::Pti,
            bug,
            ..TEXT_ONLY
        });
    }
}

/// What flushes leave is as good as what a poke does, if the CPU has not begun to catch up.
#[test]
fn text_beside_a_flush_in_c() {
    run(Case {
        poke: Some(Poke::Once),
        ..Case::ONE
    });
}

#[test]
fn text_beside_a_flush_with_pti() {
    run(Case {
        entry: Entry::Pti,
        poke: Some(Poke::Once),
        ..Case::ONE
    });
}

#[test]
fn text_changed_twice_in_c() {
    c_text_twice();
}

#[test]
fn text_changed_twice_with_pti() {
    run(Case {
        entry: Entry::Pti,
        poke: Some(Poke::Twice),
        ..TEXT_ONLY
    });
}

#[test]
fn text_and_an_nmi_in_c() {
    run_with_nmi(TEXT_ONLY);
}

#[test]
fn text_and_an_nmi_with_pti() {
    run_with_nmi(Case {
        entry: Entry::Pti,
        ..TEXT_ONLY
    });
}

#[test]
#[should_panic(expected = "old text after a poke that was deferred")]
fn broken_text_no_barrier() {
    run(Case {
        poke: Some(Poke::NoBarrier),
        ..TEXT_ONLY
    });
}

#[test]
#[should_panic(expected = "old text after a poke that was deferred")]
fn broken_text_no_serialize() {
    run(Case {
        bug: Bug::NoSerialize,
        ..TEXT_ONLY
    });
}

#[test]
#[should_panic(expected = "old text after a poke that was deferred")]
fn broken_text_serializes_first() {
    run(Case {
        bug: Bug::SerializesFirst,
        poke: Some(Poke::Twice),
        ..TEXT_ONLY
    });
}

#[test]
#[should_panic(expected = "old text after a poke that was deferred")]
fn broken_text_untested() {
    run(Case {
        bug: Bug::NoText,
        ..TEXT_ONLY
    });
}
