//! Standard I/O streams over files of ours.
//!
//! The C library reads and writes its own streams without going through functions that can be replaced. A
//! stream over a file of ours is therefore one with functions of its own (`fopencookie`): buffering, locking
//! and formatting stay the C library's.

use std::ffi::{CStr, c_char, c_int, c_void};
use std::sync::atomic::{AtomicUsize, Ordering};

use ipc_core::abi::{Errno, Result};
use libc::{FILE, off64_t, size_t, ssize_t};

use super::bytes::{read_into, seek, write_from};
use super::on_file;
use super::open::open_path;
use crate::addresses::Addresses;
use crate::shield::{FromErrno, is_inside, to_c, within};
use crate::table::{self, Found, OpenFile};
use crate::{real, route};

/// What a stream's functions get. What its descriptor is, they look up each time: the program may make it another.
struct Cookie {
    fd: c_int,
    /// Of the stream itself; 0 until that is there.
    stream: AtomicUsize,
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
    static mut stdin: *mut FILE;
    static mut stdout: *mut FILE;
    static mut stderr: *mut FILE;
    fn __fpending(stream: *mut FILE) -> size_t;
    pub(super) fn __fpurge(stream: *mut FILE);
    fn fopencookie(cookie: *mut c_void, mode: *const c_char, functions: Functions) -> *mut FILE;
}

/// Our streams, and their descriptors.
static STREAMS: Addresses = Addresses::new();

super::interpose! {
    fn fopen | fopen64(path: *const c_char, mode: *const c_char) -> *mut FILE {
        // SAFETY: the caller's promise.
        let path = unsafe { route::absolute(path) }?;
        // SAFETY: the caller's promise.
        let flags = unsafe { flags_of(mode) };
        let fd = flags.and_then(|flags| open_path(path, flags, 0o666));
        // SAFETY: the mode is a C string, or `flags_of` has failed.
        Some(fd.and_then(|fd| unsafe { stream_of(fd, mode) }.inspect_err(|_| close_own(fd))))
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
        STREAMS.find(stream as usize).map(Ok)
    } or real::fileno(stream);
}

/// The descriptor of a stream of ours.
pub(super) fn descriptor_of(stream: *mut FILE) -> Option<c_int> {
    STREAMS.find(stream as usize)
}

/// The flags of an open, as the letters of a stream's mode mean them.
///
/// # Safety
/// `mode` is null or a C string.
pub(super) unsafe fn flags_of(mode: *const c_char) -> Result<c_int> {
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
    let stream = AtomicUsize::new(0);
    let cookie = Box::into_raw(Box::new(Cookie { fd, stream }));
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
    // SAFETY: the stream has the cookie until it is closed, and nobody knows of the stream yet.
    let known = unsafe { &(*cookie).stream };
    known.store(stream as usize, Ordering::Relaxed);
    STREAMS.insert(stream as usize, fd);
    Ok(stream)
}

/// Closes a descriptor that the program has not been given.
fn close_own(fd: c_int) {
    if let Some(file) = table::take(fd) {
        // What came of it is nobody's to know: the file was just opened, and nothing written to it.
        table::release(file).ok();
    }
    // SAFETY: takes a number only, which is this library's own.
    unsafe { real::close(fd) };
}

/// # Safety
/// `cookie` is a [`Cookie`] that its stream has not closed.
unsafe extern "C" fn stream_read(cookie: *mut c_void, into: *mut c_char, len: size_t) -> ssize_t {
    // SAFETY: the caller's promise.
    let fd = unsafe { &*cookie.cast::<Cookie>() }.fd;
    // SAFETY: the stream's buffer is `len` bytes of its own.
    work(fd, |open| unsafe {
        read_into(open, into.cast(), len, None)
    })
    // SAFETY: as above.
    .unwrap_or_else(|| unsafe { real::read(fd, into.cast(), len) })
}

