//! Directory streams: ours are not the C library's, and are told apart by their address.

use std::ffi::{c_char, c_int, c_long};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ipc_core::abi::io::{DirEntries, DirEntry, Io, ReadKind, Whence};
use ipc_core::abi::{Errno, Result};
use libc::{DIR, dirent};

use super::open::open_path;
use crate::addresses::Addresses;
use crate::table::{self, Found, OpenFile};
use crate::{real, route};

/// Bytes of entries that one message fetches.
const FETCH_LEN: usize = 32 << 10;

/// A stream over a directory of ours.
struct Stream {
    open: Arc<OpenFile>,
    place: Mutex<Place>,
}

/// How far a stream has been read.
struct Place {
    /// Entries fetched and not yet given.
    fetched: Vec<u8>,
    given: usize,
    /// What `telldir` answers: where the entry behind the last given one starts.
    position: u64,
    /// What `readdir` gives; valid until the next one.
    entry: Box<dirent>,
}

/// Our streams by the address that the program knows them by. Each is a handle of an `Arc`.
static STREAMS: Addresses = Addresses::new();

super::interpose! {
    fn opendir(path: *const c_char) -> *mut DIR {
        // SAFETY: the caller's promise.
        let path = unsafe { route::absolute(path) }?;
        Some(open_path(path, libc::O_RDONLY | libc::O_DIRECTORY | libc::O_CLOEXEC, 0).and_then(stream_of))
    } or real::opendir(path);

    fn fdopendir(fd: c_int) -> *mut DIR {
        match table::find(fd) {
            Found::Not => None,
            Found::Inherited => Some(Err(Errno::EBADF)),
            Found::Ours(open) if !open.is_dir() => Some(Err(Errno::ENOTDIR)),
            Found::Ours(_) => Some(stream_of(fd)),
        }
    } or real::fdopendir(fd);

    fn readdir | readdir64(dir: *mut DIR) -> *mut dirent {
        let stream = find(dir)?;
        Some(stream.next())
    } or real::readdir(dir);

    // It answers an error number, and null in the place of an entry at the end.
    fn readdir_r | readdir64_r(dir: *mut DIR, into: *mut dirent, given: *mut *mut dirent) -> c_int {
        let stream = find(dir)?;
        let mut place = stream.place();
        let found = match stream.next_of(&mut place) {
            Ok(found) => found,
            Err(errno) => return Some(Ok(errno.0)),
        };
        // SAFETY: the caller's promise for both; the entry is the stream's, which is held.
        unsafe {
            if !found.is_null() {
                into.copy_from_nonoverlapping(found, 1);
            }
            given.write(if found.is_null() { found } else { into });
        }
        Some(Ok(0))
    } or real::readdir_r(dir, into, given);

    fn closedir(dir: *mut DIR) -> c_int {
        let fd = STREAMS.remove(dir as usize)?;
        // SAFETY: the handle that `stream_of` gave away, which has just been taken off the list, once.
        drop(unsafe { Arc::from_raw(dir.cast::<Stream>()) });
        let closed = table::take(fd).map_or(Ok(()), table::release);
        // SAFETY: the stream's own descriptor.
        unsafe { real::close(fd) };
        Some(closed.map(|()| 0))
    } or real::closedir(dir);

    fn telldir(dir: *mut DIR) -> c_long {
        let stream = find(dir)?;
        Some(Ok(stream.place().position.cast_signed()))
    } or real::telldir(dir);

    fn dirfd(dir: *mut DIR) -> c_int {
        STREAMS.find(dir as usize).map(Ok)
    } or real::dirfd(dir);
}

/// In the place of the C library's function of this name.
///
/// # Safety
/// As the C library's.
#[cfg_attr(not(test), unsafe(no_mangle))]
pub unsafe extern "C" fn seekdir(dir: *mut DIR, at: c_long) {
    let ours = crate::shield::within(|| Some(find(dir)?.go_to(at.cast_unsigned())));
    if ours.is_none() {
        // SAFETY: the caller's promise is the callee's.
        unsafe { real::seekdir(dir, at) };
    }
}

