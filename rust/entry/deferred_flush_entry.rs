// SPDX-License-Identifier: GPL-2.0

//! The half of `deferred_flush.ko` that owns the engine, and runs in the entry code.
//!
//! A crate, and an object, of its own: `deferred_flush_catch_up()` is called with interrupts off,
//! before RCU watches, and by NMIs. It must not panic, be instrumented, or touch anything that a
//! deferred flush may cover. The module's own text and data are safe, because
//! `deferred_flush_register()` flushes all TLBs after they were mapped, and they stay as they are
//! until `deferred_flush_unregister()` returns. `make check` has objtool verify the section.
//!
//! The other half gets at the engine by the functions that are exported here.

use core::arch::asm;
use core::ffi::c_ulong;
use core::sync::atomic::{AtomicU64, Ordering};

mod asid;
#[cfg(CONFIG_KUNIT = "y")]
mod kunit;
#[expect(dead_code)]
mod mutants;
#[allow(dead_code)]
mod percpu;
#[expect(dead_code, unreachable_pub)]
#[path = "../protocol/mod.rs"]
mod protocol;
mod this_cpu;

use percpu::{HOW_CR3, HOW_INVPCID};
use protocol::catch_up::Target;
use protocol::engine::{Engine, FlushPage, Flushed, Tlb};
use protocol::policy;
use protocol::range::{Page, PageRange, MAX_PAGES};
use this_cpu::ThisCpu;

/// The engine. Its ceiling is a parameter of the module.
static ENGINE: Engine = Engine::new(MAX_PAGES);

/// Promises in vain before a CPU stops to promise, see `policy::spend()`. A parameter, too.
static CREDIT: AtomicU64 = AtomicU64::new(0);

/// The deliberate bug of a DEBUG=1 build. Used by the other crate of this module, too.
#[unsafe(no_mangle)]
static deferred_flush_mutants: mutants::Choice = mutants::Choice::none();

/// `CR4.PGE`, SDM volume 3A, "Control Registers".
const CR4_PGE: u64 = 1 << 7;
/// INVPCID type "all contexts, including globals", SDM volume 2A.
const INVPCID_ALL: u64 = 2;

/// This CPU: its TLB and its books.
///
/// # Invariants
///
/// - While this exists, interrupts are off, and CR3 is the kernel's.
/// - `how` is the `enum deferred_flush_how` for this machine.
struct Catcher {
    this: ThisCpu,
    how: u32,
}

impl FlushPage for Catcher {
    /// Also flushes global translations, and those of the current PCID only: the caller in C has
    /// the other ASIDs flushed when they are chosen.
    #[inline(always)]
    fn flush_page(&mut self, page: Page) {
        if deferred_flush_mutants.is(mutants::SKIP_FLUSH) {
            return;
        }
        // SAFETY: Removing a translation has no effect but time.
        unsafe {
            asm!("invlpg [{addr}]", addr = in(reg) page.addr(), options(nostack, preserves_flags))
        };
    }
}

impl Tlb for Catcher {
    #[inline(always)]
    fn flush_all(&mut self) {
        if deferred_flush_mutants.is(mutants::SKIP_FLUSH) {
            return;
        }
        // No array: an aggregate may become a call to memset().
        if self.how == HOW_CR3 {
            // SAFETY: CR3 is read with bit 63 clear, so writing it back flushes its PCID.
            unsafe {
                asm!("mov {tmp}, cr3", "mov cr3, {tmp}", tmp = out(reg) _,
                     options(nostack, preserves_flags))
            };
        } else if self.how == HOW_INVPCID {
            // SAFETY: The descriptor on the stack is 16 bytes of zeroes, as type 2 wants it.
            unsafe {
                asm!("push 0", "push 0", "invpcid {kind}, [rsp]", "add rsp, 16",
                     kind = in(reg) INVPCID_ALL)
            };
        } else {
            // An NMI between the two writes may do the same, and leaves PGE set. So does this.
            // SAFETY: Only PGE changes, and it ends up as it was: Linux always sets it.
            unsafe {
                asm!("mov {cr4}, cr4", "and {cr4}, {clear}", "mov cr4, {cr4}",
                     "or {cr4}, {set}", "mov cr4, {cr4}",
                     cr4 = out(reg) _, clear = const !(CR4_PGE as i32), set = const CR4_PGE,
                     options(nostack))
            };
        }
    }
}

