//! Memory files as Miri needs them: a descriptor that names memory of the process's own. Both sides of a
//! region map the same bytes, so Miri sees every access of either and knows which ones nothing orders.

use std::{
    alloc::{Layout, alloc_zeroed, dealloc},
    collections::BTreeMap,
    fs::File,
    os::fd::{AsFd, AsRawFd, OwnedFd, RawFd},
    ptr::NonNull,
    sync::{Arc, Mutex},
};

use crate::abi::{Errno, Result};
use crate::sys::mutex::lock;

/// The bytes of one memory file.
#[derive(Debug)]
pub(crate) struct Memory {
    bytes: NonNull<u8>,
    layout: Layout,
}

// SAFETY: the memory belongs to the value alone; who writes it when is the business of those who share it.
unsafe impl Send for Memory {}

// SAFETY: as for `Send`: only the address is handed out.
unsafe impl Sync for Memory {}

static FILES: Mutex<BTreeMap<RawFd, Arc<Memory>>> = Mutex::new(BTreeMap::new());

/// Makes a memory file of `len` bytes, all zero.
pub(crate) fn create_sealed(_: &str, len: usize) -> Result<OwnedFd> {
    let fd = OwnedFd::from(File::open("/dev/null").map_err(|error| Errno::of(&error))?);
    let mut files = lock(&FILES);
    // In the place of an earlier file whose descriptor was closed and is used again.
    files.insert(fd.as_raw_fd(), Arc::new(Memory::new(len)));
    Ok(fd)
}

/// Proves that `fd` is a memory file of exactly `len` bytes.
///
/// # Errors
/// `EINVAL` when it is anything else.
pub(crate) fn check_sealed(fd: impl AsFd, len: usize) -> Result<()> {
    let memory = Memory::of(fd)?;
    if memory.len() == len {
        Ok(())
    } else {
        Err(Errno::EINVAL)
    }
}

impl Memory {
    /// The memory of a file.
    pub(crate) fn of(fd: impl AsFd) -> Result<Arc<Memory>> {
        let files = lock(&FILES);
        let memory = files.get(&fd.as_fd().as_raw_fd());
        memory.map(Arc::clone).ok_or(Errno::EINVAL)
    }

    pub(crate) fn len(&self) -> usize {
        self.layout.size()
    }

    pub(crate) fn as_mut_ptr(&self) -> *mut u8 {
        self.bytes.as_ptr()
    }

    fn new(len: usize) -> Memory {
        let layout = Layout::from_size_align(len, 4096).expect("invariant: a file's length");
        // SAFETY: no file of this project is empty.
        let bytes = unsafe { alloc_zeroed(layout) };
        Memory {
            bytes: NonNull::new(bytes).expect("memory"),
            layout,
        }
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        // SAFETY: allocated with this layout, freed once, and used by nobody any more.
        unsafe { dealloc(self.bytes.as_ptr(), self.layout) }
    }
}
