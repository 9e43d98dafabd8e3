//! Opening a path.

use std::ffi::{c_char, c_int};
use std::path::{Path, PathBuf};

use ipc_core::abi::Result;
use ipc_core::abi::io::OpenFlags;
use ipc_core::file::OpenOptions;
use libc::mode_t;

use super::descriptors::duplicate;
use super::standard_stream;
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
    if let Some(opened) = descriptor_of(&path).and_then(|fd| open_again(fd, flags)) {
        return opened;
    }
    let flags = OpenFlags(flags.cast_unsigned());
    let file = OpenOptions::from_flags(flags)?
        .mode(mode & 0o7777)
        .open(&path)?;
    table::open(OpenFile::new(file, path, flags)).inspect(|fd| standard_stream(*fd))
}

/// A descriptor by the name that the system gives it.
fn descriptor_of(path: &Path) -> Option<c_int> {
    match path.to_str()? {
        "/dev/stdin" => Some(libc::STDIN_FILENO),
        "/dev/stdout" => Some(libc::STDOUT_FILENO),
        "/dev/stderr" => Some(libc::STDERR_FILENO),
        name => {
            let number = name
                .strip_prefix("/dev/fd/")
                .or_else(|| name.strip_prefix("/proc/self/fd/"))?;
            number.parse().ok()
        }
    }
}

/// Another descriptor of an open file of ours, offset shared: what a system without symbolic links there does.
fn open_again(fd: c_int, flags: c_int) -> Option<Result<c_int>> {
    let command = match flags & libc::O_CLOEXEC {
        0 => libc::F_DUPFD,
        _ => libc::F_DUPFD_CLOEXEC,
    };
    // SAFETY: takes numbers only.
    duplicate(fd, || unsafe { real::fcntl(fd, command, 0) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn descriptors_have_names() {
        for (name, fd) in [
            ("/dev/stdin", Some(0)),
            ("/dev/stderr", Some(2)),
            ("/dev/fd/17", Some(17)),
            ("/proc/self/fd/3", Some(3)),
            ("/dev/fd/x", None),
            ("/dev/null", None),
        ] {
            assert_eq!(descriptor_of(Path::new(name)), fd, "{name}");
        }
    }
}
