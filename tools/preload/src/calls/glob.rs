//! Names that match a pattern. The C library's function asks the system about directories by itself, unless the program
//! gives it functions for that: it is given ours.

use std::ffi::{c_char, c_int, c_void};

use libc::{DIR, dirent, size_t, stat as HostStat};

use super::directories::{closedir, opendir, readdir};
use super::stat::{lstat, stat};
use crate::{real, shield};

/// Among the flags: the functions of [`Names`] are to be used.
const OWN_FUNCTIONS: c_int = 1 << 9;

/// The C library's `glob_t`.
#[repr(C)]
pub struct Names {
    count: size_t,
    names: *mut *mut c_char,
    reserved: size_t,
    flags: c_int,
    // SAFETY: the C library calls these as its own of the same names, on what the others of them gave it.
    close_dir: Option<unsafe extern "C" fn(*mut DIR) -> c_int>,
    // SAFETY: as `close_dir`.
    read_dir: Option<unsafe extern "C" fn(*mut DIR) -> *mut dirent>,
    // SAFETY: as `close_dir`.
    open_dir: Option<unsafe extern "C" fn(*const c_char) -> *mut DIR>,
    // SAFETY: as `close_dir`.
    lstat: Option<unsafe extern "C" fn(*const c_char, *mut HostStat) -> c_int>,
    // SAFETY: as `close_dir`.
    stat: Option<unsafe extern "C" fn(*const c_char, *mut HostStat) -> c_int>,
}

const _: () = assert!(size_of::<Names>() == size_of::<libc::glob_t>());

/// In the place of the C library's function of this name.
///
/// # Safety
/// As the C library's.
#[cfg_attr(not(test), unsafe(no_mangle))]
pub unsafe extern "C" fn glob(
    pattern: *const c_char,
    flags: c_int,
    failed: *mut c_void,
    into: *mut Names,
) -> c_int {
    // A program's own functions, as make's, come to ours by themselves.
    let is_own = flags & OWN_FUNCTIONS != 0;
    if into.is_null() || is_own || shield::is_inside() {
        // SAFETY: the caller's promise is the callee's.
        return unsafe { real::glob(pattern, flags, failed, into) };
    }
    // SAFETY: not null, so that the caller's promise to `glob` makes it a structure of this layout, which `glob` may write.
    // Programs leave it uninitialised before a first call: the five places are written where they are, without a
    // reference to the whole. Without GLOB_ALTDIRFUNC the C library says nothing about what was in them.
    unsafe {
        (&raw mut (*into).close_dir).write(Some(closedir));
        (&raw mut (*into).read_dir).write(Some(readdir));
        (&raw mut (*into).open_dir).write(Some(opendir));
        (&raw mut (*into).lstat).write(Some(lstat));
        (&raw mut (*into).stat).write(Some(stat));
    }
    // SAFETY: pattern, flags and `failed` are the caller's promise. The flag that is added has the C library call the five
    // functions: they are there, take what the C library's own of these names take, and each gets from it only what
    // another of them gave.
    let done = unsafe { real::glob(pattern, flags | OWN_FUNCTIONS, failed, into) };
    if done == 0 {
        // SAFETY: as above for the structure; who has found names has set its flags.
        unsafe { (*into).flags &= !OWN_FUNCTIONS };
    }
    done
}

/// In the place of the C library's function of this name.
///
/// # Safety
/// As the C library's.
#[cfg_attr(not(test), unsafe(no_mangle))]
pub unsafe extern "C" fn glob64(
    pattern: *const c_char,
    flags: c_int,
    failed: *mut c_void,
    into: *mut Names,
) -> c_int {
    // SAFETY: the caller's promise is the callee's.
    unsafe { glob(pattern, flags, failed, into) }
}
