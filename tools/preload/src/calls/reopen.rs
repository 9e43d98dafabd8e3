//! Streams that get another file.
//!
//! A stream of the C library's cannot become one of ours where it stands: only the three standard ones can, by a new
//! value of the program's variable.

use std::ffi::{c_char, c_int};
use std::path::PathBuf;

use ipc_core::abi::{Errno, Result};
use libc::FILE;

use super::descriptors::{close, dup3};
use super::open::open_path;
use super::streams::{__fpurge, descriptor_of, flags_of, standard_of};
use crate::shield::{self, to_c};
use crate::{real, route, table};

/// Modes of a new file.
const MODE: libc::mode_t = 0o666;

/// What the C library's streams say in their first field: that they do not read, do not write, only write at the end.
const NO_READS: c_int = 4;
const NO_WRITES: c_int = 8;
const APPENDS: c_int = 0x1000;

/// What a stream is to lead to.
enum Target {
    Ours(PathBuf),
    /// A path of the system's.
    Systems,
}

/// In the place of the C library's function of this name.
///
/// # Safety
/// As the C library's.
#[cfg_attr(not(test), unsafe(no_mangle))]
pub unsafe extern "C" fn freopen(
    path: *const c_char,
    mode: *const c_char,
    stream: *mut FILE,
) -> *mut FILE {
    let own = descriptor_of(stream);
    // SAFETY: the caller's promise.
    let target = shield::within(|| unsafe { target(path, own) }.map(Ok));
    match (target, own) {
        (Some(Ok(target)), _) => {
            // SAFETY: the caller's promise.
            to_c(unsafe { reopen(&target, path, mode, stream) })
        }
        (Some(Err(errno)), _) => to_c(Err(errno)),
        // SAFETY: the caller's promise.
        (None, Some(_)) => to_c(unsafe { reopen(&Target::Systems, path, mode, stream) }),
        // SAFETY: the caller's promise is the callee's.
        (None, None) => unsafe { real::freopen(path, mode, stream) },
    }
}

/// In the place of the C library's function of this name.
///
/// # Safety
/// As the C library's.
#[cfg_attr(not(test), unsafe(no_mangle))]
pub unsafe extern "C" fn freopen64(
    path: *const c_char,
    mode: *const c_char,
    stream: *mut FILE,
) -> *mut FILE {
    // SAFETY: the caller's promise is the callee's.
    unsafe { freopen(path, mode, stream) }
}

/// The file of ours that is meant: without a path, the one that the stream has.
///
/// # Safety
/// `path` is null or a C string.
unsafe fn target(path: *const c_char, own: Option<c_int>) -> Option<Target> {
    let path = match path.is_null() {
        true => table::path_of(own?),
        // SAFETY: the caller's promise.
        false => route::ours(unsafe { route::absolute(path) }),
    };
    path.map(Target::Ours)
}

/// As the C library: the stream is flushed, and closed if the file cannot be opened; its descriptor keeps its number.
///
/// # Safety
/// `path` and `mode` are null or C strings; `stream` is a stream of which the calling thread alone makes use.
unsafe fn reopen(
    target: &Target,
    path: *const c_char,
    mode: *const c_char,
    stream: *mut FILE,
) -> Result<*mut FILE> {
    let own = descriptor_of(stream);
    let fd = own
        .or_else(|| standard_descriptor(stream))
        .ok_or(Errno::EOPNOTSUPP)?;
    // SAFETY: the caller's promise. What came of it is in the stream's error flag, which a new file clears.
    unsafe { libc::fflush(stream) };
    // SAFETY: the caller's promise.
    let opened = unsafe { flags_of(mode) }.and_then(|flags| {
        // SAFETY: as above.
        unsafe { open(target, path, flags) }.map(|opened| (opened, flags))
    });
    let (opened, flags) = opened.inspect_err(|_| {
        // SAFETY: as above; nobody uses the stream after a call that failed.
        unsafe { libc::fclose(stream) };
    })?;
    // SAFETY: takes numbers only: a descriptor that was just opened, and the stream's.
    let moved = unsafe { dup3(opened, fd, flags & libc::O_CLOEXEC) };
    let failed = Errno::last();
    // SAFETY: as above.
    unsafe { close(opened) };
    if moved < 0 {
        return Err(failed);
    }
    // A standard stream has become one of ours by that, unless memory is short.
    let reopened = match own {
        Some(_) => stream,
        None => standard_of(fd).unwrap_or(stream),
    };
    // SAFETY: it is a stream, with nothing in it that was written; what was read is the former file's.
    unsafe {
        __fpurge(reopened);
        libc::clearerr(reopened);
    }
    if descriptor_of(reopened).is_some() {
        // SAFETY: as above; a stream's first field is its flags.
        unsafe { set_access(reopened, flags) };
    }
    Ok(reopened)
}

fn standard_descriptor(stream: *mut FILE) -> Option<c_int> {
    (0..=2).find(|fd| standard_of(*fd) == Some(stream))
}

/// # Safety
/// `path` is a C string if the target is the system's.
unsafe fn open(target: &Target, path: *const c_char, flags: c_int) -> Result<c_int> {
    let opened = match target {
        Target::Ours(path) => {
            return shield::within(|| Some(open_path(path.clone(), flags, MODE)))
                .unwrap_or(Err(Errno::ENOENT));
        }
        // SAFETY: the caller's promise.
        Target::Systems => unsafe { real::open(path, flags, MODE) },
    };
    if opened < 0 {
        Err(Errno::last())
    } else {
        Ok(opened)
    }
}

/// What a stream may do from now on.
///
/// # Safety
/// `stream` is a stream of which the calling thread alone makes use.
unsafe fn set_access(stream: *mut FILE, flags: c_int) {
    let access = match flags & libc::O_ACCMODE {
        libc::O_RDONLY => NO_WRITES,
        libc::O_WRONLY => NO_READS,
        _ => 0,
    };
    let appends = if flags & libc::O_APPEND != 0 {
        APPENDS
    } else {
        0
    };
    // SAFETY: the caller's promise; the C library's stream begins with an `int` of flags.
    unsafe {
        let field = stream.cast::<c_int>();
        *field = *field & !(NO_READS | NO_WRITES | APPENDS) | access | appends;
    }
}
