// SPDX-License-Identifier: GPL-2.0

//! Flushes of the kernel PCID of an ASID that is not loaded.
//!
//! Only PTI has such: without it, deferrable kernel translations are global.

use crate::protocol::engine::FlushPage;
use crate::protocol::range::Page;
use crate::this_cpu::{self, ThisCpu};
use core::arch::asm;
use core::ffi::c_uint;

/// INVPCID type "individual address", SDM volume 2A.
const INVPCID_ADDRESS: u64 = 0;

/// What is tagged with a PCID. The CR3 write that loads it can flush all of that; here single pages
/// are.
///
/// # Invariants
///
/// This CPU has INVPCID, and `pcid` is a PCID of this kernel: below 4096.
struct OtherPcid {
    pcid: u64,
}

impl FlushPage for OtherPcid {
    fn flush_page(&mut self, page: Page) {
        let descriptor = [self.pcid, page.addr()];

        // It clobbers memory, as far as the compiler knows: what the page was used for, or will be,
        // stays on its side.
        // SAFETY: Removing a translation has no effect but time. By the invariants of both types,
        // there is the instruction, the PCID is a valid one, and the address canonical.
        unsafe {
            asm!("invpcid {kind}, [{descriptor}]", kind = in(reg) INVPCID_ADDRESS,
                 descriptor = in(reg) &descriptor, options(nostack, preserves_flags))
        };
    }
}

/// Brings the kernel PCID `pcid` from generation `gen` to that of this CPU.
///
/// `false`: all of it has to be flushed when it is loaded.
///
/// # Safety
///
/// - Interrupts are off, and this CPU has INVPCID.
/// - `pcid` is a PCID of this kernel, and is not loaded.
#[unsafe(no_mangle)]
unsafe extern "C" fn deferred_flush_catch_up_asid(pcid: c_uint, gen: u64) -> bool {
    // SAFETY: Interrupts are off, in the kernel proper.
    let mut this = unsafe { ThisCpu::assume() };
    let to = this.read(this_cpu::TLB_GEN);
    // INVARIANT: By the safety requirements.
    let mut tlb = OtherPcid { pcid: pcid.into() };

    match crate::ENGINE.flush_pages(gen, to, &mut tlb) {
        Some(pages) => {
            this.add(this_cpu::ASID_PAGES, pages);
            true
        }
        None => {
            this.add(this_cpu::ASID_FULL, 1);
            false
        }
    }
}
