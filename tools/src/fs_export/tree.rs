//! The exported directory tree, and the one way into it.
//!
//! Every path is resolved by the kernel beneath the root (`openat2` with `RESOLVE_BENEATH` and
//! `RESOLVE_NO_MAGICLINKS`): `..`, absolute paths and symbolic links may be used inside the tree and lead
//! nowhere else, also while somebody renames directories. What leads outside is EACCES. Names are then
//! changed relative to the directory that was found, by one component that is no `.` and no `..`.

use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use ipc_core::abi::io::{Access, FileType, OpenFlags};
use ipc_core::abi::{Errno, Result};
use nix::fcntl::{self, AT_FDCWD, AtFlags, OFlag, OpenHow, RenameFlags, ResolveFlag};
use nix::sys::stat::{FileStat, Mode, SFlag, fstat, mkdirat, mknodat};
use nix::unistd::{self, AccessFlags, UnlinkatFlags};

/// Tries of a resolution that a rename elsewhere disturbed; the kernel asks for them with EAGAIN.
const RACE_TRIES: usize = 64;

/// A directory of the host whose names are served.
#[derive(Debug)]
pub struct Tree {
    root: OwnedFd,
    read_only: bool,
}

/// An opened file of the tree.
#[derive(Debug)]
pub struct Opened {
    /// The host's descriptor; with `O_PATH` if no I/O was asked for.
    pub fd: OwnedFd,
    /// What was opened: a directory, a regular file, or with [`OpenFlags::PATH`] anything.
    pub file_type: FileType,
}

impl Tree {
    /// The tree below `root`; with `read_only` nothing in it is changed.
    ///
    /// # Errors
    /// `ENOTDIR` and whatever opening a directory may answer.
    pub fn new(root: &Path, read_only: bool) -> Result<Tree> {
        let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let root = fcntl::openat(AT_FDCWD, root, flags, Mode::empty())?;
        Ok(Tree { root, read_only })
    }

    /// Opens what a client may do I/O with: regular files and directories. A fifo, socket or device is a
    /// door to something that is not this tree: ENXIO, and it is not opened even to look. With
    /// [`OpenFlags::PATH`] anything is opened, to name it.
    ///
    /// # Errors
    /// Those of `open(2)`; `EROFS`, `EACCES` for a path that leads outside.
    pub fn open(&self, path: &[u8], flags: OpenFlags, mode: u32) -> Result<Opened> {
        let path = relative(path)?;
        let to_dir = flags.contains(OpenFlags::DIRECTORY);
        if flags.contains(OpenFlags::PATH) {
            let found = self.open_by_name(&path, !flags.contains(OpenFlags::NOFOLLOW))?;
            return is_wanted(found.file_type, to_dir).map(|()| found);
        }
        let mut host = host_flags(flags)?;
        if self.read_only {
            host = self.without_change(host)?;
        }
        if host.contains(OFlag::O_EXCL) {
            return self.open_new(&path, host, mode);
        }
        match self.open_by_name(&path, !host.contains(OFlag::O_NOFOLLOW)) {
            Ok(found) => {
                is_wanted(found.file_type, to_dir)?;
                served(found.file_type)?;
            }
            Err(Errno::ENOENT) if host.contains(OFlag::O_CREAT) => {}
            Err(errno) => return Err(self.if_missing(errno, flags)),
        }
        self.open_new(&path, host, mode)
    }

    fn open_new(&self, path: &CStr, host: OFlag, mode: u32) -> Result<Opened> {
        // What was looked at may have been replaced since: without waiting, and looked at again.
        let waits_not = OFlag::O_NONBLOCK | OFlag::O_NOCTTY;
        let fd = self.resolve(path, host | waits_not, mode)?;
        let file_type = type_of(&fstat(&fd)?);
        served(file_type)?;
        Ok(Opened { fd, file_type })
    }

    fn open_by_name(&self, path: &CStr, follow: bool) -> Result<Opened> {
        let mut flags = OFlag::O_PATH;
        flags.set(OFlag::O_NOFOLLOW, !follow);
        let fd = self.resolve(path, flags, 0)?;
        let file_type = type_of(&fstat(&fd)?);
        Ok(Opened { fd, file_type })
    }

    /// Removes a name that is not a directory.
    ///
    /// # Errors
    /// Those of `unlink(2)`; `EROFS`, `EACCES`.
    pub fn unlink(&self, path: &[u8]) -> Result<()> {
        let (dir, name) = self.parent(path, Errno::EISDIR)?;
        Ok(unistd::unlinkat(
            dir,
            name.as_c_str(),
            UnlinkatFlags::NoRemoveDir,
        )?)
    }

    /// Removes an empty directory.
    ///
    /// # Errors
    /// Those of `rmdir(2)`; `EROFS`, `EACCES`.
    pub fn rmdir(&self, path: &[u8]) -> Result<()> {
        let (dir, name) = self.parent(path, Errno::EBUSY)?;
        Ok(unistd::unlinkat(
            dir,
            name.as_c_str(),
            UnlinkatFlags::RemoveDir,
        )?)
    }