impl Target for Catcher {
    #[inline(always)]
    fn tlb_gen(&self) -> u64 {
        self.this.read(this_cpu::TLB_GEN)
    }

    #[inline(always)]
    fn set_tlb_gen(&mut self, gen: u64) {
        self.this.write(this_cpu::TLB_GEN, gen);
    }

    #[inline(always)]
    fn count_catch_up(&mut self) {
        self.this.add(this_cpu::CATCH_UPS, 1);
    }

    #[inline(always)]
    fn count_cr3_flush(&mut self) {
        self.this.add(this_cpu::CR3_FLUSHES, 1);
    }

    #[inline(always)]
    fn count(&mut self, flushed: Flushed) {
        match flushed {
            Flushed::Pages(pages) => self.this.add(this_cpu::PAGES, pages),
            Flushed::All => self.this.add(this_cpu::FULL, 1),
        }
    }
}

/// Begins the shootdown of a range of kernel addresses, and returns its generation.
///
/// # Safety
///
/// - Preemption is disabled.
/// - The caller asks every other online CPU for its promise, interrupts those that give none, and
///   catches this one up.
/// - `[start, end)` is mapped by PTEs that have been changed: at canonical addresses, unless it is
///   of more than [`MAX_PAGES`] pages.
#[unsafe(no_mangle)]
unsafe extern "C" fn deferred_flush_begin(start: c_ulong, end: c_ulong) -> u64 {
    // SAFETY: Preemption is disabled, in the kernel proper.
    let mut this = unsafe { ThisCpu::assume() };
    // SAFETY: By the last safety requirement.
    let range = unsafe { PageRange::new(start, end) };

    this.add(this_cpu::FLUSHES, 1);
    ENGINE.begin(range).into_raw()
}

/// Brings this CPU to the present generation of kernel range flushes.
///
/// # Safety
///
/// - Interrupts are off, and `%gs` and CR3 are the kernel's.
/// - `how` is the `enum deferred_flush_how` for this machine.
#[unsafe(no_mangle)]
#[unsafe(link_section = ".noinstr.text")]
unsafe extern "C" fn deferred_flush_catch_up(how: u32) {
    // SAFETY: By the first safety requirement.
    let this = unsafe { ThisCpu::assume() };
    let state = this.state();
    // INVARIANT: By the safety requirements.
    let mut catcher = Catcher { this, how };

    ENGINE.catch_up(state, &mut catcher);
}

/// Whether this CPU promises at this exit to user mode, under the policy `adaptive`.
///
/// # Safety
///
/// Interrupts are off, and `%gs` is the kernel's.
#[unsafe(no_mangle)]
#[unsafe(link_section = ".noinstr.text")]
unsafe extern "C" fn deferred_flush_pays() -> bool {
    // SAFETY: By the safety requirement.
    let mut this = unsafe { ThisCpu::assume() };
    let catch_ups = this.read(this_cpu::CATCH_UPS);
    let paid = catch_ups != this.read(this_cpu::PAID);
    let credit = this.read(this_cpu::CREDIT);
    let full = CREDIT.load(Ordering::Relaxed);

    this.add(this_cpu::ASKED, 1);
    this.write(this_cpu::PAID, catch_ups);
    match policy::spend(credit, paid, full) {
        Some(left) => {
            this.write(this_cpu::CREDIT, left);
            true
        }
        None => false,
    }
}

/// Sets the number of pages above which a catch-up flushes everything.
#[unsafe(no_mangle)]
extern "C" fn deferred_flush_set_ceiling(pages: u64) {
    ENGINE.set_ceiling(pages);
}

/// Sets how often a CPU may promise in vain.
#[unsafe(no_mangle)]
extern "C" fn deferred_flush_set_credit(credit: u64) {
    // A heuristic: any value that a CPU sees is right.
    CREDIT.store(credit, Ordering::Relaxed);
}

/// How often a CPU may promise in vain.
#[unsafe(no_mangle)]
extern "C" fn deferred_flush_credit() -> u64 {
    CREDIT.load(Ordering::Relaxed)
}
