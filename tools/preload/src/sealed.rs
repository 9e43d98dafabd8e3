//! Memory files that carry a note to children and to the next image of the process, and cannot be made to say
//! anything else.

use std::ffi::{CStr, CString, OsStr, c_int, c_void};
use std::io::Read;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;

use ipc_core::abi::{Errno, Result};

use crate::real;

/// Bytes of a note: a path, and a little beside it.
const LEN_MAX: u64 = 256 + libc::PATH_MAX as u64;

/// Makes one, closed at exec.
pub(crate) fn make(name: &CStr, bytes: &[u8]) -> Result<OwnedFd> {
    let memory = sealable(name)?;
    let fd = memory.as_raw_fd();
    // SAFETY: the bytes live through the call.
    let written = unsafe { real::write(fd, bytes.as_ptr().cast::<c_void>(), bytes.len()) };
    if written != bytes.len().cast_signed() {
        return Err(Errno::ENOSPC);
    }
    seal(&memory, libc::F_SEAL_WRITE)?;
    Ok(memory)
}

/// Makes an empty one, closed at exec, that anything may be written into until it is [`seal`]ed.
pub(crate) fn sealable(name: &CStr) -> Result<OwnedFd> {
    let flags = libc::MFD_CLOEXEC | libc::MFD_ALLOW_SEALING;
    // SAFETY: the name is a C string.
    own(unsafe { libc::memfd_create(name.as_ptr(), flags) })
}

/// Forbids writing in one of the system's ways, and any other length, for good.
pub(crate) fn seal(memory: &OwnedFd, write: c_int) -> Result<()> {
    let seals = write | libc::F_SEAL_GROW | libc::F_SEAL_SHRINK | libc::F_SEAL_SEAL;
    // SAFETY: takes numbers only.
    match unsafe { real::fcntl(memory.as_raw_fd(), libc::F_ADD_SEALS, seals as usize) } {
        0 => Ok(()),
        _ => Err(Errno::last()),
    }
}

/// What the one of this name behind a descriptor says, whatever kind of descriptor that is; `None` for any other.
pub(crate) fn read(fd: c_int, name: &CStr) -> Option<Vec<u8>> {
    let link = std::fs::read_link(path_of(fd)).ok()?;
    let link = link.as_os_str().as_bytes();
    let known = link.strip_prefix(b"/memfd:")?.strip_suffix(b" (deleted)")?;
    if known != name.to_bytes() {
        return None;
    }
    let memory = open(path_of(fd), libc::O_RDONLY | libc::O_CLOEXEC).ok()?;
    let mut bytes = Vec::new();
    let read = std::fs::File::from(memory)
        .take(LEN_MAX)
        .read_to_end(&mut bytes);
    read.ok().map(|_| bytes)
}

/// A descriptor's file by a path, to be opened in another way.
pub(crate) fn path_of(fd: c_int) -> String {
    format!("/proc/self/fd/{fd}")
}

/// Opens a path of the system's.
pub(crate) fn open(path: impl AsRef<OsStr>, flags: c_int) -> Result<OwnedFd> {
    let path = CString::new(path.as_ref().as_bytes()).map_err(|_| Errno::EINVAL)?;
    // SAFETY: the path is a C string.
    own(unsafe { real::open(path.as_ptr(), flags, 0) })
}

/// A descriptor that was just made, or why it was not.
pub(crate) fn own(fd: c_int) -> Result<OwnedFd> {
    if fd < 0 {
        return Err(Errno::last());
    }
    // SAFETY: just made, and nobody else's.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}
