//! Trees of files. The C library's functions ask the system about what they find, inside themselves.

use std::collections::HashSet;
use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::mem;

use ipc_core::abi::{Errno, Result};
use libc::stat as HostStat;

use super::directories::{closedir, opendir, readdir};
use super::stat::{lstat, stat};
use super::working::{chdir, getcwd};
use crate::shield::{self, errno, set_errno, to_c};
use crate::{real, route};

/// What `nftw` is asked for.
const PHYS: c_int = 1;
const MOUNT: c_int = 2;
const CHDIR: c_int = 4;
const DEPTH: c_int = 8;
const ACTIONS: c_int = 16;

/// What has been found.
const FILE: c_int = 0;
const DIRECTORY: c_int = 1;
const UNREADABLE: c_int = 2;
const UNKNOWN: c_int = 3;
const LINK: c_int = 4;
const DIRECTORY_AFTER: c_int = 5;
const DANGLING: c_int = 6;

/// What a program answers that is asked for actions: to go on without the directory, or without its siblings.
const SKIP_SUBTREE: c_int = 2;
const SKIP_SIBLINGS: c_int = 3;

/// Where the last component of a path starts, and how deep it is.
#[repr(C)]
struct Place {
    base: c_int,
    level: c_int,
}

/// The program's function. `ftw` passes no place: one that takes three arguments does not look at the fourth.
// SAFETY: it is called with what lives through the call.
type Visit = unsafe extern "C" fn(*const c_char, *const HostStat, c_int, *mut Place) -> c_int;

/// In the place of the C library's function of this name.
///
/// # Safety
/// As the C library's.
#[cfg_attr(not(test), unsafe(no_mangle))]
pub unsafe extern "C" fn nftw(
    path: *const c_char,
    visit: *mut c_void,
    fds: c_int,
    flags: c_int,
) -> c_int {
    // SAFETY: the caller's promise.
    if !unsafe { is_ours(path) } {
        // SAFETY: the caller's promise is the callee's.
        return unsafe { real::nftw(path, visit, fds, flags) };
    }
    // SAFETY: the caller's promise: a function of this type.
    to_c(unsafe { walk(path, visit, flags, false) })
}

/// In the place of the C library's function of this name.
///
/// # Safety
/// As the C library's.
#[cfg_attr(not(test), unsafe(no_mangle))]
pub unsafe extern "C" fn nftw64(
    path: *const c_char,
    visit: *mut c_void,
    fds: c_int,
    flags: c_int,
) -> c_int {
    // SAFETY: the caller's promise is the callee's.
    unsafe { nftw(path, visit, fds, flags) }
}

/// In the place of the C library's function of this name.
///
/// # Safety
/// As the C library's.
#[cfg_attr(not(test), unsafe(no_mangle))]
pub unsafe extern "C" fn ftw(path: *const c_char, visit: *mut c_void, fds: c_int) -> c_int {
    // SAFETY: the caller's promise.
    if !unsafe { is_ours(path) } {
        // SAFETY: the caller's promise is the callee's.
        return unsafe { real::ftw(path, visit, fds) };
    }
    // SAFETY: the caller's promise: a function of this type, but for the last argument.
    to_c(unsafe { walk(path, visit, 0, true) })
}

/// In the place of the C library's function of this name.
///
/// # Safety
/// As the C library's.
#[cfg_attr(not(test), unsafe(no_mangle))]
pub unsafe extern "C" fn ftw64(path: *const c_char, visit: *mut c_void, fds: c_int) -> c_int {
    // SAFETY: the caller's promise is the callee's.
    unsafe { ftw(path, visit, fds) }
}

/// # Safety
/// `path` is null or a C string.
unsafe fn is_ours(path: *const c_char) -> bool {
    // SAFETY: the caller's promise.
    shield::within(|| route::ours(unsafe { route::absolute(path) }).map(|_| Ok(()))).is_some()
}

