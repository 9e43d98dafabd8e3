//! One open file of the tree: its bytes, entries and attributes.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::sync::{Mutex, PoisonError};

use ipc_core::abi::io::{
    DirEntry, DirWriter, FileType, LockKind, Space, Stat, StatVfs, TimeSet, TimeSpec, Whence,
};
use ipc_core::abi::{Errno, Result};
use nix::fcntl::{self, AtFlags, FallocateFlags, FcntlArg, OFlag};
use nix::sys::stat::{FchmodatFlags, FileStat, Mode, fchmod, fchmodat, fstat};
use nix::sys::statvfs::fstatvfs;
use nix::sys::time::TimeSpec as HostTime;
use nix::unistd::{self, Gid, Uid};

use super::sys;
use super::tree::Opened;

/// Bytes of the kernel's entries that one read on a directory takes at most.
const ENTRIES_LEN: usize = 32 << 10;

/// A file, directory or, opened by [`PATH`](ipc_core::abi::io::OpenFlags::PATH), only the name of one.
///
/// Offsets are always given: the host's own offset of the descriptor is used by directories alone.
#[derive(Debug)]
pub struct HostFile {
    file: std::fs::File,
    file_type: FileType,
    by_name: bool,
    appends: bool,
    /// The same file open for writing as well, once who may only read has locked others out: `flock` needs no right to
    /// write, the host's locks of open files do.
    locking: Mutex<Option<OwnedFd>>,
    /// Held while the host's offset is where one read of the directory is.
    reading: Mutex<()>,
}

impl HostFile {
    /// A file that the tree has opened. `by_name` without I/O, `appends` with every write at the end.
    pub fn new(opened: Opened, by_name: bool, appends: bool) -> HostFile {
        HostFile {
            file: OwnedFd::into(opened.fd),
            file_type: opened.file_type,
            by_name,
            appends,
            locking: Mutex::default(),
            reading: Mutex::default(),
        }
    }

    /// Whether it is a directory.
    pub fn is_dir(&self) -> bool {
        self.file_type == FileType::Directory
    }

    /// Whether every write goes to the end.
    pub fn appends(&self) -> bool {
        self.appends
    }

    /// Reads at `offset`; 0 at the end.
    ///
    /// # Errors
    /// Those of `pread(2)`.
    pub fn read_at(&self, into: &mut [u8], offset: u64) -> Result<usize> {
        self.file
            .read_at(into, offset)
            .map_err(|error| Errno::of(&error))
    }

    /// Writes at `offset`, or at the end if the file was opened so; may write less than all.
    ///
    /// # Errors
    /// Those of `pwrite(2)`: ENOSPC, EDQUOT, EFBIG.
    pub fn write_at(&self, bytes: &[u8], offset: u64) -> Result<usize> {
        // On Linux pwrite to a descriptor that appends does append.
        self.file
            .write_at(bytes, offset)
            .map_err(|error| Errno::of(&error))
    }

    /// Collects the entries from `cookie` on that fit in `len_max` bytes, and where to go on.
    ///
    /// # Errors
    /// `EINVAL` if not even the first fits; those of `getdents(2)`.
    pub fn read_dir(&self, cookie: u64, len_max: usize) -> Result<(Vec<u8>, u64)> {
        let start = i64::try_from(cookie).map_err(|_| Errno::EINVAL)?;
        let _alone = self.reading.lock().unwrap_or_else(PoisonError::into_inner);
        unistd::lseek(&self.file, start, unistd::Whence::SeekSet)?;
        let mut writer = DirWriter::new(len_max);
        let mut next = cookie;
        let mut entries = [0; ENTRIES_LEN];
        loop {
            let count = sys::read_dir_entries(&self.file, &mut entries)
                .map_err(|error| Errno::of(&error))?;
            if count == 0 {
                break;
            }
            for entry in HostEntries(&entries[..count]) {
                if !writer.push(&entry)? {
                    return if writer.is_empty() {
                        Err(Errno::EINVAL)
                    } else {
                        Ok((writer.into_bytes(), next))
                    };
                }
                next = entry.next;
            }
        }
        Ok((writer.into_bytes(), next))
    }

    /// The file's attributes.
    ///
    /// # Errors
    /// Those of `fstat(2)`.
    pub fn stat(&self) -> Result<Stat> {
        Ok(stat_of(&fstat(&self.file)?))
    }

