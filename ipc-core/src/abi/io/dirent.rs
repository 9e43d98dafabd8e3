//! Directory entries: what a read on a directory answers.

use zerocopy::little_endian::{U16, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::wire::{take, take_bytes};
use crate::abi::limits::{DIR_ENTRY_LEN_MAX, NAME_LEN_MAX};
use crate::abi::{Errno, Result};

/// What kind of file a name stands for; the numbers are those of Linux's `d_type`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
#[repr(u8)]
pub enum FileType {
    /// Not known without a stat.
    #[default]
    Unknown = 0,
    /// A fifo.
    Fifo = 1,
    /// A character device.
    Character = 2,
    /// A directory.
    Directory = 4,
    /// A block device.
    Block = 6,
    /// A regular file.
    Regular = 8,
    /// A symbolic link.
    Symlink = 10,
    /// A socket.
    Socket = 12,
}

impl FileType {
    /// The type with this number; `Unknown` for a number that names none.
    pub fn from_number(number: u8) -> FileType {
        match number {
            1 => FileType::Fifo,
            2 => FileType::Character,
            4 => FileType::Directory,
            6 => FileType::Block,
            8 => FileType::Regular,
            10 => FileType::Symlink,
            12 => FileType::Socket,
            _ => FileType::Unknown,
        }
    }

    /// The type in a file's mode.
    pub fn of_mode(mode: u32) -> FileType {
        FileType::from_number((mode >> 12 & 0o17) as u8)
    }

    /// The type as the bits of a mode.
    pub fn mode_bits(self) -> u32 {
        u32::from(self as u8) << 12
    }
}

/// One entry of a directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DirEntry<'a> {
    /// The file's number, 0 where the server has none.
    pub ino: u64,
    /// Where reading goes on behind this entry: the offset of a seek on the directory.
    pub next: u64,
    /// What the name stands for, as far as the server knows.
    pub file_type: FileType,
    /// The name: 1 to 255 bytes, no slash and no zero.
    pub name: &'a [u8],
}

/// The fixed front of an entry; the name follows, and zeroes up to a multiple of 8.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct EntryHeader {
    ino: U64,
    next: U64,
    /// Bytes of this entry with its name and padding.
    entry_len: U16,
    /// Bytes of the name.
    name_len: U16,
    file_type: u8,
    reserved: [u8; 3],
}

const HEADER_LEN: usize = size_of::<EntryHeader>();
const _: () = assert!(HEADER_LEN == 24);

const _: () = assert!((HEADER_LEN + NAME_LEN_MAX).next_multiple_of(8) == DIR_ENTRY_LEN_MAX);

impl DirEntry<'_> {
    /// Bytes that the entry takes.
    pub fn encoded_len(&self) -> usize {
        (HEADER_LEN + self.name.len()).next_multiple_of(8)
    }

    fn check(&self) -> Result<()> {
        let len_fits = (1..=NAME_LEN_MAX).contains(&self.name.len());
        if !len_fits || self.name.contains(&0) || self.name.contains(&b'/') {
            return Err(Errno::EINVAL);
        }
        Ok(())
    }
}

/// Collects entries into a reply of bounded size.
#[derive(Debug)]
pub struct DirWriter {
    bytes: Vec<u8>,
    len_max: usize,
}

impl DirWriter {
    /// A reply of at most `len_max` bytes.
    pub fn new(len_max: usize) -> DirWriter {
        DirWriter {
            bytes: Vec::new(),
            len_max,
        }
    }

    /// Appends an entry; `false` if there is no room for it, and then nothing is appended.
    ///
    /// # Errors
    /// `EINVAL` for a name that no directory can have.
    pub fn push(&mut self, entry: &DirEntry<'_>) -> Result<bool> {
        entry.check()?;
        let len = entry.encoded_len();
        if self.bytes.len() + len > self.len_max {
            return Ok(false);
        }
        let header = EntryHeader {
            ino: entry.ino.into(),
            next: entry.next.into(),
            entry_len: U16::new(len as u16),
            name_len: U16::new(entry.name.len() as u16),
            file_type: entry.file_type as u8,
            reserved: [0; 3],
        };
        let end = self.bytes.len() + len;
        self.bytes.extend_from_slice(header.as_bytes());
        self.bytes.extend_from_slice(entry.name);
        self.bytes.resize(end, 0);
        Ok(true)
    }

