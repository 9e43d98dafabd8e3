//! System calls that no crate of ours wraps: groups and capabilities of one thread, raw directory entries, times of
//! what is open by its name alone.

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

/// Takes the capability to use what a disk keeps in reserve, and to go beyond quotas, from the calling thread.
/// Unlike those that pass over permissions, it does not go with the filesystem user.
pub(super) fn drop_thread_reserves() -> io::Result<()> {
    const VERSION_3: u32 = 0x2008_0522;
    const SYS_RESOURCE: u32 = 24;
    // The kernel's header (version, pid; 0 is this thread) and its two halves of effective, permitted,
    // inheritable.
    let mut header = [VERSION_3, 0];
    let mut sets = [[0_u32; 3]; 2];
    // SAFETY: both are of the size that the version names, and live through the call.
    if unsafe { libc::syscall(libc::SYS_capget, header.as_mut_ptr(), sets.as_mut_ptr()) } != 0 {
        return Err(io::Error::last_os_error());
    }
    sets[0][0] &= !(1 << SYS_RESOURCE);
    // SAFETY: as above.
    if unsafe { libc::syscall(libc::SYS_capset, header.as_mut_ptr(), sets.as_ptr()) } != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
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

/// Sets access and modification time of what a descriptor by name stands for, be it a symbolic link.
pub(super) fn set_times_by_name(file: impl AsFd, times: [libc::timespec; 2]) -> io::Result<()> {
    // SAFETY: the path is an empty C string, with which the descriptor itself is meant; the kernel reads two times.
    let done = unsafe {
        libc::utimensat(
            file.as_fd().as_raw_fd(),
            c"".as_ptr(),
            times.as_ptr(),
            libc::AT_EMPTY_PATH,
        )
    };
    if done == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}
