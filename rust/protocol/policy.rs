// SPDX-License-Identifier: GPL-2.0

//! When a CPU promises.

/// In `deferred_flush_cpu.promise`: on exit to user mode.
pub const PROMISE_USER: u8 = 1;
/// In idle.
pub const PROMISE_IDLE: u8 = 2;
/// The policy has to be asked about the former.
pub const PROMISE_ASK: u8 = 4;

/// When CPUs promise on their way to user mode. In idle they do with all but `Off`: waking up costs
/// more than any promise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Policy {
    /// Never. The hooks are patched out.
    Off,
    /// At every exit to user mode.
    Always,
    /// While it pays, see [`spend`].
    Adaptive,
}

impl Policy {
    /// All policies.
    pub const ALL: [Self; 3] = [Self::Off, Self::Always, Self::Adaptive];

    /// Its name in debugfs.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Always => "always",
            Self::Adaptive => "adaptive",
        }
    }

    /// The policy called `name`. Surrounding white space does not matter.
    pub fn from_name(name: &str) -> Option<Self> {
        let name = name.trim();

        Self::ALL.into_iter().find(|policy| policy.name() == name)
    }

    /// The policy with this number, as the module parameter `policy` has it.
    pub fn from_number(number: u32) -> Option<Self> {
        match number {
            0 => Some(Self::Off),
            1 => Some(Self::Always),
            2 => Some(Self::Adaptive),
            _ => None,
        }
    }

    /// What a CPU does to begin with: `PROMISE_*`. `isolated`: one that is not to be disturbed.
    pub const fn promise(self, isolated: bool) -> u8 {
        match self {
            Self::Off => 0,
            Self::Always => PROMISE_USER | PROMISE_IDLE,
            // One IPI is one too many there.
            Self::Adaptive if isolated => PROMISE_USER | PROMISE_IDLE,
            Self::Adaptive => PROMISE_IDLE | PROMISE_ASK,
        }
    }
}

/// Whether a CPU goes on to promise at its exits to user mode, and with which credit.
///
/// A CPU begins to promise, with a credit of `full`, when its tick finds it in user mode or a flush
/// interrupts it. Since then, or since a flush relied on a promise (`paid`), it may promise `full`
/// times in vain. So
///
/// - a CPU that stays in user mode promises all the time: its entries are ticks, and what flushes
///   bring;
/// - one that does system calls all the time promises `full` times per tick, and per flush.
#[inline(always)]
pub const fn spend(credit: u64, paid: bool, full: u64) -> Option<u64> {
    let credit = if paid { full } else { credit };

    if credit == 0 {
        None
    } else {
        Some(credit.wrapping_sub(1))
    }
}

#[cfg(test)]
mod tests {
    use super::super::cases;
    use super::*;

    #[test]
    fn names_and_numbers_are_those_of_the_documentation() {
        for &(name, policy) in cases::NAMES {
            assert_eq!(Policy::from_name(name), policy);
        }
        for &(number, policy) in cases::NUMBERS {
            assert_eq!(Policy::from_number(number), policy);
        }
    }

    #[test]
    fn a_promise_in_vain_costs_one() {
        for case in cases::SPENT {
            assert_eq!(spend(case.credit, case.paid, case.full), case.left);
        }
    }

    #[test]
    fn only_off_promises_nothing() {
        for isolated in [false, true] {
            assert_eq!(Policy::Off.promise(isolated), 0);
            for policy in [Policy::Always, Policy::Adaptive] {
                assert_ne!(policy.promise(isolated) & PROMISE_IDLE, 0);
            }
        }
        assert_eq!(Policy::Always.promise(false) & PROMISE_ASK, 0);
        assert_ne!(Policy::Adaptive.promise(true) & PROMISE_USER, 0);
        assert_eq!(Policy::Adaptive.promise(false) & PROMISE_USER, 0);
    }

    /// Promises made in `exits` exits, of which those in `paid` found work.
    fn promises(mut credit: u64, full: u64, exits: u64, paid: impl Fn(u64) -> bool) -> u64 {
        for exit in 0..exits {
            match spend(credit, paid(exit), full) {
                Some(left) => credit = left,
                // It stops, and is not asked any more.
                None => return exit,
            }
        }
        exits
    }

    #[test]
    fn promises_in_vain_are_bounded() {
        assert_eq!(promises(8, 8, 1000, |_| false), 8);
        // Paid once, at the fifth exit.
        assert_eq!(promises(8, 8, 1000, |exit| exit == 5), 13);
    }

    #[test]
    fn promises_that_pay_go_on() {
        assert_eq!(promises(8, 8, 1000, |exit| exit % 8 == 0), 1000);
        assert_eq!(promises(1, 1, 1000, |_| true), 1000);
    }

    #[test]
    fn no_credit_is_no_promise() {
        assert_eq!(promises(0, 0, 1000, |_| true), 0);
    }
}
