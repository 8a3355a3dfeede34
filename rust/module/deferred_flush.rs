// SPDX-License-Identifier: GPL-2.0

//! Deferred kernel TLB flushes.
//!
//! A CPU in user mode or idle that has promised to catch up is not interrupted for `vfree()` and its
//! relatives; it flushes when it next enters the kernel. With PTI, flushes of the user PCID wait for
//! the exit to user mode. See `Documentation/design.rst`.

use kernel::prelude::*;

mod asid;
mod control;
mod ffi;
mod hooks;
mod kunit;
#[allow(dead_code)]
#[path = "../entry/mutants.rs"]
mod mutants;
#[allow(dead_code)]
#[path = "../entry/percpu.rs"]
mod percpu;
#[allow(dead_code, unreachable_pub)]
#[path = "../protocol/mod.rs"]
mod protocol;
mod stats;

module! {
    type: DeferredFlush,
    name: "deferred_flush",
    authors: ["Deferred Flush Developers"],
    description: "Deferred kernel TLB flushes for CPUs in user mode",
    license: "GPL",
    params: {
        policy: u32 {
            default: 2,
            description: "When CPUs promise on exit to user mode: 0 off, 1 always, 2 adaptive (default)",
        },
        credit: u32 {
            default: 8,
            description: "Adaptive: promises in vain before a CPU stops to promise (0 to 1000000, default 8)",
        },
        ceiling: u32 {
            default: 33,
            description: "Flush everything above this many pages (0 to 4096, default 33)",
        },
        user_ceiling: u32 {
            default: 33,
            description: "With PTI, flush user pages one by one on exit to user mode, up to this many (0 to 4096, default 33)",
        },
        wait_ceiling: u32 {
            default: 33,
            description: "With PTI, CPUs that wait for others flush up to this many user pages at once (0 to 4096, default 33)",
        },
        debug: u32 {
            default: 0,
            description: "For tests, needs a DEBUG=1 build: 2 arms the hooks but no CPU promises, others are bugs (0 to 9, default 0)",
        },
    },
}

/// The module: everything is in its fields, and in the order in which they are dropped.
struct DeferredFlush {
    // First: no file may change the policy of something that is being unregistered.
    _debugfs: Pin<KBox<control::Files>>,
    _hooks: hooks::Registration,
}

impl kernel::Module for DeferredFlush {
    fn init(_module: &'static ThisModule) -> Result<Self> {
        let settings = control::Settings::new(
            module_parameters::policy.value(),
            [
                module_parameters::ceiling.value(),
                module_parameters::user_ceiling.value(),
                module_parameters::wait_ceiling.value(),
            ],
            module_parameters::credit.value(),
            module_parameters::debug.value(),
        )?;
        let hooks = hooks::Registration::new(&settings)?;
        let debugfs = control::Files::new(settings.policy)?;

        pr_info!("registered, policy {}\n", settings.policy.name());
        Ok(Self {
            _debugfs: debugfs,
            _hooks: hooks,
        })
    }
}

impl Drop for DeferredFlush {
    fn drop(&mut self) {
        pr_info!("unregistering\n");
    }
}
