// SPDX-License-Identifier: GPL-2.0

//! Page tables of the kernel that are freed, and used for something else while a CPU may still have
//! the way to them in its paging-structure caches.

use super::{area, c, ADDR, AREA, MAX_TRIES, PAGE};
use core::alloc::Layout;
use core::ptr::NonNull;
use core::sync::atomic::{AtomicPtr, Ordering};
use kernel::alloc::allocator::Vmalloc;
use kernel::alloc::{Allocator, NumaNode};
use kernel::bindings;
use kernel::page::Page;
use kernel::prelude::*;
use kernel::time::delay::fsleep;
use kernel::time::Delta;

/// A large page, and so many bytes that one fits in, wherever they begin.
const LARGE: usize = 2 << 20;
const AROUND_LARGE: usize = 5 << 20;
/// What a table of PMDs maps.
const GIGA: usize = 1 << 30;
/// An address in the large page that `READ` leaves alone.
const UNREAD: usize = 64 * PAGE;
/// Pages to allocate until one is the table.
const TABLE_TRIES: usize = 1024;

/// The table that `free_pmds()` has freed. Only compared with.
static FREED: AtomicPtr<bindings::page> = AtomicPtr::new(core::ptr::null_mut());

kernel::sync::global_lock! {
    // SAFETY: Initialized in `TestModule::init()`, before the device exists.
    unsafe(uninit) static TABLE: Mutex<Option<(Page, Page)>> = None;
}

/// To be called once, before the others.
pub(super) fn init() {
    // SAFETY: By the line above.
    unsafe { TABLE.init() };
}

/// Undoes what any of the others did.
pub(super) fn unmap() {
    *TABLE.lock() = None;
    drop_pmds(&AREA.lock());
}

/// Maps an area by small pages that a large one can take the place of, and returns an address in
/// there that nobody has used.
pub(super) fn map(value: u64) -> Result<u64> {
    let mut slot = AREA.lock();
    let area = VVec::from_elem(value, AROUND_LARGE / 8, GFP_KERNEL)?;
    let large = (area.as_ptr() as usize).next_multiple_of(LARGE);

    ADDR.store(large, Ordering::Release);
    *slot = Some(area);
    Ok((large + UNREAD) as u64)
}

/// Frees that area, and maps a large page with `value` at its address, which frees a page table.
/// Tries to allocate that, and to make it one which gives user mode access to another page.
///
/// Returns whether it was to be had. `EAGAIN`: the address went to somebody else.
pub(super) fn reuse(value: u64) -> Result<bool> {
    let mut slot = AREA.lock();
    let large = area()? as usize;
    // SAFETY: Has no preconditions.
    let table = unsafe { c::deferred_flush_test_table(large) };
    let mut others = KVec::with_capacity(MAX_TRIES as usize, GFP_KERNEL)?;

    if table.is_null() {
        return Err(ENXIO);
    }
    *slot = None;
    // SAFETY: Has no preconditions.
    kernel::error::to_result(unsafe { c::deferred_flush_test_purge() })?;
    while slot.is_none() {
        if others.len() == MAX_TRIES as usize {
            ADDR.store(0, Ordering::Relaxed);
            return Err(EAGAIN);
        }
        // The purge is done by a worker.
        fsleep(Delta::from_millis(2));
        let new = large_area(value)?;

        if new.as_ptr() as usize == large {
            *slot = Some(new);
        } else {
            others.push(new, GFP_KERNEL)?;
        }
    }
    // SAFETY: Has no preconditions.
    if unsafe { !c::deferred_flush_test_table(large).is_null() } {
        return Err(ENOMEM);
    }

    // It is freed by a worker, and then the first that this CPU allocates again.
    fsleep(Delta::from_millis(100));
    allocate(table, true)
}

/// Tries to allocate `table`. If it is to be had, who takes it for a page table finds another page.
fn allocate(table: *mut bindings::page, user: bool) -> Result<bool> {
    let mut spare = KVec::with_capacity(TABLE_TRIES, GFP_KERNEL)?;

    for _ in 0..TABLE_TRIES {
        let page = Page::alloc_page(GFP_KERNEL)?;

        if page.as_ptr() == table {
            // Not before: that could be the table itself, which is the first to be had.
            let target = Page::alloc_page(GFP_KERNEL)?;

            // SAFETY: Both are pages of our own.
            unsafe { c::deferred_flush_test_fill_table(table, target.as_ptr(), user) };
            *TABLE.lock() = Some((page, target));
            return Ok(true);
        }
        spare.push(page, GFP_KERNEL)?;
    }
    Ok(false)
}

