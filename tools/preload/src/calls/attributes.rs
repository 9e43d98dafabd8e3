//! Changing what is known of a file: permissions, times, size; and what is on the device.

use std::ffi::{c_char, c_int};

use ipc_core::abi::io::{Io, Space, TimeSet, TimeSpec};
use ipc_core::abi::{Errno, Result};
use ipc_core::file;
use libc::{mode_t, off_t, timespec};

use super::on_file;
use crate::{real, route};

super::interpose! {
    fn chmod(path: *const c_char, mode: mode_t) -> c_int {
        // SAFETY: the caller's promise.
        Some(file::chmod(unsafe { route::absolute(path) }?, mode).map(|()| 0))
    } or real::chmod(path, mode);

    fn fchmodat(dir: c_int, path: *const c_char, mode: mode_t, flags: c_int) -> c_int {
        // SAFETY: the caller's promise.
        Some(file::chmod(unsafe { route::at(dir, path) }?, mode).map(|()| 0))
    } or real::fchmodat(dir, path, mode, flags);

    fn fchmod(fd: c_int, mode: mode_t) -> c_int {
        on_file(fd, |open| open.file.set_mode(mode).map(|()| 0))
    } or real::fchmod(fd, mode);

    fn chown(path: *const c_char, uid: u32, gid: u32) -> c_int {
        // SAFETY: the caller's promise.
        Some(file::chown(unsafe { route::absolute(path) }?, id(uid), id(gid)).map(|()| 0))
    } or real::chown(path, uid, gid);

    fn fchown(fd: c_int, uid: u32, gid: u32) -> c_int {
        on_file(fd, |open| {
            let message = Io::Chown { uid: id(uid), gid: id(gid) };
            open.file.send_io(message, &[], &mut []).map(|_| 0)
        })
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
            let message = Io::Space { kind: Space::Allocate, start: size(offset)?, len: size(len)? };
            open.file.send_io(message, &[], &mut []).map(|_| 0)
        })
    } or real::fallocate(fd, mode, offset, len);

    fn fsync(fd: c_int) -> c_int {
        on_file(fd, |open| open.file.sync_all().map(|()| 0))
    } or real::fsync(fd);

    fn fdatasync(fd: c_int) -> c_int {
        on_file(fd, |open| open.file.sync_data().map(|()| 0))
    } or real::fdatasync(fd);

    fn futimens(fd: c_int, times: *const timespec) -> c_int {
        on_file(fd, |open| {
            // SAFETY: the caller's promise.
            let (atime, mtime) = unsafe { both(times) }?;
            open.file.set_times(atime, mtime).map(|()| 0)
        })
    } or real::futimens(fd, times);

    fn utimensat(dir: c_int, path: *const c_char, times: *const timespec, flags: c_int) -> c_int {
        // SAFETY: the caller's promise.
        let path = unsafe { route::at(dir, path) }?;
        // SAFETY: the caller's promise.
        let times = unsafe { both(times) };
        Some(times.and_then(|(atime, mtime)| file::set_times(path, atime, mtime)).map(|()| 0))
    } or real::utimensat(dir, path, times, flags);
}

/// Owner or group; all ones leave it.
fn id(id: u32) -> Option<u32> {
    (id != u32::MAX).then_some(id)
}

fn size(len: off_t) -> Result<u64> {
    u64::try_from(len).map_err(|_| Errno::EINVAL)
}

/// # Safety
/// `times` is null or two times.
unsafe fn both(times: *const timespec) -> Result<(TimeSet, TimeSet)> {
    if times.is_null() {
        return Ok((TimeSet::Now, TimeSet::Now));
    }
    // SAFETY: the caller's promise.
    let times = unsafe { std::slice::from_raw_parts(times, 2) };
    Ok((one(&times[0])?, one(&times[1])?))
}

fn one(time: &timespec) -> Result<TimeSet> {
    Ok(match time.tv_nsec {
        libc::UTIME_NOW => TimeSet::Now,
        libc::UTIME_OMIT => TimeSet::Omit,
        nanoseconds @ 0..1_000_000_000 => TimeSet::To(TimeSpec {
            seconds: time.tv_sec,
            nanoseconds: nanoseconds as u32,
        }),
        _ => return Err(Errno::EINVAL),
    })
}
