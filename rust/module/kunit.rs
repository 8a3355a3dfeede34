// SPDX-License-Identifier: GPL-2.0

//! KUnit: the engine as it is compiled into the module. `rust/host` has more, and runs without
//! a kernel. And what can only be tried in one.

use kernel::prelude::kunit_tests;

#[kunit_tests(deferred_flush_core)]
mod tests {
    use crate::protocol::engine::{Engine, Flushed, Tlb};
    use crate::protocol::log::{Log, SLOTS};
    use crate::protocol::policy::Policy;
    use crate::protocol::range::PageRange;
    use crate::protocol::user::{Flush, Limits, Pending, Range, Recorded, RANGES};
    use crate::protocol::word::{self, rely, Verdict, AWAY, GEN_SHIFT, WORK};
    use core::sync::atomic::{AtomicU64, Ordering};
    use kernel::prelude::*;

    extern "C" {
        fn deferred_flush_kunit_breakpoint(cpu: c_uint) -> c_int;
    }

    #[derive(Default)]
    struct Counter {
        one: u64,
        all: u64,
    }

    impl Tlb for Counter {
        fn flush_one(&mut self, _addr: u64) {
            self.one += 1;
        }
        fn flush_all(&mut self) {
            self.all += 1;
        }
    }

    #[test]
    fn only_a_promise_defers() {
        for (before, verdict, after) in [
            (0, Verdict::Ipi, 0),
            (AWAY, Verdict::Deferred, AWAY | WORK | (7 << GEN_SHIFT)),
            (
                WORK | (6 << GEN_SHIFT),
                Verdict::Ipi,
                WORK | (6 << GEN_SHIFT),
            ),
        ] {
            let word = AtomicU64::new(before);

            assert!(rely(&word, 7) == verdict);
            assert_eq!(word.load(Ordering::Relaxed), after);
        }
    }

    #[test]
    fn work_without_a_promise_means_flushed() {
        assert!(!word::is_flushed(0));
        assert!(!word::is_flushed(AWAY));
        assert!(!word::is_flushed(AWAY | WORK | (3 << GEN_SHIFT)));
        assert!(word::is_flushed(WORK | (3 << GEN_SHIFT)));
        assert_eq!(word::generation(WORK | (3 << GEN_SHIFT)), 3);
    }

    #[test]
    fn a_range_is_every_page_it_touches() {
        assert_eq!(PageRange::new(0x1fff, 0x2001).pages(), 2);
        assert_eq!(PageRange::new(0x1000, 0x1000).pages(), 1);
    }

    #[test]
    fn overwritten_generations_are_not_read() -> Result<(), Error> {
        let log = KBox::new(Log::new(), GFP_KERNEL)?;

        log.publish(1, 0x1000, 0x3000);
        assert_eq!(log.read(1).map_or(0, |range| range.pages()), 2);
        log.publish(1 + SLOTS as u64, 0x5000, 0x6000);
        assert!(log.read(1).is_none());
        Ok(())
    }

    #[test]
    fn catching_up_flushes_pages_or_everything() -> Result<(), Error> {
        let engine = KBox::new(Engine::new(33), GFP_KERNEL)?;
        let mut tlb = Counter::default();

        assert_eq!(engine.begin(0x1000, 0x3000).into_generation(), 1);
        assert!(engine.flush(0, 1, &mut tlb) == Flushed::Pages(2));
        assert_eq!(engine.begin(0, 34 << 12).into_generation(), 2);
        assert!(engine.flush(1, 2, &mut tlb) == Flushed::All);
        assert!(engine.flush(2, 2, &mut tlb) == Flushed::Pages(0));
        assert_eq!(tlb.one, 2);
        assert_eq!(tlb.all, 1);
        Ok(())
    }

    #[test]
    fn user_flushes_wait_as_ranges_or_in_full() {
        let limits = Limits {
            ceiling: 33,
            wait: 2,
        };
        let flush = |pages: u64, fresh| Flush {
            range: Range::new(0x1000, 0x1000 + (pages << 12), 12),
            fresh,
            tables: false,
            waits: false,
        };
        let mut ranges = [Range::UNUSED; RANGES];
        let mut pending = Pending::new(0, &mut ranges);

        assert!(pending.record(flush(2, true), limits) == Recorded::Ranges);
        assert!(pending.record(flush(3, false), limits) == Recorded::Ranges);
        assert_eq!(pending.ranges().len(), 1);
        assert_eq!(pending.ranges().first().map_or(0, |range| range.count()), 3);

        let waits = Flush {
            waits: true,
            ..flush(2, false)
        };

        assert!(pending.record(waits, limits) == Recorded::Now);
        assert!(pending.record(flush(34, false), limits) == Recorded::Full);
        assert!(pending.record(waits, limits) == Recorded::Full);
        assert!(pending.ranges().is_empty());

        let tables = Flush {
            tables: true,
            ..flush(1, true)
        };

        assert!(pending.record(tables, limits) == Recorded::Full);
    }

    #[test]
    fn the_entry_code_meets_no_data_breakpoint() {
        // SAFETY: CPU 0 is possible.
        let error = unsafe { deferred_flush_kunit_breakpoint(0) };

        assert_eq!(error, EINVAL.to_errno());
    }

    #[test]
    fn policies_have_names() {
        assert!(Policy::from_name("always\n") == Some(Policy::Always));
        assert!(Policy::from_name("adaptive") == Some(Policy::Adaptive));
        assert!(Policy::from_name("sometimes").is_none());
    }
}