    /// The room and the limits of the file system that the file is on.
    ///
    /// # Errors
    /// Those of `fstatvfs(3)`.
    pub fn statvfs(&self) -> Result<StatVfs> {
        let host = fstatvfs(&self.file)?;
        Ok(StatVfs {
            block_len: host.block_size(),
            fragment_len: host.fragment_size(),
            blocks: host.blocks(),
            blocks_free: host.blocks_free(),
            blocks_available: host.blocks_available(),
            files: host.files(),
            files_free: host.files_free(),
            files_available: host.files_available(),
            id: host.filesystem_id(),
            flags: host.flags().bits(),
            name_len_max: host.name_max().try_into().unwrap_or(u32::MAX),
        })
    }

    /// The next data or hole from `offset` on.
    ///
    /// # Errors
    /// `ENXIO` behind the end.
    pub fn seek_data(&self, offset: i64, whence: Whence) -> Result<u64> {
        let whence = if whence == Whence::Data {
            unistd::Whence::SeekData
        } else {
            unistd::Whence::SeekHole
        };
        let found = unistd::lseek(&self.file, offset, whence)?;
        u64::try_from(found).map_err(|_| Errno::EINVAL)
    }

    /// Sets permission bits.
    ///
    /// # Errors
    /// Those of `chmod(2)`; `EOPNOTSUPP` for a symbolic link.
    pub fn chmod(&self, mode: u32) -> Result<()> {
        let mode = Mode::from_bits_truncate(mode & 0o7777);
        if !self.by_name {
            return Ok(fchmod(&self.file, mode)?);
        }
        if self.file_type == FileType::Symlink {
            return Err(Errno::EOPNOTSUPP);
        }
        // A descriptor by name takes no fchmod; its magic link leads to this very file.
        let link = format!("/proc/self/fd/{}", self.file.as_raw_fd());
        Ok(fchmodat(
            fcntl::AT_FDCWD,
            link.as_str(),
            mode,
            FchmodatFlags::FollowSymlink,
        )?)
    }

    /// Sets owner and group.
    ///
    /// # Errors
    /// Those of `chown(2)`.
    pub fn chown(&self, uid: Option<u32>, gid: Option<u32>) -> Result<()> {
        let (uid, gid) = (uid.map(Uid::from_raw), gid.map(Gid::from_raw));
        Ok(unistd::fchownat(
            &self.file,
            c"",
            uid,
            gid,
            AtFlags::AT_EMPTY_PATH,
        )?)
    }

    /// Sets times.
    ///
    /// # Errors
    /// Those of `utimensat(2)`.
    pub fn utime(&self, atime: TimeSet, mtime: TimeSet) -> Result<()> {
        let (atime, mtime) = (host_time(atime)?, host_time(mtime)?);
        if !self.by_name {
            return Ok(nix::sys::stat::futimens(&self.file, &atime, &mtime)?);
        }
        sys::set_times_by_name(&self.file, [atime, mtime].map(|time| *time.as_ref()))
            .map_err(|error| Errno::of(&error))
    }

    /// Cuts or extends the file, or makes sure of space.
    ///
    /// # Errors
    /// Those of `ftruncate(2)` and `fallocate(2)`.
    pub fn space(&self, kind: Space, start: u64, len: u64) -> Result<()> {
        let (start, len) = (host_offset(start)?, host_offset(len)?);
        match kind {
            Space::Truncate => Ok(unistd::ftruncate(&self.file, len)?),
            Space::Allocate => Ok(fcntl::fallocate(
                &self.file,
                FallocateFlags::empty(),
                start,
                len,
            )?),
        }
    }

    /// Locks, unlocks or asks for a range, for this open file. Never waits.
    ///
    /// # Errors
    /// `EAGAIN` somebody else has a part of it; `EBADF` it is not open for that, and, for all of the file, the client
    /// may not write it either.
    pub fn lock(&self, kind: LockKind, start: u64, len: u64) -> Result<()> {
        let mut writable = self.locking.lock().unwrap_or_else(PoisonError::into_inner);
        let file = writable.as_ref().map_or(self.file.as_fd(), AsFd::as_fd);
        match lock(file, kind, start, len) {
            Err(Errno::EBADF) if (start, len) == (0, 0) && writable.is_none() => {
                let file = writable.insert(self.open_for_locking()?);
                lock(file.as_fd(), kind, start, len)
            }
            done => done,
        }
    }

