//! What a file of ours cannot do, refused in the way that makes programs do without.

use std::ffi::{c_char, c_int, c_uint};

use ipc_core::abi::{Errno, Result};
use libc::{dev_t, mode_t, off_t, size_t, ssize_t};

use super::attributes::allocate;
use super::on_file;
use crate::{real, route};

super::interpose! {
    // It answers an error number. Advice is taken by ignoring it.
    fn posix_fadvise | posix_fadvise64(fd: c_int, offset: off_t, len: off_t, advice: c_int) -> c_int {
        on_file(fd, |_| Ok(())).map(|advised| Ok(advised.map_or_else(|errno| errno.0, |()| 0)))
    } or real::posix_fadvise(fd, offset, len, advice);

    // Programs that copy fall back to read and write on these.
    fn sendfile | sendfile64(to: c_int, from: c_int, offset: *mut off_t, len: size_t) -> ssize_t {
        on_file(from, |_| Err(Errno::EINVAL)).or_else(|| on_file(to, |_| Err(Errno::EINVAL)))
    } or real::sendfile(to, from, offset, len);

    fn copy_file_range(
        from: c_int, from_offset: *mut off_t, to: c_int, to_offset: *mut off_t, len: size_t, flags: c_uint
    ) -> ssize_t {
        on_file(from, |_| Err(Errno::EXDEV)).or_else(|| on_file(to, |_| Err(Errno::EXDEV)))
    } or real::copy_file_range(from, from_offset, to, to_offset, len, flags);

    fn splice(
        from: c_int, from_offset: *mut off_t, to: c_int, to_offset: *mut off_t, len: size_t, flags: c_uint
    ) -> ssize_t {
        on_file(from, |_| Err(Errno::EINVAL)).or_else(|| on_file(to, |_| Err(Errno::EINVAL)))
    } or real::splice(from, from_offset, to, to_offset, len, flags);

    // As for every regular file: it is always ready.
    fn epoll_ctl(poll: c_int, operation: c_int, fd: c_int, event: *mut libc::epoll_event) -> c_int {
        on_file(fd, |_| Err(Errno::EPERM))
    } or real::epoll_ctl(poll, operation, fd, event);

    // As file systems that know no such files.
    fn mkfifo(path: *const c_char, mode: mode_t) -> c_int {
        // SAFETY: the caller's promise.
        unsafe { refused(path, Errno::EPERM) }
    } or real::mkfifo(path, mode);

    fn mkfifoat(dir: c_int, path: *const c_char, mode: mode_t) -> c_int {
        // SAFETY: the caller's promise.
        route::ours(unsafe { route::at(dir, path) }).map(|_| Err(Errno::EPERM))
    } or real::mkfifoat(dir, path, mode);

    fn mknod(path: *const c_char, mode: mode_t, device: dev_t) -> c_int {
        // SAFETY: the caller's promise.
        unsafe { refused(path, Errno::EPERM) }
    } or real::mknod(path, mode, device);

    fn mknodat(dir: c_int, path: *const c_char, mode: mode_t, device: dev_t) -> c_int {
        // SAFETY: the caller's promise.
        route::ours(unsafe { route::at(dir, path) }).map(|_| Err(Errno::EPERM))
    } or real::mknodat(dir, path, mode, device);

    // Files of other nodes tell nobody here of their changes.
    fn inotify_add_watch(fd: c_int, path: *const c_char, events: u32) -> c_int {
        // SAFETY: the caller's promise.
        unsafe { refused(path, Errno::EOPNOTSUPP) }
    } or real::inotify_add_watch(fd, path, events);

    // It answers an error number, and otherwise writes where the system has no space to make.
    fn posix_fallocate | posix_fallocate64(fd: c_int, offset: off_t, len: off_t) -> c_int {
        on_file(fd, |open| allocate(open, offset, len))
            .map(|done| Ok(done.map_or_else(|errno| errno.0, |()| 0)))
    } or real::posix_fallocate(fd, offset, len);
}

/// # Safety
/// `path` is null or a C string that lives through the call.
unsafe fn refused<T>(path: *const c_char, errno: Errno) -> Option<Result<T>> {
    // SAFETY: the caller's promise.
    route::ours(unsafe { route::absolute(path) }).map(|_| Err(errno))
}
