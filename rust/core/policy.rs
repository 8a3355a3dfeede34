// SPDX-License-Identifier: GPL-2.0

//! When a CPU promises.

/// When CPUs promise on their way to user mode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Policy {
    /// Never. The hooks are patched out.
    Off,
    /// At every exit to user mode.
    Always,
    // `Adaptive` (where it pays, per CPU) is to come. It needs a rule that is evaluated in
    // `deferred_flush_go_away()`'s callers and sets `deferred_flush_cpu.promise` per CPU.
}

impl Policy {
    /// All policies.
    pub const ALL: [Self; 2] = [Self::Off, Self::Always];

    /// Its name in debugfs.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Always => "always",
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
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers_are_those_of_the_documentation() {
        assert_eq!(Policy::from_name("off"), Some(Policy::Off));
        assert_eq!(Policy::from_name("always\n"), Some(Policy::Always));
        assert_eq!(Policy::from_name("Always"), None);
        assert_eq!(Policy::from_name(""), None);
        assert_eq!(Policy::from_number(0), Some(Policy::Off));
        assert_eq!(Policy::from_number(1), Some(Policy::Always));
        assert_eq!(Policy::from_number(2), None);
    }
}