/// The program's function is called from here on, which may do anything: outside.
///
/// # Safety
/// `path` is a C string; `visit` is a function that takes what a [`Visit`] does.
unsafe fn walk(
    path: *const c_char,
    visit: *mut c_void,
    flags: c_int,
    is_simple: bool,
) -> Result<c_int> {
    // SAFETY: the caller's promise; null, which no program passes, would be no function.
    let visit = unsafe { mem::transmute::<*mut c_void, Option<Visit>>(visit) };
    let mut walk = Walk {
        visit: visit.ok_or(Errno::EFAULT)?,
        flags,
        is_simple,
        from: Vec::new(),
        device: None,
        entered: HashSet::new(),
    };
    // SAFETY: the caller's promise.
    let mut path = unsafe { CStr::from_ptr(path) }.to_bytes().to_vec();
    while path.len() > 1 && path.ends_with(b"/") {
        path.pop();
    }
    let base = path
        .iter()
        .rposition(|&byte| byte == b'/')
        .map_or(0, |at| at + 1);
    if flags & CHDIR == 0 {
        return walk.node(&path, base, 0).map(|told| told.at_the_end(flags));
    }
    let before = working_directory()?;
    walk.from = before.to_bytes().to_vec();
    let told = walk.node(&path, base, 0);
    go_to(&before)?;
    told.map(|told| told.at_the_end(flags))
}

struct Walk {
    visit: Visit,
    flags: c_int,
    /// For `ftw`, which knows fewer kinds.
    is_simple: bool,
    /// What relative paths are relative to, where the walk changes the working directory.
    from: Vec<u8>,
    /// That of what the walk began with.
    device: Option<libc::dev_t>,
    /// Directories that were entered: where links are followed, none is twice.
    entered: HashSet<(libc::dev_t, libc::ino_t)>,
}

/// What the program has answered; 0 is to go on.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Told(c_int);

impl Told {
    const GO_ON: Told = Told(0);

    /// What the call answers in the end: to skip something is to go on there.
    fn at_the_end(self, flags: c_int) -> c_int {
        let is_skipped = flags & ACTIONS != 0 && [SKIP_SUBTREE, SKIP_SIBLINGS].contains(&self.0);
        if is_skipped { 0 } else { self.0 }
    }
}

impl Walk {
    fn is_set(&self, flag: c_int) -> bool {
        self.flags & flag != 0
    }

    /// Visits what a path names, and all below it.
    fn node(&mut self, path: &[u8], base: usize, level: c_int) -> Result<Told> {
        let (kind, found) = self.look(path, level == 0)?;
        let is_here = *self.device.get_or_insert(found.st_dev) == found.st_dev;
        if self.is_set(MOUNT) && !is_here && kind != UNKNOWN {
            return Ok(Told::GO_ON);
        }
        if kind != DIRECTORY {
            return self.tell(path, base, level, kind, &found);
        }
        let is_first = self.entered.insert((found.st_dev, found.st_ino));
        if !is_first && !self.is_set(PHYS) {
            return Ok(Told::GO_ON);
        }
        let names = match names(&self.absolute(path)?) {
            Ok(names) => names,
            Err(Errno::EACCES) => return self.tell(path, base, level, UNREADABLE, &found),
            Err(errno) => return Err(errno),
        };
        if !self.is_set(DEPTH) {
            let told = self.tell(path, base, level, DIRECTORY, &found)?;
            if self.is_set(ACTIONS) && told.0 == SKIP_SUBTREE {
                return Ok(Told::GO_ON);
            }
            if told != Told::GO_ON {
                return Ok(told);
            }
        }
        let told = self.children(path, &names, level)?;
        if told != Told::GO_ON || !self.is_set(DEPTH) {
            return Ok(told);
        }
        self.tell(path, base, level, DIRECTORY_AFTER, &found)
    }

    /// A path from wherever the walk is.
    fn absolute(&self, path: &[u8]) -> Result<CString> {
        let from: &[&[u8]] = match path.first() {
            Some(b'/') => &[],
            _ if self.from.is_empty() => &[],
            _ => &[&self.from, b"/"],
        };
        c_string(&[from, &[path]].concat().concat())
    }

    fn children(&mut self, path: &[u8], names: &[Vec<u8>], level: c_int) -> Result<Told> {
        let above: &[u8] = if path == b"/" { b"" } else { path };
        for name in names {
            let child = [above, b"/", name].concat();
            let told = self.node(&child, above.len() + 1, level + 1)?;
            if self.is_set(ACTIONS) && told.0 == SKIP_SIBLINGS {
                break;
            }
            let is_over = self.is_set(ACTIONS) && told.0 == SKIP_SUBTREE;
            if told != Told::GO_ON && !is_over {
                return Ok(told);
            }
        }
        Ok(Told::GO_ON)
    }