    /// A descriptor that may have any lock, in the place of this one, which keeps none: the two would lock each other out.
    fn open_for_locking(&self) -> Result<OwnedFd> {
        let path = format!("/proc/self/fd/{}", self.file.as_raw_fd());
        let file = fcntl::open(&*path, OFlag::O_RDWR | OFlag::O_CLOEXEC, Mode::empty());
        let file = file.map_err(|_| Errno::EBADF)?;
        lock(self.file.as_fd(), LockKind::Unlock, 0, 0)?;
        Ok(file)
    }

    /// Waits until what was written is on the device.
    ///
    /// # Errors
    /// Those of `fsync(2)`: EIO, ENOSPC of delayed writes.
    pub fn sync(&self, data_only: bool) -> Result<()> {
        if data_only {
            Ok(unistd::fdatasync(self.file.as_fd())?)
        } else {
            Ok(unistd::fsync(self.file.as_fd())?)
        }
    }
}

fn lock(file: BorrowedFd<'_>, kind: LockKind, start: u64, len: u64) -> Result<()> {
    let mut range = libc::flock {
        l_type: match kind {
            LockKind::Unlock => libc::F_UNLCK,
            LockKind::Shared | LockKind::TestShared => libc::F_RDLCK,
            LockKind::Exclusive | LockKind::TestExclusive => libc::F_WRLCK,
        } as i16,
        l_whence: libc::SEEK_SET as i16,
        l_start: host_offset(start)?,
        l_len: host_offset(len)?,
        l_pid: 0,
    };
    match kind {
        LockKind::Unlock | LockKind::Shared | LockKind::Exclusive => {
            fcntl::fcntl(file, FcntlArg::F_OFD_SETLK(&range))?;
        }
        LockKind::TestShared | LockKind::TestExclusive => {
            fcntl::fcntl(file, FcntlArg::F_OFD_GETLK(&mut range))?;
            if i32::from(range.l_type) != libc::F_UNLCK {
                return Err(Errno::EAGAIN);
            }
        }
    }
    Ok(())
}

fn host_offset(offset: u64) -> Result<i64> {
    i64::try_from(offset).map_err(|_| Errno::EFBIG)
}

fn host_time(time: TimeSet) -> Result<HostTime> {
    Ok(match time {
        TimeSet::Omit => HostTime::UTIME_OMIT,
        TimeSet::Now => HostTime::UTIME_NOW,
        TimeSet::To(time) => HostTime::new(time.seconds, time.nanoseconds.into()),
    })
}

fn stat_of(host: &FileStat) -> Stat {
    let time = |seconds: i64, nanoseconds: i64| TimeSpec {
        seconds,
        nanoseconds: nanoseconds as u32,
    };
    Stat {
        dev: host.st_dev,
        ino: host.st_ino,
        mode: host.st_mode,
        nlink: host.st_nlink as u32,
        uid: host.st_uid,
        gid: host.st_gid,
        rdev: host.st_rdev,
        size: host.st_size.cast_unsigned(),
        blksize: host.st_blksize as u32,
        blocks: host.st_blocks.cast_unsigned(),
        atime: time(host.st_atime, host.st_atime_nsec),
        mtime: time(host.st_mtime, host.st_mtime_nsec),
        ctime: time(host.st_ctime, host.st_ctime_nsec),
    }
}

/// Goes through directory entries as `getdents64` gives them.
struct HostEntries<'a>(&'a [u8]);

impl<'a> Iterator for HostEntries<'a> {
    type Item = DirEntry<'a>;

    fn next(&mut self) -> Option<DirEntry<'a>> {
        // struct linux_dirent64: u64 inode, i64 offset of the next, u16 length, u8 type, name with a zero.
        let (ino, rest) = self.0.split_first_chunk()?;
        let (next, rest) = rest.split_first_chunk()?;
        let (len, rest) = rest.split_first_chunk()?;
        let (file_type, _) = rest.split_first()?;
        let len = usize::from(u16::from_ne_bytes(*len));
        let name = self.0.get(19..len)?;
        let name_len = name.iter().position(|&byte| byte == 0)?;
        self.0 = &self.0[len..];
        Some(DirEntry {
            ino: u64::from_ne_bytes(*ino),
            next: u64::from_ne_bytes(*next),
            file_type: FileType::from_number(*file_type),
            name: &name[..name_len],
        })
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use ipc_core::abi::io::{DirEntries, OpenFlags};

    use super::super::tree::Tree;
    use super::*;

    fn open(tree: &Tree, path: &str, flags: OpenFlags) -> HostFile {
        let opened = tree.open(path.as_bytes(), flags, 0o644).unwrap();
        HostFile::new(
            opened,
            flags.contains(OpenFlags::PATH),
            flags.contains(OpenFlags::APPEND),
        )
    }

