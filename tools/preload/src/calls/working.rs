//! The working directory.

use std::ffi::{CString, c_char, c_int};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use ipc_core::abi::{Errno, Result};
use ipc_core::file;
use libc::size_t;

use super::on_file;
use crate::{real, route, working};

super::interpose! {
    fn chdir(path: *const c_char) -> c_int {
        // SAFETY: the caller's promise.
        let path = unsafe { route::text(path) }?;
        let absolute = working::resolve(path)?;
        let served = Some(working::normal(&absolute)).filter(|path| path != Path::new("/"));
        match route::ours(served) {
            Some(ours) => Some(go_to(&ours)),
            None => Some(go_to_the_systems(&absolute)),
        }
    } or real::chdir(path);

    fn fchdir(fd: c_int) -> c_int {
        let gone = on_file(fd, |open| match open.is_dir() {
            true => working::go_to(&open.path),
            false => Err(Errno::ENOTDIR),
        });
        // SAFETY: takes a number only.
        let system = || match unsafe { real::fchdir(fd) } {
            0 => {
                working::left();
                Ok(())
            }
            _ => Err(Errno::last()),
        };
        Some(gone.unwrap_or_else(system).map(|()| 0))
    } or real::fchdir(fd);

    fn getcwd(into: *mut c_char, len: size_t) -> *mut c_char {
        // SAFETY: the caller's promise.
        Some(unsafe { give(working::current()?, into, len) })
    } or real::getcwd(into, len);

    // What `getcwd` becomes under _FORTIFY_SOURCE.
    fn __getcwd_chk(into: *mut c_char, len: size_t, room: size_t) -> *mut c_char {
        // SAFETY: the caller's promise.
        Some(unsafe { give(working::current()?, into, len.min(room)) })
    } or real::getcwd(into, len);

    fn getwd(into: *mut c_char) -> *mut c_char {
        let path = working::current()?;
        if into.is_null() {
            return Some(Err(Errno::EINVAL));
        }
        // SAFETY: the caller's promise: PATH_MAX bytes.
        Some(unsafe { give(path, into, libc::PATH_MAX as usize) })
    } or real::getwd(into);

    fn get_current_dir_name() -> *mut c_char {
        // SAFETY: none is given to be written.
        Some(unsafe { give(working::current()?, std::ptr::null_mut(), 0) })
    } or real::get_current_dir_name();
}

fn go_to(path: &Path) -> Result<c_int> {
    if !file::stat(path)?.is_dir() {
        return Err(Errno::ENOTDIR);
    }
    working::go_to(path).map(|()| 0)
}

fn go_to_the_systems(path: &Path) -> Result<c_int> {
    let name = CString::new(path.as_os_str().as_bytes()).map_err(|_| Errno::EINVAL)?;
    // SAFETY: the path is a C string.
    if unsafe { real::chdir(name.as_ptr()) } < 0 {
        return Err(Errno::last());
    }
    working::left();
    Ok(0)
}

/// Gives a path in the caller's memory, or in fresh memory of at least `len` bytes if that is none.
///
/// # Safety
/// `into` is null or `len` bytes to be written.
unsafe fn give(path: &Path, into: *mut c_char, len: size_t) -> Result<*mut c_char> {
    let bytes = path.as_os_str().as_bytes();
    let needed = bytes.len() + 1;
    if len == 0 && !into.is_null() {
        return Err(Errno::EINVAL);
    }
    if len < needed && (len > 0 || !into.is_null()) {
        return Err(Errno::ERANGE);
    }
    let into = match into.is_null() {
        false => into,
        // SAFETY: takes a length.
        true => unsafe { libc::malloc(len.max(needed)) }.cast(),
    };
    if into.is_null() {
        return Err(Errno::ENOMEM);
    }
    // SAFETY: there is room for the bytes and a zero, checked or allocated above.
    unsafe {
        into.cast::<u8>()
            .copy_from_nonoverlapping(bytes.as_ptr(), bytes.len());
        into.add(bytes.len()).write(0);
    }
    Ok(into)
}