    /// What a path names; an error only for the first, which has to be there.
    fn look(&self, path: &[u8], is_first: bool) -> Result<(c_int, HostStat)> {
        let text = self.absolute(path)?;
        // SAFETY: all zeroes is a valid value of a structure of integers.
        let mut found: HostStat = unsafe { mem::zeroed() };
        let follows = !self.is_set(PHYS);
        // SAFETY: a C string, and what may be written.
        let asked = unsafe {
            match follows {
                true => stat(text.as_ptr(), &raw mut found),
                false => lstat(text.as_ptr(), &raw mut found),
            }
        };
        if asked == 0 {
            let kind = match found.st_mode & libc::S_IFMT {
                libc::S_IFDIR => DIRECTORY,
                libc::S_IFLNK => LINK,
                _ => FILE,
            };
            return Ok((kind, found));
        }
        let failed = Errno::last();
        // SAFETY: as above.
        if follows && unsafe { lstat(text.as_ptr(), &raw mut found) } == 0 {
            let is_link = found.st_mode & libc::S_IFMT == libc::S_IFLNK;
            return Ok((if is_link { DANGLING } else { UNKNOWN }, found));
        }
        match failed {
            Errno::ENOENT | Errno::EACCES if !is_first => Ok((UNKNOWN, found)),
            _ => Err(failed),
        }
    }

    fn tell(
        &self,
        path: &[u8],
        base: usize,
        level: c_int,
        kind: c_int,
        found: &HostStat,
    ) -> Result<Told> {
        let text = c_string(path)?;
        if self.is_set(CHDIR) {
            let above = match base {
                0 => &b"."[..],
                1 => b"/",
                _ => &path[..base - 1],
            };
            go_to(&self.absolute(above)?)?;
        }
        let kind = match kind {
            DANGLING if self.is_simple => UNKNOWN,
            kind => kind,
        };
        let mut place = Place {
            base: base as c_int,
            level,
        };
        // SAFETY: all of it lives through the call.
        Ok(Told(unsafe {
            (self.visit)(text.as_ptr(), found, kind, &raw mut place)
        }))
    }
}

/// The names in a directory, closed again: a walk has none open while it is elsewhere.
fn names(path: &CStr) -> Result<Vec<Vec<u8>>> {
    // SAFETY: a C string.
    let dir = unsafe { opendir(path.as_ptr()) };
    if dir.is_null() {
        return Err(Errno::last());
    }
    let before = errno();
    let mut names = Vec::new();
    let read = loop {
        set_errno(0);
        // SAFETY: it is open, and this call's own.
        let entry = unsafe { readdir(dir) };
        if entry.is_null() {
            break match errno() {
                0 => Ok(names),
                failed => Err(Errno(failed)),
            };
        }
        // SAFETY: the entry, and its name, live until the next is read.
        let name = unsafe { CStr::from_ptr((&raw const (*entry).d_name).cast()) }.to_bytes();
        if name != b"." && name != b".." {
            names.push(name.to_vec());
        }
    };
    set_errno(before);
    // SAFETY: as above, and nothing after it.
    unsafe { closedir(dir) };
    read
}

fn working_directory() -> Result<CString> {
    let mut path = [0; libc::PATH_MAX as usize];
    // SAFETY: there is as much room as it says.
    if unsafe { getcwd(path.as_mut_ptr(), path.len()) }.is_null() {
        return Err(Errno::last());
    }
    // SAFETY: it ends in a zero.
    Ok(unsafe { CStr::from_ptr(path.as_ptr()) }.to_owned())
}

fn go_to(path: &CStr) -> Result<()> {
    // SAFETY: a C string.
    match unsafe { chdir(path.as_ptr()) } {
        0 => Ok(()),
        _ => Err(Errno::last()),
    }
}

fn c_string(bytes: &[u8]) -> Result<CString> {
    CString::new(bytes).map_err(|_| Errno::EINVAL)
}
