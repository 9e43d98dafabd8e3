//! The two futex operations of a ruler, on words that processes share.

use std::io;
use std::ptr;
use std::sync::atomic::AtomicU32;

/// Sleeps while `word` is `value`; returns early when woken, interrupted or when it already differs.
pub fn wait(word: &AtomicU32, value: u32) {
    // SAFETY: the address is that of a live, aligned atomic word; FUTEX_WAIT reads it and no other memory,
    // and a null timeout means none. Its errors (EAGAIN, EINTR) are what the caller's loop expects.
    unsafe {
        libc::syscall(
            libc::SYS_futex,
            word.as_ptr(),
            libc::FUTEX_WAIT,
            value,
            ptr::null::<u8>(),
        )
    };
}

/// Wakes at most one sleeper on `word`.
///
/// # Errors
/// What the kernel answers; none is possible for a mapped word.
pub fn wake(word: &AtomicU32) -> io::Result<()> {
    // SAFETY: as for `wait`; FUTEX_WAKE uses the address as a name only.
    let woken = unsafe { libc::syscall(libc::SYS_futex, word.as_ptr(), libc::FUTEX_WAKE, 1) };
    if woken < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(())
    }
}
