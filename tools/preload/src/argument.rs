//! What the C library's functions are called with where the working directory is one of ours: the system's is not what the
//! program's relative paths mean.

use std::ffi::{CStr, CString, OsStr, c_char, c_int, c_void};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use libc::{DIR, FILE, off_t, stat as HostStat, statx as HostStatx, timespec, wchar_t};

use crate::working;

/// The paths that a call gives to the system, made absolute.
pub(crate) struct Paths<'a> {
    from: &'a Path,
    /// The directory that the next path is relative to, if the function has been given one.
    dir: Option<c_int>,
    absolute: Vec<CString>,
}

impl Paths<'_> {
    pub(crate) fn new(from: &Path) -> Paths<'_> {
        Paths {
            from,
            dir: None,
            absolute: Vec::new(),
        }
    }
}

/// An argument of a function of the C library.
pub(crate) trait Argument: Sized {
    /// The argument, or the absolute path instead if its name says that it is a path, and it is relative to the
    /// working directory.
    ///
    /// # Safety
    /// A path is null or a C string. What is answered lives as long as `paths`.
    unsafe fn or_absolute(self, name: &str, paths: &mut Paths<'_>) -> Self {
        let _ = (name, paths);
        self
    }
}

impl Argument for c_int {
    /// # Safety
    /// None is needed for a number.
    unsafe fn or_absolute(self, name: &str, paths: &mut Paths<'_>) -> Self {
        if name.ends_with("dir") {
            paths.dir = Some(self);
        }
        self
    }
}

impl Argument for *const c_char {
    /// # Safety
    /// As the trait's.
    unsafe fn or_absolute(self, name: &str, paths: &mut Paths<'_>) -> Self {
        let is_path = matches!(name, "path" | "from" | "to" | "existing" | "new");
        if !is_path || paths.dir.take().is_some_and(|dir| dir != libc::AT_FDCWD) || self.is_null() {
            return self;
        }
        // SAFETY: it is not null; the rest is the caller's promise.
        let path = unsafe { CStr::from_ptr(self) }.to_bytes();
        if path.is_empty() || path.starts_with(b"/") {
            return self;
        }
        let absolute = working::normal(&paths.from.join(OsStr::from_bytes(path)));
        let Ok(absolute) = CString::new(absolute.into_os_string().into_encoded_bytes()) else {
            return self;
        };
        paths.absolute.push(absolute);
        // The string stays where it is when the vector grows.
        paths.absolute.last().map_or(self, |path| path.as_ptr())
    }
}

/// Arguments that are no path, whatever they are called.
macro_rules! no_paths {
    ($($type:ty),*) => {$(impl Argument for $type {})*};
}

no_paths! {
    u32, u64, i64, usize, *mut wchar_t, *const wchar_t, *const *const c_char, *mut c_char, *mut c_void, *const c_void, *mut off_t, *const libc::iovec, *const timespec,
    *mut HostStat, *mut HostStatx, *mut libc::statfs, *mut libc::statvfs, *const libc::utimbuf, *const libc::timeval,
    *mut DIR, *mut libc::dirent, *mut *mut libc::dirent, *mut libc::epoll_event, *mut libc::pollfd, *mut libc::fd_set, *mut libc::timeval, *const libc::sigset_t, *mut crate::calls::glob::Names, *mut FILE, *mut libc::pthread_t, *const libc::pthread_attr_t, extern "C" fn(*mut c_void) -> *mut c_void
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the system is given for an argument, in `/net/a`.
    fn given(dir: Option<c_int>, name: &str, argument: &CStr) -> CString {
        let mut paths = Paths::new(Path::new("/net/a"));
        if let Some(dir) = dir {
            // SAFETY: no path.
            unsafe { dir.or_absolute("dir", &mut paths) };
        }
        // SAFETY: a C string, and the answer is copied while the paths live.
        unsafe { CStr::from_ptr(argument.as_ptr().or_absolute(name, &mut paths)).to_owned() }
    }

    #[test]
    fn relative_paths_are_the_programs() {
        assert_eq!(given(None, "path", c"../../etc/x").as_c_str(), c"/etc/x");
        assert_eq!(given(None, "from", c"b").as_c_str(), c"/net/a/b");
        assert_eq!(
            given(Some(libc::AT_FDCWD), "path", c"b").as_c_str(),
            c"/net/a/b"
        );
        for (dir, name, argument) in [
            (Some(5), "path", c"b"),
            (None, "path", c"/etc/x"),
            (None, "path", c""),
            (None, "mode", c"r"),
        ] {
            assert_eq!(given(dir, name, argument).as_c_str(), argument);
        }
    }
}
