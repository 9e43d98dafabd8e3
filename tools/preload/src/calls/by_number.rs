//! System calls by number: so programs make those that their C library may not know (libuv asks for `statx`, copies and
//! closes that way).

use std::ffi::{c_char, c_int, c_long, c_uint};

use ipc_core::abi::Errno;
use libc::off_t;

use super::descriptors::close;
use super::names::renameat2;
use super::refused::copy_file_range;
use super::stat::statx;
use crate::shield::{self, set_errno};
use crate::{real, route, table};

/// In the place of the C library's function of this name. Most calls are waits, of this library's own too: they go on
/// before anything else is done.
///
/// # Safety
/// As the C library's; what is not given is not looked at, and every argument is as wide as a register.
#[cfg_attr(not(test), unsafe(no_mangle))]
pub unsafe extern "C" fn syscall(
    number: c_long,
    a: usize,
    b: usize,
    c: usize,
    d: usize,
    e: usize,
    f: usize,
) -> c_long {
    let path = b as *const c_char;
    match number {
        // Allocators close what they have read with their own lock held: nothing is done for what is the system's.
        // SAFETY: the caller's promise is the callee's.
        libc::SYS_close if table::is_marked(a as c_int) => unsafe {
            c_long::from(close(a as c_int))
        },
        // SAFETY: the caller's promise: these are the call's arguments.
        libc::SYS_statx => unsafe {
            c_long::from(statx(
                a as c_int,
                path,
                c as c_int,
                d as c_uint,
                e as *mut libc::statx,
            ))
        },
        // SAFETY: as above.
        libc::SYS_renameat2 => unsafe {
            c_long::from(renameat2(
                a as c_int,
                path,
                c as c_int,
                d as *const c_char,
                e as c_uint,
            ))
        },
        // SAFETY: as above.
        libc::SYS_copy_file_range => unsafe {
            let (from_offset, to_offset) = (b as *mut off_t, d as *mut off_t);
            copy_file_range(
                a as c_int,
                from_offset,
                c as c_int,
                to_offset,
                e,
                f as c_uint,
            ) as c_long
        },
        // Programs ask in another way where the system lacks it.
        // SAFETY: as above.
        libc::SYS_openat2 if unsafe { is_ours(a as c_int, path) } => {
            set_errno(libc::ENOSYS);
            -1
        }
        // SAFETY: the caller's promise is the callee's.
        _ => unsafe { real::syscall(number, a, b, c, d, e, f) },
    }
}

/// # Safety
/// `path` is null or a C string.
unsafe fn is_ours(dir: c_int, path: *const c_char) -> bool {
    // SAFETY: the caller's promise.
    let asked = shield::within(|| route::ours(unsafe { route::at(dir, path) }).map(|_| Ok(())));
    asked == Some(Ok::<(), Errno>(()))
}
