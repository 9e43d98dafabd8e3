//! What is known of the file system that a file is on: the answer to the command [`DCMD_FSYS_STATVFS`].

use zerocopy::little_endian::{U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::wire::{len_u32, take};
use super::{DevctlAnswer, Io};
use crate::abi::limits::NAME_LEN_MAX;
use crate::abi::{Errno, Result};

/// The device command that every file answers, with a [`StatVfs`]. Numbered as Neutrino numbers commands: that bytes
/// come back, how many, of which class (2, file systems) the command is and which of them.
pub const DCMD_FSYS_STATVFS: u32 = 1 << 30 | (StatVfs::LEN as u32) << 16 | 2 << 8 | 13;

/// The room and the limits of a file system, as `statvfs` has them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StatVfs {
    /// Bytes that one read or write best moves.
    pub block_len: u64,
    /// Bytes of each of the blocks that are counted.
    pub fragment_len: u64,
    /// Blocks there are; 0 where files take no room.
    pub blocks: u64,
    /// Blocks that are free.
    pub blocks_free: u64,
    /// Blocks that are free for everybody, not for the system's administrator alone.
    pub blocks_available: u64,
    /// Files that there can be; 0 where they are not counted.
    pub files: u64,
    /// Files that can still be made.
    pub files_free: u64,
    /// Files that everybody can still make.
    pub files_available: u64,
    /// What tells it from other file systems: as its server numbers them, 0 where that has only one; to a client, as
    /// its own node numbers them (PTH-8).
    pub id: u64,
    /// The `ST_` bits of Linux's statvfs(3): 1 for one that is read only.
    pub flags: u64,
    /// Bytes of the longest name.
    pub name_len_max: u32,
}

/// How a [`StatVfs`] stands in a reply.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct StatVfsLayout {
    block_len: U64,
    fragment_len: U64,
    blocks: [U64; 3],
    files: [U64; 3],
    id: U64,
    flags: U64,
    name_len_max: U32,
    /// Of this format: 1.
    version: U32,
}

const _: () = assert!(size_of::<StatVfsLayout>() == StatVfs::LEN);
const _: () = assert!(std::mem::offset_of!(StatVfsLayout, id) == 64);
const _: () = assert!(StatVfs::LEN < 1 << 14, "it stands in 14 bits of a command");

impl StatVfs {
    /// Bytes of the format.
    pub const LEN: usize = 88;
    /// Bytes of the answer to the command: the format behind a [`DevctlAnswer`].
    pub const ANSWER_LEN: usize = DevctlAnswer::LEN + StatVfs::LEN;

    /// The message that asks for it.
    pub const MESSAGE: Io = Io::Devctl {
        command: DCMD_FSYS_STATVFS,
        len: 0,
        reply_len: StatVfs::LEN as u32,
    };

    /// A file system whose files take no room that anybody counts, as those of devices and statistics.
    pub const WITHOUT_BLOCKS: StatVfs = StatVfs {
        block_len: 4096,
        fragment_len: 4096,
        blocks: 0,
        blocks_free: 0,
        blocks_available: 0,
        files: 0,
        files_free: 0,
        files_available: 0,
        id: 0,
        flags: 0,
        name_len_max: NAME_LEN_MAX as u32,
    };

    /// The bytes of the answer.
    pub fn encode(&self) -> [u8; StatVfs::ANSWER_LEN] {
        let counts = |counts: [u64; 3]| counts.map(U64::new);
        let layout = StatVfsLayout {
            block_len: self.block_len.into(),
            fragment_len: self.fragment_len.into(),
            blocks: counts([self.blocks, self.blocks_free, self.blocks_available]),
            files: counts([self.files, self.files_free, self.files_available]),
            id: self.id.into(),
            flags: self.flags.into(),
            name_len_max: self.name_len_max.into(),
            version: 1.into(),
        };
        let answer = DevctlAnswer {
            result: 0,
            len: len_u32(StatVfs::LEN),
        };
        let mut bytes = [0; StatVfs::ANSWER_LEN];
        let (front, rest) = bytes.split_at_mut(DevctlAnswer::LEN);
        front.copy_from_slice(&answer.encode());
        rest.copy_from_slice(layout.as_bytes());
        bytes
    }

    /// Reads a private copy of the answer's bytes.
    ///
    /// # Errors
    /// `EBADMSG` for bytes that no encoder makes.
    pub fn parse(bytes: &[u8]) -> Result<StatVfs> {
        let (answer, bytes) = DevctlAnswer::parse(bytes)?;
        let (layout, rest) = take::<StatVfsLayout>(bytes)?;
        if answer.result != 0 || !rest.is_empty() || layout.version.get() != 1 {
            return Err(Errno::EBADMSG);
        }
        let [blocks, blocks_free, blocks_available] = layout.blocks.map(U64::get);
        let [files, files_free, files_available] = layout.files.map(U64::get);
        Ok(StatVfs {
            block_len: layout.block_len.get(),
            fragment_len: layout.fragment_len.get(),
            blocks,
            blocks_free,
            blocks_available,
            files,
            files_free,
            files_available,
            id: layout.id.get(),
            flags: layout.flags.get(),
            name_len_max: layout.name_len_max.get(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_known_of_a_file_system_is_parsed_back() {
        let known = StatVfs {
            block_len: 1 << 12,
            fragment_len: 1 << 9,
            blocks: 7 << 40,
            blocks_free: 6,
            blocks_available: 5,
            files: 4,
            files_free: 3,
            files_available: 2,
            id: u64::MAX,
            flags: 1,
            name_len_max: 255,
        };
        let bytes = known.encode();
        assert_eq!(StatVfs::parse(&bytes), Ok(known));
        assert_eq!(
            StatVfs::parse(&StatVfs::WITHOUT_BLOCKS.encode()),
            Ok(StatVfs::WITHOUT_BLOCKS)
        );
        for len in 0..bytes.len() {
            assert_eq!(StatVfs::parse(&bytes[..len]), Err(Errno::EBADMSG), "{len}");
        }
    }

    #[test]
    fn bytes_that_no_encoder_makes_are_refused() {
        let bytes = StatVfs::WITHOUT_BLOCKS.encode();
        let version_at = bytes.len() - 4;
        // The command's own result, the length that follows, the version.
        for at in [0, 4, version_at] {
            let mut wrong = bytes;
            wrong[at] ^= 0xf;
            assert_eq!(StatVfs::parse(&wrong), Err(Errno::EBADMSG), "{at}");
        }
    }
}
