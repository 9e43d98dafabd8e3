//! Setting the times of a file, in every form that there has been.

use std::ffi::{c_char, c_int};
use std::path::PathBuf;

use ipc_core::abi::io::{TimeSet, TimeSpec};
use ipc_core::abi::{Errno, Result};
use ipc_core::file;
use libc::{timespec, timeval, utimbuf};

use super::on_file;
use crate::table::OpenFile;
use crate::{real, route};

/// Access and modification.
type Times = (TimeSet, TimeSet);

super::interpose! {
    fn futimens(fd: c_int, times: *const timespec) -> c_int {
        // SAFETY: the caller's promise.
        on_file(fd, |open| set_open(open, unsafe { of_timespecs(times) }))
    } or real::futimens(fd, times);

    fn utimensat(dir: c_int, path: *const c_char, times: *const timespec, flags: c_int) -> c_int {
        // Without a path the descriptor itself is meant, whatever the flags are.
        // SAFETY: the caller's promise.
        if path.is_null() || unsafe { route::is_descriptor(path, flags) } {
            // SAFETY: the caller's promise.
            return on_file(dir, |open| set_open(open, unsafe { of_timespecs(times) }));
        }
        // SAFETY: the caller's promise.
        let path = unsafe { route::at(dir, path) }?;
        // SAFETY: the caller's promise.
        set(path, unsafe { of_timespecs(times) }, flags & libc::AT_SYMLINK_NOFOLLOW == 0)
    } or real::utimensat(dir, path, times, flags);

    fn utime(path: *const c_char, times: *const utimbuf) -> c_int {
        // SAFETY: the caller's promise.
        let path = unsafe { route::absolute(path) }?;
        // SAFETY: the caller's promise.
        let times = unsafe { times.as_ref() };
        let whole = |seconds| TimeSet::To(TimeSpec { seconds, nanoseconds: 0 });
        let times = times.map_or(NOW, |times| (whole(times.actime), whole(times.modtime)));
        set(path, Ok(times), true)
    } or real::utime(path, times);

    fn utimes(path: *const c_char, times: *const timeval) -> c_int {
        // SAFETY: the caller's promise.
        let path = unsafe { route::absolute(path) }?;
        // SAFETY: the caller's promise.
        set(path, unsafe { of_timevals(times) }, true)
    } or real::utimes(path, times);

    fn lutimes(path: *const c_char, times: *const timeval) -> c_int {
        // SAFETY: the caller's promise.
        let path = unsafe { route::absolute(path) }?;
        // SAFETY: the caller's promise.
        set(path, unsafe { of_timevals(times) }, false)
    } or real::lutimes(path, times);

    fn futimesat(dir: c_int, path: *const c_char, times: *const timeval) -> c_int {
        // SAFETY: the caller's promise.
        let path = unsafe { route::at(dir, path) }?;
        // SAFETY: the caller's promise.
        set(path, unsafe { of_timevals(times) }, true)
    } or real::futimesat(dir, path, times);

    fn futimes(fd: c_int, times: *const timeval) -> c_int {
        // SAFETY: the caller's promise.
        on_file(fd, |open| set_open(open, unsafe { of_timevals(times) }))
    } or real::futimes(fd, times);
}

const NOW: Times = (TimeSet::Now, TimeSet::Now);

fn set_open(open: &OpenFile, times: Result<Times>) -> Result<c_int> {
    let (atime, mtime) = times?;
    open.file.set_times(atime, mtime).map(|()| 0)
}

fn set(path: PathBuf, times: Result<Times>, follow: bool) -> Option<Result<c_int>> {
    let set = match follow {
        true => file::set_times,
        false => file::set_link_times,
    };
    Some(
        times
            .and_then(|(atime, mtime)| set(path, atime, mtime))
            .map(|()| 0),
    )
}

/// # Safety
/// `times` is null or two times.
unsafe fn of_timespecs(times: *const timespec) -> Result<Times> {
    if times.is_null() {
        return Ok(NOW);
    }
    // SAFETY: the caller's promise.
    let times = unsafe { std::slice::from_raw_parts(times, 2) };
    Ok((of_timespec(&times[0])?, of_timespec(&times[1])?))
}

fn of_timespec(time: &timespec) -> Result<TimeSet> {
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

/// # Safety
/// `times` is null or two times.
unsafe fn of_timevals(times: *const timeval) -> Result<Times> {
    if times.is_null() {
        return Ok(NOW);
    }
    // SAFETY: the caller's promise.
    let times = unsafe { std::slice::from_raw_parts(times, 2) };
    Ok((of_timeval(&times[0])?, of_timeval(&times[1])?))
}

fn of_timeval(time: &timeval) -> Result<TimeSet> {
    match time.tv_usec {
        microseconds @ 0..1_000_000 => Ok(TimeSet::To(TimeSpec {
            seconds: time.tv_sec,
            nanoseconds: microseconds as u32 * 1000,
        })),
        _ => Err(Errno::EINVAL),
    }
}
