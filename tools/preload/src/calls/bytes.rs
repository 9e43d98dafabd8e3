//! Reading and writing.

use std::ffi::{c_int, c_void};

use ipc_core::abi::io::Whence;
use ipc_core::abi::{Errno, Result};
use libc::{iovec, off_t, size_t, ssize_t};

use super::on_file;
use crate::real;
use crate::table::OpenFile;

super::interpose! {
    fn read(fd: c_int, into: *mut c_void, len: size_t) -> ssize_t {
        // SAFETY: the caller's promise.
        on_file(fd, |open| unsafe { read_into(open, into, len, None) })
    } or real::read(fd, into, len);

    // What `read` and `pread` become under _FORTIFY_SOURCE; the caller has more room than it reads, or the C
    // library is asked to end the process.
    fn __read_chk(fd: c_int, into: *mut c_void, len: size_t, room: size_t) -> ssize_t {
        if len > room {
            return None;
        }
        // SAFETY: the caller's promise.
        on_file(fd, |open| unsafe { read_into(open, into, len, None) })
    } or real::__read_chk(fd, into, len, room);

    fn pread | pread64(fd: c_int, into: *mut c_void, len: size_t, offset: off_t) -> ssize_t {
        // SAFETY: the caller's promise.
        on_file(fd, |open| unsafe { read_into(open, into, len, Some(offset)) })
    } or real::pread(fd, into, len, offset);

    fn write(fd: c_int, from: *const c_void, len: size_t) -> ssize_t {
        // SAFETY: the caller's promise.
        on_file(fd, |open| unsafe { write_from(open, from, len, None) })
    } or real::write(fd, from, len);

    fn pwrite | pwrite64(fd: c_int, from: *const c_void, len: size_t, offset: off_t) -> ssize_t {
        // SAFETY: the caller's promise.
        on_file(fd, |open| unsafe { write_from(open, from, len, Some(offset)) })
    } or real::pwrite(fd, from, len, offset);

    fn readv(fd: c_int, parts: *const iovec, count: c_int) -> ssize_t {
        on_file(fd, |open| {
            // SAFETY: the caller's promise; each part is memory of the caller's to be written.
            each_part(unsafe { slice(parts, count) }?, |part| unsafe {
                read_into(open, part.iov_base, part.iov_len, None)
            })
        })
    } or real::readv(fd, parts, count);

    fn writev(fd: c_int, parts: *const iovec, count: c_int) -> ssize_t {
        on_file(fd, |open| {
            // SAFETY: the caller's promise; each part is memory of the caller's to be read.
            each_part(unsafe { slice(parts, count) }?, |part| unsafe {
                write_from(open, part.iov_base, part.iov_len, None)
            })
        })
    } or real::writev(fd, parts, count);

    fn lseek | lseek64(fd: c_int, offset: off_t, whence: c_int) -> off_t {
        on_file(fd, |open| seek(open, offset, whence))
    } or real::lseek(fd, offset, whence);
}

/// # Safety
/// `into` is null or `len` bytes that the caller may write.
pub(super) unsafe fn read_into(
    open: &OpenFile,
    into: *mut c_void,
    len: usize,
    offset: Option<off_t>,
) -> Result<ssize_t> {
    if len == 0 {
        return Ok(0);
    }
    if into.is_null() {
        return Err(Errno::EFAULT);
    }
    // SAFETY: the memory is the caller's, of this length and for this call. It may not have been written yet,
    // and is handed on to be written; what is read from a directory is a stream of its own.
    let into =
        unsafe { std::slice::from_raw_parts_mut(into.cast::<u8>(), len.min(isize::MAX as usize)) };
    let count = match offset {
        None => open.file.read(into)?,
        Some(offset) => open
            .file
            .read_at(into, u64::try_from(offset).map_err(|_| Errno::EINVAL)?)?,
    };
    Ok(count.cast_signed())
}

/// # Safety
/// `from` is null or `len` bytes that nobody writes meanwhile.
pub(super) unsafe fn write_from(
    open: &OpenFile,
    from: *const c_void,
    len: usize,
    offset: Option<off_t>,
) -> Result<ssize_t> {
    if from.is_null() && len > 0 {
        return Err(Errno::EFAULT);
    }
    let from = match len {
        0 => &[],
        // SAFETY: the memory is the caller's, of this length and for this call.
        _ => unsafe { std::slice::from_raw_parts(from.cast::<u8>(), len.min(isize::MAX as usize)) },
    };
    let count = match offset {
        None => open.file.write(from)?,
        Some(offset) => open
            .file
            .write_at(from, u64::try_from(offset).map_err(|_| Errno::EINVAL)?)?,
    };
    Ok(count.cast_signed())
}

pub(super) fn seek(open: &OpenFile, offset: off_t, whence: c_int) -> Result<off_t> {
    let whence = u16::try_from(whence)
        .map_err(|_| Errno::EINVAL)
        .and_then(Whence::from_number)?;
    off_t::try_from(open.file.seek(offset, whence)?).map_err(|_| Errno::EOVERFLOW)
}

/// # Safety
/// `parts` is null or `count` parts that nobody writes meanwhile.
unsafe fn slice<'a>(parts: *const iovec, count: c_int) -> Result<&'a [iovec]> {
    let count = usize::try_from(count)
        .ok()
        .filter(|count| *count <= 1024)
        .ok_or(Errno::EINVAL)?;
    if count == 0 {
        return Ok(&[]);
    }
    if parts.is_null() {
        return Err(Errno::EFAULT);
    }
    // SAFETY: the caller's promise.
    Ok(unsafe { std::slice::from_raw_parts(parts, count) })
}

/// Goes through parts until one moves less than it holds.
fn each_part(parts: &[iovec], mut work: impl FnMut(&iovec) -> Result<ssize_t>) -> Result<ssize_t> {
    let mut total = 0;
    for part in parts {
        match work(part) {
            Ok(count) => {
                total += count;
                if count.cast_unsigned() < part.iov_len {
                    break;
                }
            }
            Err(errno) if total == 0 => return Err(errno),
            Err(_) => break,
        }
    }
    Ok(total)
}