    /// Makes a directory.
    ///
    /// # Errors
    /// Those of `mkdir(2)`; `EROFS`, `EACCES`.
    pub fn mkdir(&self, path: &[u8], mode: u32) -> Result<()> {
        let (dir, name) = self.parent(path, Errno::EEXIST)?;
        Ok(mkdirat(dir, name.as_c_str(), permissions(mode))?)
    }

    /// Makes a fifo or socket name, or an empty regular file.
    ///
    /// # Errors
    /// Those of `mknod(2)`; `EPERM` for a device; `EROFS`, `EACCES`.
    pub fn mknod(&self, path: &[u8], mode: u32) -> Result<()> {
        let kind = match FileType::of_mode(mode) {
            FileType::Unknown | FileType::Regular => SFlag::S_IFREG,
            FileType::Fifo => SFlag::S_IFIFO,
            FileType::Socket => SFlag::S_IFSOCK,
            _ => return Err(Errno::EPERM),
        };
        let (dir, name) = self.parent(path, Errno::EEXIST)?;
        Ok(mknodat(dir, name.as_c_str(), kind, permissions(mode), 0)?)
    }

    /// Gives a file another name in the tree.
    ///
    /// # Errors
    /// Those of `rename(2)`; `EROFS`, `EACCES`.
    pub fn rename(&self, from: &[u8], to: &[u8]) -> Result<()> {
        let (from_dir, from_name) = self.parent(from, Errno::EBUSY)?;
        let (to_dir, to_name) = self.parent(to, Errno::EBUSY)?;
        let flags = RenameFlags::empty();
        Ok(fcntl::renameat2(
            from_dir,
            from_name.as_c_str(),
            to_dir,
            to_name.as_c_str(),
            flags,
        )?)
    }

    /// Gives a file a further name in the tree. A symbolic link is not followed.
    ///
    /// # Errors
    /// Those of `link(2)`; `EROFS`, `EACCES`.
    pub fn link(&self, existing: &[u8], new: &[u8]) -> Result<()> {
        // With a slash behind it, linkat would follow a symbolic link, and that out of the tree.
        if existing.ends_with(b"/") {
            return Err(Errno::ENOTDIR);
        }
        let (from_dir, from_name) = self.parent(existing, Errno::EPERM)?;
        let (to_dir, to_name) = self.parent(new, Errno::EEXIST)?;
        Ok(unistd::linkat(
            from_dir,
            from_name.as_c_str(),
            to_dir,
            to_name.as_c_str(),
            AtFlags::empty(),
        )?)
    }

    /// Makes a symbolic link with any text: where it leads is decided when it is followed.
    ///
    /// # Errors
    /// Those of `symlink(2)`; `EROFS`, `EACCES`.
    pub fn symlink(&self, path: &[u8], text: &[u8]) -> Result<()> {
        let text = CString::new(text).map_err(|_| Errno::EINVAL)?;
        let (dir, name) = self.parent(path, Errno::EEXIST)?;
        Ok(unistd::symlinkat(text.as_c_str(), dir, name.as_c_str())?)
    }

    /// The text of a symbolic link.
    ///
    /// # Errors
    /// Those of `readlink(2)`; `EACCES`.
    pub fn readlink(&self, path: &[u8]) -> Result<Vec<u8>> {
        let link = self.open_by_name(&relative(path)?, false)?;
        if link.file_type != FileType::Symlink {
            return Err(Errno::EINVAL);
        }
        let text = fcntl::readlinkat(link.fd, c"")?;
        Ok(std::os::unix::ffi::OsStringExt::into_vec(text))
    }

    /// Whether the calling thread has these rights; none: whether the file is there.
    ///
    /// # Errors
    /// Those of `access(2)`; `EROFS` for writing to a tree that is read only.
    pub fn access(&self, path: &[u8], rights: Access) -> Result<()> {
        let file = self.open_by_name(&relative(path)?, true)?;
        if self.read_only && rights.contains(Access::WRITE) {
            return Err(Errno::EROFS);
        }
        let mode = AccessFlags::from_bits_truncate(rights.bits().cast_signed());
        let flags = AtFlags::AT_EMPTY_PATH | AtFlags::AT_EACCESS;
        Ok(unistd::faccessat(file.fd, c"", mode, flags)?)
    }

    /// Whether files and names may be changed.
    ///
    /// # Errors
    /// `EROFS`.
    pub fn check_writable(&self) -> Result<()> {
        if self.read_only {
            Err(Errno::EROFS)
        } else {
            Ok(())
        }
    }

