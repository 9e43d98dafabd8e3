//! Files and directories with names that nobody has.

use std::ffi::{CStr, OsStr, c_char, c_int};
use std::hash::{BuildHasher, Hasher, RandomState};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use ipc_core::abi::{Errno, Result};
use ipc_core::file;

use super::open::open_path;
use crate::{real, route};

/// What a template's places for letters look like.
const PLACES: &[u8] = b"XXXXXX";
/// What they become.
const LETTERS: &[u8] = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";
/// Names tried before giving up: of 62^6, one that is free is found sooner.
const TRIES_MAX: usize = 100;
const CREATE: c_int = libc::O_RDWR | libc::O_CREAT | libc::O_EXCL;

super::interpose! {
    fn mkstemp | mkstemp64(template: *mut c_char) -> c_int {
        // SAFETY: the caller's promise.
        unsafe { make(template, 0, |path| open_path(path, CREATE, 0o600)) }
    } or real::mkstemp(template);

    fn mkostemp | mkostemp64(template: *mut c_char, flags: c_int) -> c_int {
        // SAFETY: the caller's promise.
        unsafe { make(template, 0, |path| open_path(path, with(flags), 0o600)) }
    } or real::mkostemp(template, flags);

    fn mkstemps | mkstemps64(template: *mut c_char, suffix_len: c_int) -> c_int {
        // SAFETY: the caller's promise.
        unsafe { make(template, suffix_len, |path| open_path(path, CREATE, 0o600)) }
    } or real::mkstemps(template, suffix_len);

    fn mkostemps | mkostemps64(template: *mut c_char, suffix_len: c_int, flags: c_int) -> c_int {
        // SAFETY: the caller's promise.
        unsafe { make(template, suffix_len, |path| open_path(path, with(flags), 0o600)) }
    } or real::mkostemps(template, suffix_len, flags);

    fn mkdtemp(template: *mut c_char) -> *mut c_char {
        // SAFETY: the caller's promise.
        unsafe { make(template, 0, |path| file::mkdir(path, 0o700).map(|()| template)) }
    } or real::mkdtemp(template);
}

fn with(flags: c_int) -> c_int {
    (flags & !libc::O_ACCMODE) | CREATE
}

/// Does `make` with names made from the template until one was not there, and writes that one over the template.
/// Whose path it is must be known before: a template that is the system's is left as it was.
///
/// # Safety
/// `template` is null or a C string that the caller may write.
unsafe fn make<T>(
    template: *mut c_char,
    suffix_len: c_int,
    make: impl Fn(PathBuf) -> Result<T>,
) -> Option<Result<T>> {
    // SAFETY: the caller's promise.
    let path = route::ours(unsafe { route::absolute(template) })?;
    // SAFETY: it is not null, as it is a path; the rest is the caller's promise.
    let text = unsafe { CStr::from_ptr(template) }.to_bytes();
    let Some(at_template) = places(text, suffix_len) else {
        return Some(Err(Errno::EINVAL));
    };
    // The path ends as the template does: it may have been made absolute, and is longer by that.
    let mut name = path.as_os_str().as_bytes().to_vec();
    let at = name.len() - text.len() + at_template;
    for _ in 0..TRIES_MAX {
        fill(&mut name[at..at + PLACES.len()]);
        match make(Path::new(OsStr::from_bytes(&name)).to_owned()) {
            Err(Errno::EEXIST) => {}
            Ok(made) => {
                let letters = &name[at..at + PLACES.len()];
                // SAFETY: the caller's promise: so many places were found there. The name is memory of its own.
                unsafe {
                    let places = template.cast::<u8>().add(at_template);
                    places.copy_from_nonoverlapping(letters.as_ptr(), letters.len());
                };
                return Some(Ok(made));
            }
            failed => return Some(failed),
        }
    }
    Some(Err(Errno::EEXIST))
}

/// Where the places for letters start.
fn places(name: &[u8], suffix_len: c_int) -> Option<usize> {
    let end = name.len().checked_sub(usize::try_from(suffix_len).ok()?)?;
    let start = end.checked_sub(PLACES.len())?;
    (&name[start..end] == PLACES).then_some(start)
}

fn fill(places: &mut [u8]) {
    // Each has keys of its own, from the system's random numbers.
    let mut random = RandomState::new().build_hasher().finish();
    for place in places {
        *place = LETTERS[(random % LETTERS.len() as u64) as usize];
        random /= LETTERS.len() as u64;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_template_ends_in_six_places_before_its_suffix() {
        assert_eq!(places(b"/net/a/xXXXXXX", 0), Some(8));
        assert_eq!(places(b"/net/a/xXXXXXX.c", 2), Some(8));
        for (name, suffix_len) in [
            (&b"/net/a/xXXXXX"[..], 0),
            (b"/net/a/xXXXXXX.c", 0),
            (b"XXXXXX", 1),
            (b"XXXXXX", -1),
            (b"XXXXXX", 7),
        ] {
            assert_eq!(places(name, suffix_len), None, "{suffix_len}");
        }
    }

    #[test]
    fn no_two_names_are_alike() {
        let mut names = [*PLACES.first_chunk::<6>().unwrap(); 2];
        names.iter_mut().for_each(|name| fill(name));
        assert_ne!(names[0], names[1]);
        assert!(names[0].iter().all(u8::is_ascii_alphanumeric));
    }
}
