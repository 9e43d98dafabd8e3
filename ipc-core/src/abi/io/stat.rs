//! What is known of a file: the answer to a stat message.

use zerocopy::little_endian::{I64, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::FileType;
use super::wire::take;
use crate::abi::{Errno, Result};

/// A time since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct TimeSpec {
    /// Whole seconds, negative before 1970.
    pub seconds: i64,
    /// Nanoseconds into the second, 0..1_000_000_000.
    pub nanoseconds: u32,
}

/// A file's attributes, numbered as Linux numbers them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Stat {
    /// The device or tree the file is on: as its server numbers it, 0 where that is the server itself; to a client, as
    /// its own node numbers it (PTH-8).
    pub dev: u64,
    /// The file's number, unique within `dev`.
    pub ino: u64,
    /// File type and permission bits.
    pub mode: u32,
    /// Names of the file.
    pub nlink: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// The device a device file stands for.
    pub rdev: u64,
    /// Bytes.
    pub size: u64,
    /// Bytes that one read or write best moves.
    pub blksize: u32,
    /// 512-byte blocks that are allocated.
    pub blocks: u64,
    /// Last read.
    pub atime: TimeSpec,
    /// Last write.
    pub mtime: TimeSpec,
    /// Last change of attributes.
    pub ctime: TimeSpec,
}

/// How a [`Stat`] stands in a reply.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct StatLayout {
    dev: U64,
    ino: U64,
    mode: U32,
    nlink: U32,
    uid: U32,
    gid: U32,
    rdev: U64,
    size: U64,
    blocks: U64,
    blksize: U32,
    /// Of this format: 1.
    version: U32,
    seconds: [I64; 3],
    nanoseconds: [U32; 3],
    reserved: U32,
}

const _: () = assert!(size_of::<StatLayout>() == Stat::LEN);
const _: () = assert!(std::mem::offset_of!(StatLayout, rdev) == 32);
const _: () = assert!(std::mem::offset_of!(StatLayout, seconds) == 64);

impl Stat {
    /// Bytes of the format.
    pub const LEN: usize = 104;

    /// The type bits of the mode.
    pub fn file_type(&self) -> FileType {
        FileType::of_mode(self.mode)
    }

    /// Whether it is a directory.
    pub fn is_dir(&self) -> bool {
        self.file_type() == FileType::Directory
    }

    /// The reply's bytes.
    pub fn encode(&self) -> [u8; Stat::LEN] {
        let times = [self.atime, self.mtime, self.ctime];
        let layout = StatLayout {
            dev: self.dev.into(),
            ino: self.ino.into(),
            mode: self.mode.into(),
            nlink: self.nlink.into(),
            uid: self.uid.into(),
            gid: self.gid.into(),
            rdev: self.rdev.into(),
            size: self.size.into(),
            blocks: self.blocks.into(),
            blksize: self.blksize.into(),
            version: 1.into(),
            seconds: times.map(|time| time.seconds.into()),
            nanoseconds: times.map(|time| time.nanoseconds.into()),
            reserved: 0.into(),
        };
        let mut bytes = [0; Stat::LEN];
        bytes.copy_from_slice(layout.as_bytes());
        bytes
    }

    /// Reads the attributes off the front of a private copy of a reply's bytes, which may go on with the
    /// answers of further combined parts.
    ///
    /// # Errors
    /// `EBADMSG` for bytes that no encoder makes.
    pub fn parse(bytes: &[u8]) -> Result<Stat> {
        let (layout, _) = take::<StatLayout>(bytes)?;
        let nanoseconds_fit = layout
            .nanoseconds
            .iter()
            .all(|part| part.get() < 1_000_000_000);
        if layout.version.get() != 1 || layout.reserved.get() != 0 || !nanoseconds_fit {
            return Err(Errno::EBADMSG);
        }
        let time = |which: usize| TimeSpec {
            seconds: layout.seconds[which].get(),
            nanoseconds: layout.nanoseconds[which].get(),
        };
        Ok(Stat {
            dev: layout.dev.get(),
            ino: layout.ino.get(),
            mode: layout.mode.get(),
            nlink: layout.nlink.get(),
            uid: layout.uid.get(),
            gid: layout.gid.get(),
            rdev: layout.rdev.get(),
            size: layout.size.get(),
            blksize: layout.blksize.get(),
            blocks: layout.blocks.get(),
            atime: time(0),
            mtime: time(1),
            ctime: time(2),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn example() -> Stat {
        Stat {
            dev: 1,
            ino: 2,
            mode: 0o100_644,
            nlink: 3,
            uid: 4,
            gid: 5,
            rdev: 6,
            size: 7 << 40,
            blksize: 8,
            blocks: 9,
            atime: TimeSpec {
                seconds: -1,
                nanoseconds: 999_999_999,
            },
            mtime: TimeSpec {
                seconds: 11,
                nanoseconds: 12,
            },
            ctime: TimeSpec {
                seconds: 13,
                nanoseconds: 14,
            },
        }
    }

    #[test]
    fn attributes_are_parsed_back_also_with_more_behind() {
        let mut bytes = example().encode().to_vec();
        assert_eq!(Stat::parse(&bytes), Ok(example()));
        bytes.extend_from_slice(b"more");
        assert_eq!(Stat::parse(&bytes), Ok(example()));
        assert!(!example().is_dir());
    }

    #[test]
    fn short_or_impossible_attributes_are_refused() {
        let bytes = example().encode();
        assert_eq!(Stat::parse(&bytes[..Stat::LEN - 1]), Err(Errno::EBADMSG));
        let mut bad = bytes;
        bad[60] = 9;
        assert_eq!(Stat::parse(&bad), Err(Errno::EBADMSG));
        let mut bad = bytes;
        bad[88..92].fill(0xff);
        assert_eq!(Stat::parse(&bad), Err(Errno::EBADMSG));
    }
}
