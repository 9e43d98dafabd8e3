//! Descriptors: closing and duplicating them, and what `fcntl` knows of them.

use std::ffi::{c_int, c_uint, c_ulong};
use std::sync::atomic::Ordering;

use ipc_core::abi::io::OpenFlags;
use ipc_core::abi::{Errno, Result};

use libc::{FIOCLEX, FIONCLEX};

use super::{locks, on_file, standard_stream};
use crate::table::{self, Found, OpenFile};
use crate::{real, working};

super::interpose! {
    fn close(fd: c_int) -> c_int {
        let closed = table::take(fd).map(table::release)?;
        // SAFETY: the placeholder goes whatever the server says: a close that fails has closed.
        unsafe { real::close(fd) };
        Some(closed.map(|()| 0))
    } or real::close(fd);

    fn close_range(first: c_uint, last: c_uint, flags: c_int) -> c_int {
        if flags.cast_unsigned() & libc::CLOSE_RANGE_CLOEXEC == 0 {
            close_marked(first, last);
            return None;
        }
        // SAFETY: the caller's promise.
        let done = to_result(unsafe { close_others(first, last, flags) });
        for fd in table::marked(bound(first), bound(last)) {
            // What was the parent's becomes this process's own by that, and is settled then.
            if table::open_at(fd).is_some() {
                table::settle_survival(fd);
            }
        }
        Some(done)
    } or close_others(first, last, flags);

    fn dup(fd: c_int) -> c_int {
        // SAFETY: the caller's promise.
        duplicate(fd, || unsafe { real::dup(fd) })
    } or real::dup(fd);

    fn dup2(fd: c_int, to: c_int) -> c_int {
        // SAFETY: the caller's promise.
        duplicate_to(fd, to, || unsafe { real::dup2(fd, to) })
    } or real::dup2(fd, to);

    fn dup3(fd: c_int, to: c_int, flags: c_int) -> c_int {
        // SAFETY: the caller's promise.
        duplicate_to(fd, to, || unsafe { real::dup3(fd, to, flags) })
    } or real::dup3(fd, to, flags);

    fn fcntl | fcntl64(fd: c_int, command: c_int, argument: usize) -> c_int {
        match command {
            // SAFETY: the caller's promise.
            libc::F_DUPFD | libc::F_DUPFD_CLOEXEC => duplicate(fd, || unsafe { real::fcntl(fd, command, argument) }),
            libc::F_GETFD => None,
            // SAFETY: the caller's promise.
            libc::F_SETFD => change_inheritance(fd, || unsafe { real::fcntl(fd, command, argument) }),
            libc::F_GETFL => on_file(fd, |open| Ok(flags_of(open))),
            libc::F_SETFL => on_file(fd, |open| set_flags(open, argument as u32)),
            libc::F_GETLK | libc::F_SETLK | libc::F_SETLKW | libc::F_OFD_GETLK | libc::F_OFD_SETLK | libc::F_OFD_SETLKW => {
                // SAFETY: the caller's promise.
                on_file(fd, |open| unsafe { locks::control(open, command, argument) })
            }
            _ => on_file(fd, |_| Err(Errno::EINVAL)),
        }
    } or real::fcntl(fd, command, argument);

    fn ioctl(fd: c_int, command: c_ulong, argument: usize) -> c_int {
        match command {
            // SAFETY: the caller's promise.
            FIOCLEX | FIONCLEX => change_inheritance(fd, || unsafe { real::ioctl(fd, command, argument) }),
            _ => on_file(fd, |_| Err(Errno::ENOTTY)),
        }
    } or real::ioctl(fd, command, argument);
}

/// In the place of the C library's function of this name.
///
/// # Safety
/// As the C library's.
#[cfg_attr(not(test), unsafe(no_mangle))]
pub unsafe extern "C" fn closefrom(first: c_int) {
    crate::shield::within(|| {
        close_marked(first.max(0).cast_unsigned(), u32::MAX);
        None::<Result<c_int>>
    });
    // SAFETY: the caller's promise is the callee's.
    if unsafe { close_others(first.max(0).cast_unsigned(), u32::MAX, 0) } < 0 {
        // A system without the other function.
        // SAFETY: the caller's promise is the callee's.
        unsafe { real::closefrom(first) }
    }
}

