// SPDX-License-Identifier: GPL-2.0

//! Deferred kernel TLB flushes.
//!
//! A CPU in user mode or idle that has promised to catch up is not interrupted for `vfree()` and
//! its relatives; it flushes when it next enters the kernel. With PTI, flushes of the user PCID
//! wait for the exit to user mode. See `Documentation/design.rst`.

use kernel::prelude::*;
use protocol::policy::Policy;

mod control;
mod ffi;
mod hooks;
mod kunit;
#[expect(dead_code)]
#[path = "../entry/percpu.rs"]
mod layout;
#[expect(dead_code)]
#[path = "../entry/mutants.rs"]
mod mutants;
mod percpu;
#[expect(dead_code, unreachable_pub)]
#[path = "../protocol/mod.rs"]
mod protocol;
mod settings;
mod stats;
mod trace;

/// `module!` with parameters, of which each says its limits at the end of its description.
macro_rules! module_with_parameters {
    ({ $($info:tt)* } $($name:ident: $bounds:path, $description:tt;)*) => {
        module! {
            $($info)*
            params: {
                $($name: u32 { default: $bounds.default, description: $description, },)*
            },
        }

        $(const _: () = assert!($bounds.are_told_by($description), stringify!($name));)*

        impl settings::Parameters {
            /// As they are given to `insmod`.
            fn given() -> Self {
                Self { $($name: module_parameters::$name.value(),)* }
            }
        }
    };
}

module_with_parameters! {
    {
        type: DeferredFlush,
        name: "deferred_flush",
        authors: ["Deferred Flush Developers"],
        description: "Deferred kernel TLB flushes for CPUs in user mode",
        license: "GPL",
    }
    policy: crate::settings::POLICY,
        "When CPUs promise on exit to user mode: off, always, adaptive (0 to 2, default 2)";
    credit: crate::settings::CREDIT,
        "Adaptive: promises in vain before a CPU stops to promise (0 to 1000000, default 8)";
    ceiling: crate::settings::CEILING,
        "Flush everything above this many pages (0 to 4096, default 33)";
    user_ceiling: crate::settings::CEILING,
        "With PTI, flush user pages one by one on exit to user mode, \
         up to this many (0 to 4096, default 33)";
    wait_ceiling: crate::settings::CEILING,
        "With PTI, CPUs that wait for others flush up to this many user pages at once \
         (0 to 4096, default 33)";
    debug: crate::settings::DEBUG,
        "For tests, needs a DEBUG=1 build: 2 arms the hooks but no CPU promises, \
         others are bugs (0 to 6, default 0)";
}

/// The module: everything is in its fields, and in the order in which they are dropped.
struct DeferredFlush {
    _files: Pin<KBox<control::Files>>,
    _probes: trace::Probes,
}

impl kernel::Module for DeferredFlush {
    fn init(_module: &'static ThisModule) -> Result<Self> {
        let probes = trace::Probes;
        let settings = settings::Settings::new(&settings::Parameters::given())?;
        let files = control::Files::new(&settings)?;

        pr_info!(
            "registered, policy {}\n",
            settings.policy().map_or("none", Policy::name)
        );
        Ok(Self {
            _files: files,
            _probes: probes,
        })
    }
}

impl Drop for DeferredFlush {
    fn drop(&mut self) {
        pr_info!("unregistering\n");
    }
}
