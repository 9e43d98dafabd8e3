//! The directories that the process manager lists itself: what lies above the prefixes.

use std::sync::Arc;

use ipc_core::{
    abi::{
        Errno, Result,
        io::{Connect, DirEntry, DirWriter, FileType, OpenFlags, ReadKind, Whence},
        proc::PrefixFlags,
    },
    proc::{Pathname, space::Space},
    resmgr::{Answer, Attr, Context, Ocb, Outcome, ino_of_name},
};

/// An open directory: the names as they were when it was opened.
#[derive(Debug)]
pub(super) struct Directory {
    names: Vec<Name>,
}

#[derive(Debug)]
struct Name {
    bytes: Vec<u8>,
    ino: u64,
    file_type: FileType,
}

impl Directory {
    /// The directory of a path.
    ///
    /// # Errors
    /// `ENOENT` nothing lies below the path.
    pub(super) fn of(space: &Space, path: &Pathname) -> Result<Directory> {
        if !space.has_directory(path) {
            return Err(Errno::ENOENT);
        }
        let name = |bytes: &[u8]| -> Result<Name> {
            let path = path.join(bytes)?;
            Ok(Name {
                bytes: bytes.to_vec(),
                ino: ino_of_name(path.as_bytes()),
                file_type: type_of(space, &path),
            })
        };
        let names = space
            .children(path)
            .into_iter()
            .map(name)
            .collect::<Result<_>>()?;
        Ok(Directory { names })
    }

    /// Opens the directory for a client.
    ///
    /// # Errors
    /// `EISDIR` for writing, `EEXIST` to be made.
    pub(super) fn open(
        self,
        context: &Context<'_>,
        connect: &Connect<'_>,
        path: &Pathname,
    ) -> Result<Ocb<Directory>> {
        let flags = connect.flags;
        if flags.contains(OpenFlags::CREAT | OpenFlags::EXCL) {
            return Err(Errno::EEXIST);
        }
        if flags.writes() || flags.contains(OpenFlags::CREAT) {
            return Err(Errno::EISDIR);
        }
        let attr = attr(path, self.names.len());
        Ok(Ocb::new(context, flags, attr, self))
    }

    /// The names from an index on, as many as fit, and the index behind them.
    fn entries(&self, start: usize, len_max: usize) -> Result<(Vec<u8>, usize)> {
        let mut writer = DirWriter::new(len_max);
        let mut next = start;
        for name in self.names.iter().skip(start) {
            let entry = DirEntry {
                ino: name.ino,
                next: next as u64 + 1,
                file_type: name.file_type,
                name: &name.bytes,
            };
            if !writer.push(&entry)? {
                break;
            }
            next += 1;
        }
        if writer.is_empty() && start < self.names.len() {
            return Err(Errno::EINVAL);
        }
        Ok((writer.into_bytes(), next))
    }
}

/// Answers a read: whole entries, from where the last read ended or from where the client says.
///
/// # Errors
/// `EINVAL` there is no room for one entry.
pub(super) fn read(
    context: &mut Context<'_>,
    ocb: &Ocb<Directory>,
    len: usize,
    kind: ReadKind,
) -> Outcome {
    let mut offset = ocb.offset();
    let start = match kind {
        ReadKind::Next => *offset,
        ReadKind::At(start) => start,
    };
    let start = usize::try_from(start).unwrap_or(usize::MAX);
    let (bytes, next) = ocb.state().entries(start, len)?;
    context.put(&bytes)?;
    if kind == ReadKind::Next {
        *offset = next as u64;
    }
    Ok(Answer::from(bytes.len()))
}

/// Answers a seek: offsets count names.
///
/// # Errors
/// `EINVAL` before the first.
pub(super) fn seek(ocb: &Ocb<Directory>, offset: i64, whence: Whence) -> Result<u64> {
    ocb.seek(ocb.state().names.len() as u64, offset, whence)
}

fn attr(path: &Pathname, count: usize) -> Arc<Attr> {
    let attr = Attr::directory(0o555);
    attr.update(|stat| {
        stat.ino = ino_of_name(path.as_bytes());
        // Nobody counts subdirectories: with two, find would take it that there are none.
        stat.nlink = 1;
        stat.size = count as u64;
    });
    attr
}

/// Only the server knows what an exact prefix is; what takes paths below it is a directory.
fn type_of(space: &Space, path: &Pathname) -> FileType {
    let takes_below = space
        .at(path)
        .iter()
        .any(|server| server.flags.contains(PrefixFlags::DIR));
    if takes_below || space.has_directory(path) {
        FileType::Directory
    } else {
        FileType::Unknown
    }
}

#[cfg(test)]
mod tests {
    use ipc_core::{
        abi::{Chid, Pid, io::DirEntries, proc::RegistrationId},
        proc::space::Server,
    };

    use super::*;

    fn path(text: &str) -> Pathname {
        Pathname::of(text).unwrap()
    }

    fn space(prefixes: &[(&str, PrefixFlags)]) -> Space {
        let mut space = Space::default();
        for (id, &(prefix, flags)) in (1..).zip(prefixes) {
            let (id, pid, chid) = (RegistrationId(id), Pid(9), Chid(1));
            let server = Server {
                id,
                pid,
                chid,
                handle: 0,
                flags,
                uid: 0,
            };
            space.insert(&path(prefix), server).unwrap();
        }
        space
    }

    fn listed(directory: &Directory, len_max: usize) -> Vec<(String, FileType)> {
        let (mut start, mut names) = (0, Vec::new());
        loop {
            let (bytes, next) = directory.entries(start, len_max).unwrap();
            if bytes.is_empty() {
                return names;
            }
            for entry in DirEntries::new(&bytes) {
                let entry = entry.unwrap();
                names.push((
                    String::from_utf8(entry.name.to_vec()).unwrap(),
                    entry.file_type,
                ));
            }
            start = next;
        }
    }

    #[test]
    fn a_directory_is_listed_in_pieces_of_any_size() {
        let dir = PrefixFlags::DIR;
        let space = space(&[
            ("/home", dir),
            ("/dev/ser1", PrefixFlags::empty()),
            ("/a/b/c", dir),
        ]);
        let root = Directory::of(&space, &Pathname::ROOT).unwrap();
        let directory = |name: &str| (name.to_owned(), FileType::Directory);
        for len_max in [40, 64, 4096] {
            let expected = [directory("a"), directory("dev"), directory("home")];
            assert_eq!(listed(&root, len_max), expected);
        }
        let dev = Directory::of(&space, &path("/dev")).unwrap();
        let expected = [directory("name"), ("ser1".to_owned(), FileType::Unknown)];
        assert_eq!(listed(&dev, 4096), expected);
        assert_eq!(root.entries(0, 8).unwrap_err(), Errno::EINVAL);
    }

    #[test]
    fn what_nothing_lies_below_is_no_directory() {
        let space = space(&[("/home", PrefixFlags::DIR)]);
        assert_eq!(
            Directory::of(&space, &path("/home")).unwrap_err(),
            Errno::ENOENT
        );
        assert_eq!(
            Directory::of(&space, &path("/x")).unwrap_err(),
            Errno::ENOENT
        );
    }
}