/// Closes a range but for what this library has open itself, which the program knows nothing of.
///
/// # Safety
/// As the C library's `close_range`: nobody counts on what is closed.
unsafe fn close_others(first: c_uint, last: c_uint, flags: c_int) -> c_int {
    let mut from = first;
    let own_from = |from| {
        let from = c_int::try_from(from).ok()?;
        let own = [
            ipc_core::own_descriptor_from(from),
            working::note_from(from),
        ];
        own.into_iter().flatten().min()
    };
    while let Some(own) = own_from(from).map(c_int::cast_unsigned)
        && own <= last
    {
        // SAFETY: the caller's promise.
        if from < own && unsafe { real::close_range(from, own - 1, flags) } < 0 {
            return -1;
        }
        from = own + 1;
    }
    // A range that ends with one of ours is done with.
    if from > last && from != first {
        return 0;
    }
    // SAFETY: the caller's promise.
    unsafe { real::close_range(from, last, flags) }
}

fn bound(fd: c_uint) -> c_int {
    c_int::try_from(fd).unwrap_or(c_int::MAX)
}

/// Gives up what is ours in a range whose descriptors the system is about to close.
fn close_marked(first: c_uint, last: c_uint) {
    for fd in table::marked(bound(first), bound(last)) {
        if let Some(open) = table::take(fd) {
            // Neither function reports what a close answers.
            table::release(open).ok();
        }
    }
}

pub(super) fn duplicate(fd: c_int, system: impl FnOnce() -> c_int) -> Option<Result<c_int>> {
    if table::is_borrowed() {
        return Some(to_result(system()).inspect(|_| table::lend(fd)));
    }
    match table::find(fd) {
        Found::Not => None,
        found => Some(to_result(system()).inspect(|new| adopt(*new, found))),
    }
}

/// As `duplicate`, to a number that may have been ours, and that the system closes.
fn duplicate_to(fd: c_int, to: c_int, system: impl FnOnce() -> c_int) -> Option<Result<c_int>> {
    if fd == to {
        return None;
    }
    if table::is_borrowed() {
        return Some(to_result(system()).inspect(|_| table::lend(fd)));
    }
    let found = table::find(fd);
    if matches!((&found, table::find(to)), (Found::Not, Found::Not)) {
        return None;
    }
    let done = to_result(system());
    if done.is_ok() {
        let former = table::take(to);
        adopt(to, found);
        if let Some(former) = former {
            // As the system does: dup2 does not report what closing the former answers.
            table::release(former).ok();
        }
    }
    Some(done)
}

/// Changes whether a descriptor is closed at exec.
fn change_inheritance(fd: c_int, system: impl FnOnce() -> c_int) -> Option<Result<c_int>> {
    if table::is_borrowed() {
        return Some(to_result(system()).inspect(|_| table::lend(fd)));
    }
    on_file(fd, |_| {
        to_result(system()).inspect(|_| table::settle_survival(fd))
    })
}

fn adopt(fd: c_int, found: Found) {
    match found {
        Found::Not => {}
        Found::Ours(open) => {
            table::put(fd, open);
            standard_stream(fd);
        }
        Found::Inherited => table::put_inherited(fd),
    }
}

fn to_result(value: c_int) -> Result<c_int> {
    if value < 0 {
        Err(Errno::last())
    } else {
        Ok(value)
    }
}

fn flags_of(open: &OpenFile) -> c_int {
    let creation = OpenFlags::CREAT
        | OpenFlags::EXCL
        | OpenFlags::NOCTTY
        | OpenFlags::TRUNC
        | OpenFlags::CLOEXEC;
    (open.open_flags() - creation).0.cast_signed()
}

/// The server has its own copy of the flags: a change that it would have to know of is refused.
fn set_flags(open: &OpenFile, flags: u32) -> Result<c_int> {
    let changeable = OpenFlags::APPEND | OpenFlags::NONBLOCK;
    let changed = (open.open_flags() ^ OpenFlags(flags)) & changeable;
    if changed.contains(OpenFlags::APPEND) {
        return Err(Errno::EINVAL);
    }
    open.flags.fetch_xor(changed.0, Ordering::Relaxed);
    Ok(0)
}
