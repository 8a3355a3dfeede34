// SPDX-License-Identifier: GPL-2.0

//! The file `stats`: one line per possible CPU and one with the sums.
//!
//! The counters start at 0 when the module is loaded. They are read while CPUs count on, so
//! the columns of one line may be some events apart.

use crate::layout::Local;
use crate::percpu::{possible_cpus, CPU, LOCAL};
use core::sync::atomic::{AtomicU64, Ordering};
use kernel::fmt;

type Column = (&'static str, fn(&Local) -> &AtomicU64);

const COLUMNS: [Column; 14] = [
    ("flushes", |local| &local.flushes),
    ("deferred", |local| &local.deferred),
    ("ipis", |local| &local.ipis),
    ("catch_ups", |local| &local.catch_ups),
    ("cr3_flushes", |local| &local.cr3_flushes),
    ("pages", |local| &local.pages),
    ("full", |local| &local.full),
    ("tlb_gen", |local| &local.tlb_gen),
    ("user_ranges", |local| &local.user_ranges),
    ("user_full", |local| &local.user_full),
    ("user_now", |local| &local.user_now),
    ("asid_pages", |local| &local.asid_pages),
    ("asid_full", |local| &local.asid_full),
    ("asked", |local| &local.asked),
];

/// Prints all counters.
pub(crate) fn show(_: &(), f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let mut sums = [0u64; COLUMNS.len()];

    write!(f, "cpu away promise")?;
    for (name, _) in COLUMNS {
        write!(f, " {name}")?;
    }
    writeln!(f)?;

    for cpu in possible_cpus() {
        let local = LOCAL.on(cpu);
        // A snapshot for the eye: nothing depends on it.
        let away = u32::from(CPU.on(cpu).state.state().is_away());
        let promise = CPU.on(cpu).promise.load(Ordering::Relaxed);

        write!(f, "{} {away} {promise}", cpu.number())?;
        for ((_, counter), sum) in COLUMNS.iter().zip(&mut sums) {
            let value = counter(local).load(Ordering::Relaxed);

            *sum = sum.wrapping_add(value);
            write!(f, " {value}")?;
        }
        writeln!(f)?;
    }

    write!(f, "all - -")?;
    for sum in sums {
        write!(f, " {sum}")?;
    }
    writeln!(f)
}
