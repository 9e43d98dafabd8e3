//! Locks on ranges of files. They are those of open files, whichever way a program asks for them: what shares an
//! offset shares locks, as with `flock` and `F_OFD_SETLK`; those of a process (`F_SETLK`) are taken for the same.

use std::ffi::c_int;
use std::time::Duration;

use ipc_core::abi::io::{LockKind, Whence};
use ipc_core::abi::{Errno, Result};

use super::on_file;
use crate::real;
use crate::table::OpenFile;

/// How long who waits for a lock sleeps before it asks again: first, and at most.
const FIRST_PAUSE: Duration = Duration::from_millis(1);
const LAST_PAUSE: Duration = Duration::from_millis(50);

super::interpose! {
    fn flock(fd: c_int, operation: c_int) -> c_int {
        on_file(fd, |open| {
            let kind = match operation & !libc::LOCK_NB {
                libc::LOCK_SH => LockKind::Shared,
                libc::LOCK_EX => LockKind::Exclusive,
                libc::LOCK_UN => LockKind::Unlock,
                _ => return Err(Errno::EINVAL),
            };
            lock(open, kind, (0, 0), operation & libc::LOCK_NB == 0)
        })
    } or real::flock(fd, operation);

    // What `lockf` is made of, inside the C library.
    fn lockf | lockf64(fd: c_int, operation: c_int, len: libc::off_t) -> c_int {
        on_file(fd, |open| {
            let start = open.file.seek(0, Whence::Current)?;
            let range = forward(start, len)?;
            match operation {
                libc::F_LOCK => lock(open, LockKind::Exclusive, range, true),
                libc::F_TLOCK => lock(open, LockKind::Exclusive, range, false),
                libc::F_ULOCK => lock(open, LockKind::Unlock, range, false),
                libc::F_TEST => lock(open, LockKind::TestExclusive, range, false),
                _ => Err(Errno::EINVAL),
            }
        })
    } or real::lockf(fd, operation, len);
}

/// What `fcntl` does with a lock.
///
/// # Safety
/// `argument` is null or the address of a `struct flock`, which may be written.
pub(super) unsafe fn control(open: &OpenFile, command: c_int, argument: usize) -> Result<c_int> {
    // SAFETY: the caller's promise.
    let wish = unsafe { (argument as *mut libc::flock).as_mut() }.ok_or(Errno::EFAULT)?;
    let kind = c_int::from(wish.l_type);
    let range = range(open, wish)?;
    if matches!(command, libc::F_GETLK | libc::F_OFD_GETLK) {
        let kind = match kind {
            libc::F_RDLCK => LockKind::TestShared,
            libc::F_WRLCK => LockKind::TestExclusive,
            _ => return Err(Errno::EINVAL),
        };
        return match lock(open, kind, range, false) {
            Ok(_) => {
                wish.l_type = libc::F_UNLCK as i16;
                Ok(0)
            }
            // Whose it is, is not known: the system says -1 for locks that are no process's.
            Err(Errno::EAGAIN) => {
                wish.l_type = libc::F_WRLCK as i16;
                wish.l_pid = -1;
                Ok(0)
            }
            Err(errno) => Err(errno),
        };
    }
    let kind = match kind {
        libc::F_RDLCK => LockKind::Shared,
        libc::F_WRLCK => LockKind::Exclusive,
        libc::F_UNLCK => LockKind::Unlock,
        _ => return Err(Errno::EINVAL),
    };
    let waits = matches!(command, libc::F_SETLKW | libc::F_OFD_SETLKW);
    lock(open, kind, range, waits)
}

/// Asks the server, again and again if it waits: a server has few threads, and keeps none for that.
fn lock(open: &OpenFile, kind: LockKind, (start, len): (u64, u64), waits: bool) -> Result<c_int> {
    let mut pause = FIRST_PAUSE;
    loop {
        match open.file.lock(kind, start, len) {
            Err(Errno::EAGAIN) if waits => sleep(pause)?,
            done => return done.map(|()| 0),
        }
        pause = (pause * 2).min(LAST_PAUSE);
    }
}

/// # Errors
/// `EINTR` a signal came.
fn sleep(pause: Duration) -> Result<()> {
    let time = libc::timespec {
        tv_sec: 0,
        tv_nsec: pause.subsec_nanos().into(),
    };
    // SAFETY: the time lives through the call, and what is left of it is not asked for.
    match unsafe { libc::nanosleep(&raw const time, std::ptr::null_mut()) } {
        0 => Ok(()),
        _ => Err(Errno::last()),
    }
}

/// First byte and length of what a program means; a length of 0 is all that follows.
fn range(open: &OpenFile, wish: &libc::flock) -> Result<(u64, u64)> {
    let from = match c_int::from(wish.l_whence) {
        libc::SEEK_SET => 0,
        libc::SEEK_CUR => open.file.seek(0, Whence::Current)?,
        libc::SEEK_END => open.stat()?.size,
        _ => return Err(Errno::EINVAL),
    };
    let start = from.checked_add_signed(wish.l_start).ok_or(Errno::EINVAL)?;
    forward(start, wish.l_len)
}

/// A range whose length may be negative: then it ends before its start.
fn forward(start: u64, len: i64) -> Result<(u64, u64)> {
    let before = if len < 0 { len.unsigned_abs() } else { 0 };
    let start = start.checked_sub(before).ok_or(Errno::EINVAL)?;
    let len = len.unsigned_abs();
    let end = start.checked_add(len).ok_or(Errno::EOVERFLOW)?;
    if end > i64::MAX.cast_unsigned() {
        return Err(Errno::EOVERFLOW);
    }
    Ok((start, len))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_lies_forward() {
        assert_eq!(forward(10, 5), Ok((10, 5)));
        assert_eq!(forward(10, 0), Ok((10, 0)));
        assert_eq!(forward(10, -4), Ok((6, 4)));
        assert_eq!(forward(3, -4), Err(Errno::EINVAL));
        assert_eq!(forward(i64::MAX as u64, 1), Err(Errno::EOVERFLOW));
        assert_eq!(forward(0, i64::MIN), Err(Errno::EINVAL));
    }
}
