//! Two system calls that no crate of ours wraps: the groups of one thread, and raw directory entries.

use std::io;
use std::os::fd::{AsFd, AsRawFd};

/// Takes all supplementary groups from the calling thread, and from it alone: the C library's `setgroups`
/// would change every thread of the process.
pub(super) fn drop_thread_groups() -> io::Result<()> {
    // SAFETY: with a count of 0 the kernel does not look at the pointer.
    let done = unsafe {
        libc::syscall(
            libc::SYS_setgroups,
            0_usize,
            std::ptr::null::<libc::gid_t>(),
        )
    };
    if done == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// Reads directory entries in the kernel's format from where the descriptor is; answers the bytes, 0 at the
/// end.
pub(super) fn read_dir_entries(dir: impl AsFd, into: &mut [u8]) -> io::Result<usize> {
    // SAFETY: the kernel writes at most `into.len()` bytes to memory that `into` borrows exclusively.
    let read = unsafe {
        libc::syscall(
            libc::SYS_getdents64,
            dir.as_fd().as_raw_fd(),
            into.as_mut_ptr(),
            into.len(),
        )
    };
    usize::try_from(read).map_err(|_| io::Error::last_os_error())
}
