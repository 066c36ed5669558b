//! Memory of isolates: one place in a worker's address space in which the pages of an image show through until they are written.
//!
//! An isolate starts by being there, and ends by having the pages that it wrote copied back. The kernel says which these are
//! (`PAGEMAP_SCAN`, Linux 6.7); an older one drops all of them, which costs more and is as clean.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::ptr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustix::mm::{Advice, MapFlags, MprotectFlags, ProtFlags};
use wasmtime::{Error, LinearMemory, MemoryCreator, MemoryType};

use crate::shape::{GUARD_BYTES, RESERVED_BYTES};

const PAGE_BYTES: usize = 4096;

/// The place, of which a worker has one.
pub(crate) struct Slot {
    base: usize,
    /// `/proc/self/pagemap`, opened before the worker is locked in; `None` where it cannot be.
    pagemap: Option<OwnedFd>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    image: Option<Image>,
    heap_bytes_max: usize,
    occupied: bool,
    /// Growth was refused since this was last asked.
    refused_growth: bool,
    /// Compare the whole image after each reset: a page that was missed would be another installation's data.
    compare: bool,
}

/// The image once more, read-only: what pages are restored from.
#[derive(Clone, Copy)]
struct Image {
    at: usize,
    length: usize,
}

impl Slot {
    /// Reserves the address space.
    pub fn reserve() -> std::io::Result<Arc<Self>> {
        // SAFETY: a new mapping where the kernel finds room touches nothing that exists.
        let base = unsafe {
            rustix::mm::mmap_anonymous(
                ptr::null_mut(),
                RESERVED_BYTES + GUARD_BYTES,
                ProtFlags::empty(),
                MapFlags::PRIVATE | MapFlags::NORESERVE,
            )?
        };
        let pagemap = std::fs::File::open("/proc/self/pagemap").ok().map(OwnedFd::from);
        Ok(Arc::new(Self { base: base as usize, pagemap, state: Mutex::default() }))
    }

    /// Whether pages are restored one by one.
    pub fn restores_by_page(&self) -> bool {
        self.pagemap.is_some()
    }

    /// Puts an image there, once in the life of a worker. The file must be one that nobody can write or shorten.
    pub fn bind(
        &self,
        image: BorrowedFd<'_>,
        length: usize,
        heap_bytes_max: usize,
        compare: bool,
    ) -> std::io::Result<()> {
        let mut state = self.state();
        if state.image.is_some() || state.occupied || length > heap_bytes_max || length > RESERVED_BYTES {
            return Err(std::io::Error::other("an image does not fit, or there is one"));
        }
        // SAFETY: the first is a new mapping; the second replaces pages of our own reservation, which nobody refers to.
        let at = unsafe {
            rustix::mm::mmap(
                self.base as *mut _,
                length,
                ProtFlags::READ | ProtFlags::WRITE,
                MapFlags::PRIVATE | MapFlags::FIXED,
                image,
                0,
            )?;
            rustix::mm::mmap(ptr::null_mut(), length, ProtFlags::READ, MapFlags::SHARED, image, 0)?
        };
        state.image = Some(Image { at: at as usize, length });
        state.heap_bytes_max = heap_bytes_max;
        state.compare = compare;
        Ok(())
    }

    /// Whether an isolate was refused memory since the last call.
    pub fn take_refused_growth(&self) -> bool {
        std::mem::take(&mut self.state().refused_growth)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes the slot equal to its image again.
    fn reset(&self, size: usize) {
        let mut state = self.state();
        let Some(image) = state.image else { return };
        let restored = self.pagemap.as_ref().is_some_and(|pagemap| self.restore_written(pagemap.as_fd(), image));
        // SAFETY: these pages belong to the slot, whose isolate is gone.
        let dropped = unsafe {
            let kept =
                restored || rustix::mm::madvise(self.base as *mut _, image.length, Advice::LinuxDontNeed).is_ok();
            kept && (size <= image.length || self.close(image.length, size - image.length))
        };
        // SAFETY: both ranges are mapped and readable, and no isolate writes.
        let same = dropped
            && (!state.compare
                || unsafe {
                    std::slice::from_raw_parts(self.base as *const u8, image.length)
                        == std::slice::from_raw_parts(image.at as *const u8, image.length)
                });
        if !same {
            // What the next isolate would see is not known: there is no next one.
            std::process::abort();
        }
        state.occupied = false;
    }

    /// Gives back what an isolate had grown by.
    ///
    /// # Safety
    /// The range lies in the slot, behind the image, and nobody uses it.
    unsafe fn close(&self, from: usize, length: usize) -> bool {
        let at = (self.base + from) as *mut _;
        // SAFETY: as the caller promises.
        unsafe {
            rustix::mm::madvise(at, length, Advice::LinuxDontNeed).is_ok()
                && rustix::mm::mprotect(at, length, MprotectFlags::empty()).is_ok()
        }
    }

    /// Copies back the pages that are not the image's any more. False when the kernel cannot say which these are.
    fn restore_written(&self, pagemap: BorrowedFd<'_>, image: Image) -> bool {
        let end = (self.base + image.length) as u64;
        let mut at = self.base as u64;
        while at < end {
            let mut regions = [scan::Region::default(); scan::REGIONS];
            let Some((found, walked_to)) = scan::written(pagemap, at, end, &mut regions) else { return false };
            for region in &regions[..found] {
                let (start, length) = (region.start as usize, (region.end - region.start) as usize);
                debug_assert_eq!(length % PAGE_BYTES, 0);
                // SAFETY: the kernel names parts of the range that was asked for, which is the slot's and writable; the image
                // has as many bytes, elsewhere.
                unsafe {
                    ptr::copy_nonoverlapping((image.at + (start - self.base)) as *const u8, start as *mut u8, length);
                }
            }
            if walked_to <= at {
                return false;
            }
            at = walked_to;
        }
        true
    }
}

/// The question which pages are private copies (`linux/fs.h`, since Linux 6.7).
mod scan {
    use super::{AsRawFd, BorrowedFd};