    /// Whether no entry was appended: at the end of the directory, or the reply is too small for any.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// The reply's bytes.
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }
}

const _: () = assert!(DIR_ENTRY_LEN_MAX <= u16::MAX as usize);

/// Goes through the entries of a private copy of a reply; ends after the first that is malformed.
#[derive(Clone, Debug)]
pub struct DirEntries<'a> {
    rest: &'a [u8],
}

impl<'a> DirEntries<'a> {
    /// The entries in the bytes of a reply.
    pub fn new(bytes: &'a [u8]) -> DirEntries<'a> {
        DirEntries { rest: bytes }
    }

    fn parse_next(&mut self) -> Result<DirEntry<'a>> {
        let (header, behind) = take::<EntryHeader>(self.rest)?;
        let name_len = usize::from(header.name_len.get());
        let (name, _) = take_bytes(behind, name_len)?;
        let entry = DirEntry {
            ino: header.ino.get(),
            next: header.next.get(),
            file_type: FileType::from_number(header.file_type),
            name,
        };
        let entry_len = usize::from(header.entry_len.get());
        if entry.check().is_err() || entry_len != entry.encoded_len() {
            return Err(Errno::EBADMSG);
        }
        self.rest = take_bytes(self.rest, entry_len)?.1;
        Ok(entry)
    }
}

impl<'a> Iterator for DirEntries<'a> {
    type Item = Result<DirEntry<'a>>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let entry = self.parse_next();
        if entry.is_err() {
            self.rest = &[];
        }
        Some(entry)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(name: &[u8]) -> DirEntry<'_> {
        DirEntry {
            ino: 3,
            next: 9,
            file_type: FileType::Regular,
            name,
        }
    }

    #[test]
    fn entries_are_parsed_back_in_order() {
        let long = [b'x'; NAME_LEN_MAX];
        let names: [&[u8]; 4] = [b".", b"12345678", &long, b"last"];
        let mut writer = DirWriter::new(4096);
        for name in names {
            assert_eq!(writer.push(&entry(name)), Ok(true));
        }
        let bytes = writer.into_bytes();
        let parsed: Vec<_> = DirEntries::new(&bytes)
            .map(|entry| entry.unwrap())
            .collect();
        assert_eq!(parsed, names.map(entry));
    }

    #[test]
    fn an_entry_that_does_not_fit_changes_nothing() {
        let mut writer = DirWriter::new(DIR_ENTRY_LEN_MAX);
        assert_eq!(writer.push(&entry(&[b'x'; NAME_LEN_MAX])), Ok(true));
        assert_eq!(writer.push(&entry(b"y")), Ok(false));
        assert_eq!(writer.into_bytes().len(), DIR_ENTRY_LEN_MAX);
    }

    #[test]
    fn impossible_names_are_refused() {
        let long = [b'x'; NAME_LEN_MAX + 1];
        for name in [&b""[..], b"a/b", b"a\0", &long] {
            assert_eq!(DirWriter::new(4096).push(&entry(name)), Err(Errno::EINVAL));
        }
    }

    #[test]
    fn a_malformed_entry_ends_the_walk() {
        let mut writer = DirWriter::new(4096);
        writer.push(&entry(b"name")).unwrap();
        let bytes = writer.into_bytes();
        for len in 1..bytes.len() {
            let all: Vec<_> = DirEntries::new(&bytes[..len]).collect();
            assert_eq!(all, [Err(Errno::EBADMSG)], "{len} bytes");
        }
        for (at, value) in [(16, 0), (18, 0), (18, 255), (24, b'/')] {
            let mut bad = bytes.clone();
            bad[at] = value;
            let all: Vec<_> = DirEntries::new(&bad).collect();
            assert_eq!(all, [Err(Errno::EBADMSG)], "byte {at}");
        }
    }

    #[test]
    fn types_and_modes_convert() {
        for (mode, kind) in [
            (libc::S_IFREG, FileType::Regular),
            (libc::S_IFDIR, FileType::Directory),
            (libc::S_IFLNK, FileType::Symlink),
            (libc::S_IFIFO, FileType::Fifo),
            (libc::S_IFCHR, FileType::Character),
            (libc::S_IFBLK, FileType::Block),
            (libc::S_IFSOCK, FileType::Socket),
        ] {
            assert_eq!(FileType::of_mode(mode | 0o755), kind);
            assert_eq!(kind.mode_bits(), mode);
        }
    }
}
