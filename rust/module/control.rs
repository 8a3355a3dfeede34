// SPDX-License-Identifier: GPL-2.0

//! The policy that is in force, and `/sys/kernel/debug/deferred_flush`.

use crate::hooks::Registration;
use crate::protocol::policy::Policy;
use crate::settings::Settings;
use crate::stats;
use kernel::debugfs::{Dir, File};
use kernel::prelude::*;
use kernel::sync::Mutex;
use kernel::uaccess::UserSliceReader;
use kernel::{fmt, new_mutex};

/// The hooks, and by which policy CPUs promise there.
struct Control {
    registration: Registration,
    /// `None`: by none, the hooks are armed all the same (`debug=2`).
    policy: Option<Policy>,
}

impl Control {
    /// Registers, and has CPUs promise as `settings` say.
    fn new(settings: &Settings) -> Result<Self> {
        let mut this = Self {
            registration: Registration::new(settings)?,
            policy: None,
        };

        match settings.policy() {
            Some(policy) => this.set(policy)?,
            None => this.registration.arm()?,
        }
        Ok(this)
    }

    /// See [`Registration::apply`]: `off` if that fails.
    fn set(&mut self, policy: Policy) -> Result {
        if self.policy == Some(policy) {
            return Ok(());
        }
        self.policy = Some(Policy::Off);
        self.registration.apply(policy)?;
        self.policy = Some(policy);
        Ok(())
    }
}

/// The debugfs files. When this is dropped they are gone, and then the registration.
#[pin_data]
pub(crate) struct Files {
    _dir: Dir,
    #[pin]
    policy: File<Mutex<Control>>,
    #[pin]
    stats: File<()>,
}

impl Files {
    /// Registers, and creates `policy` (read and write) and `stats` (read only).
    ///
    /// `EBUSY`: another module is registered, or a breakpoint sits on an entry hook. `EOPNOTSUPP`: not
    /// on this machine. `ENOSPC`: not with this kernel.
    pub(crate) fn new(settings: &Settings) -> Result<Pin<KBox<Self>>> {
        let control = Control::new(settings)?;
        let dir = Dir::new(c"deferred_flush");

        KBox::try_pin_init(
            try_pin_init!(Self {
                policy <- dir.read_write_callback_file(
                    c"policy",
                    new_mutex!(control),
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

fn show_policy(control: &Mutex<Control>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let now = control.lock().policy;

    for policy in Policy::ALL {
        let (open, close) = if now == Some(policy) {
            ("[", "]")
        } else {
            ("", "")
        };
        write!(f, "{open}{}{close} ", policy.name())?;
    }
    writeln!(f)
}

/// `EINVAL`: not the name of a policy, the old one stays. Else see [`Control::set`].
fn store_policy(control: &Mutex<Control>, reader: &mut UserSliceReader) -> Result {
    let mut buf = [0u8; 16];
    let len = reader.len();
    let buf = buf.get_mut(..len).ok_or(EINVAL)?;

    reader.read_slice(buf)?;
    let policy = core::str::from_utf8(buf)
        .ok()
        .and_then(Policy::from_name)
        .ok_or(EINVAL)?;

    control.lock().set(policy)
}
