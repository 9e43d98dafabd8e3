//! Names: making, removing and changing them.

use std::ffi::{CStr, c_char, c_int, c_uint};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use ipc_core::abi::{Errno, Result};
use ipc_core::file;
use libc::{mode_t, size_t, ssize_t};

use super::real_path::without_links;
use crate::{real, route, shield, table};

super::interpose! {
    fn unlink(path: *const c_char) -> c_int {
        // SAFETY: the caller's promise.
        Some(file::unlink(unsafe { route::absolute(path) }?).map(|()| 0))
    } or real::unlink(path);

    fn unlinkat(dir: c_int, path: *const c_char, flags: c_int) -> c_int {
        // SAFETY: the caller's promise.
        let path = unsafe { route::at(dir, path) }?;
        let done = if flags & libc::AT_REMOVEDIR != 0 { file::rmdir(path) } else { file::unlink(path) };
        Some(done.map(|()| 0))
    } or real::unlinkat(dir, path, flags);

    // The C library's `remove` unlinks by itself.
    fn remove(path: *const c_char) -> c_int {
        // SAFETY: the caller's promise.
        let path = unsafe { route::absolute(path) }?;
        let removed = match file::unlink(&path) {
            Err(Errno::EISDIR) => file::rmdir(&path),
            done => done,
        };
        Some(removed.map(|()| 0))
    } or real::remove(path);

    fn mkdir(path: *const c_char, mode: mode_t) -> c_int {
        // SAFETY: the caller's promise.
        Some(file::mkdir(unsafe { route::absolute(path) }?, mode).map(|()| 0))
    } or real::mkdir(path, mode);

    fn mkdirat(dir: c_int, path: *const c_char, mode: mode_t) -> c_int {
        // SAFETY: the caller's promise.
        Some(file::mkdir(unsafe { route::at(dir, path) }?, mode).map(|()| 0))
    } or real::mkdirat(dir, path, mode);

    fn rmdir(path: *const c_char) -> c_int {
        // SAFETY: the caller's promise.
        Some(file::rmdir(unsafe { route::absolute(path) }?).map(|()| 0))
    } or real::rmdir(path);

    fn rename(from: *const c_char, to: *const c_char) -> c_int {
        // SAFETY: the caller's promise.
        on_both(unsafe { route::absolute(from) }, unsafe { route::absolute(to) }, 0)
    } or real::rename(from, to);

    fn renameat(from_dir: c_int, from: *const c_char, to_dir: c_int, to: *const c_char) -> c_int {
        // SAFETY: the caller's promise.
        on_both(unsafe { route::at(from_dir, from) }, unsafe { route::at(to_dir, to) }, 0)
    } or real::renameat(from_dir, from, to_dir, to);

    fn renameat2(
        from_dir: c_int, from: *const c_char, to_dir: c_int, to: *const c_char, flags: c_uint
    ) -> c_int {
        // SAFETY: the caller's promise.
        on_both(unsafe { route::at(from_dir, from) }, unsafe { route::at(to_dir, to) }, flags)
    } or real::renameat2(from_dir, from, to_dir, to, flags);

    fn link(existing: *const c_char, new: *const c_char) -> c_int {
        // SAFETY: the caller's promise.
        link_both(unsafe { route::absolute(existing) }, unsafe { route::absolute(new) }, false)
    } or real::link(existing, new);

    fn linkat(
        existing_dir: c_int, existing: *const c_char, new_dir: c_int, new: *const c_char, flags: c_int
    ) -> c_int {
        // SAFETY: the caller's promise.
        let given = match unsafe { route::is_descriptor(existing, flags) } {
            true => table::path_of(existing_dir),
            // SAFETY: the caller's promise.
            false => unsafe { route::at(existing_dir, existing) },
        };
        // SAFETY: the caller's promise.
        link_both(given, unsafe { route::at(new_dir, new) }, flags & libc::AT_SYMLINK_FOLLOW != 0)
    } or real::linkat(existing_dir, existing, new_dir, new, flags);

    fn symlinkat(text: *const c_char, dir: c_int, path: *const c_char) -> c_int {
        // SAFETY: the caller's promise.
        let path = unsafe { route::at(dir, path) }?;
        // SAFETY: the caller's promise.
        let text = unsafe { route::text(text) };
        Some(text.ok_or(Errno::EFAULT).and_then(|text| file::symlink(text, path)).map(|()| 0))
    } or real::symlinkat(text, dir, path);

    fn symlink(text: *const c_char, path: *const c_char) -> c_int {
        // SAFETY: the caller's promise.
        let path = unsafe { route::absolute(path) }?;
        // SAFETY: the caller's promise.
        let text = unsafe { route::text(text) };
        Some(text.ok_or(Errno::EFAULT).and_then(|text| file::symlink(text, path)).map(|()| 0))
    } or real::symlink(text, path);

    fn __readlinkat_chk(
        dir: c_int, path: *const c_char, into: *mut c_char, len: size_t, room: size_t
    ) -> ssize_t {
        if len > room {
            return None;
        }
        // SAFETY: the caller's promise.
        let path = unsafe { route::at(dir, path) }?;
        // SAFETY: the caller's promise.
        Some(file::readlink(path).and_then(|text| unsafe { give(text, into, len) }))
    } or real::__readlinkat_chk(dir, path, into, len, room);

    fn readlinkat(dir: c_int, path: *const c_char, into: *mut c_char, len: size_t) -> ssize_t {
        // SAFETY: the caller's promise.
        let path = unsafe { route::at(dir, path) }?;
        // SAFETY: the caller's promise.
        Some(file::readlink(path).and_then(|text| unsafe { give(text, into, len) }))
    } or real::readlinkat(dir, path, into, len);
}

