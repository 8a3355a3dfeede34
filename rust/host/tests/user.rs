// SPDX-License-Identifier: GPL-2.0

//! User flushes that were recorded, against a model: the set of addresses that had to be flushed.
#![cfg(not(loom))]

use deferred_flush_core::user::{Pending, Range, Recorded, RANGES};
use proptest::prelude::*;
use std::collections::BTreeSet;

#[derive(Clone, Debug)]
struct Flush {
    start: u64,
    count: u64,
    shift: u32,
}

/// Flushes, and exits to user mode (`None`), which replay what is pending.
fn flushes() -> impl Strategy<Value = Vec<Option<Flush>>> {
    let near = (0..96u64, 1..12u64).prop_map(|(page, count)| (page << 12, count, 12));
    let far = (0..0x7fff_ffffu64, 1..40u64).prop_map(|(page, count)| (page << 12, count, 12));
    // Now and then not aligned to the huge page, as a caller may pass it.
    let huge = (0..6u64, 0..2u64, 1..4u64)
        .prop_map(|(huge, page, count)| ((huge << 21) + (page << 12), count, 21));
    let flush = prop_oneof![4 => near, 2 => far, 2 => huge].prop_map(|(start, count, shift)| {
        Some(Flush {
            start,
            count,
            shift,
        })
    });

    prop::collection::vec(prop_oneof![9 => flush, 1 => Just(None)], 1..24)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4_000, failure_persistence: None, ..Default::default() })]

    #[test]
    fn every_address_is_replayed_or_everything_is(flushes in flushes(), ceiling in 1..64u64) {
        let mut pending = Pending::new();
        let mut fresh = true;
        let mut full = false;
        let mut wanted = BTreeSet::new();

        for flush in flushes {
            let Some(Flush { start, count, shift }) = flush else {
                fresh = true;
                continue;
            };
            if fresh {
                wanted.clear();
                full = false;
            }
            let range = Range::new(start, start + (count << shift), shift).unwrap();
            let recorded = pending.record(range, fresh, ceiling);

            prop_assert!(!full || recorded == Recorded::Full, "a full flush was forgotten");
            full = recorded == Recorded::Full;
            fresh = false;
            wanted.extend((0..count).map(|n| start + (n << shift)));

            let replayed: Vec<u64> = pending.ranges().iter().flat_map(|r| r.addresses()).collect();

            prop_assert!(pending.ranges().len() <= RANGES);
            prop_assert!(replayed.len() as u64 <= ceiling);
            if full {
                prop_assert!(replayed.is_empty());
            } else {
                let replayed: BTreeSet<u64> = replayed.into_iter().collect();

                prop_assert!(wanted.is_subset(&replayed), "missing {:x?}", wanted.difference(&replayed));
            }
        }
    }

    /// With places left, nothing is flushed that nobody asked for, and nothing twice.
    #[test]
    fn no_address_is_added_while_there_are_places(flushes in flushes()) {
        let mut pending = Pending::new();
        let mut wanted = BTreeSet::new();

        for Flush { start, count, shift } in flushes.into_iter().flatten().take(RANGES) {
            let range = Range::new(start, start + (count << shift), shift).unwrap();
            let fresh = wanted.is_empty();

            prop_assert_eq!(pending.record(range, fresh, 1000), Recorded::Ranges);
            wanted.extend((0..count).map(|n| start + (n << shift)));
        }
        let replayed: BTreeSet<u64> =
            pending.ranges().iter().flat_map(|r| r.addresses()).collect();

        prop_assert_eq!(wanted, replayed);
    }
}
