//! What is done with a path and needs no open file: one round trip to the server each.

use std::{
    ffi::OsString,
    io::{Read, Write},
    os::unix::ffi::OsStringExt,
    path::{Path, PathBuf},
};

use crate::{
    abi::{
        Chid, Errno, Nd, Pid, Result,
        io::{Access, Extra, Io, OpenFlags, Space, Stat, StatVfs, Subtype, TimeSet, chain},
    },
    file::{
        File, ReadDir,
        identity::{file_system_seen_from_here, seen_from_here},
        umask::umask,
    },
    proc::{
        Pathname,
        client::{
            arrive::{Arrival, Wish, arrive, find_server, send_until_done},
            pool::{self, Address},
        },
    },
};

/// What is known of a file; symbolic links are followed. Device and inode number tell it from every other file of
/// this and other nodes (PTH-8).
///
/// # Errors
/// What the server says.
pub fn stat(path: impl AsRef<Path>) -> Result<Stat> {
    stat_with(path, OpenFlags::PATH)
}

/// As [`stat`], but of a symbolic link itself.
///
/// # Errors
/// What the server says.
pub fn lstat(path: impl AsRef<Path>) -> Result<Stat> {
    stat_with(path, OpenFlags::PATH | OpenFlags::NOFOLLOW)
}

/// The room and the limits of the file system that a file is on; symbolic links are followed.
///
/// # Errors
/// What the server says.
pub fn statvfs(path: impl AsRef<Path>) -> Result<StatVfs> {
    let (server, bytes) = combined_at(path, OpenFlags::PATH, StatVfs::MESSAGE)?;
    Ok(file_system_seen_from_here(StatVfs::parse(&bytes)?, server))
}

/// The names in a directory.
///
/// # Errors
/// `ENOTDIR` it is none; else as [`File::open`].
pub fn read_dir(path: impl AsRef<Path>) -> Result<ReadDir> {
    ReadDir::open(path)
}

/// A whole file.
///
/// # Errors
/// As [`File::open`] and [`File::read`].
pub fn read(path: impl AsRef<Path>) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut file = File::open(path)?;
    file.read_to_end(&mut bytes)?;
    file.close()?;
    Ok(bytes)
}

/// Makes a file of these bytes, in the place of one that was there.
///
/// # Errors
/// As [`File::create`], [`File::write`] and [`File::close`].
pub fn write(path: impl AsRef<Path>, bytes: &[u8]) -> Result<()> {
    let mut file = File::create(path)?;
    file.write_all(bytes)?;
    file.close()
}

/// Removes a name that is not a directory.
///
/// # Errors
/// What the server says.
pub fn unlink(path: impl AsRef<Path>) -> Result<()> {
    plain(path, &Wish::of(Subtype::Unlink))
}

/// Makes a directory; the umask takes from `mode`.
///
/// # Errors
/// What the server says.
pub fn mkdir(path: impl AsRef<Path>, mode: u32) -> Result<()> {
    plain(
        path,
        &Wish {
            mode: mode & 0o7777 & !umask(),
            ..Wish::of(Subtype::Mkdir)
        },
    )
}

/// Removes an empty directory.
///
/// # Errors
/// What the server says.
pub fn rmdir(path: impl AsRef<Path>) -> Result<()> {
    plain(path, &Wish::of(Subtype::Rmdir))
}

/// The text of a symbolic link.
///
/// # Errors
/// `EINVAL` it is none; what the server says.
pub fn readlink(path: impl AsRef<Path>) -> Result<PathBuf> {
    let wish = Wish {
        flags: OpenFlags::NOFOLLOW,
        ..Wish::of(Subtype::Readlink)
    };
    let (_, bytes) = arrive(Pathname::of(path)?, &wish)?.into_answer();
    Ok(PathBuf::from(OsString::from_vec(bytes)))
}

/// Makes `path` a symbolic link with this text.
///
/// # Errors
/// What the server says.
pub fn symlink(text: impl AsRef<Path>, path: impl AsRef<Path>) -> Result<()> {
    let text = text.as_ref().as_os_str().as_encoded_bytes();
    plain(
        path,
        &Wish {
            extra: Extra::Data(text),
            ..Wish::of(Subtype::Symlink)
        },
    )
}

/// Gives a file the name `to`, in the place of one that was there.
///
/// # Errors
/// `EXDEV` the two paths lead to different servers; else what the server says.
pub fn rename(from: impl AsRef<Path>, to: impl AsRef<Path>) -> Result<()> {
    on_one_server(Subtype::Rename, from, to)
}

/// Makes `new` a further name of the file `existing`.
///
/// # Errors
/// As [`rename`].
pub fn link(existing: impl AsRef<Path>, new: impl AsRef<Path>) -> Result<()> {
    on_one_server(Subtype::Link, new, existing)
}

/// Whether the caller has these rights on a file; no right asks whether it exists.
///
/// # Errors
/// `EACCES` it has not; else what the server says.
pub fn access(path: impl AsRef<Path>, rights: Access) -> Result<()> {
    plain(
        path,
        &Wish {
            mode: rights.bits(),
            ..Wish::of(Subtype::Access)
        },
    )
}

/// Sets the permissions.
///
/// # Errors
/// What the server says.
pub fn chmod(path: impl AsRef<Path>, mode: u32) -> Result<()> {
    combined(path, OpenFlags::PATH, Io::Chmod { mode }).map(drop)
}

