//! The working directory, when it is one of ours.
//!
//! The system's is then a directory that is there no more: what passes this library by (a program without it, a
//! function that is not replaced) finds nothing under a relative path, and makes nothing. Children and the next image
//! of the process learn of ours by a descriptor: a memory file that holds its path.

use std::borrow::Cow;
use std::ffi::{CStr, CString, OsStr, c_int};
use std::os::fd::{AsRawFd, IntoRawFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicI32, AtomicPtr, Ordering};

use ipc_core::abi::limits::OWN_DESCRIPTORS_FROM;
use ipc_core::abi::{Errno, Result};

use crate::{real, sealed, table};

const NAME: &CStr = c"qnet-cwd";

/// Directories between the system's working directory and one that is still there.
const DEPTH: usize = 16;

struct Working {
    path: PathBuf,
    note: c_int,
}

/// Null while the working directory is the system's. Each change leaks what was before: a reader in another thread, or
/// a child that was just forked, may be at it.
static WORKING: AtomicPtr<Working> = AtomicPtr::new(std::ptr::null_mut());

/// The note of the last child that made one in the memory of its parent.
static BORROWERS: AtomicI32 = AtomicI32::new(-1);

fn working() -> Option<&'static Working> {
    // SAFETY: it is null or was leaked by `note`, for the life of the process.
    unsafe { WORKING.load(Ordering::Acquire).as_ref() }
}

/// The working directory, if it is one of ours.
pub(crate) fn current() -> Option<&'static Path> {
    working().map(|working| working.path.as_path())
}

/// The path as the working directory makes it absolute; `None` for one that the system's working directory is for.
pub(crate) fn resolve(path: &Path) -> Option<Cow<'_, Path>> {
    if path.is_absolute() {
        return Some(Cow::Borrowed(path));
    }
    let nothing = path.as_os_str().is_empty();
    current()
        .filter(|_| !nothing)
        .map(|from| Cow::Owned(from.join(path)))
}

/// Goes to a directory of ours.
pub(crate) fn go_to(path: &Path) -> Result<()> {
    let path = normal(path);
    let memory = sealed::make(NAME, path.as_os_str().as_bytes())?;
    let before = working().map(|working| working.note);
    let fd = memory.as_raw_fd();
    let noted = match before {
        // SAFETY: takes numbers only; that of the note before is this library's own.
        Some(number) => unsafe { real::dup3(fd, number, 0) },
        // SAFETY: takes numbers only.
        None => unsafe { real::fcntl(fd, libc::F_DUPFD, OWN_DESCRIPTORS_FROM as usize) },
    };
    let noted = sealed::own(noted)?;
    if before.is_none() {
        leave_the_systems()?;
    }
    let note = noted.into_raw_fd();
    // A borrower of memory has descriptors and a system's working directory of its own; the memory is its parent's.
    match table::is_borrowed() {
        true => BORROWERS.store(note, Ordering::Relaxed),
        false => note_down(path, note),
    }
    Ok(())
}

/// The working directory is the system's again: it was changed there.
pub(crate) fn left() {
    let Some(before) = working() else {
        return;
    };
    // SAFETY: the number is this library's own.
    unsafe { real::close(before.note) };
    if !table::is_borrowed() {
        WORKING.store(std::ptr::null_mut(), Ordering::Release);
    }
}

/// Takes over what the image before or the parent has noted, if the descriptor is that.
pub(crate) fn inherit(fd: c_int) {
    if let Some(path) = sealed::read(fd, NAME) {
        note_down(OsStr::from_bytes(&path).into(), fd);
    }
}

/// The note's number, if it is `first` or above: for those who close everything else.
pub(crate) fn note_from(first: c_int) -> Option<c_int> {
    let own = working().map(|working| working.note);
    let borrowers = table::is_borrowed().then(|| BORROWERS.load(Ordering::Relaxed));
    let notes = [own, borrowers].into_iter().flatten();
    notes.filter(|note| *note >= first).min()
}

fn note_down(path: PathBuf, note: c_int) {
    let fresh = Box::into_raw(Box::new(Working { path, note }));
    WORKING.store(fresh, Ordering::Release);
}

/// Makes the system's working directory one that is there no more, deep enough below others that are not that `..` does
/// not lead out soon.
fn leave_the_systems() -> Result<()> {
    let here = sealed::open(".", libc::O_PATH | libc::O_DIRECTORY | libc::O_CLOEXEC);
    let mut last = Errno::EACCES;
    for place in [std::env::temp_dir(), ipc_core::runtime_dir()] {
        let template = place.join("qnet-cwd.XXXXXX");
        let template = CString::new(template.into_os_string().into_encoded_bytes());
        let template = template.map_err(|_| Errno::EINVAL)?.into_raw();
        // SAFETY: a C string of this function's own, which may be written.
        let made = unsafe { real::mkdtemp(template) };
        // SAFETY: made above, and given back once.
        let top = unsafe { CString::from_raw(template) };
        if made.is_null() {
            last = Errno::last();
            continue;
        }
        let top = PathBuf::from(OsStr::from_bytes(top.as_bytes()));
        let gone = go_below(&top);
        let removed = std::fs::remove_dir_all(&top).map_err(|error| Errno::of(&error));
        match gone.and(removed) {
            Ok(()) => return Ok(()),
            Err(errno) => last = errno,
        }
    }
    if let Ok(here) = here {
        // SAFETY: takes a number only.
        unsafe { real::fchdir(here.as_raw_fd()) };
    }
    Err(last)
}

fn go_below(top: &Path) -> Result<()> {
    let bottom = top.join(["down"; DEPTH].join("/"));
    std::fs::create_dir_all(&bottom).map_err(|error| Errno::of(&error))?;
    std::env::set_current_dir(&bottom).map_err(|error| Errno::of(&error))
}

/// Without `.`, and with `..` taken as one component less, as servers take it.
pub(crate) fn normal(path: &Path) -> PathBuf {
    use std::path::Component;
    let mut normal = PathBuf::from("/");
    for component in path.components() {
        match component {
            Component::Normal(name) => normal.push(name),
            Component::ParentDir => _ = normal.pop(),
            Component::RootDir | Component::CurDir | Component::Prefix(_) => {}
        }
    }
    normal
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_working_directory_has_one_name() {
        let normal = |path: &str| normal(Path::new(path));
        assert_eq!(normal("/net/a/./b//c/../d/"), Path::new("/net/a/b/d"));
        assert_eq!(normal("/../.."), Path::new("/"));
    }
}
