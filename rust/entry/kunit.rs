// SPDX-License-Identifier: GPL-2.0

//! KUnit: the protocol as it is compiled for the entry code, with the flags of this object.
//!
//! The tables are those of the host's tests. None of this is in `.noinstr.text`.

use kernel::prelude::kunit_tests;

#[kunit_tests(deferred_flush_engine)]
mod tests {
    use crate::protocol::cases::{self, pages, Books};
    use crate::protocol::engine::{Engine, Flushed, Shootdown};
    use crate::protocol::log::{Log, SLOTS};
    use crate::protocol::policy;
    use crate::protocol::range::PageRange;
    use crate::protocol::word::{Promise, State, Verdict, AWAY};
    use kernel::prelude::*;

    #[test]
    fn the_word_means_what_the_header_says() {
        for case in cases::MEANINGS {
            assert_eq!(case.state.is_away(), case.away);
            assert_eq!(case.state.is_open(), case.open);
            assert_eq!(case.state.has_work(), case.work);
            assert_eq!(case.state.is_flushed(), case.flushed);
            assert_eq!(case.state.serializes(), case.serializes);
            assert_eq!(case.state.generation(), case.gen);
        }
    }

    #[test]
    fn only_a_promise_defers() {
        for case in cases::ASKED {
            let promise = Promise::new(case.before);
            // SAFETY: No CPU relies on it.
            let shootdown = unsafe { Shootdown::borrow_raw(cases::ASKED_FOR) };

            assert_eq!(shootdown.ask(&promise), case.verdict);
            assert_eq!(promise.state(), case.after);
        }
    }

    #[test]
    fn only_an_open_promise_is_good_for_text() {
        for case in cases::ASKED_FOR_TEXT {
            let promise = Promise::new(case.before);

            assert_eq!(promise.rely_for_text(), case.verdict);
            assert_eq!(promise.state(), case.after);
        }
    }

    #[test]
    fn a_range_is_every_page_it_touches() {
        for case in cases::TOUCHES {
            // SAFETY: These are canonical, and nobody flushes them.
            let range = unsafe { PageRange::new(case.start, case.end) };

            assert_eq!(range.map(|r| (r.start(), r.pages())), case.range);
        }
    }

    #[test]
    fn overwritten_generations_are_not_read() -> Result<(), Error> {
        let log = KBox::new(Log::new(), GFP_KERNEL)?;
        let (first, second) = pages(1, 2).zip(pages(5, 1)).ok_or(EINVAL)?;

        log.publish(1, first);
        assert_eq!(log.read(1), Some(first));
        log.publish(1 + SLOTS as u64, second);
        assert!(log.read(1).is_none());
        assert_eq!(log.read(1 + SLOTS as u64), Some(second));
        Ok(())
    }

    #[test]
    fn the_books_are_what_was_found_and_done() -> Result<(), Error> {
        for case in cases::CATCH_UPS {
            let engine = KBox::new(Engine::new(cases::CATCH_UP_CEILING), GFP_KERNEL)?;
            let mut books = case.before();

            for &count in cases::CATCH_UP_PAGES {
                engine.begin(pages(1, count)).into_raw();
            }
            engine.catch_up(case.state, &mut books);
            assert_eq!(books, case.after);
        }
        Ok(())
    }

    #[test]
    fn what_is_not_in_the_log_is_flushed_in_full() -> Result<(), Error> {
        let engine = KBox::new(Engine::new(u64::MAX), GFP_KERNEL)?;
        let mut books = Books::default();

        for _ in 0..=SLOTS {
            engine.begin(pages(1, 1)).into_raw();
        }
        assert_eq!(engine.flush(0, SLOTS as u64 + 1, &mut books), Flushed::All);
        assert_eq!(
            engine.flush(1, SLOTS as u64 + 1, &mut books),
            Flushed::Pages(SLOTS as u64)
        );
        engine.begin(None).into_raw();
        assert_eq!(
            engine.flush_pages(SLOTS as u64 + 1, SLOTS as u64 + 2, &mut books),
            None
        );
        Ok(())
    }

    #[test]
    fn a_shootdown_asks_for_its_own_generation() -> Result<(), Error> {
        let engine = KBox::new(Engine::new(33), GFP_KERNEL)?;
        let promise = Promise::new(State::new(AWAY));

        engine.begin(pages(1, 1)).into_raw();
        assert_eq!(engine.begin(pages(1, 1)).ask(&promise), Verdict::Deferred);
        assert_eq!(promise.state().generation(), 2);
        Ok(())
    }

    #[test]
    fn promises_in_vain_cost_credit() {
        for case in cases::SPENT {
            assert_eq!(policy::spend(case.credit, case.paid, case.full), case.left);
        }
    }
}
