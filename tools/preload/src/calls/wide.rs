//! Wide characters of streams over files of ours.
//!
//! The C library's streams with functions of their own are for bytes: it refuses to print wide characters to them, and
//! crashes where it is to read them. What stands here makes bytes of them by the program's locale, and the other way.

use std::ffi::{c_char, c_int};

use ipc_core::abi::{Errno, Result};
use libc::{FILE, size_t, wchar_t};

use super::streams::{descriptor_of, standard_of};
use crate::real;
use crate::shield::FromErrno;

/// A wide character, or that there is none.
#[allow(non_camel_case_types, reason = "the C library's name")]
pub(crate) type wint_t = u32;

const WEOF: wint_t = u32::MAX;

/// Bytes of a wide character at most, in any locale (`MB_LEN_MAX`).
const BYTES_MAX: usize = 16;

/// How far a character of several bytes has been read: the C library's `mbstate_t`.
#[repr(C)]
#[derive(Default)]
struct State([u32; 2]);

unsafe extern "C" {
    fn mbrtowc(into: *mut wchar_t, from: *const c_char, len: size_t, state: *mut State) -> size_t;
    fn wcrtomb(into: *mut c_char, from: wchar_t, state: *mut State) -> size_t;
}

impl FromErrno for wint_t {
    const FAILED: wint_t = WEOF;
}

super::interpose! {
    fn fgetwc | getwc | fgetwc_unlocked | getwc_unlocked(stream: *mut FILE) -> wint_t {
        descriptor_of(stream)?;
        // SAFETY: a stream of ours, by the caller's promise an open one.
        Some(unsafe { next(stream) }.map(|read| read.unwrap_or(WEOF)))
    } or real::fgetwc(stream);

    fn getwchar | getwchar_unlocked() -> wint_t {
        let stream = standard_of(libc::STDIN_FILENO).filter(|stream| descriptor_of(*stream).is_some())?;
        // SAFETY: as above.
        Some(unsafe { next(stream) }.map(|read| read.unwrap_or(WEOF)))
    } or real::getwchar();

    fn fgetws | fgetws_unlocked(into: *mut wchar_t, count: c_int, stream: *mut FILE) -> *mut wchar_t {
        descriptor_of(stream)?;
        // SAFETY: as above; the caller has room for `count`.
        Some(unsafe { line(into, count, stream) })
    } or real::fgetws(into, count, stream);

    // What the one before becomes under _FORTIFY_SOURCE; with too little room the C library ends the process.
    fn __fgetws_chk | __fgetws_unlocked_chk(
        into: *mut wchar_t, room: size_t, count: c_int, stream: *mut FILE
    ) -> *mut wchar_t {
        descriptor_of(stream)?;
        usize::try_from(count).ok().filter(|count| *count <= room)?;
        // SAFETY: as above.
        Some(unsafe { line(into, count, stream) })
    } or real::__fgetws_chk(into, room, count, stream);

    fn fputwc | putwc | fputwc_unlocked | putwc_unlocked(wide: wchar_t, stream: *mut FILE) -> wint_t {
        descriptor_of(stream)?;
        // SAFETY: as above.
        Some(unsafe { put(wide, stream) }.map(|()| wide.cast_unsigned()))
    } or real::fputwc(wide, stream);

    fn putwchar | putwchar_unlocked(wide: wchar_t) -> wint_t {
        let stream = standard_of(libc::STDOUT_FILENO).filter(|stream| descriptor_of(*stream).is_some())?;
        // SAFETY: as above.
        Some(unsafe { put(wide, stream) }.map(|()| wide.cast_unsigned()))
    } or real::putwchar(wide);

    fn fputws | fputws_unlocked(text: *const wchar_t, stream: *mut FILE) -> c_int {
        descriptor_of(stream)?;
        // SAFETY: the caller's promise.
        Some(unsafe { put_all(text, stream) }.map(|()| 0))
    } or real::fputws(text, stream);

    fn ungetwc(wide: wint_t, stream: *mut FILE) -> wint_t {
        descriptor_of(stream)?;
        // SAFETY: as above.
        Some(unsafe { give_back(wide, stream) })
    } or real::ungetwc(wide, stream);
}