    pub(super) const REGIONS: usize = 64;
    /// `_IOWR('f', 16, struct pm_scan_arg)`.
    pub(crate) const PAGEMAP_SCAN: u64 = 0xc060_6610;
    const WRITTEN: u64 = 1 << 1;
    const FILE: u64 = 1 << 2;
    const PRESENT: u64 = 1 << 3;
    const ZERO: u64 = 1 << 5;

    #[derive(Clone, Copy, Default)]
    #[repr(C)]
    pub(super) struct Region {
        pub start: u64,
        pub end: u64,
        categories: u64,
    }

    #[repr(C)]
    struct Question {
        size: u64,
        flags: u64,
        start: u64,
        end: u64,
        walk_end: u64,
        regions: u64,
        regions_length: u64,
        pages_max: u64,
        inverted: u64,
        all_of: u64,
        any_of: u64,
        returned: u64,
    }

    /// How many regions were found, and to where the kernel looked.
    pub(super) fn written(
        pagemap: BorrowedFd<'_>,
        start: u64,
        end: u64,
        regions: &mut [Region; REGIONS],
    ) -> Option<(usize, u64)> {
        let mut question = Question {
            size: size_of::<Question>() as u64,
            flags: 0,
            start,
            end,
            walk_end: 0,
            regions: regions.as_mut_ptr() as u64,
            regions_length: REGIONS as u64,
            pages_max: 0,
            inverted: FILE | ZERO,
            // Present and written, and neither a page of the file nor the page of zeros: copies.
            all_of: WRITTEN | PRESENT | FILE | ZERO,
            any_of: 0,
            returned: 0,
        };
        // SAFETY: the argument has the kernel's layout, and its pointer names room for as many regions as it says.
        let found = unsafe { libc::ioctl(pagemap.as_raw_fd(), PAGEMAP_SCAN as _, &raw mut question) };
        Some((usize::try_from(found).ok()?, question.walk_end))
    }
}

pub(crate) use scan::PAGEMAP_SCAN;

/// The memory of the isolate that is in the slot.
struct Occupied {
    slot: Arc<Slot>,
    size: usize,
}

// SAFETY: pointer and capacity are those of the reservation, which is never moved nor given back; `size` bytes of it are
// readable and writable, and the rest faults.
unsafe impl LinearMemory for Occupied {
    fn byte_size(&self) -> usize {
        self.size
    }

    fn byte_capacity(&self) -> usize {
        RESERVED_BYTES
    }

    fn grow_to(&mut self, size: usize) -> Result<(), Error> {
        let mut state = self.slot.state();
        if size > state.heap_bytes_max {
            state.refused_growth = true;
            return Err(Error::msg("the app may not use more memory"));
        }
        let Some(more) = size.checked_sub(self.size) else { return Ok(()) };
        // SAFETY: the range lies in the slot, behind what the isolate has.
        unsafe {
            let at = (self.slot.base + self.size) as *mut _;
            rustix::mm::mprotect(at, more, MprotectFlags::READ | MprotectFlags::WRITE).map_err(Error::new)?;
        }
        self.size = size;
        Ok(())
    }

    fn as_ptr(&self) -> *mut u8 {
        self.slot.base as *mut u8
    }
}

impl Drop for Occupied {
    fn drop(&mut self) {
        self.slot.reset(self.size);
    }
}

/// Hands the slot to wasmtime.
pub(crate) struct Slots(pub Arc<Slot>);

// SAFETY: the memories it makes are as large as wasmtime is told, and reserve what the settings say.
unsafe impl MemoryCreator for Slots {
    fn new_memory(
        &self,
        _shape: MemoryType,
        _minimum: usize,
        _maximum: Option<usize>,
        _reserved: Option<usize>,
        _guard: usize,
    ) -> Result<Box<dyn LinearMemory>, String> {
        let mut state = self.0.state();
        match state.image {
            Some(image) if !state.occupied => {
                state.occupied = true;
                Ok(Box::new(Occupied { slot: Arc::clone(&self.0), size: image.length }))
            }
            Some(_) => Err("the slot is occupied".to_owned()),
            None => Err("there is no image".to_owned()),
        }
    }
}