/// As [`chmod`], but of a symbolic link itself.
///
/// # Errors
/// What the server says: `EOPNOTSUPP` a link has no permissions of its own.
pub fn lchmod(path: impl AsRef<Path>, mode: u32) -> Result<()> {
    let flags = OpenFlags::PATH | OpenFlags::NOFOLLOW;
    combined(path, flags, Io::Chmod { mode }).map(drop)
}

/// Sets owner and group; `None` leaves one.
///
/// # Errors
/// What the server says.
pub fn chown(path: impl AsRef<Path>, uid: Option<u32>, gid: Option<u32>) -> Result<()> {
    combined(path, OpenFlags::PATH, Io::Chown { uid, gid }).map(drop)
}

/// As [`chown`], but of a symbolic link itself.
///
/// # Errors
/// What the server says.
pub fn lchown(path: impl AsRef<Path>, uid: Option<u32>, gid: Option<u32>) -> Result<()> {
    let flags = OpenFlags::PATH | OpenFlags::NOFOLLOW;
    combined(path, flags, Io::Chown { uid, gid }).map(drop)
}

/// Sets the times.
///
/// # Errors
/// What the server says.
#[doc(alias = "utimensat")]
pub fn set_times(path: impl AsRef<Path>, atime: TimeSet, mtime: TimeSet) -> Result<()> {
    combined(path, OpenFlags::PATH, Io::Utime { atime, mtime }).map(drop)
}

/// As [`set_times`], but of a symbolic link itself.
///
/// # Errors
/// What the server says.
#[doc(alias = "lutimes")]
pub fn set_link_times(path: impl AsRef<Path>, atime: TimeSet, mtime: TimeSet) -> Result<()> {
    let flags = OpenFlags::PATH | OpenFlags::NOFOLLOW;
    combined(path, flags, Io::Utime { atime, mtime }).map(drop)
}

/// Cuts or extends a file.
///
/// # Errors
/// What the server says.
pub fn truncate(path: impl AsRef<Path>, len: u64) -> Result<()> {
    combined(
        path,
        OpenFlags::WRONLY,
        Io::Space {
            kind: Space::Truncate,
            start: 0,
            len,
        },
    )
    .map(drop)
}

/// Whether some server has registered for the path. A directory that only the process manager lists, and
/// a node without process manager, do not count.
///
/// # Errors
/// Those of a path that is none.
pub fn is_served(path: impl AsRef<Path>) -> Result<bool> {
    match server_of(path) {
        Ok(_) => Ok(true),
        Err(Errno::ENOENT | Errno::ESRCH | Errno::ENOTDIR) => Ok(false),
        Err(errno) => Err(errno),
    }
}

/// The first server that this node's process manager lists for the path; nothing is sent to it.
///
/// # Errors
/// `ENOENT` none, `ESRCH` no process manager.
pub fn server_of(path: impl AsRef<Path>) -> Result<(Nd, Pid, Chid)> {
    let hop = find_server(Pathname::of(path)?)?;
    Ok((hop.nd, hop.pid, hop.chid))
}

fn stat_with(path: impl AsRef<Path>, flags: OpenFlags) -> Result<Stat> {
    let (server, bytes) = combined_at(path, flags, Io::Stat)?;
    Ok(seen_from_here(Stat::parse(&bytes)?, server))
}

fn plain(path: impl AsRef<Path>, wish: &Wish<'_>) -> Result<()> {
    arrive(Pathname::of(path)?, wish)?.into_answer();
    Ok(())
}

fn combined(path: impl AsRef<Path>, flags: OpenFlags, message: Io) -> Result<Vec<u8>> {
    combined_at(path, flags, message).map(|(_, bytes)| bytes)
}

/// Opens, does one thing, closes, all in one message (RMG-3); answers where that was, too.
fn combined_at(
    path: impl AsRef<Path>,
    flags: OpenFlags,
    message: Io,
) -> Result<(Address, Vec<u8>)> {
    let messages = chain(&[message]);
    let wish = Wish {
        flags,
        extra: Extra::Combine(&messages),
        ..Wish::of(Subtype::CombineClose)
    };
    let arrival = arrive(Pathname::of(path)?, &wish)?;
    let server = arrival.address();
    let (_, bytes) = arrival.into_answer();
    Ok((server, bytes))
}

/// Sends a message with two paths to the one server that both lead to.
fn on_one_server(subtype: Subtype, path: impl AsRef<Path>, other: impl AsRef<Path>) -> Result<()> {
    let resolve = Wish::of(Subtype::Resolve);
    let other = arrive(Pathname::of(other)?, &resolve)?;
    let arrival = arrive(Pathname::of(path)?, &resolve)?;
    if !arrival.hop.is_same_server(&other.hop) {
        return Err(Errno::EXDEV);
    }
    let message = message_with_two_paths(subtype, &arrival, &other)?;
    other.into_answer();
    let sent = send_until_done(|| arrival.connection.send(&message, &mut []));
    pool::put(arrival.address(), arrival.connection);
    sent.map(drop)
}

fn message_with_two_paths(subtype: Subtype, arrival: &Arrival, other: &Arrival) -> Result<Vec<u8>> {
    let mut connect = crate::abi::io::Connect::new(subtype, &arrival.hop.path);
    connect.handle = arrival.hop.handle;
    connect.extra = Extra::Path(&other.hop.path);
    connect.encode()
}
