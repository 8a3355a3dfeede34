// SPDX-License-Identifier: GPL-2.0

//! `/dev/deferred_flush_test`: vmalloc storms, and an address to read stale data from.
//!
//! For the selftests; knows nothing of `deferred_flush.ko`. `selftests/deferred_flush/deferred_flush_test.h` is
//! the same interface in C.

use core::alloc::Layout;
use core::ptr::NonNull;
use core::sync::atomic::{AtomicUsize, Ordering};
use kernel::alloc::allocator::Vmalloc;
use kernel::alloc::{Allocator, NumaNode};
use kernel::fs::File;
use kernel::ioctl::{_IO, _IOC_SIZE, _IOR, _IOW, _IOWR};
use kernel::miscdevice::{MiscDevice, MiscDeviceOptions, MiscDeviceRegistration};
use kernel::page::Page;
use kernel::prelude::*;
use kernel::sync::{new_condvar, new_mutex, CondVar, Mutex};
use kernel::time::delay::fsleep;
use kernel::time::{Delta, Instant, Monotonic};
use kernel::uaccess::{UserPtr, UserSlice};

module! {
    type: TestModule,
    name: "deferred_flush_test",
    authors: ["Deferred Flush Developers"],
    description: "vmalloc storms and a coherence probe for the deferred flush selftests",
    license: "GPL",
}

mod tables;

mod c {
    use kernel::prelude::*;

    extern "C" {
        pub(super) fn deferred_flush_test_init() -> c_int;
        pub(super) fn deferred_flush_test_exit();
        pub(super) fn deferred_flush_test_probe_timer(addr: *mut u64, us: u64);
        pub(super) fn deferred_flush_test_probe_nmi(cpu: c_uint, addr: *mut u64) -> c_int;
        pub(super) fn deferred_flush_test_probe_ipi(cpu: c_uint, addr: *mut u64) -> c_int;
        pub(super) fn deferred_flush_test_probe_done(value: *mut u64) -> bool;
        pub(super) fn deferred_flush_test_purge() -> c_int;
        pub(super) fn deferred_flush_test_purge_small();
        pub(super) fn deferred_flush_test_read(addr: *mut u64) -> u64;
        pub(super) fn deferred_flush_test_write_everywhere();
        pub(super) fn deferred_flush_test_write_read_only(alias: bool) -> c_int;
        pub(super) fn deferred_flush_test_vmalloc_huge(bytes: usize) -> *mut u64;
        pub(super) fn deferred_flush_test_table(addr: usize) -> *mut c_void;
        pub(super) fn deferred_flush_test_fill_table(
            table: *mut c_void,
            target: *mut c_void,
            user: bool,
        );
        pub(super) fn deferred_flush_test_force_ptes(addr: usize);
        pub(super) fn deferred_flush_test_forget_ptes();
        pub(super) fn deferred_flush_test_clear_ptes();
        pub(super) fn deferred_flush_test_map_giga() -> usize;
        pub(super) fn deferred_flush_test_unmap_giga();
        pub(super) fn deferred_flush_test_is_giga(addr: usize) -> bool;
        pub(super) fn deferred_flush_test_map_wc() -> c_int;
        pub(super) fn deferred_flush_test_set_wb() -> c_int;
    }
}

const PAGE: usize = kernel::page::PAGE_SIZE;
/// `DEFERRED_FLUSH_TEST_PAGES` of the shim.
const AREA_PAGES: usize = 29;
/// Tries until vmalloc gives the same address again.
const MAX_TRIES: u32 = 64;
const MAX_PAGES: u32 = 1024;
const MAX_MS: u32 = 60_000;

/// A storm: frees `pages` pages of an area, again and again, each time with a flush.
#[repr(C)]
struct Storm {
    /// In: 1 to 1024.
    pages: u32,
    /// In: 1 to 60,000. Stop after this many milliseconds, ...
    max_ms: u32,
    /// In: ... or after this many rounds, 0: any number. Out: rounds done.
    rounds: u64,
}

/// A read by interrupt or NMI.
#[repr(C)]
struct Probe {
    /// In: CPU for the interrupt or NMI. Out: whether the read has happened.
    cpu_or_done: u32,
    /// In: microseconds until the timer interrupt.
    us: u32,
    /// Out: what was read.
    value: u64,
}

