//! A path without symbolic links, `.` and `..`: the C library asks the system about each component.

use std::collections::VecDeque;
use std::ffi::{OsString, c_char};
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use ipc_core::abi::{Errno, Result};
use ipc_core::file;
use libc::size_t;

use crate::{real, route};

/// Symbolic links followed before they are taken for a circle, as the system does.
const LINKS_MAX: usize = 40;

super::interpose! {
    fn realpath(path: *const c_char, into: *mut c_char) -> *mut c_char {
        // SAFETY: the caller's promise.
        unsafe { resolve(path, into) }
    } or real::realpath(path, into);

    // What `realpath` becomes under _FORTIFY_SOURCE; with too little room the C library ends the process.
    fn __realpath_chk(path: *const c_char, into: *mut c_char, room: size_t) -> *mut c_char {
        if room < libc::PATH_MAX as usize {
            return None;
        }
        // SAFETY: the caller's promise.
        unsafe { resolve(path, into) }
    } or real::__realpath_chk(path, into, room);

    fn canonicalize_file_name(path: *const c_char) -> *mut c_char {
        // SAFETY: the caller's promise.
        unsafe { resolve(path, std::ptr::null_mut()) }
    } or real::realpath(path, std::ptr::null_mut());
}

/// # Safety
/// `path` is null or a C string that lives through the call; `into` is null or `PATH_MAX` bytes to be written.
unsafe fn resolve(path: *const c_char, into: *mut c_char) -> Option<Result<*mut c_char>> {
    // SAFETY: the caller's promise.
    let path = route::ours(unsafe { route::absolute(path) })?;
    // SAFETY: the caller's promise.
    Some(without_links(&path).and_then(|found| unsafe { give(&found, into) }))
}

/// Follows the links of a path one by one, asking its servers.
pub(super) fn without_links(path: &Path) -> Result<PathBuf> {
    let mut found = PathBuf::from("/");
    let mut rest: VecDeque<OsString> = names(path);
    let mut links = 0;
    while let Some(name) = rest.pop_front() {
        if name == ".." {
            found.pop();
            continue;
        }
        found.push(&name);
        // Directories above the prefixes have no server, and no links.
        if !file::is_served(&found)? {
            continue;
        }
        let kind = file::lstat(&found)?.mode & libc::S_IFMT;
        if kind == libc::S_IFLNK {
            links += 1;
            if links > LINKS_MAX {
                return Err(Errno::ELOOP);
            }
            let text = file::readlink(&found)?;
            if text.is_absolute() {
                // It means a path of its own node, which may have no name here: the link's is as good.
                file::stat(&found)?;
                continue;
            }
            found.pop();
            let mut names = names(&text);
            names.append(&mut rest);
            rest = names;
        } else if kind != libc::S_IFDIR && !rest.is_empty() {
            return Err(Errno::ENOTDIR);
        }
    }
    Ok(found)
}

/// The components, without those that mean nothing.
fn names(path: &Path) -> VecDeque<OsString> {
    path.components()
        .filter_map(|component| match component {
            Component::Normal(name) => Some(name.to_owned()),
            Component::ParentDir => Some(OsString::from("..")),
            _ => None,
        })
        .collect()
}

/// # Safety
/// `into` is null or `PATH_MAX` bytes that the caller may write.
unsafe fn give(path: &Path, into: *mut c_char) -> Result<*mut c_char> {
    let text = path.as_os_str().as_bytes();
    if text.len() >= libc::PATH_MAX as usize {
        return Err(Errno::ENAMETOOLONG);
    }
    let into = match into.is_null() {
        // The caller frees it, as the C library's.
        // SAFETY: malloc has no preconditions.
        true => unsafe { libc::malloc(text.len() + 1) }.cast(),
        false => into,
    };
    if into.is_null() {
        return Err(Errno::ENOMEM);
    }
    // SAFETY: there is room for the text and a zero: it was just made so large, or the caller promised PATH_MAX bytes.
    unsafe {
        std::ptr::copy_nonoverlapping(text.as_ptr(), into.cast(), text.len());
        into.add(text.len()).write(0);
    }
    Ok(into)
}

#[cfg(test)]
mod tests {
    use std::ffi::{CStr, OsStr};

    use super::*;

    #[test]
    fn names_that_mean_nothing_are_left_out() {
        let found = names(Path::new("/net//a/./b/../c/"));
        assert_eq!(found, ["net", "a", "b", "..", "c"]);
    }

    #[test]
    fn a_path_ends_in_a_zero_in_the_callers_memory() {
        let mut into = [1 as c_char; libc::PATH_MAX as usize];
        // SAFETY: the array has that many bytes.
        let given = unsafe { give(Path::new("/net/a"), into.as_mut_ptr()) };
        assert_eq!(given, Ok(into.as_mut_ptr()));
        // SAFETY: a C string was just written.
        let text = unsafe { CStr::from_ptr(into.as_ptr()) };
        assert_eq!(OsStr::from_bytes(text.to_bytes()), "/net/a");
        let long = PathBuf::from(format!("/{}", "x".repeat(libc::PATH_MAX as usize)));
        // SAFETY: nothing is written.
        let refused = unsafe { give(&long, into.as_mut_ptr()) };
        assert_eq!(refused, Err(Errno::ENAMETOOLONG));
    }
}