/// A large page, if there is one, full of `value`.
fn large_area(value: u64) -> Result<VVec<u64>> {
    // SAFETY: Has no preconditions.
    let ptr = unsafe { c::deferred_flush_test_vmalloc_huge(LARGE) };
    let ptr = NonNull::new(ptr.cast::<u64>()).ok_or(ENOMEM)?;
    // SAFETY: It has `LARGE` bytes, aligned to a page, and `Vmalloc` frees what vmalloc allocates.
    let mut area = unsafe { VVec::from_raw_parts(ptr.as_ptr(), 0, LARGE / 8) };

    area.extend_with(LARGE / 8, value, GFP_KERNEL)?;
    Ok(area)
}

/// Has a table of PMDs that covers a gigabyte of addresses which nobody has, with a table of PTEs
/// that maps what readers find, and is not the first.
///
/// No area is there: before one is freed, the flush of its last page takes its PDE out of all
/// paging-structure caches. A processor that runs ahead puts it there again, an emulator does not.
///
/// `EAGAIN`: the address went to somebody else.
pub(super) fn map_pmds() -> Result {
    let slot = AREA.lock();
    let layout = Layout::from_size_align(LARGE + PAGE, GIGA).map_err(|_| EINVAL)?;

    drop_pmds(&slot);
    // SAFETY: Has no preconditions.
    let giga = unsafe { c::deferred_flush_test_map_giga() };
    // SAFETY: Nobody knows the address.
    unsafe { c::deferred_flush_test_unmap_giga() };
    // An area leaves its page tables behind.
    let small = Vmalloc::alloc(layout, GFP_KERNEL, NumaNode::NO_NODE)?.cast::<u8>();
    // SAFETY: It was allocated with this layout, and nobody uses it.
    unsafe { Vmalloc::free(small, layout) };
    // SAFETY: Has no preconditions.
    unsafe { c::deferred_flush_test_purge_small() };

    if giga != small.as_ptr() as usize {
        return Err(EAGAIN);
    }
    // SAFETY: There is a table of PTEs, and nothing in it.
    unsafe { c::deferred_flush_test_force_ptes(giga + LARGE) };
    ADDR.store(giga + LARGE, Ordering::Release);
    Ok(())
}

/// Maps a page of a gigabyte there, which frees all of these tables, some time later.
///
/// `EAGAIN`: the address went to somebody else. `EOPNOTSUPP`: no such pages.
pub(super) fn free_pmds() -> Result {
    let slot = AREA.lock();
    let pages = area()? as usize;
    // SAFETY: Has no preconditions.
    let table = unsafe { c::deferred_flush_test_table(pages) };

    if table.is_null() {
        return Err(ENXIO);
    }
    // SAFETY: Has no preconditions.
    if unsafe { c::deferred_flush_test_map_giga() } != pages - LARGE {
        drop_pmds(&slot);
        return Err(EAGAIN);
    }
    // SAFETY: Has no preconditions.
    if !unsafe { c::deferred_flush_test_is_giga(pages) } {
        drop_pmds(&slot);
        return Err(EOPNOTSUPP);
    }
    // SAFETY: Their table is gone.
    unsafe { c::deferred_flush_test_forget_ptes() };
    ADDR.store(pages + UNREAD, Ordering::Release);
    FREED.store(table, Ordering::Relaxed);
    Ok(())
}

/// Tries to reuse that of PTEs. Who freed it had it for the CPU where that was.
pub(super) fn take_freed() -> Result<bool> {
    let table = FREED.load(Ordering::Relaxed);

    if table.is_null() {
        return Err(ENXIO);
    }
    allocate(table, false)
}

/// `_slot`: `AREA` is locked, which serializes the callers.
fn drop_pmds(_slot: &Option<VVec<u64>>) {
    // SAFETY: Nobody but readers uses what is mapped there, and they cope.
    unsafe { c::deferred_flush_test_clear_ptes() };
    // The flush of so many addresses, wherever they are, is one of all.
    // SAFETY: As above.
    unsafe { c::deferred_flush_test_unmap_giga() };
}