/// What jemalloc reads with its own lock held, at the first allocation of a process: this library's would wait for that.
const ALLOCATORS_OPTIONS: &CStr = c"/etc/malloc.conf";

/// In the place of the C library's function of this name.
///
/// # Safety
/// As the C library's.
#[cfg_attr(not(test), unsafe(no_mangle))]
pub unsafe extern "C" fn readlink(path: *const c_char, into: *mut c_char, len: size_t) -> ssize_t {
    // SAFETY: the caller's promise.
    match unsafe { read_link(path, into, len) } {
        Some(result) => shield::to_c(result),
        // SAFETY: the caller's promise is the callee's.
        None => unsafe { real::readlink(path, into, len) },
    }
}

/// What `readlink` becomes under _FORTIFY_SOURCE; with too little room the C library ends the process.
///
/// # Safety
/// As the C library's.
#[cfg_attr(not(test), unsafe(no_mangle))]
pub unsafe extern "C" fn __readlink_chk(
    path: *const c_char,
    into: *mut c_char,
    len: size_t,
    room: size_t,
) -> ssize_t {
    if len <= room
        // SAFETY: the caller's promise.
        && let Some(result) = unsafe { read_link(path, into, len) }
    {
        return shield::to_c(result);
    }
    // SAFETY: the caller's promise is the callee's.
    unsafe { real::__readlink_chk(path, into, len, room) }
}

/// Allocates nothing before it knows that it may; `None` for a path that is not ours.
///
/// # Safety
/// `path` is null or a C string; `into` has `len` bytes.
unsafe fn read_link(
    path: *const c_char,
    into: *mut c_char,
    len: size_t,
) -> Option<Result<ssize_t>> {
    // SAFETY: it is not null; the rest is the caller's promise.
    if !path.is_null() && unsafe { CStr::from_ptr(path) } == ALLOCATORS_OPTIONS {
        return None;
    }
    shield::within(|| {
        // SAFETY: the caller's promise.
        let path = unsafe { route::absolute(path) }?;
        // SAFETY: the caller's promise.
        Some(file::readlink(path).and_then(|text| unsafe { give(text, into, len) }))
    })
}

fn on_both(from: Option<PathBuf>, to: Option<PathBuf>, flags: c_uint) -> Option<Result<c_int>> {
    // Both are asked about before anything is done: from the one's world to the other's is EXDEV.
    match (route::ours(from), route::ours(to)) {
        (None, None) => None,
        _ if flags != 0 => Some(Err(Errno::EINVAL)),
        (Some(from), Some(to)) => Some(file::rename(from, to).map(|()| 0)),
        _ => Some(Err(Errno::EXDEV)),
    }
}

fn link_both(
    existing: Option<PathBuf>,
    new: Option<PathBuf>,
    follow: bool,
) -> Option<Result<c_int>> {
    match (route::ours(existing), route::ours(new)) {
        (None, None) => None,
        (Some(existing), Some(new)) => {
            let existing = if follow {
                without_links(&existing)
            } else {
                Ok(existing)
            };
            Some(
                existing
                    .and_then(|existing| file::link(existing, new))
                    .map(|()| 0),
            )
        }
        _ => Some(Err(Errno::EXDEV)),
    }
}

/// # Safety
/// `into` is null or `len` bytes that the caller may write.
unsafe fn give(text: PathBuf, into: *mut c_char, len: usize) -> Result<ssize_t> {
    let text = text.as_os_str().as_bytes();
    let count = text.len().min(len);
    if into.is_null() || len == 0 {
        return Err(Errno::EINVAL);
    }
    // SAFETY: the caller's promise; a fresh vector does not overlap with the caller's memory.
    unsafe { std::ptr::copy_nonoverlapping(text.as_ptr(), into.cast(), count) };
    Ok(count.cast_signed())
}
