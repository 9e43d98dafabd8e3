//! Files as memory: mappings are copies.

use std::ffi::{c_int, c_void};
use std::os::fd::{AsRawFd, OwnedFd};

use ipc_core::abi::{Errno, Result};
use libc::{off_t, size_t};

use super::on_file;
use crate::shield::{set_errno, within};
use crate::table::OpenFile;
use crate::{real, sealed};

/// The kinds of mappings, among the flags.
const KINDS: c_int = libc::MAP_SHARED | libc::MAP_PRIVATE;

/// In the place of the C library's function of this name. A mapping of a file of ours is a copy, made at once. For a
/// private one that is enough: whether it shows later changes of the file is nobody's to count on. A shared one is a copy
/// too where it can only be read and its descriptor was opened for reading alone: as on a network's file system, what
/// others write later does not show. Who could write, by the mapping or by the descriptor, counts on seeing what it wrote,
/// and is refused; so is, with EACCES as for any file opened for reading alone, who makes the mapping writable later.
///
/// # Safety
/// As the C library's.
#[cfg_attr(not(test), unsafe(no_mangle))]
pub unsafe extern "C" fn mmap(
    address: *mut c_void,
    len: size_t,
    protection: c_int,
    flags: c_int,
    fd: c_int,
    offset: off_t,
) -> *mut c_void {
    let anonymous = flags & libc::MAP_ANONYMOUS != 0;
    let copied = within(|| match anonymous {
        true => None,
        // SAFETY: the caller's promise.
        false => on_file(fd, |open| unsafe {
            copy(open, address, len, protection, flags, offset)
        }),
    });
    match copied {
        Some(Ok(start)) => start,
        Some(Err(errno)) => {
            set_errno(errno.0);
            libc::MAP_FAILED
        }
        // SAFETY: the caller's promise is the callee's.
        None => unsafe { real::mmap(address, len, protection, flags, fd, offset) },
    }
}

/// In the place of the C library's function of this name.
///
/// # Safety
/// As the C library's.
#[cfg_attr(not(test), unsafe(no_mangle))]
pub unsafe extern "C" fn mmap64(
    address: *mut c_void,
    len: size_t,
    protection: c_int,
    flags: c_int,
    fd: c_int,
    offset: off_t,
) -> *mut c_void {
    // SAFETY: the caller's promise is the callee's.
    unsafe { mmap(address, len, protection, flags, fd, offset) }
}

/// Memory with a part of a file; what is behind the file's end is zero.
///
/// # Safety
/// As `mmap`: with MAP_FIXED, nobody counts on what was at the address.
unsafe fn copy(
    open: &OpenFile,
    address: *mut c_void,
    len: size_t,
    protection: c_int,
    flags: c_int,
    offset: off_t,
) -> Result<*mut c_void> {
    let reads_alone = protection & libc::PROT_WRITE == 0 && !open.open_flags().writes();
    let is_shared = match flags & KINDS {
        libc::MAP_PRIVATE => false,
        libc::MAP_SHARED if reads_alone => true,
        _ => return Err(Errno::ENODEV),
    };
    if open.is_dir() || !open.open_flags().reads() {
        return Err(Errno::EACCES);
    }
    let offset = u64::try_from(offset).map_err(|_| Errno::EINVAL)?;
    // SAFETY: takes a name of a value.
    let page = unsafe { libc::sysconf(libc::_SC_PAGESIZE) }.cast_unsigned();
    if !offset.is_multiple_of(page) {
        return Err(Errno::EINVAL);
    }
    if is_shared {
        let memory = read_only_memory(open, len, offset)?;
        // SAFETY: the caller's promise is the callee's.
        return mapped(unsafe {
            real::mmap(address, len, protection, flags, memory.as_raw_fd(), 0)
        });
    }
    let flags = flags | libc::MAP_ANONYMOUS;
    // SAFETY: the caller's promise is the callee's.
    let start = mapped(unsafe { real::mmap(address, len, WRITABLE, flags, -1, 0) })?;
    // SAFETY: just mapped, of this length, and nobody else's.
    let bytes = unsafe { std::slice::from_raw_parts_mut(start.cast::<u8>(), len) };
    let filled = fill(open, bytes, offset).and_then(|()| {
        // SAFETY: the mapping of this call.
        match unsafe { libc::mprotect(start, len, protection) } {
            0 => Ok(start),
            _ => Err(Errno::last()),
        }
    });
    if filled.is_err() {
        // SAFETY: the mapping of this call, which nobody knows of.
        unsafe { libc::munmap(start, len) };
    }
    filled
}

const WRITABLE: c_int = libc::PROT_READ | libc::PROT_WRITE;

fn mapped(start: *mut c_void) -> Result<*mut c_void> {
    match start {
        libc::MAP_FAILED => Err(Errno::last()),
        start => Ok(start),
    }
}

/// A memory file with a part of a file, whose later mappings the system lets nobody write.
fn read_only_memory(open: &OpenFile, len: usize, offset: u64) -> Result<OwnedFd> {
    let memory = sealed::sealable(c"qnet-mapping")?;
    let fd = memory.as_raw_fd();
    let file_len = off_t::try_from(len).map_err(|_| Errno::ENOMEM)?;
    // SAFETY: takes numbers only.
    if unsafe { real::ftruncate(fd, file_len) } < 0 {
        return Err(Errno::last());
    }
    let null = std::ptr::null_mut();
    // SAFETY: a new mapping, at an address of the system's choice.
    let start = mapped(unsafe { real::mmap(null, len, WRITABLE, libc::MAP_SHARED, fd, 0) })?;
    // SAFETY: just mapped, of this length, as long as the file; nobody else knows of either.
    let bytes = unsafe { std::slice::from_raw_parts_mut(start.cast::<u8>(), len) };
    let filled = fill(open, bytes, offset);
    // SAFETY: the mapping of this call, whose bytes are not used any more.
    unsafe { libc::munmap(start, len) };
    filled.and_then(|()| sealed::seal(&memory, libc::F_SEAL_FUTURE_WRITE))?;
    Ok(memory)
}

fn fill(open: &OpenFile, mut bytes: &mut [u8], mut offset: u64) -> Result<()> {
    while !bytes.is_empty() {
        let count = open.file.read_at(bytes, offset)?;
        if count == 0 {
            break;
        }
        bytes = &mut bytes[count..];
        offset += count as u64;
    }
    Ok(())
}