    fn names(mut next: impl FnMut(u64) -> Result<(Vec<u8>, u64)>) -> Vec<String> {
        let mut names = Vec::new();
        let mut cookie = 0;
        loop {
            let (bytes, after) = next(cookie).unwrap();
            if bytes.is_empty() {
                names.sort();
                return names;
            }
            for entry in DirEntries::new(&bytes) {
                names.push(String::from_utf8(entry.unwrap().name.to_vec()).unwrap());
            }
            cookie = after;
        }
    }

    #[test]
    fn a_directory_is_read_whole_in_pieces_of_any_size() {
        let folder = tempfile::tempdir().unwrap();
        let mut expected = vec![".".to_owned(), "..".to_owned()];
        for number in 0..300 {
            let name = format!("file-{number:03}");
            fs::write(folder.path().join(&name), "").unwrap();
            expected.push(name);
        }
        expected.sort();
        let tree = Tree::new(folder.path(), false).unwrap();
        let dir = open(&tree, "", OpenFlags::default());
        for len_max in [64, 280, 4096, 1 << 20] {
            assert_eq!(
                names(|cookie| dir.read_dir(cookie, len_max)),
                expected,
                "{len_max} bytes"
            );
        }
        assert_eq!(dir.read_dir(0, 16), Err(Errno::EINVAL));
    }

    #[test]
    fn threads_that_read_one_directory_do_not_lose_each_others_place() {
        let folder = tempfile::tempdir().unwrap();
        for number in 0..40 {
            fs::write(folder.path().join(format!("file-{number}")), "").unwrap();
        }
        let tree = Tree::new(folder.path(), false).unwrap();
        let dir = open(&tree, "", OpenFlags::default());
        let expected = names(|cookie| dir.read_dir(cookie, 1 << 20));
        std::thread::scope(|scope| {
            for len_max in [64, 96, 280] {
                let (dir, expected) = (&dir, &expected);
                scope.spawn(move || {
                    for _ in 0..50 {
                        assert_eq!(&names(|cookie| dir.read_dir(cookie, len_max)), expected);
                    }
                });
            }
        });
    }

    #[test]
    fn bytes_are_written_read_and_cut() {
        let folder = tempfile::tempdir().unwrap();
        let tree = Tree::new(folder.path(), false).unwrap();
        let file = open(&tree, "f", OpenFlags::RDWR | OpenFlags::CREAT);
        assert_eq!(file.write_at(b"hello", 3), Ok(5));
        let mut bytes = [9; 16];
        assert_eq!(file.read_at(&mut bytes, 0), Ok(8));
        assert_eq!(&bytes[..8], b"\0\0\0hello");
        file.space(Space::Truncate, 0, 5).unwrap();
        assert_eq!(file.stat().unwrap().size, 5);
        assert_eq!(file.space(Space::Truncate, 0, u64::MAX), Err(Errno::EFBIG));
        file.sync(true).unwrap();
        file.sync(false).unwrap();
    }

    #[test]
    fn an_appending_file_ignores_the_offset() {
        let folder = tempfile::tempdir().unwrap();
        let tree = Tree::new(folder.path(), false).unwrap();
        let file = open(
            &tree,
            "f",
            OpenFlags::WRONLY | OpenFlags::CREAT | OpenFlags::APPEND,
        );
        file.write_at(b"one", 0).unwrap();
        file.write_at(b"two", 0).unwrap();
        assert_eq!(fs::read(folder.path().join("f")).unwrap(), b"onetwo");
    }

    #[test]
    fn attributes_are_set_by_name_as_by_descriptor() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("f"), "x").unwrap();
        let tree = Tree::new(folder.path(), false).unwrap();
        for (flags, mode) in [(OpenFlags::PATH, 0o600), (OpenFlags::RDWR, 0o640)] {
            let file = open(&tree, "f", flags);
            file.chmod(mode).unwrap();
            let then = TimeSet::To(TimeSpec {
                seconds: i64::from(mode),
                nanoseconds: 5,
            });
            file.utime(TimeSet::Omit, then).unwrap();
            file.chown(None, None).unwrap();
            let stat = file.stat().unwrap();
            assert_eq!(stat.mode, 0o100_000 | mode);
            assert_eq!(
                stat.mtime,
                TimeSpec {
                    seconds: i64::from(mode),
                    nanoseconds: 5
                }
            );
        }
    }
}