// SAFETY: No padding, and all bit patterns are valid.
unsafe impl kernel::transmute::FromBytes for Storm {}
// SAFETY: As above.
unsafe impl kernel::transmute::AsBytes for Storm {}
// SAFETY: As above.
unsafe impl kernel::transmute::FromBytes for Probe {}
// SAFETY: As above.
unsafe impl kernel::transmute::AsBytes for Probe {}

const MAGIC: u32 = b'F' as u32;
const STORM: u32 = _IOWR::<Storm>(MAGIC, 1);
const MAP: u32 = _IOW::<u64>(MAGIC, 2);
const REMAP: u32 = _IOW::<u64>(MAGIC, 3);
const REMAP_SMALL: u32 = _IOW::<u64>(MAGIC, 9);
const READ: u32 = _IOR::<u64>(MAGIC, 4);
const PROBE_TIMER: u32 = _IOW::<Probe>(MAGIC, 5);
const PROBE_NMI: u32 = _IOW::<Probe>(MAGIC, 6);
const PROBE_RESULT: u32 = _IOR::<Probe>(MAGIC, 7);
const UNMAP: u32 = _IO(MAGIC, 8);
const READ_WOKEN: u32 = _IOWR::<u64>(MAGIC, 10);
const WAKE: u32 = _IOW::<u64>(MAGIC, 11);
const PROBE_IPI: u32 = _IOW::<Probe>(MAGIC, 12);
const UNMAP_ALIASES: u32 = _IO(MAGIC, 13);
const SHRINK_AND_WAKE: u32 = _IOW::<u64>(MAGIC, 14);
const WRITE_READ_ONLY: u32 = _IOW::<u64>(MAGIC, 15);
const MAP_TABLE: u32 = _IOWR::<u64>(MAGIC, 16);
const REUSE_TABLE: u32 = _IOW::<u64>(MAGIC, 17);
const MAP_PMDS: u32 = _IO(MAGIC, 18);
const FREE_PMDS: u32 = _IO(MAGIC, 19);
const TAKE_FREED: u32 = _IO(MAGIC, 20);
const MAP_WC: u32 = _IO(MAGIC, 21);
const SET_WB: u32 = _IO(MAGIC, 22);
const FREE: u32 = _IO(MAGIC, 23);

/// The area, and its address for readers that take no lock.
static ADDR: AtomicUsize = AtomicUsize::new(0);

kernel::sync::global_lock! {
    // SAFETY: Initialized in `TestModule::init()`, before the device exists.
    unsafe(uninit) static AREA: Mutex<Option<VVec<u64>>> = None;
}

struct TestModule {
    _device: Pin<KBox<MiscDeviceRegistration<TestDevice>>>,
    _shim: Shim,
}

struct Shim;

impl Drop for Shim {
    fn drop(&mut self) {
        // SAFETY: The device is gone, so nobody arms a probe any more.
        unsafe { c::deferred_flush_test_exit() };
        unmap();
    }
}

impl kernel::Module for TestModule {
    fn init(_module: &'static ThisModule) -> Result<Self> {
        // SAFETY: Called once, here.
        unsafe { AREA.init() };
        tables::init();
        // SAFETY: Called once, here.
        kernel::error::to_result(unsafe { c::deferred_flush_test_init() })?;
        let shim = Shim;

        let device = KBox::pin_init(
            MiscDeviceRegistration::register(MiscDeviceOptions {
                name: c"deferred_flush_test",
            }),
            GFP_KERNEL,
        )?;

        // SAFETY: What it writes to becomes read-only after this function.
        unsafe { c::deferred_flush_test_write_everywhere() };
        Ok(Self {
            _device: device,
            _shim: shim,
        })
    }
}

#[pin_data]
struct TestDevice {
    /// The number of the last wake-up.
    #[pin]
    wake: Mutex<u64>,
    #[pin]
    woken: CondVar,
}

impl TestDevice {
    /// Sleeps until it is woken with `number`, and reads before it does anything else.
    fn read_woken(&self, number: u64) -> Result<u64> {
        let mut wake = self.wake.lock();

        while *wake < number {
            if self.woken.wait_interruptible(&mut wake) {
                return Err(EINTR);
            }
        }
        read()
    }

    fn wake(&self, number: u64) {
        *self.wake.lock() = number;
        self.woken.notify_all();
    }
}

#[vtable]
impl MiscDevice for TestDevice {
    type Ptr = Pin<KBox<Self>>;

