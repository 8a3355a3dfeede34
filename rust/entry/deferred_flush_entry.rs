// SPDX-License-Identifier: GPL-2.0

//! The half of `deferred_flush.ko` that runs in the entry code.
//!
//! A crate, and an object, of its own: `deferred_flush_catch_up()` is called with interrupts off,
//! before RCU watches, and by NMIs. It must not panic, be instrumented, or touch anything that a
//! deferred flush may cover. The module's own text and data are safe, because
//! `deferred_flush_register()` flushes all TLBs after they were mapped, and they stay as they are
//! until `deferred_flush_unregister()` returns. `make check` has objtool verify the section.

use core::arch::asm;
use core::mem::offset_of;
use core::sync::atomic::{AtomicU64, Ordering};

#[allow(dead_code)]
mod mutants;
#[allow(dead_code)]
mod percpu;
#[allow(dead_code, unreachable_pub)]
#[path = "../protocol/mod.rs"]
mod protocol;

use percpu::{deferred_flush_cpu, deferred_flush_local, Cpu, Local};
use protocol::catch_up::Target;
use protocol::engine::{Engine, Flushed, Tlb};
use protocol::policy;

/// Pages above which a full flush is cheaper, as `tlb_single_page_flush_ceiling` in
/// `arch/x86/mm/tlb.c` has it. The module parameter `ceiling` changes it.
const CEILING: u64 = 33;

/// The engine. Used by the other crate of this module, too.
#[unsafe(no_mangle)]
#[allow(unreachable_pub)]
pub static deferred_flush_engine: Engine = Engine::new(CEILING);

/// Promises in vain before a CPU stops to promise, see `policy::spend()`. The module parameter
/// `credit` changes it.
const CREDIT: u64 = 8;

/// As it is. Used by the other crate of this module, too.
#[unsafe(no_mangle)]
#[allow(unreachable_pub)]
pub static deferred_flush_credit: AtomicU64 = AtomicU64::new(CREDIT);

/// The deliberate bug of a DEBUG=1 build. Used by the other crate of this module, too.
#[unsafe(no_mangle)]
static deferred_flush_mutants: mutants::Choice = mutants::Choice::none();

/// `enum deferred_flush_how`: only PTI leaves vmalloc and module mappings non-global.
const HOW_CR3: u32 = 0;
const HOW_INVPCID: u32 = 1;

/// `CR4.PGE`, SDM volume 3A, "Control Registers".
const CR4_PGE: u64 = 1 << 7;
/// INVPCID type "all contexts, including globals", SDM volume 2A.
const INVPCID_ALL: u64 = 2;

/// Reads a field of a per-CPU variable of this CPU.
macro_rules! this_cpu_read {
    ($var:ident, $ty:ty, $field:ident) => {{
        let value: u64;
        // SAFETY: `%gs` is the kernel's, and `$var` a per-CPU variable of type `$ty`.
        unsafe {
            asm!(
                "mov {value}, qword ptr gs:[rip + {var} + {offset}]",
                value = out(reg) value,
                var = sym $var,
                offset = const offset_of!($ty, $field),
                options(nostack, preserves_flags, readonly),
            )
        };
        value
    }};
}

/// Writes a field of a per-CPU variable of this CPU.
macro_rules! this_cpu_write {
    ($var:ident, $ty:ty, $field:ident, $value:expr) => {
        // SAFETY: As for `this_cpu_read!`, and only this CPU writes the field.
        unsafe {
            asm!(
                "mov qword ptr gs:[rip + {var} + {offset}], {value}",
                value = in(reg) $value,
                var = sym $var,
                offset = const offset_of!($ty, $field),
                options(nostack, preserves_flags),
            )
        }
    };
}