/// In the place of the C library's function of this name.
///
/// # Safety
/// As the C library's.
#[cfg_attr(not(test), unsafe(no_mangle))]
pub unsafe extern "C" fn rewinddir(dir: *mut DIR) {
    let ours = crate::shield::within(|| Some(find(dir)?.go_to(0)));
    if ours.is_none() {
        // SAFETY: the caller's promise is the callee's.
        unsafe { real::rewinddir(dir) };
    }
}

/// A stream over a descriptor of ours.
fn stream_of(fd: c_int) -> Result<*mut DIR> {
    let Found::Ours(open) = table::find(fd) else {
        return Err(Errno::EBADF);
    };
    let position = open.file.seek(0, Whence::Current).unwrap_or(0);
    // SAFETY: all zeroes is a valid value of a structure of integers.
    let entry = Box::new(unsafe { std::mem::zeroed() });
    let place = Mutex::new(Place {
        fetched: Vec::new(),
        given: 0,
        position,
        entry,
    });
    let stream = Arc::into_raw(Arc::new(Stream { open, place }));
    STREAMS.insert(stream as usize, fd);
    Ok(stream.cast_mut().cast())
}

fn find(dir: *mut DIR) -> Option<Arc<Stream>> {
    STREAMS.find(dir as usize)?;
    let stream = dir.cast_const().cast::<Stream>();
    // SAFETY: an address on the list is a handle that `stream_of` gave away and `closedir` has not taken back. As with the C
    // library's own, a program uses no directory that it closes meanwhile.
    unsafe {
        Arc::increment_strong_count(stream);
        Some(Arc::from_raw(stream))
    }
}

impl Stream {
    /// The next entry, null at the end.
    fn next(&self) -> Result<*mut dirent> {
        self.next_of(&mut self.place())
    }

    fn next_of(&self, place: &mut Place) -> Result<*mut dirent> {
        if place.given == place.fetched.len() {
            self.fetch(place)?;
        }
        let Place {
            fetched,
            given,
            position,
            entry,
        } = place;
        let rest = &fetched[*given..];
        let Some(found) = DirEntries::new(rest).next().transpose()? else {
            return Ok(std::ptr::null_mut());
        };
        *given += found.encoded_len();
        *position = found.next;
        fill(entry, &found);
        Ok(&raw mut **entry)
    }

    fn fetch(&self, place: &mut Place) -> Result<()> {
        place.fetched.clear();
        place.given = 0;
        let mut bytes = vec![0; FETCH_LEN];
        let message = Io::Read {
            len: FETCH_LEN as u32,
            kind: ReadKind::At(place.position),
        };
        let reply = self.open.file.send_io(message, &[], &mut bytes)?;
        bytes.truncate(reply.len);
        place.fetched = bytes;
        Ok(())
    }

    fn go_to(&self, position: u64) -> Result<()> {
        let mut place = self.place();
        place.fetched.clear();
        place.given = 0;
        place.position = position;
        Ok(())
    }

    fn place(&self) -> MutexGuard<'_, Place> {
        self.place.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn fill(entry: &mut dirent, found: &DirEntry<'_>) {
    entry.d_ino = found.ino;
    entry.d_off = found.next.cast_signed();
    entry.d_reclen = size_of::<dirent>() as u16;
    entry.d_type = found.file_type as u8;
    // A parsed name has at most 255 bytes: there is always room for the zero behind it.
    let name = found.name.iter().map(|&byte| byte as c_char).chain([0]);
    for (into, byte) in entry.d_name.iter_mut().zip(name) {
        *into = byte;
    }
}

#[cfg(test)]
mod tests {
    use ipc_core::abi::io::FileType;

    use super::*;

    #[test]
    fn the_longest_name_still_ends_in_a_zero() {
        // SAFETY: all zeroes is a valid value of a structure of integers.
        let mut entry: dirent = unsafe { std::mem::zeroed() };
        let name = [b'x'; 255];
        fill(
            &mut entry,
            &DirEntry {
                ino: 1,
                next: 2,
                file_type: FileType::Directory,
                name: &name,
            },
        );
        assert_eq!(
            (entry.d_ino, entry.d_off, entry.d_type),
            (1, 2, libc::DT_DIR)
        );
        assert_eq!(entry.d_name[254], b'x' as c_char);
        assert_eq!(entry.d_name[255], 0);
    }
}