    fn open(_file: &File, _misc: &MiscDeviceRegistration<Self>) -> Result<Pin<KBox<Self>>> {
        KBox::pin_init(
            pin_init!(Self {
                wake <- new_mutex!(0),
                woken <- new_condvar!(),
            }),
            GFP_KERNEL,
        )
    }

    fn ioctl(me: Pin<&Self>, _file: &File, cmd: u32, arg: usize) -> Result<isize> {
        let user = || UserSlice::new(UserPtr::from_addr(arg), _IOC_SIZE(cmd));

        match cmd {
            STORM => {
                let (mut reader, mut writer) = user().reader_writer();
                let mut args = reader.read::<Storm>()?;
                args.rounds = storm(&args)?;
                writer.write(&args)?;
            }
            MAP => map(user().reader().read()?)?,
            REMAP => return remap(user().reader().read()?, false),
            REMAP_SMALL => return remap(user().reader().read()?, true),
            MAP_TABLE => {
                let (mut reader, mut writer) = user().reader_writer();
                writer.write(&tables::map(reader.read()?)?)?;
            }
            REUSE_TABLE => return Ok(tables::reuse(user().reader().read()?)?.into()),
            MAP_PMDS => tables::map_pmds()?,
            FREE_PMDS => tables::free_pmds()?,
            TAKE_FREED => return Ok(tables::take_freed()?.into()),
            // SAFETY: Has no preconditions.
            MAP_WC => kernel::error::to_result(unsafe { c::deferred_flush_test_map_wc() })?,
            // SAFETY: Has no preconditions.
            SET_WB => kernel::error::to_result(unsafe { c::deferred_flush_test_set_wb() })?,
            FREE => free(),
            UNMAP => unmap(),
            // SAFETY: Has no preconditions.
            UNMAP_ALIASES => unsafe { c::deferred_flush_test_purge_small() },
            WRITE_READ_ONLY => {
                let alias = user().reader().read::<u64>()? != 0;

                // SAFETY: Has no preconditions.
                kernel::error::to_result(unsafe { c::deferred_flush_test_write_read_only(alias) })?
            }
            READ => user().writer().write(&read()?)?,
            READ_WOKEN => {
                let (mut reader, mut writer) = user().reader_writer();
                writer.write(&me.read_woken(reader.read()?)?)?;
            }
            WAKE => me.wake(user().reader().read()?),
            SHRINK_AND_WAKE => {
                let number = user().reader().read()?;

                // At once: a CPU that polls may be interrupted.
                shrink_area()?;
                me.wake(number);
            }
            PROBE_TIMER => {
                let args = user().reader().read::<Probe>()?;
                // SAFETY: The probe copes with an area that is not mapped.
                unsafe { c::deferred_flush_test_probe_timer(area()?, args.us.into()) };
            }
            PROBE_NMI => {
                let args = user().reader().read::<Probe>()?;
                // SAFETY: As above.
                kernel::error::to_result(unsafe {
                    c::deferred_flush_test_probe_nmi(args.cpu_or_done, area()?)
                })?;
            }
            PROBE_IPI => {
                let args = user().reader().read::<Probe>()?;
                // SAFETY: As above.
                kernel::error::to_result(unsafe {
                    c::deferred_flush_test_probe_ipi(args.cpu_or_done, area()?)
                })?;
            }
            PROBE_RESULT => {
                let mut args = Probe {
                    cpu_or_done: 0,
                    us: 0,
                    value: 0,
                };
                // SAFETY: `value` is writable.
                args.cpu_or_done =
                    unsafe { c::deferred_flush_test_probe_done(&mut args.value) }.into();
                user().writer().write(&args)?;
            }
            _ => return Err(ENOTTY),
        }
        Ok(0)
    }
}

/// Frees `pages` pages at a time until the time or the rounds are up, and returns the rounds.
///
/// vfree() itself leaves the flush to one per 32 MiB and more. Shrinking an area frees its tail
/// with a flush of just that range, every time; the rest goes by vfree().
fn storm(args: &Storm) -> Result<u64> {
    if args.pages == 0 || args.pages > MAX_PAGES || args.max_ms == 0 || args.max_ms > MAX_MS {
        return Err(EINVAL);
    }
    let start = Instant::<Monotonic>::now();
    let limit = Delta::from_millis(args.max_ms.into());
    let pages = args.pages as usize;
    let mut rounds = 0;

    while start.elapsed() < limit && (args.rounds == 0 || rounds < args.rounds) {
        if kernel::current!().signal_pending() {
            return Err(EINTR);
        }
        shrink(VVec::with_capacity((pages + 1) * PAGE / 8, GFP_KERNEL)?)?;
        rounds += 1;
    }
    Ok(rounds)
}

