// SPDX-License-Identifier: GPL-2.0

//! KUnit: what is the module's own, and what can only be tried in a kernel. The engine has tests
//! where it is.

use kernel::prelude::kunit_tests;

#[kunit_tests(deferred_flush_module)]
mod tests {
    use crate::ffi::shim;
    use crate::mutants;
    use crate::percpu::possible_cpus;
    use crate::protocol::policy::Policy;
    use crate::settings::{Bounds, Parameters, Settings, CEILING, CREDIT, DEBUG, POLICY};
    use kernel::prelude::*;

    const DEFAULTS: Parameters = Parameters {
        policy: POLICY.default,
        credit: CREDIT.default,
        ceiling: CEILING.default,
        user_ceiling: CEILING.default,
        wait_ceiling: CEILING.default,
        debug: DEBUG.default,
    };

    fn refuses(given: &Parameters) -> bool {
        matches!(Settings::new(given), Err(EINVAL))
    }

    #[test]
    fn the_entry_code_meets_no_data_breakpoint() {
        for cpu in possible_cpus() {
            // SAFETY: The CPU is possible.
            let error = unsafe { shim::deferred_flush_kunit_breakpoint(cpu.number()) };

            assert_eq!(error, EINVAL.to_errno());
        }
    }

    #[test]
    fn policies_have_names() {
        assert!(Policy::from_name("always\n") == Some(Policy::Always));
        assert!(Policy::from_name("adaptive") == Some(Policy::Adaptive));
        assert!(Policy::from_name("sometimes").is_none());
    }

    #[test]
    fn the_numbers_of_policies_are_those_of_the_parameter() {
        for number in 0..=POLICY.max {
            assert!(Policy::from_number(number).is_some());
        }
        assert!(Policy::from_number(POLICY.max + 1).is_none());
    }

    #[test]
    fn settings_are_those_that_were_given() -> Result<(), Error> {
        let settings = Settings::new(&Parameters {
            policy: 1,
            credit: 2,
            ceiling: 3,
            user_ceiling: 4,
            wait_ceiling: CEILING.max,
            debug: 0,
        })?;

        assert!(settings.policy() == Some(Policy::Always));
        assert_eq!(settings.credit(), 2);
        assert_eq!(settings.ceiling(), 3);
        assert_eq!(settings.user_ceiling(), 4);
        assert_eq!(settings.wait_ceiling(), u64::from(CEILING.max));
        assert_eq!(settings.debug(), 0);
        Ok(())
    }

    #[test]
    fn settings_are_within_their_limits() {
        assert!(Settings::new(&DEFAULTS).is_ok());
        assert!(refuses(&Parameters {
            policy: POLICY.max + 1,
            ..DEFAULTS
        }));
        assert!(refuses(&Parameters {
            credit: CREDIT.max + 1,
            ..DEFAULTS
        }));
        assert!(refuses(&Parameters {
            ceiling: CEILING.max + 1,
            ..DEFAULTS
        }));
        assert!(refuses(&Parameters {
            user_ceiling: CEILING.max + 1,
            ..DEFAULTS
        }));
        assert!(refuses(&Parameters {
            wait_ceiling: CEILING.max + 1,
            ..DEFAULTS
        }));
        assert!(refuses(&Parameters {
            debug: DEBUG.max + 1,
            ..DEFAULTS
        }));
    }

    #[test]
    fn hooks_without_promises_need_a_debug_build() {
        let settings = Settings::new(&Parameters {
            debug: mutants::NO_PROMISE,
            ..DEFAULTS
        });

        if cfg!(deferred_flush_debug) {
            assert!(settings.is_ok_and(|settings| settings.policy().is_none()));
        } else {
            assert!(settings.is_err());
        }
    }

    #[test]
    fn descriptions_tell_the_limits() {
        let limits = Bounds {
            default: 0,
            max: 120,
        };

        assert!(limits.are_told_by("Some number (0 to 120, default 0)"));
        assert!(!limits.are_told_by("Some number (0 to 20, default 0)"));
        assert!(!limits.are_told_by("Some number (0 to 120, default 10)"));
        assert!(!limits.are_told_by(" to 120, default 0)"));
        assert!(!limits.are_told_by(""));
    }
}
