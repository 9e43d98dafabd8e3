//! Whose path is this? Ours, if a server of this node's pathname space answers for it, or if it lies above one that does
//! and the system has no such directory.
//!
//! Whether one does is found out by what is done with the path: the first message of its walk asks the process
//! manager, and [`crate::shield::within`] passes the call on if it knows nobody. Only calls that must know
//! before they do anything ask by [`ours`].

use std::ffi::{CStr, OsStr, c_char, c_int};
use std::mem::MaybeUninit;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use ipc_core::file::{self, if_served, is_served};

use crate::{real, table, working};

/// The path, if it may be ours: absolute, or relative to a working directory that is. The root is the system's.
///
/// # Safety
/// `path` is null or a C string that lives through the call.
pub(crate) unsafe fn absolute(path: *const c_char) -> Option<PathBuf> {
    // SAFETY: the caller's promise.
    let path = unsafe { text(path) }?;
    let path = working::resolve(path)?;
    (*path != *"/").then(|| path.into_owned())
}

/// The path as an `...at` function means it, if it may be ours: absolute, or below a directory that is, or the root.
///
/// # Safety
/// As [`absolute`].
pub(crate) unsafe fn at(dir: c_int, path: *const c_char) -> Option<PathBuf> {
    // SAFETY: the caller's promise.
    let relative = unsafe { text(path) }?;
    if relative.is_absolute() || dir == libc::AT_FDCWD {
        // SAFETY: the caller's promise.
        return unsafe { absolute(path) };
    }
    if relative.as_os_str().is_empty() {
        return None;
    }
    let dir = table::path_of(dir).or_else(|| is_root(dir).then(|| PathBuf::from("/")))?;
    Some(dir.join(relative))
}

/// Whether a descriptor is the system's root, from where programs come to ours that walk paths by themselves.
fn is_root(dir: c_int) -> bool {
    static ROOT: OnceLock<Option<(u64, u64)>> = OnceLock::new();
    let root = ROOT.get_or_init(|| {
        identity(|into| {
            // SAFETY: a C string, and a structure that may be written.
            unsafe { real::stat(c"/".as_ptr(), into) }
        })
    });
    root.is_some()
        && *root
            == identity(|into| {
                // SAFETY: takes a number, and a structure that may be written.
                unsafe { real::fstat(dir, into) }
            })
}

/// What tells a file of the system's from others, as `ask` finds it.
fn identity(ask: impl FnOnce(*mut libc::stat) -> c_int) -> Option<(u64, u64)> {
    let mut found = MaybeUninit::uninit();
    if ask(found.as_mut_ptr()) < 0 {
        return None;
    }
    // SAFETY: the call has filled it.
    let found: libc::stat = unsafe { found.assume_init() };
    Some((found.st_dev, found.st_ino))
}

/// The path, if it is ours: asks the process manager. Where it cannot be asked, or the path is none of its kind,
/// the system decides.
pub(crate) fn ours(path: Option<PathBuf>) -> Option<PathBuf> {
    path.filter(|path| is_served(path).unwrap_or(false) || is_listed(path))
}

/// Whether the process manager lists the path as a directory, and the system has nothing there.
fn is_listed(path: &Path) -> bool {
    let is_missing = path.symlink_metadata().is_err();
    is_missing && if_served(|| file::stat(path).is_ok()).unwrap_or(false)
}

/// Whether an `...at` function means its descriptor itself: the path is empty, and `AT_EMPTY_PATH` is among the flags.
///
/// # Safety
/// As [`absolute`].
pub(crate) unsafe fn is_descriptor(path: *const c_char, flags: c_int) -> bool {
    // SAFETY: the caller's promise.
    flags & libc::AT_EMPTY_PATH != 0
        && unsafe { text(path) }.is_none_or(|path| path.as_os_str().is_empty())
}

/// A path without asking whose it is.
///
/// # Safety
/// As [`absolute`]; the result lives as long as the string.
pub(crate) unsafe fn text<'a>(path: *const c_char) -> Option<&'a Path> {
    if path.is_null() {
        return None;
    }
    // SAFETY: it is not null; the rest is the caller's promise.
    let bytes = unsafe { CStr::from_ptr(path) }.to_bytes();
    Some(Path::new(OsStr::from_bytes(bytes)))
}
