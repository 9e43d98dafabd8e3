//! Reading and writing.

use std::ffi::{c_int, c_void};

use ipc_core::abi::io::{FileType, Whence};
use ipc_core::abi::{Errno, Result};
use ipc_core::file::heeding_signals;
use libc::{iovec, off_t, size_t, ssize_t};

use super::on_file;
use crate::real;
use crate::table::OpenFile;

/// Bytes of several parts that go in one message at most.
const TOGETHER_LEN_MAX: usize = 1 << 20;

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

    fn __pread_chk | __pread64_chk(
        fd: c_int, into: *mut c_void, len: size_t, offset: off_t, room: size_t
    ) -> ssize_t {
        if len > room {
            return None;
        }
        // SAFETY: the caller's promise.
        on_file(fd, |open| unsafe { read_into(open, into, len, Some(offset)) })
    } or real::__pread_chk(fd, into, len, offset, room);

    fn write(fd: c_int, from: *const c_void, len: size_t) -> ssize_t {
        // SAFETY: the caller's promise.
        on_file(fd, |open| unsafe { write_from(open, from, len, None) })
    } or real::write(fd, from, len);

    fn pwrite | pwrite64(fd: c_int, from: *const c_void, len: size_t, offset: off_t) -> ssize_t {
        // SAFETY: the caller's promise.
        on_file(fd, |open| unsafe { write_from(open, from, len, Some(offset)) })
    } or real::pwrite(fd, from, len, offset);

    fn readv(fd: c_int, parts: *const iovec, count: c_int) -> ssize_t {
        // SAFETY: the caller's promise.
        on_file(fd, |open| unsafe { read_parts(open, parts, count, None) })
    } or real::readv(fd, parts, count);

    fn preadv | preadv64(fd: c_int, parts: *const iovec, count: c_int, offset: off_t) -> ssize_t {
        // SAFETY: the caller's promise.
        on_file(fd, |open| unsafe { read_parts(open, parts, count, Some(offset)) })
    } or real::preadv(fd, parts, count, offset);

    fn preadv2 | preadv64v2(fd: c_int, parts: *const iovec, count: c_int, offset: off_t, flags: c_int) -> ssize_t {
        // SAFETY: the caller's promise.
        on_file(fd, |open| unsafe { read_parts(open, parts, count, place(offset, flags)?) })
    } or real::preadv2(fd, parts, count, offset, flags);

    fn writev(fd: c_int, parts: *const iovec, count: c_int) -> ssize_t {
        // SAFETY: the caller's promise.
        on_file(fd, |open| unsafe { write_parts(open, parts, count, None) })
    } or real::writev(fd, parts, count);

    fn pwritev | pwritev64(fd: c_int, parts: *const iovec, count: c_int, offset: off_t) -> ssize_t {
        // SAFETY: the caller's promise.
        on_file(fd, |open| unsafe { write_parts(open, parts, count, Some(offset)) })
    } or real::pwritev(fd, parts, count, offset);

    fn pwritev2 | pwritev64v2(fd: c_int, parts: *const iovec, count: c_int, offset: off_t, flags: c_int) -> ssize_t {
        // SAFETY: the caller's promise.
        on_file(fd, |open| unsafe { write_parts(open, parts, count, place(offset, flags)?) })
    } or real::pwritev2(fd, parts, count, offset, flags);

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
    // What a directory is read as is for `readdir` alone.
    if open.kind() == Some(FileType::Directory) {
        return Err(Errno::EISDIR);
    }
    if len == 0 {
        return Ok(0);
    }
    if into.is_null() {
        return Err(Errno::EFAULT);
    }
    // SAFETY: the memory is the caller's, of this length and for this call. It may not have been written yet,
    // and is handed on to be written.
    let into =
        unsafe { std::slice::from_raw_parts_mut(into.cast::<u8>(), len.min(isize::MAX as usize)) };
    let at = offset.map(u64::try_from).transpose();
    let at = at.map_err(|_| Errno::EINVAL)?;
    let count = heeding_signals(open.is_device(), || match at {
        None => open.file.read(into),
        Some(at) => open.file.read_at(into, at),
    })?;
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
    let at = offset.map(u64::try_from).transpose();
    let at = at.map_err(|_| Errno::EINVAL)?;
    let count = heeding_signals(open.is_device(), || match at {
        None => open.file.write(from),
        Some(at) => open.file.write_at(from, at),
    })?;
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

