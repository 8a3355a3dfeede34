// SPDX-License-Identifier: GPL-2.0

//! User flushes that were recorded, against a model: the set of addresses that had to be flushed.
#![cfg(not(loom))]

use deferred_flush_core::user::{self, Limits, Pending, Range, Recorded, RANGES};
use proptest::prelude::*;
use std::collections::BTreeSet;

#[derive(Clone, Debug)]
struct Flush {
    start: u64,
    count: u64,
    shift: u32,
    tables: bool,
    waits: bool,
}

impl Flush {
    fn record(&self, pending: &mut Pending, fresh: bool, limits: Limits) -> Recorded {
        let end = self.start + (self.count << self.shift);
        let flush = user::Flush {
            range: Range::new(self.start, end, self.shift),
            fresh,
            tables: self.tables,
            waits: self.waits,
        };

        pending.record(flush, limits)
    }

    fn addresses(&self) -> impl Iterator<Item = u64> + '_ {
        (0..self.count).map(|n| self.start + (n << self.shift))
    }
}

/// Flushes, and exits to user mode (`None`), which replay what is pending.
fn flushes() -> impl Strategy<Value = Vec<Option<Flush>>> {
    let near = (0..96u64, 1..12u64).prop_map(|(page, count)| (page << 12, count, 12));
    let far = (0..0x7fff_ffffu64, 1..40u64).prop_map(|(page, count)| (page << 12, count, 12));
    // Now and then not aligned to the huge page, as a caller may pass it.
    let huge = (0..6u64, 0..2u64, 1..4u64)
        .prop_map(|(huge, page, count)| ((huge << 21) + (page << 12), count, 21));
    let addresses = prop_oneof![4 => near, 2 => far, 2 => huge];
    let flush =
        (addresses, 0..20u32, 0..4u32).prop_map(|((start, count, shift), tables, waits)| {
            Some(Flush {
                start,
                count,
                shift,
                tables: tables == 0,
                waits: waits == 0,
            })
        });

    prop::collection::vec(prop_oneof![9 => flush, 1 => Just(None)], 1..24)
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 4_000,
        failure_persistence: None,
        ..Default::default()
    })]

    #[test]
    fn every_address_is_replayed_or_everything_is(
        flushes in flushes(), ceiling in 1..64u64, wait in 0..8u64,
    ) {
        let limits = Limits { ceiling, wait };
        let mut ranges = [Range::UNUSED; RANGES];
        let mut pending = Pending::new(0, &mut ranges);
        // The bit of the ASID, with which C says that something is pending.
        let mut bit = false;
        let mut full = false;
        let mut wanted = BTreeSet::new();

        for flush in flushes {
            let Some(flush) = flush else {
                bit = false;
                continue;
            };
            if !bit {
                wanted.clear();
                full = false;
            }
            let recorded = flush.record(&mut pending, !bit, limits);

            prop_assert!(!full || recorded == Recorded::Full, "a full flush was forgotten");
            if recorded == Recorded::Now {
                prop_assert!(flush.waits && !flush.tables && flush.count <= wait);
            } else {
                full = recorded == Recorded::Full;
                bit = true;
                wanted.extend(flush.addresses());
            }
            prop_assert!(full || !flush.tables);

            let replayed: Vec<u64> = pending.ranges().iter().flat_map(|r| r.addresses()).collect();

            prop_assert!(pending.ranges().len() <= RANGES);
            prop_assert!(replayed.len() as u64 <= ceiling);
            if full {
                prop_assert!(replayed.is_empty());
            } else {
                let replayed: BTreeSet<u64> = replayed.into_iter().collect();

                prop_assert!(
                    wanted.is_subset(&replayed),
                    "missing {:x?}", wanted.difference(&replayed)
                );
            }
        }
    }

    /// With places left, nothing is flushed that nobody asked for, and nothing twice.
    #[test]
    fn no_address_is_added_while_there_are_places(flushes in flushes()) {
        let mut ranges = [Range::UNUSED; RANGES];
        let mut pending = Pending::new(0, &mut ranges);
        let mut wanted = BTreeSet::new();

        let limits = Limits { ceiling: 1000, wait: 0 };

        for flush in flushes.into_iter().flatten().take(RANGES) {
            let flush = Flush { tables: false, ..flush };

            prop_assert_eq!(
                flush.record(&mut pending, wanted.is_empty(), limits),
                Recorded::Ranges
            );
            wanted.extend(flush.addresses());
        }
        let replayed: BTreeSet<u64> =
            pending.ranges().iter().flat_map(|r| r.addresses()).collect();

        prop_assert_eq!(wanted, replayed);
    }
}