/// The next character; `None` at the end, or where the stream has failed and says so itself.
///
/// # Safety
/// `stream` is an open stream.
unsafe fn next(stream: *mut FILE) -> Result<Option<wint_t>> {
    let mut state = State::default();
    for _ in 0..BYTES_MAX {
        // SAFETY: the caller's promise.
        let byte = unsafe { libc::fgetc(stream) };
        if byte == libc::EOF {
            // Half a character is none.
            return if state.0 == [0, 0] {
                Ok(None)
            } else {
                Err(Errno::EILSEQ)
            };
        }
        let (byte, mut wide) = (byte as c_char, 0);
        // SAFETY: all three are this function's own.
        match unsafe { mbrtowc(&raw mut wide, &raw const byte, 1, &raw mut state) } {
            0 | 1 => return Ok(Some(wide.cast_unsigned())),
            INCOMPLETE => {}
            _ => break,
        }
    }
    Err(Errno::EILSEQ)
}

/// What `mbrtowc` answers when there is more to a character.
const INCOMPLETE: size_t = size_t::MAX - 1;

/// Reads a line, or as much of it as there is room for; null if there is nothing.
///
/// # Safety
/// As [`next`]; `into` has room for `count`.
unsafe fn line(into: *mut wchar_t, count: c_int, stream: *mut FILE) -> Result<*mut wchar_t> {
    let room = usize::try_from(count).ok().filter(|count| *count > 0);
    let room = room.ok_or(Errno::EINVAL)? - 1;
    let mut len = 0;
    while len < room {
        // SAFETY: the caller's promise.
        let Some(wide) = unsafe { next(stream) }? else {
            break;
        };
        // SAFETY: as above, and `len` is below `room`.
        unsafe { into.add(len).write(wide.cast_signed()) };
        len += 1;
        if wide == u32::from(b'\n') {
            break;
        }
    }
    if len == 0 && room > 0 {
        return Ok(std::ptr::null_mut());
    }
    // SAFETY: as above: one place is left.
    unsafe { into.add(len).write(0) };
    Ok(into)
}

/// # Safety
/// As [`next`].
unsafe fn put(wide: wchar_t, stream: *mut FILE) -> Result<()> {
    let (bytes, len) = bytes_of(wide)?;
    // SAFETY: the caller's promise; the bytes are this function's own.
    let written = unsafe { libc::fwrite(bytes.as_ptr().cast(), 1, len, stream) };
    if written < len {
        return Err(Errno::last());
    }
    Ok(())
}

/// # Safety
/// As [`next`]; `text` ends in a zero.
unsafe fn put_all(text: *const wchar_t, stream: *mut FILE) -> Result<()> {
    // SAFETY: the caller's promise: none is read behind the zero.
    let all = (0..).map(|at| unsafe { *text.add(at) });
    for wide in all.take_while(|wide| *wide != 0) {
        // SAFETY: as above.
        unsafe { put(wide, stream) }?;
    }
    Ok(())
}

/// # Safety
/// As [`next`].
unsafe fn give_back(wide: wint_t, stream: *mut FILE) -> Result<wint_t> {
    if wide == WEOF {
        return Ok(WEOF);
    }
    let (bytes, len) = bytes_of(wide.cast_signed())?;
    for byte in bytes[..len].iter().rev() {
        // SAFETY: the caller's promise.
        if unsafe { libc::ungetc(c_int::from(*byte), stream) } == libc::EOF {
            return Ok(WEOF);
        }
    }
    Ok(wide)
}

fn bytes_of(wide: wchar_t) -> Result<([u8; BYTES_MAX], usize)> {
    let (mut bytes, mut state) = ([0; BYTES_MAX], State::default());
    // SAFETY: there is room for a character of any locale.
    let len = unsafe { wcrtomb(bytes.as_mut_ptr().cast(), wide, &raw mut state) };
    if len > BYTES_MAX {
        return Err(Errno::EILSEQ);
    }
    Ok((bytes, len))
}