/// Bytes of several parts, if they go in one message: what others write then comes before or behind all of them, and a
/// device that has something does not wait for more.
///
/// # Errors
/// `EFAULT` a part that is nowhere.
fn len_together(parts: &[iovec]) -> Result<Option<usize>> {
    if parts
        .iter()
        .any(|part| part.iov_base.is_null() && part.iov_len > 0)
    {
        return Err(Errno::EFAULT);
    }
    let lens = parts.iter().map(|part| part.iov_len);
    let len = lens.fold(0, usize::saturating_add);
    Ok((parts.len() != 1 && len <= TOGETHER_LEN_MAX).then_some(len))
}

/// Where the functions with flags mean: all ones is the file's own offset. No flag is known here.
fn place(offset: off_t, flags: c_int) -> Result<Option<off_t>> {
    if flags != 0 {
        return Err(Errno::EOPNOTSUPP);
    }
    Ok((offset != -1).then_some(offset))
}

/// # Safety
/// As [`slice()`]; each part is null or memory that the caller may write.
unsafe fn read_parts(
    open: &OpenFile,
    parts: *const iovec,
    count: c_int,
    offset: Option<off_t>,
) -> Result<ssize_t> {
    // SAFETY: the caller's promise.
    let parts = unsafe { slice(parts, count) }?;
    if let Some(len) = len_together(parts)? {
        let mut bytes = vec![0_u8; len];
        // SAFETY: memory of this function's own.
        let count = unsafe { read_into(open, bytes.as_mut_ptr().cast(), len, offset) }?;
        let mut rest = &bytes[..count.cast_unsigned()];
        for part in parts {
            let (given, behind) = rest.split_at(part.iov_len.min(rest.len()));
            // SAFETY: not null, as `len_together` has seen, or nothing is copied; the rest is the caller's promise.
            unsafe {
                given
                    .as_ptr()
                    .copy_to_nonoverlapping(part.iov_base.cast(), given.len())
            };
            rest = behind;
        }
        return Ok(count);
    }
    // SAFETY: the caller's promise.
    each_part(parts, offset, |part, at| unsafe {
        read_into(open, part.iov_base, part.iov_len, at)
    })
}

/// # Safety
/// As [`slice()`]; each part is null or memory that nobody writes meanwhile.
unsafe fn write_parts(
    open: &OpenFile,
    parts: *const iovec,
    count: c_int,
    offset: Option<off_t>,
) -> Result<ssize_t> {
    // SAFETY: the caller's promise.
    let parts = unsafe { slice(parts, count) }?;
    if let Some(len) = len_together(parts)? {
        let mut bytes = Vec::with_capacity(len);
        for part in parts.iter().filter(|part| part.iov_len > 0) {
            // SAFETY: not null, as `len_together` has seen; the rest is the caller's promise.
            bytes.extend_from_slice(unsafe {
                std::slice::from_raw_parts(part.iov_base.cast::<u8>(), part.iov_len)
            });
        }
        // SAFETY: memory of this function's own.
        return unsafe { write_from(open, bytes.as_ptr().cast(), len, offset) };
    }
    // SAFETY: the caller's promise.
    each_part(parts, offset, |part, at| unsafe {
        write_from(open, part.iov_base, part.iov_len, at)
    })
}

/// Goes through parts until one moves less than it holds; at an offset, each follows the one before.
fn each_part(
    parts: &[iovec],
    offset: Option<off_t>,
    mut work: impl FnMut(&iovec, Option<off_t>) -> Result<ssize_t>,
) -> Result<ssize_t> {
    let mut total: ssize_t = 0;
    for part in parts {
        let at = match offset {
            Some(offset) => Some(offset.checked_add(total as off_t).ok_or(Errno::EINVAL)?),
            None => None,
        };
        match work(part, at) {
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
