//! Changing what is known of a file: permissions, owner, size; and what is on the device.

use std::ffi::{c_char, c_int, c_uint};

use ipc_core::abi::io::{Io, Space};
use ipc_core::abi::{Errno, Result};
use ipc_core::file;
use libc::{mode_t, off_t};

use super::on_file;
use crate::table::OpenFile;
use crate::{real, route};

super::interpose! {
    fn chmod(path: *const c_char, mode: mode_t) -> c_int {
        // SAFETY: the caller's promise.
        Some(file::chmod(unsafe { route::absolute(path) }?, mode).map(|()| 0))
    } or real::chmod(path, mode);

    fn lchmod(path: *const c_char, mode: mode_t) -> c_int {
        // SAFETY: the caller's promise.
        Some(file::lchmod(unsafe { route::absolute(path) }?, mode).map(|()| 0))
    } or real::lchmod(path, mode);

    fn fchmodat(dir: c_int, path: *const c_char, mode: mode_t, flags: c_int) -> c_int {
        // SAFETY: the caller's promise.
        if unsafe { route::is_descriptor(path, flags) } {
            return on_file(dir, |open| open.file.set_mode(mode).map(|()| 0));
        }
        // SAFETY: the caller's promise.
        let path = unsafe { route::at(dir, path) }?;
        let change = if flags & libc::AT_SYMLINK_NOFOLLOW != 0 { file::lchmod } else { file::chmod };
        Some(change(path, mode).map(|()| 0))
    } or real::fchmodat(dir, path, mode, flags);

    fn fchmod(fd: c_int, mode: mode_t) -> c_int {
        on_file(fd, |open| open.file.set_mode(mode).map(|()| 0))
    } or real::fchmod(fd, mode);

    fn chown(path: *const c_char, uid: u32, gid: u32) -> c_int {
        // SAFETY: the caller's promise.
        Some(file::chown(unsafe { route::absolute(path) }?, id(uid), id(gid)).map(|()| 0))
    } or real::chown(path, uid, gid);

    fn lchown(path: *const c_char, uid: u32, gid: u32) -> c_int {
        // SAFETY: the caller's promise.
        Some(file::lchown(unsafe { route::absolute(path) }?, id(uid), id(gid)).map(|()| 0))
    } or real::lchown(path, uid, gid);

    fn fchownat(dir: c_int, path: *const c_char, uid: u32, gid: u32, flags: c_int) -> c_int {
        // SAFETY: the caller's promise.
        if unsafe { route::is_descriptor(path, flags) } {
            return on_file(dir, |open| change_owner(open, uid, gid));
        }
        // SAFETY: the caller's promise.
        let path = unsafe { route::at(dir, path) }?;
        let change = if flags & libc::AT_SYMLINK_NOFOLLOW != 0 { file::lchown } else { file::chown };
        Some(change(path, id(uid), id(gid)).map(|()| 0))
    } or real::fchownat(dir, path, uid, gid, flags);

    fn fchown(fd: c_int, uid: u32, gid: u32) -> c_int {
        on_file(fd, |open| change_owner(open, uid, gid))
    } or real::fchown(fd, uid, gid);

    fn truncate | truncate64(path: *const c_char, len: off_t) -> c_int {
        // SAFETY: the caller's promise.
        let path = unsafe { route::absolute(path) }?;
        Some(size(len).and_then(|len| file::truncate(path, len)).map(|()| 0))
    } or real::truncate(path, len);

    fn ftruncate | ftruncate64(fd: c_int, len: off_t) -> c_int {
        on_file(fd, |open| open.file.set_len(size(len)?).map(|()| 0))
    } or real::ftruncate(fd, len);

    fn fallocate | fallocate64(fd: c_int, mode: c_int, offset: off_t, len: off_t) -> c_int {
        on_file(fd, |open| {
            if mode != 0 {
                return Err(Errno::EOPNOTSUPP);
            }
            allocate(open, offset, len).map(|()| 0)
        })
    } or real::fallocate(fd, mode, offset, len);

    fn fsync(fd: c_int) -> c_int {
        on_file(fd, |open| open.file.sync_all().map(|()| 0))
    } or real::fsync(fd);

    // More than is asked for.
    fn syncfs(fd: c_int) -> c_int {
        on_file(fd, |open| open.file.sync_all().map(|()| 0))
    } or real::syncfs(fd);

    fn sync_file_range(fd: c_int, offset: off_t, len: off_t, flags: c_uint) -> c_int {
        on_file(fd, |open| open.file.sync_data().map(|()| 0))
    } or real::sync_file_range(fd, offset, len, flags);

    fn fdatasync(fd: c_int) -> c_int {
        on_file(fd, |open| open.file.sync_data().map(|()| 0))
    } or real::fdatasync(fd);
}

fn change_owner(open: &OpenFile, uid: u32, gid: u32) -> Result<c_int> {
    let (uid, gid) = (id(uid), id(gid));
    let message = Io::Chown { uid, gid };
    open.file.send_io(message, &[], &mut []).map(|_| 0)
}

/// Makes sure of space.
pub(super) fn allocate(open: &OpenFile, offset: off_t, len: off_t) -> Result<()> {
    let (kind, start, len) = (Space::Allocate, size(offset)?, size(len)?);
    let message = Io::Space { kind, start, len };
    open.file.send_io(message, &[], &mut []).map(drop)
}

/// Owner or group; all ones leave it.
fn id(id: u32) -> Option<u32> {
    (id != u32::MAX).then_some(id)
}

fn size(len: off_t) -> Result<u64> {
    u64::try_from(len).map_err(|_| Errno::EINVAL)
}
