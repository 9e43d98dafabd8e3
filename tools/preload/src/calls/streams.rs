//! Standard I/O streams over files of ours.
//!
//! The C library reads and writes its own streams without going through functions that can be replaced. A
//! stream over a file of ours is therefore one with functions of its own (`fopencookie`): buffering, locking
//! and formatting stay the C library's.

use std::collections::HashMap;
use std::ffi::{CStr, c_char, c_int, c_void};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ipc_core::abi::{Errno, Result};
use libc::{FILE, off64_t, size_t, ssize_t};

use super::bytes::{read_into, seek, write_from};
use super::open::open_path;
use crate::shield::{to_c, within};
use crate::table::{self, Found, OpenFile};
use crate::{real, route};

/// What a stream's functions get.
struct Cookie {
    fd: c_int,
    open: Arc<OpenFile>,
}

#[repr(C)]
struct Functions {
    // SAFETY: the stream alone uses these, each with its cookie and memory of its own.
    read: unsafe extern "C" fn(*mut c_void, *mut c_char, size_t) -> ssize_t,
    // SAFETY: as `read`.
    write: unsafe extern "C" fn(*mut c_void, *const c_char, size_t) -> ssize_t,
    // SAFETY: as `read`.
    seek: unsafe extern "C" fn(*mut c_void, *mut off64_t, c_int) -> c_int,
    // SAFETY: as `read`; and nothing after it.
    close: unsafe extern "C" fn(*mut c_void) -> c_int,
}

unsafe extern "C" {
    fn fopencookie(cookie: *mut c_void, mode: *const c_char, functions: Functions) -> *mut FILE;
}

/// The descriptors of our streams, by the stream's address.
static STREAMS: Mutex<Option<HashMap<usize, c_int>>> = Mutex::new(None);

/// How many there are: a program that has none takes no lock.
static COUNT: AtomicUsize = AtomicUsize::new(0);

super::interpose! {
    fn fopen | fopen64(path: *const c_char, mode: *const c_char) -> *mut FILE {
        // SAFETY: the caller's promise.
        let path = unsafe { route::absolute(path) }?;
        // SAFETY: the caller's promise.
        let flags = unsafe { flags_of(mode) };
        // SAFETY: the mode is a C string, or `flags_of` has failed.
        Some(flags.and_then(|flags| open_path(path, flags, 0o666)).and_then(|fd| unsafe { stream_of(fd, mode) }))
    } or real::fopen(path, mode);

    fn fdopen(fd: c_int, mode: *const c_char) -> *mut FILE {
        match table::find(fd) {
            Found::Not => None,
            Found::Inherited => Some(Err(Errno::EBADF)),
            // SAFETY: the caller's promise; `flags_of` refuses a null pointer.
            Found::Ours(_) => Some(unsafe { flags_of(mode).and_then(|_| stream_of(fd, mode)) }),
        }
    } or real::fdopen(fd, mode);

    fn fileno | fileno_unlocked(stream: *mut FILE) -> c_int {
        if COUNT.load(Ordering::Acquire) == 0 {
            return None;
        }
        streams().as_ref()?.get(&(stream as usize)).copied().map(Ok)
    } or real::fileno(stream);
}

/// The flags of an open, as the letters of a stream's mode mean them.
///
/// # Safety
/// `mode` is null or a C string.
unsafe fn flags_of(mode: *const c_char) -> Result<c_int> {
    if mode.is_null() {
        return Err(Errno::EINVAL);
    }
    // SAFETY: it is not null; the rest is the caller's promise.
    flags_of_letters(unsafe { CStr::from_ptr(mode) }.to_bytes())
}

fn flags_of_letters(mode: &[u8]) -> Result<c_int> {
    let (first, rest) = mode.split_first().ok_or(Errno::EINVAL)?;
    // What follows a comma is about encodings.
    let letters = rest
        .split(|&letter| letter == b',')
        .next()
        .unwrap_or_default();
    let creation = match first {
        b'r' => 0,
        b'w' => libc::O_CREAT | libc::O_TRUNC,
        b'a' => libc::O_CREAT | libc::O_APPEND,
        _ => return Err(Errno::EINVAL),
    };
    let access = match (first, letters.contains(&b'+')) {
        (_, true) => libc::O_RDWR,
        (b'r', false) => libc::O_RDONLY,
        _ => libc::O_WRONLY,
    };
    let exclusive = if letters.contains(&b'x') {
        libc::O_EXCL
    } else {
        0
    };
    let cloexec = if letters.contains(&b'e') {
        libc::O_CLOEXEC
    } else {
        0
    };
    Ok(access | creation | exclusive | cloexec)
}

