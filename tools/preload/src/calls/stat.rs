//! What is known of a file.

use std::ffi::{c_char, c_int, c_uint};

use ipc_core::abi::io::{Access, FileType, Stat, TimeSpec};
use ipc_core::abi::{Errno, Result};
use ipc_core::file;
use libc::{stat as HostStat, statx as HostStatx};

use super::on_file;
use crate::table::OpenFile;
use crate::{real, route};

super::interpose! {
    fn stat | stat64(path: *const c_char, into: *mut HostStat) -> c_int {
        // SAFETY: the caller's promise.
        let path = unsafe { route::absolute(path) }?;
        // SAFETY: the caller's promise.
        Some(file::stat(path).and_then(|found| unsafe { give(&found, into) }))
    } or real::stat(path, into);

    fn lstat | lstat64(path: *const c_char, into: *mut HostStat) -> c_int {
        // SAFETY: the caller's promise.
        let path = unsafe { route::absolute(path) }?;
        // SAFETY: the caller's promise.
        Some(file::lstat(path).and_then(|found| unsafe { give(&found, into) }))
    } or real::lstat(path, into);

    fn fstat | fstat64(fd: c_int, into: *mut HostStat) -> c_int {
        // SAFETY: the caller's promise.
        on_file(fd, |open| unsafe { give(&open.stat()?, into) })
    } or real::fstat(fd, into);

    fn fstatat | fstatat64 | newfstatat(dir: c_int, path: *const c_char, into: *mut HostStat, flags: c_int) -> c_int {
        // SAFETY: the caller's promise.
        let found = unsafe { stat_at(dir, path, flags) }?;
        // SAFETY: the caller's promise.
        Some(found.and_then(|found| unsafe { give(&found, into) }))
    } or real::fstatat(dir, path, into, flags);

    // What the four above were to programs linked before version 2.33 of the GNU C library.
    fn __xstat | __xstat64(_version: c_int, path: *const c_char, into: *mut HostStat) -> c_int {
        // SAFETY: the caller's promise.
        let path = unsafe { route::absolute(path) }?;
        // SAFETY: the caller's promise.
        Some(file::stat(path).and_then(|found| unsafe { give(&found, into) }))
    } or real::stat(path, into);

    fn __lxstat | __lxstat64(_version: c_int, path: *const c_char, into: *mut HostStat) -> c_int {
        // SAFETY: the caller's promise.
        let path = unsafe { route::absolute(path) }?;
        // SAFETY: the caller's promise.
        Some(file::lstat(path).and_then(|found| unsafe { give(&found, into) }))
    } or real::lstat(path, into);

    fn __fxstat | __fxstat64(_version: c_int, fd: c_int, into: *mut HostStat) -> c_int {
        // SAFETY: the caller's promise.
        on_file(fd, |open| unsafe { give(&open.stat()?, into) })
    } or real::fstat(fd, into);

    fn __fxstatat | __fxstatat64(
        _version: c_int, dir: c_int, path: *const c_char, into: *mut HostStat, flags: c_int
    ) -> c_int {
        // SAFETY: the caller's promise.
        let found = unsafe { stat_at(dir, path, flags) }?;
        // SAFETY: the caller's promise.
        Some(found.and_then(|found| unsafe { give(&found, into) }))
    } or real::fstatat(dir, path, into, flags);

    fn statx(dir: c_int, path: *const c_char, flags: c_int, mask: c_uint, into: *mut HostStatx) -> c_int {
        // SAFETY: the caller's promise.
        let found = unsafe { stat_at(dir, path, flags) }?;
        // SAFETY: the caller's promise.
        Some(found.and_then(|found| unsafe { give_extended(&found, into) }))
    } or real::statx(dir, path, flags, mask, into);

    fn access(path: *const c_char, rights: c_int) -> c_int {
        // SAFETY: the caller's promise.
        Some(check(unsafe { route::absolute(path) }?, rights))
    } or real::access(path, rights);

    // Who a message is from, its server knows by the user in effect, always.
    fn eaccess | euidaccess(path: *const c_char, rights: c_int) -> c_int {
        // SAFETY: the caller's promise.
        Some(check(unsafe { route::absolute(path) }?, rights))
    } or real::euidaccess(path, rights);

    fn faccessat(dir: c_int, path: *const c_char, rights: c_int, flags: c_int) -> c_int {
        // SAFETY: the caller's promise.
        if unsafe { route::is_descriptor(path, flags) } {
            return on_file(dir, |open| check(open.path.clone(), rights));
        }
        // SAFETY: the caller's promise.
        let path = unsafe { route::at(dir, path) }?;
        if flags & libc::AT_SYMLINK_NOFOLLOW != 0 {
            // Of a link itself everybody has all rights.
            match file::lstat(&path) {
                Ok(found) if found.file_type() == FileType::Symlink => return Some(Ok(0)),
                Ok(_) => {}
                Err(errno) => return Some(Err(errno)),
            }
        }
        Some(check(path, rights))
    } or real::faccessat(dir, path, rights, flags);
}

