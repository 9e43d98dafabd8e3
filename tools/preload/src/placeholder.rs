//! What stands for an open file in the system's table of descriptors.
//!
//! Each open file of ours has a real descriptor, so that its number is taken, duplicated, inherited and closed as any
//! other. It is an `O_PATH` descriptor: whatever passes this library by (a direct system call, a statically linked
//! program) gets EBADF and never wrong bytes. What it leads to is a sealed memory file that says which file it is, so
//! that a child and the next image of the process know without being told: see [`Handover`].

use std::ffi::{CString, OsStr, c_int, c_void};
use std::io::Read;
use std::os::fd::{AsRawFd, FromRawFd, IntoRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use ipc_core::abi::io::OpenFlags;
use ipc_core::abi::{Errno, Result};
use ipc_core::file::Handover;

use crate::real;
use crate::table::OpenFile;

/// The memory file's name, and what the system makes of it.
const NAME: &std::ffi::CStr = c"qnet-file";
const LINK: &[u8] = b"/memfd:qnet-file (deleted)";

/// What another process's placeholder says.
pub(crate) struct Inscription {
    pub(crate) handover: Handover,
    pub(crate) flags: OpenFlags,
    pub(crate) path: PathBuf,
}

/// Makes a descriptor for a file, which is closed at exec if its flags say so.
pub(crate) fn make(open: &OpenFile) -> Result<OwnedFd> {
    let flags = open.open_flags();
    let cloexec = if flags.contains(OpenFlags::CLOEXEC) {
        libc::O_CLOEXEC
    } else {
        0
    };
    // Without memory for it, or /proc to have it by, the file is this image's alone.
    match inscribe(open) {
        Ok(memory) => {
            let opened = open_path(&path_of(memory.as_raw_fd()), libc::O_PATH | cloexec);
            // The memory file has the lowest number that was free: the program is to have that.
            opened.and_then(|opened| move_to(opened, memory.into_raw_fd(), cloexec))
        }
        Err(_) => Err(Errno::ENOENT),
    }
    .or_else(|_| open_path("/dev/null", libc::O_PATH | cloexec))
}

/// Gives a descriptor another number, whose own is closed by that.
fn move_to(from: OwnedFd, to: c_int, cloexec: c_int) -> Result<OwnedFd> {
    // SAFETY: takes numbers only, of which the caller gives this one away.
    let moved = unsafe { real::dup3(from.as_raw_fd(), to, cloexec) };
    // SAFETY: the number is nobody else's, whichever of the two files it leads to.
    let moved_to = unsafe { OwnedFd::from_raw_fd(to) };
    if moved < 0 {
        Err(Errno::last())
    } else {
        Ok(moved_to)
    }
}

/// Puts another file's placeholder, with what it says, where a descriptor's is. Whether the descriptor is closed at
/// exec stays as it was.
pub(crate) fn replace(fd: c_int, open: &OpenFile) -> Result<()> {
    let fresh = make(open)?;
    // SAFETY: takes numbers only.
    let flags = unsafe { real::fcntl(fd, libc::F_GETFD, 0) };
    let cloexec = if flags & libc::FD_CLOEXEC != 0 {
        libc::O_CLOEXEC
    } else {
        0
    };
    // SAFETY: the number is a placeholder of ours, which nothing but its number is known of.
    let replaced = flags >= 0 && unsafe { real::dup3(fresh.as_raw_fd(), fd, cloexec) } == fd;
    if replaced { Ok(()) } else { Err(Errno::last()) }
}

/// What a placeholder says; `None` for any other descriptor.
pub(crate) fn read(fd: c_int) -> Option<Inscription> {
    let link = std::fs::read_link(path_of(fd)).ok()?;
    if link.as_os_str().as_bytes() != LINK {
        return None;
    }
    let memory = open_path(&path_of(fd), libc::O_RDONLY | libc::O_CLOEXEC).ok()?;
    let mut bytes = Vec::new();
    let most = (Handover::LEN + size_of::<u32>()) as u64 + libc::PATH_MAX as u64;
    let mut memory = std::fs::File::from(memory).take(most);
    memory.read_to_end(&mut bytes).ok()?;
    let handover = Handover::read(&bytes)?;
    let (flags, path) = bytes[Handover::LEN..].split_first_chunk()?;
    Some(Inscription {
        handover,
        flags: OpenFlags(u32::from_ne_bytes(*flags)),
        path: OsStr::from_bytes(path).into(),
    })
}

/// A memory file that says which file it stands for, and cannot be made to say anything else.
fn inscribe(open: &OpenFile) -> Result<OwnedFd> {
    let flags = open.open_flags() - (OpenFlags::CREAT | OpenFlags::EXCL | OpenFlags::TRUNC);
    let handover = open.file.handover();
    let path = open.path.as_os_str().as_bytes();
    let parts = [handover.to_bytes().as_slice(), &flags.0.to_ne_bytes(), path].concat();
    // SAFETY: the name is a C string.
    let memory =
        unsafe { libc::memfd_create(NAME.as_ptr(), libc::MFD_CLOEXEC | libc::MFD_ALLOW_SEALING) };
    if memory < 0 {
        return Err(Errno::last());
    }
    // SAFETY: just made, and nobody else's.
    let memory = unsafe { OwnedFd::from_raw_fd(memory) };
    let fd = memory.as_raw_fd();
    // SAFETY: the bytes live through the call.
    let written = unsafe { real::write(fd, parts.as_ptr().cast::<c_void>(), parts.len()) };
    if written != parts.len().cast_signed() {
        return Err(Errno::ENOSPC);
    }
    let seals = libc::F_SEAL_WRITE | libc::F_SEAL_GROW | libc::F_SEAL_SHRINK | libc::F_SEAL_SEAL;
    // SAFETY: takes numbers only.
    if unsafe { real::fcntl(fd, libc::F_ADD_SEALS, seals as usize) } < 0 {
        return Err(Errno::last());
    }
    Ok(memory)
}

fn path_of(fd: c_int) -> String {
    format!("/proc/self/fd/{fd}")
}

fn open_path(path: &str, flags: c_int) -> Result<OwnedFd> {
    let path = CString::new(path).map_err(|_| Errno::EINVAL)?;
    // SAFETY: the path is a C string.
    let fd = unsafe { real::open(path.as_ptr(), flags, 0) };
    if fd < 0 {
        return Err(Errno::last());
    }
    // SAFETY: just made, and nobody else's.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}