/// Keeps the first page, in place. The others are unmapped and flushed at once.
fn shrink(area: VVec<u64>) -> Result<VVec<u64>> {
    let (ptr, length, capacity) = area.into_raw_parts();
    let old = Layout::array::<u64>(capacity).map_err(|_| EINVAL)?;
    let new = Layout::array::<u64>(PAGE / 8).map_err(|_| EINVAL)?;
    let ptr = NonNull::new(ptr.cast()).ok_or(ENOMEM)?;

    // SAFETY: `ptr` was allocated by `Vmalloc` with the layout `old`.
    let kept = unsafe { Vmalloc::realloc(Some(ptr), new, old, GFP_KERNEL, NumaNode::NO_NODE) }?;
    // SAFETY: It has the layout `new` now, and as many of its elements are initialized as were.
    Ok(unsafe { VVec::from_raw_parts(kept.as_ptr().cast(), length.min(PAGE / 8), PAGE / 8) })
}

/// Readers find an area of which some pages are gone.
fn shrink_area() -> Result {
    let mut slot = AREA.lock();

    *slot = Some(shrink(slot.take().ok_or(ENXIO)?)?);
    Ok(())
}

fn new_area(value: u64) -> Result<VVec<u64>> {
    Ok(VVec::from_elem(value, AREA_PAGES * PAGE / 8, GFP_KERNEL)?)
}

fn map(value: u64) -> Result {
    let mut slot = AREA.lock();
    let area = new_area(value)?;

    ADDR.store(area.as_ptr() as usize, Ordering::Release);
    *slot = Some(area);
    Ok(())
}

fn unmap() {
    ADDR.store(0, Ordering::Relaxed);
    *AREA.lock() = None;
    tables::unmap();
}

/// As vfree() does it. Readers go on at that address.
fn free() {
    *AREA.lock() = None;
}

/// Frees the area, has its address purged, and maps new pages with `value` at the same address.
///
/// `small`: no other addresses are purged with it, so that the flush is one of single pages.
///
/// Returns the number of areas that were tried. `EAGAIN`: the address went to somebody else.
fn remap(value: u64, small: bool) -> Result<isize> {
    let mut slot = AREA.lock();
    let old = slot.take().ok_or(ENXIO)?;
    let want = old.as_ptr() as usize;
    let mut others = KVec::with_capacity(MAX_TRIES as usize, GFP_KERNEL)?;

    if small {
        // SAFETY: Has no preconditions.
        unsafe { c::deferred_flush_test_purge_small() };
        drop(old);
        // SAFETY: Has no preconditions.
        unsafe { c::deferred_flush_test_purge_small() };
    } else {
        drop(old);
        // SAFETY: Has no preconditions.
        kernel::error::to_result(unsafe { c::deferred_flush_test_purge() })?;
    }

    // The pages that were just freed are the first to be allocated again. With those, in the same
    // order, a stale translation would be none.
    let mut spare = KVec::with_capacity(2 * AREA_PAGES, GFP_KERNEL)?;

    for _ in 0..2 * AREA_PAGES {
        spare.push(Page::alloc_page(GFP_KERNEL)?, GFP_KERNEL)?;
    }

    for tries in 1..=MAX_TRIES {
        let area = new_area(value)?;

        if area.as_ptr() as usize == want {
            *slot = Some(area);
            return Ok(tries as isize);
        }
        others.push(area, GFP_KERNEL)?;
        // The purge is done by a worker.
        fsleep(Delta::from_millis(2));
    }
    ADDR.store(0, Ordering::Relaxed);
    Err(EAGAIN)
}

/// The address of the area.
fn area() -> Result<*mut u64> {
    match ADDR.load(Ordering::Acquire) {
        0 => Err(ENXIO),
        addr => Ok(addr as *mut u64),
    }
}

/// Reads the area, through whatever this CPU's TLB says.
fn read() -> Result<u64> {
    let addr = area()?;

    // SAFETY: Copes with an area that is not mapped.
    Ok(unsafe { c::deferred_flush_test_read(addr) })
}