fn check(path: std::path::PathBuf, rights: c_int) -> Result<c_int> {
    let rights = Access::from_bits(rights.cast_unsigned()).ok_or(Errno::EINVAL)?;
    file::access(path, rights).map(|()| 0)
}

/// # Safety
/// `path` is null or a C string that lives through the call.
unsafe fn stat_at(dir: c_int, path: *const c_char, flags: c_int) -> Option<Result<Stat>> {
    // SAFETY: the caller's promise.
    if unsafe { route::is_descriptor(path, flags) } {
        return on_file(dir, OpenFile::stat);
    }
    // SAFETY: the caller's promise.
    let path = unsafe { route::at(dir, path) }?;
    Some(if flags & libc::AT_SYMLINK_NOFOLLOW != 0 {
        file::lstat(path)
    } else {
        file::stat(path)
    })
}

/// # Safety
/// `into` is null or a structure that the caller may write.
unsafe fn give(found: &Stat, into: *mut HostStat) -> Result<c_int> {
    if into.is_null() {
        return Err(Errno::EFAULT);
    }
    // SAFETY: all zeroes is a valid value of a structure of integers.
    let mut given: HostStat = unsafe { std::mem::zeroed() };
    given.st_dev = found.dev;
    given.st_ino = found.ino;
    given.st_mode = found.mode;
    given.st_nlink = found.nlink.into();
    given.st_uid = found.uid;
    given.st_gid = found.gid;
    given.st_rdev = found.rdev;
    given.st_size = found.size.cast_signed();
    given.st_blksize = found.blksize.into();
    given.st_blocks = found.blocks.cast_signed();
    (given.st_atime, given.st_atime_nsec) = time(found.atime);
    (given.st_mtime, given.st_mtime_nsec) = time(found.mtime);
    (given.st_ctime, given.st_ctime_nsec) = time(found.ctime);
    // SAFETY: the caller's promise.
    unsafe { into.write(given) };
    Ok(0)
}

fn time(time: TimeSpec) -> (i64, i64) {
    (time.seconds, time.nanoseconds.into())
}

/// # Safety
/// `into` is null or a structure that the caller may write.
unsafe fn give_extended(found: &Stat, into: *mut HostStatx) -> Result<c_int> {
    if into.is_null() {
        return Err(Errno::EFAULT);
    }
    // SAFETY: all zeroes is a valid value of a structure of integers.
    let mut given: HostStatx = unsafe { std::mem::zeroed() };
    given.stx_mask = libc::STATX_BASIC_STATS;
    given.stx_blksize = found.blksize;
    given.stx_nlink = found.nlink;
    given.stx_uid = found.uid;
    given.stx_gid = found.gid;
    // The type and twelve permission bits are what a mode of 16 bits holds.
    given.stx_mode = found.mode as u16;
    given.stx_ino = found.ino;
    given.stx_size = found.size;
    given.stx_blocks = found.blocks;
    (given.stx_dev_major, given.stx_dev_minor) = (libc::major(found.dev), libc::minor(found.dev));
    (given.stx_rdev_major, given.stx_rdev_minor) =
        (libc::major(found.rdev), libc::minor(found.rdev));
    for (field, time) in [
        (&mut given.stx_atime, found.atime),
        (&mut given.stx_mtime, found.mtime),
        (&mut given.stx_ctime, found.ctime),
    ] {
        (field.tv_sec, field.tv_nsec) = (time.seconds, time.nanoseconds);
    }
    // SAFETY: the caller's promise.
    unsafe { into.write(given) };
    Ok(0)
}
