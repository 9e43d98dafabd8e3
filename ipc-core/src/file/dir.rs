//! Reading a directory.

use std::{ffi::OsString, os::unix::ffi::OsStringExt, path::Path, vec};

use crate::{
    abi::{
        Errno, Result,
        io::{DIR_ENTRY_LEN_MAX, DirEntries, FileType, Io, ReadKind},
    },
    file::{File, OpenOptions},
};

/// Bytes that one read of a directory asks for.
const READ_LEN: usize = 32 << 10;
const _: () = assert!(READ_LEN >= DIR_ENTRY_LEN_MAX);

/// A name in a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The name, without directory.
    pub name: OsString,
    /// The file's number, 0 where the server has none.
    pub ino: u64,
    /// What it stands for, as far as the server says without being asked for a stat.
    pub file_type: FileType,
}

/// The names in a directory, without `.` and `..`, in the server's order.
#[derive(Debug)]
pub struct ReadDir {
    file: File,
    entries: vec::IntoIter<Entry>,
    is_at_end: bool,
}

impl ReadDir {
    pub(super) fn open(path: impl AsRef<Path>) -> Result<ReadDir> {
        let file = OpenOptions::new().read(true).directory(true).open(path)?;
        Ok(ReadDir {
            file,
            entries: Vec::new().into_iter(),
            is_at_end: false,
        })
    }

    fn refill(&mut self) -> Result<()> {
        let mut bytes = vec![0; READ_LEN];
        let message = Io::Read {
            len: READ_LEN as u32,
            kind: ReadKind::Next,
        };
        let reply = self.file.send_io(message, &[], &mut bytes)?;
        self.is_at_end = reply.len == 0;
        let mut entries = Vec::new();
        for entry in DirEntries::new(&bytes[..reply.len]) {
            let entry = entry?;
            if !matches!(entry.name, b"." | b"..") {
                let name = OsString::from_vec(entry.name.to_vec());
                entries.push(Entry {
                    name,
                    ino: entry.ino,
                    file_type: entry.file_type,
                });
            }
        }
        self.entries = entries.into_iter();
        Ok(())
    }
}

impl Iterator for ReadDir {
    type Item = Result<Entry>;

    fn next(&mut self) -> Option<Result<Entry>> {
        loop {
            if let Some(entry) = self.entries.next() {
                return Some(Ok(entry));
            }
            if self.is_at_end {
                return None;
            }
            if let Err(errno) = self.refill() {
                self.is_at_end = true;
                return Some(Err::<Entry, Errno>(errno));
            }
        }
    }
}
