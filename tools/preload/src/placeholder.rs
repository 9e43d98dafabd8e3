//! What stands for an open file in the system's table of descriptors.
//!
//! Each open file of ours has a real descriptor, so that its number is taken, duplicated, inherited and closed as any
//! other. It is an `O_PATH` descriptor: whatever passes this library by (a direct system call, a statically linked
//! program) gets EBADF and never wrong bytes. What it leads to is a sealed memory file that says which file it is, so
//! that a child and the next image of the process know without being told: see [`Handover`].

use std::ffi::{CStr, OsStr, c_int};
use std::os::fd::{AsRawFd, FromRawFd, IntoRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use ipc_core::abi::io::OpenFlags;
use ipc_core::abi::{Errno, Result};
use ipc_core::file::Handover;

use crate::table::OpenFile;
use crate::{real, sealed};

const NAME: &CStr = c"qnet-file";

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
    let inscribed = inscribe(open).and_then(|memory| {
        let opened = sealed::open(sealed::path_of(memory.as_raw_fd()), libc::O_PATH | cloexec)?;
        // The memory file has the lowest number that was free: the program is to have that.
        move_to(&opened, memory.into_raw_fd(), cloexec)
    });
    // Without memory for it, or /proc to have it by, the file is this image's alone.
    inscribed.or_else(|_| sealed::open("/dev/null", libc::O_PATH | cloexec))
}

/// Puts another file's placeholder, with what it says, where a descriptor's is. Whether the descriptor is closed at
/// exec stays as it was.
pub(crate) fn replace(fd: c_int, open: &OpenFile) -> Result<()> {
    let fresh = make(open)?;
    // SAFETY: takes numbers only.
    let flags = unsafe { real::fcntl(fd, libc::F_GETFD, 0) };
    if flags < 0 {
        return Err(Errno::last());
    }
    let cloexec = if flags & libc::FD_CLOEXEC != 0 {
        libc::O_CLOEXEC
    } else {
        0
    };
    // The number is the program's, and stays it.
    move_to(&fresh, fd, cloexec).map(|moved| _ = moved.into_raw_fd())
}

/// What a placeholder says; `None` for any other descriptor.
pub(crate) fn read(fd: c_int) -> Option<Inscription> {
    let bytes = sealed::read(fd, NAME)?;
    let handover = Handover::read(&bytes)?;
    let (flags, path) = bytes[Handover::LEN..].split_first_chunk()?;
    Some(Inscription {
        handover,
        flags: OpenFlags(u32::from_ne_bytes(*flags)),
        path: OsStr::from_bytes(path).into(),
    })
}

fn inscribe(open: &OpenFile) -> Result<OwnedFd> {
    let flags = open.open_flags() - (OpenFlags::CREAT | OpenFlags::EXCL | OpenFlags::TRUNC);
    let handover = open.file.handover().to_bytes();
    let path = open.path.as_os_str().as_bytes();
    let bytes = [&handover, flags.0.to_ne_bytes().as_slice(), path].concat();
    sealed::make(NAME, &bytes)
}

/// Makes a number lead where a descriptor does. What it led to is closed by that.
fn move_to(from: &OwnedFd, to: c_int, cloexec: c_int) -> Result<OwnedFd> {
    // SAFETY: takes numbers only, of which the caller gives `to` away.
    let moved = unsafe { real::dup3(from.as_raw_fd(), to, cloexec) };
    if moved < 0 {
        return Err(Errno::last());
    }
    // SAFETY: it is the caller's, who has it from here.
    Ok(unsafe { OwnedFd::from_raw_fd(moved) })
}
