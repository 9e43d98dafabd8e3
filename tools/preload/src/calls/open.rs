//! Opening a path.

use std::ffi::{c_char, c_int};
use std::path::PathBuf;

use ipc_core::abi::Result;
use ipc_core::abi::io::OpenFlags;
use ipc_core::file::OpenOptions;
use libc::mode_t;

use crate::table::OpenFile;
use crate::{real, route, table};

const CREATE: c_int = libc::O_CREAT | libc::O_WRONLY | libc::O_TRUNC;

super::interpose! {
    fn open | open64(path: *const c_char, flags: c_int, mode: mode_t) -> c_int {
        // SAFETY: the caller's promise.
        Some(open_path(unsafe { route::absolute(path) }?, flags, mode))
    } or real::open(path, flags, mode);

    // What `open` becomes under _FORTIFY_SOURCE.
    fn __open_2 | __open64_2(path: *const c_char, flags: c_int) -> c_int {
        // SAFETY: the caller's promise.
        Some(open_path(unsafe { route::absolute(path) }?, flags, 0))
    } or real::open(path, flags, 0);

    fn creat | creat64(path: *const c_char, mode: mode_t) -> c_int {
        // SAFETY: the caller's promise.
        Some(open_path(unsafe { route::absolute(path) }?, CREATE, mode))
    } or real::open(path, CREATE, mode);

    fn openat | openat64(dir: c_int, path: *const c_char, flags: c_int, mode: mode_t) -> c_int {
        // SAFETY: the caller's promise.
        Some(open_path(unsafe { route::at(dir, path) }?, flags, mode))
    } or real::openat(dir, path, flags, mode);

    fn __openat_2 | __openat64_2(dir: c_int, path: *const c_char, flags: c_int) -> c_int {
        // SAFETY: the caller's promise.
        Some(open_path(unsafe { route::at(dir, path) }?, flags, 0))
    } or real::openat(dir, path, flags, 0);
}

/// Opens a path that is ours; the file's descriptor is the lowest that is free.
pub(super) fn open_path(path: PathBuf, flags: c_int, mode: mode_t) -> Result<c_int> {
    let flags = OpenFlags(flags.cast_unsigned());
    let file = OpenOptions::from_flags(flags)?
        .mode(mode & 0o7777)
        .open(&path)?;
    table::open(OpenFile::new(file, path, flags))
}
