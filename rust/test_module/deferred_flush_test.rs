// SPDX-License-Identifier: GPL-2.0

//! `/dev/deferred_flush_test`: vmalloc storms, and an address to read stale data from.
//!
//! For the selftests; knows nothing of `deferred_flush.ko`. The interface is in `uapi.h`.

use core::alloc::Layout;
use core::mem::replace;
use core::ptr::NonNull;
use core::sync::atomic::{AtomicUsize, Ordering};
use kernel::alloc::allocator::Vmalloc;
use kernel::alloc::{Allocator, NumaNode};
use kernel::fs::File;
use kernel::ioctl::_IOC_SIZE;
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

/// What `shim.h` and `uapi.h` declare.
#[allow(
    clippy::all,
    clippy::undocumented_unsafe_blocks,
    dead_code,
    improper_ctypes,
    non_camel_case_types,
    non_upper_case_globals,
    unreachable_pub
)]
mod c {
    use kernel::bindings::page;
    use kernel::ffi;

    include!(concat!(
        env!("DEFERRED_FLUSH_OBJ"),
        "/test_module/shim.h.rs"
    ));
}

const PAGE: usize = kernel::page::PAGE_SIZE;
const AREA_PAGES: usize = c::DEFERRED_FLUSH_TEST_PAGES as usize;
/// Tries until vmalloc gives the same address again.
const MAX_TRIES: u32 = 64;

// SAFETY: No padding, and all bit patterns are valid.
unsafe impl kernel::transmute::FromBytes for c::test_storm {}
// SAFETY: As above.
unsafe impl kernel::transmute::AsBytes for c::test_storm {}
// SAFETY: As above.
unsafe impl kernel::transmute::FromBytes for c::test_probe {}
// SAFETY: As above.
unsafe impl kernel::transmute::AsBytes for c::test_probe {}

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
                name: c::TEST_DEVICE_NAME,
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
            c::TEST_STORM => {
                let (mut reader, mut writer) = user().reader_writer();
                let mut args = reader.read::<c::test_storm>()?;
                args.rounds = storm(&args)?;
                writer.write(&args)?;
            }
            c::TEST_MAP => map(user().reader().read()?)?,
            c::TEST_REMAP => return remap(user().reader().read()?, false),
            c::TEST_REMAP_SMALL => return remap(user().reader().read()?, true),
            c::TEST_MAP_TABLE => {
                let (mut reader, mut writer) = user().reader_writer();
                writer.write(&tables::map(reader.read()?)?)?;
            }
            c::TEST_REUSE_TABLE => return Ok(tables::reuse(user().reader().read()?)?.into()),
            c::TEST_MAP_PMDS => tables::map_pmds()?,
            c::TEST_FREE_PMDS => tables::free_pmds()?,
            c::TEST_TAKE_FREED => return Ok(tables::take_freed()?.into()),
            // SAFETY: Has no preconditions.
            c::TEST_MAP_WC => kernel::error::to_result(unsafe { c::deferred_flush_test_map_wc() })?,
            // SAFETY: Has no preconditions.
            c::TEST_SET_WB => kernel::error::to_result(unsafe { c::deferred_flush_test_set_wb() })?,
            c::TEST_FREE => free(),
            c::TEST_UNMAP => unmap(),
            // SAFETY: Has no preconditions.
            c::TEST_UNMAP_ALIASES => unsafe { c::deferred_flush_test_purge_small() },
            c::TEST_WRITE_READ_ONLY => {
                let alias = user().reader().read::<u64>()? != 0;

                // SAFETY: Has no preconditions.
                kernel::error::to_result(unsafe { c::deferred_flush_test_write_read_only(alias) })?
            }
            c::TEST_READ_FRAME => {
                let (mut reader, mut writer) = user().reader_writer();

                // SAFETY: Has no preconditions.
                writer.write(&unsafe { c::deferred_flush_test_read_frame(reader.read()?) })?;
            }
            c::TEST_TEXT_PAGE_SIZE => {
                // SAFETY: Has no preconditions.
                let size = unsafe { c::deferred_flush_test_text_page_size() };

                user().writer().write(&size)?;
            }
            c::TEST_READ => user().writer().write(&read()?)?,
            c::TEST_READ_WOKEN => {
                let (mut reader, mut writer) = user().reader_writer();
                writer.write(&me.read_woken(reader.read()?)?)?;
            }
            c::TEST_WAKE => me.wake(user().reader().read()?),
            c::TEST_SHRINK_AND_WAKE => {
                let number = user().reader().read()?;

                // At once: a CPU that polls may be interrupted.
                shrink_area()?;
                me.wake(number);
            }
            c::TEST_PROBE_TIMER => {
                let args = user().reader().read::<c::test_probe>()?;
                // SAFETY: The probe copes with an area that is not mapped.
                unsafe { c::deferred_flush_test_probe_timer(area()?, args.us.into()) };
            }
            c::TEST_PROBE_NMI => {
                let args = user().reader().read::<c::test_probe>()?;
                // SAFETY: As above.
                kernel::error::to_result(unsafe {
                    c::deferred_flush_test_probe_nmi(args.cpu_or_done, area()?)
                })?;
            }
            c::TEST_PROBE_IPI => {
                let args = user().reader().read::<c::test_probe>()?;
                // SAFETY: As above.
                kernel::error::to_result(unsafe {
                    c::deferred_flush_test_probe_ipi(args.cpu_or_done, area()?)
                })?;
            }
            c::TEST_PROBE_RESULT => {
                let mut args = c::test_probe {
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
fn storm(args: &c::test_storm) -> Result<u64> {
    if args.pages == 0
        || args.pages > c::TEST_MAX_PAGES
        || args.max_ms == 0
        || args.max_ms > c::TEST_MAX_MS
    {
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

/// Maps an area at an address that this CPU is given again when it has been freed.
fn map(value: u64) -> Result {
    let mut slot = AREA.lock();
    let mut others = KVec::with_capacity(MAX_TRIES as usize, GFP_KERNEL)?;
    let mut area = new_area(value)?;

    // SAFETY: Has no preconditions.
    while unsafe { !c::deferred_flush_test_comes_back(area.as_ptr() as usize) }
        && others.len() < MAX_TRIES as usize
    {
        others.push(replace(&mut area, new_area(value)?), GFP_KERNEL)?;
    }
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