    /// The directory that holds the path's last component, and that component: to change the name there.
    /// A path without such a component names the root of the tree or a directory above another: `without` is
    /// what the call answers for one that is there and in use.
    fn parent(&self, path: &[u8], without: Errno) -> Result<(OwnedFd, CString)> {
        self.check_writable()?;
        let end = path
            .iter()
            .rposition(|&byte| byte != b'/')
            .map_or(0, |last| last + 1);
        let start = path[..end]
            .iter()
            .rposition(|&byte| byte == b'/')
            .map_or(0, |slash| slash + 1);
        if matches!(&path[start..end], b"" | b"." | b"..") {
            return Err(without);
        }
        let dir = self.resolve(
            &relative(&path[..start])?,
            OFlag::O_PATH | OFlag::O_DIRECTORY,
            0,
        )?;
        // Slashes behind the name stay: the calls above know what they mean, and follow nothing for them.
        let name = CString::new(&path[start..]).map_err(|_| Errno::EINVAL)?;
        Ok((dir, name))
    }

    /// The way in: nothing else in this file takes a path of more than one component.
    fn resolve(&self, path: &CStr, flags: OFlag, mode: u32) -> Result<OwnedFd> {
        let mode = if flags.contains(OFlag::O_CREAT) {
            permissions(mode)
        } else {
            Mode::empty()
        };
        let how = OpenHow::new()
            .flags(flags | OFlag::O_CLOEXEC)
            .mode(mode)
            .resolve(ResolveFlag::RESOLVE_BENEATH | ResolveFlag::RESOLVE_NO_MAGICLINKS);
        for _ in 0..RACE_TRIES {
            match fcntl::openat2(self.root.as_fd(), path, how) {
                Ok(fd) => return Ok(fd),
                Err(nix::errno::Errno::EAGAIN | nix::errno::Errno::EINTR) => {}
                Err(nix::errno::Errno::EXDEV) => return Err(Errno::EACCES),
                Err(errno) => return Err(errno.into()),
            }
        }
        Err(Errno::EAGAIN)
    }

    fn without_change(&self, host: OFlag) -> Result<OFlag> {
        let changes = OFlag::O_WRONLY | OFlag::O_RDWR | OFlag::O_TRUNC | OFlag::O_EXCL;
        if host.intersects(changes) {
            return Err(Errno::EROFS);
        }
        Ok(host - OFlag::O_CREAT)
    }

    /// A file that is missing from a tree that is read only cannot be made.
    fn if_missing(&self, errno: Errno, flags: OpenFlags) -> Errno {
        let would_make = self.read_only && flags.contains(OpenFlags::CREAT);
        if errno == Errno::ENOENT && would_make {
            Errno::EROFS
        } else {
            errno
        }
    }
}

/// The path as the host is given it: the root is `.`.
fn relative(path: &[u8]) -> Result<CString> {
    let path = if path.is_empty() { b"." } else { path };
    CString::new(path).map_err(|_| Errno::EINVAL)
}

/// The flags that mean something to a file of the tree; the rest is the client's own business or, as direct
/// I/O, a promise that is not kept across a message.
fn host_flags(flags: OpenFlags) -> Result<OFlag> {
    const UNNAMED_FILE: u32 = libc::O_TMPFILE as u32 & !(libc::O_DIRECTORY as u32);
    if flags.0 & UNNAMED_FILE != 0 {
        return Err(Errno::EOPNOTSUPP);
    }
    let mut host = match (flags.reads(), flags.writes()) {
        (true, true) => OFlag::O_RDWR,
        (false, true) => OFlag::O_WRONLY,
        (true, false) => OFlag::O_RDONLY,
        (false, false) => return Err(Errno::EINVAL),
    };
    for (ours, theirs) in [
        (OpenFlags::CREAT, OFlag::O_CREAT),
        (OpenFlags::EXCL, OFlag::O_EXCL),
        (OpenFlags::TRUNC, OFlag::O_TRUNC),
        (OpenFlags::APPEND, OFlag::O_APPEND),
        (OpenFlags::DSYNC, OFlag::O_DSYNC),
        (OpenFlags::SYNC, OFlag::O_SYNC),
        (OpenFlags::DIRECTORY, OFlag::O_DIRECTORY),
        (OpenFlags::NOFOLLOW, OFlag::O_NOFOLLOW),
        (OpenFlags::NOATIME, OFlag::O_NOATIME),
    ] {
        host.set(theirs, flags.contains(ours));
    }
    // EXCL means something only where a file is made.
    if !host.contains(OFlag::O_CREAT) {
        host.remove(OFlag::O_EXCL);
    }
    Ok(host)
}

fn permissions(mode: u32) -> Mode {
    Mode::from_bits_truncate(mode & 0o7777)
}

fn type_of(stat: &FileStat) -> FileType {
    FileType::of_mode(stat.st_mode)
}

/// What is to be a directory and is none is ENOTDIR, be it a symbolic link or what is not served.
fn is_wanted(file_type: FileType, to_dir: bool) -> Result<()> {
    match file_type {
        FileType::Directory => Ok(()),
        _ if to_dir => Err(Errno::ENOTDIR),
        _ => Ok(()),
    }
}

fn served(file_type: FileType) -> Result<()> {
    match file_type {
        FileType::Regular | FileType::Directory => Ok(()),
        FileType::Symlink => Err(Errno::ELOOP),
        _ => Err(Errno::ENXIO),
    }
}

#[cfg(test)]
#[path = "tree_tests.rs"]
mod tests;