/// A stream over a descriptor of ours, which it closes at its end.
///
/// # Safety
/// `mode` is a C string.
unsafe fn stream_of(fd: c_int, mode: *const c_char) -> Result<*mut FILE> {
    let Found::Ours(open) = table::find(fd) else {
        return Err(Errno::EBADF);
    };
    let cookie = Box::into_raw(Box::new(Cookie { fd, open }));
    let functions = Functions {
        read: stream_read,
        write: stream_write,
        seek: stream_seek,
        close: stream_close,
    };
    // SAFETY: the mode is the caller's promise; the functions take the cookie for what it is, and the last of
    // them to be used, close, frees it.
    let stream = unsafe { fopencookie(cookie.cast(), mode, functions) };
    if stream.is_null() {
        let errno = Errno::last();
        // SAFETY: nobody has taken the cookie over.
        drop(unsafe { Box::from_raw(cookie) });
        return Err(errno);
    }
    streams()
        .get_or_insert_default()
        .insert(stream as usize, fd);
    COUNT.fetch_add(1, Ordering::Release);
    Ok(stream)
}

fn streams() -> MutexGuard<'static, Option<HashMap<usize, c_int>>> {
    STREAMS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// # Safety
/// `cookie` is a [`Cookie`] that its stream has not closed.
unsafe extern "C" fn stream_read(cookie: *mut c_void, into: *mut c_char, len: size_t) -> ssize_t {
    // SAFETY: the caller's promise.
    let cookie = unsafe { &*cookie.cast::<Cookie>() };
    // SAFETY: the stream's buffer is `len` bytes of its own.
    work(|| unsafe { read_into(&cookie.open, into.cast(), len, None) })
}

/// # Safety
/// As [`stream_read`].
unsafe extern "C" fn stream_write(
    cookie: *mut c_void,
    from: *const c_char,
    len: size_t,
) -> ssize_t {
    // SAFETY: the caller's promise.
    let cookie = unsafe { &*cookie.cast::<Cookie>() };
    let mut done = 0;
    while done < len {
        // SAFETY: the stream's buffer is `len` bytes, of which `done` are written.
        let count =
            work(|| unsafe { write_from(&cookie.open, from.add(done).cast(), len - done, None) });
        match usize::try_from(count) {
            Ok(count) if count > 0 => done += count,
            _ => break,
        }
    }
    // Less than all, which includes 0, is how this function says that it failed.
    done.cast_signed()
}

/// # Safety
/// As [`stream_read`]; `offset` is the C library's.
unsafe extern "C" fn stream_seek(
    cookie: *mut c_void,
    offset: *mut off64_t,
    whence: c_int,
) -> c_int {
    // SAFETY: the caller's promise.
    let (cookie, wanted) = unsafe { (&*cookie.cast::<Cookie>(), *offset) };
    let moved = work(|| seek(&cookie.open, wanted, whence));
    if moved < 0 {
        return -1;
    }
    // SAFETY: the caller's promise.
    unsafe { *offset = moved };
    0
}

/// # Safety
/// As [`stream_read`]; the cookie is not used again.
unsafe extern "C" fn stream_close(cookie: *mut c_void) -> c_int {
    // SAFETY: it came out of a box in `stream_of`, and this is its end.
    let Cookie { fd, open } = *unsafe { Box::from_raw(cookie.cast::<Cookie>()) };
    drop(open);
    let closed = work(|| {
        if let Some(streams) = streams().as_mut() {
            let before = streams.len();
            streams.retain(|_, other| *other != fd);
            COUNT.fetch_sub(before - streams.len(), Ordering::Release);
        }
        table::take(fd).map_or(Ok(()), table::release).map(|()| 0)
    });
    // SAFETY: the stream's own descriptor.
    unsafe { real::close(fd) };
    closed
}

/// Does a stream's work; a thread that is inside already is inside for it too.
fn work<T: crate::shield::FromErrno>(work: impl FnOnce() -> Result<T>) -> T {
    let mut work = Some(work);
    let mut once = || work.take().map_or(Err(Errno::EIO), |work| work());
    match within(|| Some(once())) {
        Some(done) => to_c(done),
        None => to_c(once()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_letters_of_a_mode_are_flags() {
        use libc::{O_APPEND, O_CLOEXEC, O_CREAT, O_EXCL, O_RDONLY, O_RDWR, O_TRUNC, O_WRONLY};
        for (mode, flags) in [
            ("r", O_RDONLY),
            ("rb", O_RDONLY),
            ("r+", O_RDWR),
            ("w", O_WRONLY | O_CREAT | O_TRUNC),
            ("wx", O_WRONLY | O_CREAT | O_TRUNC | O_EXCL),
            ("wb+", O_RDWR | O_CREAT | O_TRUNC),
            ("a", O_WRONLY | O_CREAT | O_APPEND),
            ("a+e", O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC),
            ("r,ccs=UTF-8+x", O_RDONLY),
        ] {
            assert_eq!(flags_of_letters(mode.as_bytes()), Ok(flags), "{mode}");
        }
        assert_eq!(flags_of_letters(b""), Err(Errno::EINVAL));
        assert_eq!(flags_of_letters(b"+r"), Err(Errno::EINVAL));
    }
}
