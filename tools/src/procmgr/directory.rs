//! The directories that the process manager lists itself: what lies above the prefixes.

use std::sync::Arc;

use ipc_core::{
    abi::{
        Errno, Result,
        io::{Connect, DirEntry, FileType, OpenFlags, ReadKind, Whence},
        proc::PrefixFlags,
    },
    proc::{Pathname, space::Space},
    resmgr::{Attr, Context, Ocb, Outcome, ino_of_name},
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

    /// The names, each with its place among them.
    fn entries(&self) -> impl Iterator<Item = DirEntry<'_>> {
        let places = 1..;
        places.zip(&self.names).map(|(next, name)| DirEntry {
            ino: name.ino,
            next,
            file_type: name.file_type,
            name: &name.bytes,
        })
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
    ocb.list_from(context, ocb.state().entries(), len, kind)
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
        abi::{Chid, Pid, proc::RegistrationId},
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

    fn listed(directory: &Directory) -> Vec<(u64, String, FileType)> {
        let shown = |entry: DirEntry<'_>| {
            let name = String::from_utf8(entry.name.to_vec()).unwrap();
            (entry.next, name, entry.file_type)
        };
        directory.entries().map(shown).collect()
    }

    #[test]
    fn a_directory_lists_each_name_below_it_once_and_at_its_place() {
        let dir = PrefixFlags::DIR;
        let space = space(&[
            ("/home", dir),
            ("/dev/ser1", PrefixFlags::empty()),
            ("/a/b/c", dir),
        ]);
        let root = Directory::of(&space, &Pathname::ROOT).unwrap();
        let directory = |place, name: &str| (place, name.to_owned(), FileType::Directory);
        let expected = [directory(1, "a"), directory(2, "dev"), directory(3, "home")];
        assert_eq!(listed(&root), expected);
        let dev = Directory::of(&space, &path("/dev")).unwrap();
        let ser1 = (2, "ser1".to_owned(), FileType::Unknown);
        assert_eq!(listed(&dev), [directory(1, "name"), ser1]);
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
