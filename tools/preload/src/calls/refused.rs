//! What a file of ours cannot do, refused in the way that makes programs do without.

use std::ffi::{c_char, c_int, c_uint, c_void};

use ipc_core::abi::Errno;
use libc::{off_t, size_t, ssize_t};

use super::on_file;
use crate::shield::{set_errno, within};
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

    fn getxattr(path: *const c_char, name: *const c_char, into: *mut c_void, len: size_t) -> ssize_t {
        // SAFETY: the caller's promise.
        route::ours(unsafe { route::absolute(path) }).map(|_| Err(Errno::EOPNOTSUPP))
    } or real::getxattr(path, name, into, len);

    fn lgetxattr(path: *const c_char, name: *const c_char, into: *mut c_void, len: size_t) -> ssize_t {
        // SAFETY: the caller's promise.
        route::ours(unsafe { route::absolute(path) }).map(|_| Err(Errno::EOPNOTSUPP))
    } or real::lgetxattr(path, name, into, len);

    fn listxattr(path: *const c_char, into: *mut c_char, len: size_t) -> ssize_t {
        // SAFETY: the caller's promise.
        route::ours(unsafe { route::absolute(path) }).map(|_| Err(Errno::EOPNOTSUPP))
    } or real::listxattr(path, into, len);

    fn llistxattr(path: *const c_char, into: *mut c_char, len: size_t) -> ssize_t {
        // SAFETY: the caller's promise.
        route::ours(unsafe { route::absolute(path) }).map(|_| Err(Errno::EOPNOTSUPP))
    } or real::llistxattr(path, into, len);
}

/// In the place of the C library's function of this name: a file of ours cannot be mapped.
///
/// # Safety
/// As the C library's.
#[cfg_attr(not(test), unsafe(no_mangle))]
pub unsafe extern "C" fn mmap(
    address: *mut c_void,
    len: size_t,
    protection: c_int,
    flags: c_int,
    fd: c_int,
    offset: off_t,
) -> *mut c_void {
    let anonymous = flags & libc::MAP_ANONYMOUS != 0;
    if !anonymous && within(|| on_file(fd, |_| Ok(()))).is_some() {
        set_errno(libc::ENODEV);
        return libc::MAP_FAILED;
    }
    // SAFETY: the caller's promise is the callee's.
    unsafe { real::mmap(address, len, protection, flags, fd, offset) }
}

/// In the place of the C library's function of this name.
///
/// # Safety
/// As the C library's.
#[cfg_attr(not(test), unsafe(no_mangle))]
pub unsafe extern "C" fn mmap64(
    address: *mut c_void,
    len: size_t,
    protection: c_int,
    flags: c_int,
    fd: c_int,
    offset: off_t,
) -> *mut c_void {
    // SAFETY: the caller's promise is the callee's.
    unsafe { mmap(address, len, protection, flags, fd, offset) }
}
