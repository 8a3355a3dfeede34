// SPDX-License-Identifier: GPL-2.0

//! The module parameters: their defaults, limits, and what they say of these.

use crate::mutants;
use crate::protocol::policy::Policy;
use crate::protocol::range::MAX_PAGES;
use kernel::prelude::*;

/// A default, and the largest number that is accepted. The smallest is 0.
pub(crate) struct Bounds {
    pub(crate) default: u32,
    pub(crate) max: u32,
}

/// Number of the policy.
pub(crate) const POLICY: Bounds = Bounds {
    default: 2,
    max: Policy::ALL.len() as u32 - 1,
};
/// Pages. As `tlb_single_page_flush_ceiling` of `arch/x86/mm/tlb.c`.
pub(crate) const CEILING: Bounds = Bounds {
    default: 33,
    max: MAX_PAGES as u32,
};
/// Promises in vain. More are `always`.
pub(crate) const CREDIT: Bounds = Bounds {
    default: 8,
    max: 1_000_000,
};
/// Number of a deliberate bug, see `mutants.rs`.
pub(crate) const DEBUG: Bounds = Bounds {
    default: 0,
    max: mutants::LAST,
};

impl Bounds {
    /// Whether `description`, of a parameter, ends with these numbers.
    pub(crate) const fn are_told_by(&self, description: &str) -> bool {
        let Some(rest) = without(description.as_bytes(), b")") else {
            return false;
        };
        let Some(rest) = without_number(rest, self.default) else {
            return false;
        };
        let Some(rest) = without(rest, b", default ") else {
            return false;
        };
        let Some(rest) = without_number(rest, self.max) else {
            return false;
        };

        without(rest, b"(0 to ").is_some()
    }

    /// `EINVAL` and one line in the log if there is more of it.
    fn check(&self, name: &str, value: u32, unit: &str) -> Result<u32> {
        if value > self.max {
            pr_err!("{}={}: must be 0 to {}{}\n", name, value, self.max, unit);
            return Err(EINVAL);
        }
        Ok(value)
    }
}

/// `text`, but for what it ends with. `None`: it does not.
const fn without<'a>(text: &'a [u8], end: &[u8]) -> Option<&'a [u8]> {
    let Some(at) = text.len().checked_sub(end.len()) else {
        return None;
    };
    let (rest, mut last) = text.split_at(at);
    let mut end = end;

    while let ([one, last_rest @ ..], [other, end_rest @ ..]) = (last, end) {
        if *one != *other {
            return None;
        }
        (last, end) = (last_rest, end_rest);
    }
    Some(rest)
}

/// The same, for a number.
const fn without_number(text: &[u8], mut number: u32) -> Option<&[u8]> {
    let mut text = text;

    loop {
        let Some(rest) = without(text, &[b'0' + (number % 10) as u8]) else {
            return None;
        };
        number /= 10;
        if number == 0 {
            return Some(rest);
        }
        text = rest;
    }
}

/// The module parameters as they were given.
pub(crate) struct Parameters {
    pub(crate) policy: u32,
    pub(crate) credit: u32,
    pub(crate) ceiling: u32,
    pub(crate) user_ceiling: u32,
    pub(crate) wait_ceiling: u32,
    pub(crate) debug: u32,
}

/// What they ask for.
///
/// # Invariants
///
/// Each number is within its limits; `debug` is 0 in a module that was built without DEBUG=1.
pub(crate) struct Settings {
    policy: Option<Policy>,
    credit: u32,
    ceiling: u32,
    user_ceiling: u32,
    wait_ceiling: u32,
    debug: u32,
}

impl Settings {
    /// `EINVAL` and one line in the log if one of them is out of range.
    pub(crate) fn new(given: &Parameters) -> Result<Self> {
        let Some(policy) = Policy::from_number(given.policy) else {
            pr_err!(
                "policy={}: must be 0 (off), 1 (always) or 2 (adaptive)\n",
                given.policy
            );
            return Err(EINVAL);
        };
        let debug = DEBUG.check("debug", given.debug, "")?;

        if debug != 0 && !cfg!(deferred_flush_debug) {
            pr_err!("debug={}: this module was built without DEBUG=1\n", debug);
            return Err(EINVAL);
        }
        if debug != 0 && debug != mutants::NO_PROMISE {
            pr_warn!("debug={}: kernel memory may be corrupted\n", debug);
        }
        // INVARIANT: All are checked, here or above.
        Ok(Self {
            policy: (debug != mutants::NO_PROMISE).then_some(policy),
            credit: CREDIT.check("credit", given.credit, "")?,
            ceiling: CEILING.check("ceiling", given.ceiling, " pages")?,
            user_ceiling: CEILING.check("user_ceiling", given.user_ceiling, " pages")?,
            wait_ceiling: CEILING.check("wait_ceiling", given.wait_ceiling, " pages")?,
            debug,
        })
    }

    /// When CPUs promise at first. `None`: never, although the hooks are to be armed (`debug=2`).
    pub(crate) fn policy(&self) -> Option<Policy> {
        self.policy
    }

    /// Promises in vain before a CPU stops to promise.
    pub(crate) fn credit(&self) -> u64 {
        self.credit.into()
    }

    /// Pages above which a catch-up flushes everything.
    pub(crate) fn ceiling(&self) -> u64 {
        self.ceiling.into()
    }

    /// Pages above which the exit to user mode does, ...
    pub(crate) fn user_ceiling(&self) -> u64 {
        self.user_ceiling.into()
    }

    /// ... and up to which an initiator that waits flushes at once.
    pub(crate) fn wait_ceiling(&self) -> u64 {
        self.wait_ceiling.into()
    }

    /// A deliberate bug, or 0.
    pub(crate) fn debug(&self) -> u32 {
        self.debug
    }
}