/// # Safety
/// As [`stream_read`].
unsafe extern "C" fn stream_write(
    cookie: *mut c_void,
    from: *const c_char,
    len: size_t,
) -> ssize_t {
    // SAFETY: the caller's promise.
    let fd = unsafe { &*cookie.cast::<Cookie>() }.fd;
    let mut done = 0;
    while done < len {
        // SAFETY: the stream's buffer is `len` bytes, of which `done` are written.
        let rest = unsafe { from.add(done).cast() };
        // SAFETY: as above.
        let count = work(fd, |open| unsafe {
            write_from(open, rest, len - done, None)
        })
        // SAFETY: as above.
        .unwrap_or_else(|| unsafe { real::write(fd, rest, len - done) });
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
    let (fd, wanted) = unsafe { ((*cookie.cast::<Cookie>()).fd, *offset) };
    let moved = work(fd, |open| seek(open, wanted, whence))
        // SAFETY: takes numbers only.
        .unwrap_or_else(|| unsafe { real::lseek(fd, wanted, whence) });
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
    let Cookie { fd, stream } = *unsafe { Box::from_raw(cookie.cast::<Cookie>()) };
    STREAMS.remove(stream.into_inner());
    let closed = inside(|| table::take(fd).map(table::release));
    // SAFETY: the stream's own descriptor.
    let system = unsafe { real::close(fd) };
    closed.map_or(system, |closed| to_c(closed.map(|()| 0)))
}

/// Does a stream's work on an open file of ours; `None` if the descriptor is one of the system's by now.
fn work<T: FromErrno>(fd: c_int, work: impl FnOnce(&OpenFile) -> Result<T>) -> Option<T> {
    inside(|| on_file(fd, work)).map(to_c)
}

/// As [`within`], but a thread that is inside already stays so.
fn inside<T>(work: impl FnOnce() -> Option<Result<T>>) -> Option<Result<T>> {
    if is_inside() { work() } else { within(work) }
}

/// The descriptor has become a file of ours: if it is one of the program's standard streams, that stream is one of
/// ours from now on. The C library's own would go to the system past this library.
pub(crate) fn standard_stream(fd: c_int) {
    let Some((stream, mode)) = variable(fd) else {
        return;
    };
    // SAFETY: as above; the variable lives as long as the program.
    if STREAMS.find(unsafe { *stream } as usize).is_some() {
        return;
    }
    // SAFETY: the mode is a C string.
    let Ok(fresh) = (unsafe { stream_of(fd, mode.as_ptr()) }) else {
        // Without memory for it the program's own stream gets EBADF.
        return;
    };
    if fd == libc::STDERR_FILENO {
        // SAFETY: the stream is new; it needs no buffer of ours.
        unsafe { libc::setvbuf(fresh, std::ptr::null_mut(), libc::_IONBF, 0) };
    }
    // SAFETY: both are streams; nobody but this thread is at work on them.
    unsafe { move_pending(*stream, fresh) };
    // SAFETY: as above.
    unsafe { *stream = fresh };
}

/// The program's variable for a standard stream, and what such a stream is for.
fn variable(fd: c_int) -> Option<(*mut *mut FILE, &'static CStr)> {
    // SAFETY: the C library's variables, which a program may set; whoever uses a stream while another thread
    // puts another descriptor below it has no better luck without us.
    match fd {
        libc::STDIN_FILENO => Some((&raw mut stdin, c"r")),
        libc::STDOUT_FILENO => Some((&raw mut stdout, c"w")),
        libc::STDERR_FILENO => Some((&raw mut stderr, c"w")),
        _ => None,
    }
}

/// The program's standard stream of a descriptor.
pub(super) fn standard_of(fd: c_int) -> Option<*mut FILE> {
    // SAFETY: the variable lives as long as the program; which value it has is the program's business.
    variable(fd).map(|(stream, _)| unsafe { *stream })
}

/// What a program has written into a stream and not flushed goes where the stream's descriptor leads by then.
///
/// # Safety
/// Both are streams, of which the calling thread alone makes use.
unsafe fn move_pending(from: *mut FILE, to: *mut FILE) {
    // The fields of the C library's stream that are part of its interface: flags, and three pointers for reading.
    const WRITE_BASE: usize = 4;
    // SAFETY: the caller's promise.
    let pending = unsafe { __fpending(from) };
    if pending > 0 {
        // SAFETY: the C library keeps what is pending from this pointer on.
        let start = unsafe { *from.cast::<*const c_void>().add(WRITE_BASE) };
        // SAFETY: as above; a new stream has no buffer in common with it.
        unsafe {
            libc::fwrite(start, 1, pending, to);
            __fpurge(from);
        }
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
