//! A memfd mapped by a process and by the children it forks.

use std::io;
use std::num::NonZeroUsize;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU32, AtomicU64};

use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::mman::{MapFlags, ProtFlags, mmap, munmap};

/// Bytes of one cache line.
pub const LINE_LEN: usize = 64;

/// Shared memory: children forked after its creation see the same bytes at the same address.
///
/// Access is by atomics or by raw copies, never by reference to plain data: other processes write too.
#[derive(Debug)]
pub struct SharedMap {
    file: OwnedFd,
    base: NonNull<u8>,
    len: usize,
}

impl SharedMap {
    /// Maps `len` bytes (rounded up to pages), present and zero.
    ///
    /// # Errors
    /// What `memfd_create`, `ftruncate` or `mmap` answer.
    pub fn new(len: usize) -> io::Result<SharedMap> {
        let len = len.next_multiple_of(4096).max(4096);
        let file = memfd_create(c"benches", MFdFlags::MFD_CLOEXEC)?;
        nix::unistd::ftruncate(&file, len as i64)?;
        SharedMap::map(file, len)
    }

    /// Maps what another process of the same run made, which it handed over as a descriptor.
    ///
    /// # Errors
    /// EINVAL for a file that is empty or no whole number of pages, and what `fstat` or `mmap` answer.
    pub fn adopt(file: OwnedFd) -> io::Result<SharedMap> {
        let len = nix::sys::stat::fstat(&file)?.st_size as usize;
        if len == 0 || !len.is_multiple_of(4096) {
            return Err(io::Error::from_raw_os_error(libc::EINVAL));
        }
        SharedMap::map(file, len)
    }

    /// Bytes mapped.
    #[expect(clippy::len_without_is_empty, reason = "a mapping is never empty")]
    pub fn len(&self) -> usize {
        self.len
    }

    /// The memory's file, for a program that is to share it.
    pub fn file(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }

    fn map(file: OwnedFd, len: usize) -> io::Result<SharedMap> {
        let size = NonZeroUsize::new(len).expect("at least one page");
        let access = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
        let flags = MapFlags::MAP_SHARED | MapFlags::MAP_POPULATE;
        // SAFETY: no address is asked for, so nothing that exists is replaced; the file is `len` long and
        // nobody truncates it: its descriptor stays among processes of one run, and none does that.
        let base = unsafe { mmap(None, size, access, flags, &file, 0) }?.cast();
        Ok(SharedMap { file, base, len })
    }

    /// The 32-bit word at `offset`.
    #[inline]
    pub fn word32(&self, offset: usize) -> &AtomicU32 {
        // SAFETY: `at` checked bounds and alignment; the mapping lives as long as `self`, and an atomic may
        // be written by others at any time.
        unsafe { AtomicU32::from_ptr(self.at(offset, 4, 4).cast()) }
    }

    /// The 64-bit word at `offset`.
    #[inline]
    pub fn word64(&self, offset: usize) -> &AtomicU64 {
        // SAFETY: as for `word32`.
        unsafe { AtomicU64::from_ptr(self.at(offset, 8, 8).cast()) }
    }

    /// Cache line number `index` as eight words.
    #[inline]
    pub fn line(&self, index: usize) -> &[AtomicU64; 8] {
        // SAFETY: `at` checked that the line lies inside the mapping and is aligned to itself; `AtomicU64`
        // has the layout of `u64`, and atomics may be written by others at any time.
        unsafe { &*self.at(index * LINE_LEN, LINE_LEN, LINE_LEN).cast() }
    }

    /// Copies `bytes` to `offset`.
    #[inline]
    pub fn copy_in(&self, offset: usize, bytes: &[u8]) {
        let to = self.at(offset, bytes.len(), 1);
        // SAFETY: `at` checked the bounds; a private slice cannot overlap the mapping. The hand-over word
        // of the caller orders the copy, and bytes torn by a wrong order would fail the caller's check.
        unsafe { to.copy_from_nonoverlapping(bytes.as_ptr(), bytes.len()) }
    }

    /// Copies from `offset` into `bytes`.
    #[inline]
    pub fn copy_out(&self, offset: usize, bytes: &mut [u8]) {
        let from = self.at(offset, bytes.len(), 1);
        // SAFETY: as for `copy_in`.
        unsafe {
            bytes
                .as_mut_ptr()
                .copy_from_nonoverlapping(from, bytes.len())
        }
    }

    #[inline]
    fn at(&self, offset: usize, len: usize, align: usize) -> *mut u8 {
        assert!(
            offset <= self.len && len <= self.len - offset,
            "inside the mapping"
        );
        assert!(
            offset.is_multiple_of(align),
            "aligned: the mapping starts on a page"
        );
        // SAFETY: `offset` is within the mapping, asserted above.
        unsafe { self.base.as_ptr().add(offset) }
    }
}

impl Drop for SharedMap {
    fn drop(&mut self) {
        // SAFETY: the mapping is this value's own, and what `word32` and the like lent has ended with it.
        let _ = unsafe { munmap(self.base.cast(), self.len) };
    }
}

// SAFETY: the mapping is plain memory without affinity to a thread; access is atomic or copied.
unsafe impl Send for SharedMap {}
// SAFETY: as above; a shared reference offers only atomics and copies.
unsafe impl Sync for SharedMap {}
