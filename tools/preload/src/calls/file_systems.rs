//! What is known of the file system that a file is on.

use std::ffi::{c_char, c_int};

use ipc_core::abi::io::StatVfs;
use ipc_core::abi::{Errno, Result};
use ipc_core::file;
use libc::{statfs as HostStatfs, statvfs as HostStatvfs};

use super::on_file;
use crate::{real, route};

super::interpose! {
    fn statvfs | statvfs64(path: *const c_char, into: *mut HostStatvfs) -> c_int {
        // SAFETY: the caller's promise.
        let path = unsafe { route::absolute(path) }?;
        // SAFETY: the caller's promise.
        Some(file::statvfs(path).and_then(|found| unsafe { give(into, standard(&found)) }))
    } or real::statvfs(path, into);

    fn fstatvfs | fstatvfs64(fd: c_int, into: *mut HostStatvfs) -> c_int {
        // SAFETY: the caller's promise.
        on_file(fd, |open| unsafe { give(into, standard(&open.file.statvfs()?)) })
    } or real::fstatvfs(fd, into);

    fn statfs | statfs64(path: *const c_char, into: *mut HostStatfs) -> c_int {
        // SAFETY: the caller's promise.
        let path = unsafe { route::absolute(path) }?;
        // SAFETY: the caller's promise.
        Some(file::statvfs(path).and_then(|found| unsafe { give(into, linux(&found)) }))
    } or real::statfs(path, into);

    fn fstatfs | fstatfs64(fd: c_int, into: *mut HostStatfs) -> c_int {
        // SAFETY: the caller's promise.
        on_file(fd, |open| unsafe { give(into, linux(&open.file.statvfs()?)) })
    } or real::fstatfs(fd, into);
}

/// # Safety
/// `into` is null or a structure that the caller may write.
unsafe fn give<T>(into: *mut T, found: T) -> Result<c_int> {
    if into.is_null() {
        return Err(Errno::EFAULT);
    }
    // SAFETY: the caller's promise.
    unsafe { into.write(found) };
    Ok(0)
}

fn standard(found: &StatVfs) -> HostStatvfs {
    // SAFETY: all zeroes is a valid value of a structure of integers.
    let mut given: HostStatvfs = unsafe { std::mem::zeroed() };
    given.f_bsize = found.block_len;
    given.f_frsize = found.fragment_len;
    given.f_blocks = found.blocks;
    given.f_bfree = found.blocks_free;
    given.f_bavail = found.blocks_available;
    given.f_files = found.files;
    given.f_ffree = found.files_free;
    given.f_favail = found.files_available;
    given.f_fsid = found.id;
    given.f_flag = found.flags;
    given.f_namemax = found.name_len_max.into();
    given
}

/// Without flags, which libc's structure has no name for: zero says that there are none to be had.
fn linux(found: &StatVfs) -> HostStatfs {
    // SAFETY: all zeroes is a valid value of a structure of integers.
    let mut given: HostStatfs = unsafe { std::mem::zeroed() };
    // Linux's nearest kin, files that a program serves: programs that know the type expect no news of changes made
    // elsewhere. The type on the server's disk would promise them.
    given.f_type = libc::FUSE_SUPER_MAGIC;
    given.f_bsize = found.block_len.cast_signed();
    given.f_frsize = found.fragment_len.cast_signed();
    given.f_blocks = found.blocks;
    given.f_bfree = found.blocks_free;
    given.f_bavail = found.blocks_available;
    given.f_files = found.files;
    given.f_ffree = found.files_free;
    // SAFETY: two integers of 32 bits, and any bytes are such.
    given.f_fsid = unsafe { std::mem::transmute::<u64, libc::fsid_t>(found.id) };
    given.f_namelen = found.name_len_max.into();
    given
}