/// Adds to a field of a per-CPU variable of this CPU. One instruction, for the sake of NMIs.
macro_rules! this_cpu_add {
    ($var:ident, $ty:ty, $field:ident, $value:expr) => {
        // SAFETY: As for `this_cpu_write!`.
        unsafe {
            asm!(
                "add qword ptr gs:[rip + {var} + {offset}], {value}",
                value = in(reg) $value,
                var = sym $var,
                offset = const offset_of!($ty, $field),
                options(nostack),
            )
        }
    };
}

/// This CPU: its TLB and its books.
///
/// # Invariants
///
/// - While this exists, interrupts are off, and `%gs` and CR3 are the kernel's.
/// - `how` is the `enum deferred_flush_how` for this machine.
struct ThisCpu {
    how: u32,
}

impl Tlb for ThisCpu {
    /// Also flushes global translations, and those of the current PCID only: the caller in C has
    /// the other ASIDs flushed when they are chosen.
    #[inline(always)]
    fn flush_one(&mut self, addr: u64) {
        if deferred_flush_mutants.is(mutants::SKIP_FLUSH) {
            return;
        }
        // SAFETY: Removing a translation has no effect but time.
        unsafe { asm!("invlpg [{addr}]", addr = in(reg) addr, options(nostack, preserves_flags)) };
    }

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

impl Target for ThisCpu {
    #[inline(always)]
    fn tlb_gen(&self) -> u64 {
        this_cpu_read!(deferred_flush_local, Local, tlb_gen)
    }

    #[inline(always)]
    fn set_tlb_gen(&mut self, gen: u64) {
        this_cpu_write!(deferred_flush_local, Local, tlb_gen, gen);
    }

    #[inline(always)]
    fn count_catch_up(&mut self) {
        this_cpu_add!(deferred_flush_local, Local, catch_ups, 1u64);
    }

    #[inline(always)]
    fn count_cr3_flush(&mut self) {
        this_cpu_add!(deferred_flush_local, Local, cr3_flushes, 1u64);
    }

    #[inline(always)]
    fn count(&mut self, flushed: Flushed) {
        match flushed {
            Flushed::Pages(pages) => this_cpu_add!(deferred_flush_local, Local, pages, pages),
            Flushed::All => this_cpu_add!(deferred_flush_local, Local, full, 1u64),
        }
    }
}

/// Brings this CPU to the present generation of kernel range flushes.
///
/// # Safety
///
/// - Interrupts are off, and `%gs` and CR3 are the kernel's.
/// - `how` is the `enum deferred_flush_how` for this machine.
#[unsafe(no_mangle)]
#[unsafe(link_section = ".noinstr.text")]
#[allow(unreachable_pub)]
pub unsafe extern "C" fn deferred_flush_catch_up(how: u32) {
    let state = this_cpu_read!(deferred_flush_cpu, Cpu, state);
    // INVARIANT: By the safety requirements.
    let mut this = ThisCpu { how };

    deferred_flush_engine.catch_up(state, &mut this);
}

/// Whether this CPU promises at this exit to user mode, under the policy `adaptive`.
///
/// # Safety
///
/// Interrupts are off, and `%gs` is the kernel's.
#[unsafe(no_mangle)]
#[unsafe(link_section = ".noinstr.text")]
#[allow(unreachable_pub)]
pub unsafe extern "C" fn deferred_flush_pays() -> bool {
    let catch_ups = this_cpu_read!(deferred_flush_local, Local, catch_ups);
    let paid = catch_ups != this_cpu_read!(deferred_flush_local, Local, paid);
    let credit = this_cpu_read!(deferred_flush_local, Local, credit);
    let full = deferred_flush_credit.load(Ordering::Relaxed);

    this_cpu_add!(deferred_flush_local, Local, asked, 1u64);
    this_cpu_write!(deferred_flush_local, Local, paid, catch_ups);
    match policy::spend(credit, paid, full) {
        Some(left) => {
            this_cpu_write!(deferred_flush_local, Local, credit, left);
            true
        }
        None => false,
    }
}
