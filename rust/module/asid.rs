// SPDX-License-Identifier: GPL-2.0

//! Flushes of the kernel PCID of an ASID that is not loaded.
//!
//! Only PTI has such: without it, deferrable kernel translations are global.

use crate::ffi;
use crate::protocol::engine::{Flushed, Tlb};
use core::arch::asm;
use core::sync::atomic::Ordering;
use kernel::prelude::*;

/// INVPCID type "individual address", SDM volume 2A.
const INVPCID_ADDRESS: u64 = 0;

/// What is tagged with a PCID that is not loaded.
struct OtherPcid {
    pcid: u64,
}

impl Tlb for OtherPcid {
    fn flush_one(&mut self, addr: u64) {
        let descriptor = [self.pcid, addr];

        // SAFETY: A PCID of Linux is below 4096, `addr` canonical, and the CPU has INVPCID.
        unsafe {
            asm!("invpcid {kind}, [{descriptor}]", kind = in(reg) INVPCID_ADDRESS,
                 descriptor = in(reg) &descriptor, options(nostack, readonly, preserves_flags))
        };
    }

    // The CR3 write that loads it will do that.
    fn flush_all(&mut self) {}
}

/// Brings the kernel PCID `pcid` from generation `gen` to that of this CPU.
///
/// `false`: all of it has to be flushed when it is loaded.
///
/// # Safety
///
/// - Interrupts are off, and this CPU has INVPCID.
/// - `pcid` is a PCID of this kernel, and is not loaded.
pub(crate) unsafe extern "C" fn catch_up_asid(pcid: c_uint, gen: u64) -> bool {
    // SAFETY: Interrupts are off.
    let local = unsafe { ffi::this_local() };
    let to = local.tlb_gen.load(Ordering::Relaxed);
    let mut tlb = OtherPcid { pcid: pcid.into() };

    match ffi::engine().flush(gen, to, &mut tlb) {
        Flushed::Pages(pages) => {
            ffi::count(&local.asid_pages, pages);
            true
        }
        Flushed::All => {
            ffi::count(&local.asid_full, 1);
            false
        }
    }
}
