// SPDX-License-Identifier: GPL-2.0

//! Module parameters, and `/sys/kernel/debug/deferred_flush`.

use crate::protocol::policy::Policy;
use crate::{hooks, mutants, stats};
use kernel::debugfs::{Dir, File};
use kernel::prelude::*;
use kernel::sync::Mutex;
use kernel::uaccess::UserSliceReader;
use kernel::{fmt, new_mutex};

/// Largest ceiling, in pages: beyond it a full flush is faster on any machine.
const MAX_CEILING: u32 = 4096;
/// Largest credit: more is `always`.
const MAX_CREDIT: u32 = 1_000_000;

/// The checked module parameters.
pub(crate) struct Settings {
    pub(crate) policy: Policy,
    pub(crate) ceiling: u32,
    pub(crate) user_ceiling: u32,
    pub(crate) wait_ceiling: u32,
    pub(crate) credit: u32,
    /// A deliberate bug, see `mutants.rs`.
    pub(crate) debug: u32,
}

impl Settings {
    /// `EINVAL` and one line in the log if one of them is out of range.
    pub(crate) fn new(policy: u32, ceilings: [u32; 3], credit: u32, debug: u32) -> Result<Self> {
        let Some(policy) = Policy::from_number(policy) else {
            pr_err!(
                "policy={}: must be 0 (off), 1 (always) or 2 (adaptive)\n",
                policy
            );
            return Err(EINVAL);
        };
        for (name, ceiling) in ["ceiling", "user_ceiling", "wait_ceiling"]
            .iter()
            .zip(ceilings)
        {
            if ceiling > MAX_CEILING {
                pr_err!("{}={}: must be 0 to {} pages\n", name, ceiling, MAX_CEILING);
                return Err(EINVAL);
            }
        }
        let [ceiling, user_ceiling, wait_ceiling] = ceilings;

        if credit > MAX_CREDIT {
            pr_err!("credit={}: must be 0 to {}\n", credit, MAX_CREDIT);
            return Err(EINVAL);
        }
        if debug > mutants::LAST {
            pr_err!("debug={}: must be 0 to {}\n", debug, mutants::LAST);
            return Err(EINVAL);
        }
        if debug != 0 && !cfg!(deferred_flush_debug) {
            pr_err!("debug={}: this module was built without DEBUG=1\n", debug);
            return Err(EINVAL);
        }
        if debug != 0 && debug != mutants::NO_PROMISE {
            pr_warn!("debug={}: kernel memory may be corrupted\n", debug);
        }
        Ok(Self {
            policy,
            ceiling,
            user_ceiling,
            wait_ceiling,
            credit,
            debug,
        })
    }
}

/// The debugfs files. They are gone when this is dropped.
#[pin_data]
pub(crate) struct Files {
    _dir: Dir,
    #[pin]
    policy: File<Mutex<Policy>>,
    #[pin]
    stats: File<()>,
}

impl Files {
    /// Creates `policy` (read and write) and `stats` (read only).
    pub(crate) fn new(policy: Policy) -> Result<Pin<KBox<Self>>> {
        let dir = Dir::new(c"deferred_flush");

        KBox::try_pin_init(
            try_pin_init!(Self {
                policy <- dir.read_write_callback_file(
                    c"policy",
                    new_mutex!(policy),
                    &show_policy,
                    &store_policy,
                ),
                stats <- dir.read_callback_file(c"stats", (), &stats::show),
                _dir: dir.clone(),
            }),
            GFP_KERNEL,
        )
    }
}

fn show_policy(policy: &Mutex<Policy>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let now = *policy.lock();

    for policy in Policy::ALL {
        let (open, close) = if policy == now { ("[", "]") } else { ("", "") };
        write!(f, "{open}{}{close} ", policy.name())?;
    }
    writeln!(f)
}

/// `EINVAL`: not the name of a policy, the old one stays. Else see [`hooks::apply`].
fn store_policy(policy: &Mutex<Policy>, reader: &mut UserSliceReader) -> Result {
    let mut buf = [0u8; 16];
    let len = reader.len();
    let buf = buf.get_mut(..len).ok_or(EINVAL)?;

    reader.read_slice(buf)?;
    let new = core::str::from_utf8(buf)
        .ok()
        .and_then(Policy::from_name)
        .ok_or(EINVAL)?;

    let mut now = policy.lock();

    if new == *now {
        return Ok(());
    }
    let result = hooks::apply(new);
    *now = if result.is_ok() { new } else { Policy::Off };
    result
}
