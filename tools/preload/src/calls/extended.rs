//! Extended attributes, which files of ours have none of: refused in the way that makes programs do without.

use std::ffi::{c_char, c_int, c_void};

use ipc_core::abi::{Errno, Result};
use libc::{size_t, ssize_t};

use super::on_file;
use crate::{real, route};

super::interpose! {
    fn getxattr(path: *const c_char, name: *const c_char, into: *mut c_void, len: size_t) -> ssize_t {
        // SAFETY: the caller's promise.
        unsafe { refused(path) }
    } or real::getxattr(path, name, into, len);

    fn lgetxattr(path: *const c_char, name: *const c_char, into: *mut c_void, len: size_t) -> ssize_t {
        // SAFETY: the caller's promise.
        unsafe { refused(path) }
    } or real::lgetxattr(path, name, into, len);

    fn fgetxattr(fd: c_int, name: *const c_char, into: *mut c_void, len: size_t) -> ssize_t {
        on_file(fd, |_| Err(Errno::EOPNOTSUPP))
    } or real::fgetxattr(fd, name, into, len);

    fn setxattr(path: *const c_char, name: *const c_char, from: *const c_void, len: size_t, flags: c_int) -> c_int {
        // SAFETY: the caller's promise.
        unsafe { refused(path) }
    } or real::setxattr(path, name, from, len, flags);

    fn lsetxattr(path: *const c_char, name: *const c_char, from: *const c_void, len: size_t, flags: c_int) -> c_int {
        // SAFETY: the caller's promise.
        unsafe { refused(path) }
    } or real::lsetxattr(path, name, from, len, flags);

    fn fsetxattr(fd: c_int, name: *const c_char, from: *const c_void, len: size_t, flags: c_int) -> c_int {
        on_file(fd, |_| Err(Errno::EOPNOTSUPP))
    } or real::fsetxattr(fd, name, from, len, flags);

    fn listxattr(path: *const c_char, into: *mut c_char, len: size_t) -> ssize_t {
        // SAFETY: the caller's promise.
        unsafe { refused(path) }
    } or real::listxattr(path, into, len);

    fn llistxattr(path: *const c_char, into: *mut c_char, len: size_t) -> ssize_t {
        // SAFETY: the caller's promise.
        unsafe { refused(path) }
    } or real::llistxattr(path, into, len);

    fn flistxattr(fd: c_int, into: *mut c_char, len: size_t) -> ssize_t {
        on_file(fd, |_| Err(Errno::EOPNOTSUPP))
    } or real::flistxattr(fd, into, len);

    fn removexattr(path: *const c_char, name: *const c_char) -> c_int {
        // SAFETY: the caller's promise.
        unsafe { refused(path) }
    } or real::removexattr(path, name);

    fn lremovexattr(path: *const c_char, name: *const c_char) -> c_int {
        // SAFETY: the caller's promise.
        unsafe { refused(path) }
    } or real::lremovexattr(path, name);

    fn fremovexattr(fd: c_int, name: *const c_char) -> c_int {
        on_file(fd, |_| Err(Errno::EOPNOTSUPP))
    } or real::fremovexattr(fd, name);
}

/// # Safety
/// `path` is null or a C string that lives through the call.
unsafe fn refused<T>(path: *const c_char) -> Option<Result<T>> {
    // SAFETY: the caller's promise.
    route::ours(unsafe { route::absolute(path) }).map(|_| Err(Errno::EOPNOTSUPP))
}
