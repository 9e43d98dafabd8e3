//! The types of I/O messages, and the arguments that have a number of their own.

use super::TimeSpec;
use crate::abi::{Errno, Result};

/// The type of an I/O message, in Neutrino's order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u16)]
#[allow(
    missing_docs,
    reason = "each is described at the variant of Io of the same name"
)]
pub enum IoType {
    Read = 0x101,
    Write = 0x102,
    Stat = 0x104,
    Notify = 0x105,
    Devctl = 0x106,
    Pathconf = 0x108,
    Lseek = 0x109,
    Chmod = 0x10a,
    Chown = 0x10b,
    Utime = 0x10c,
    Openfd = 0x10d,
    Fdinfo = 0x10e,
    Lock = 0x10f,
    Space = 0x110,
    Shutdown = 0x111,
    Mmap = 0x112,
    Msg = 0x113,
    Dup = 0x115,
    Close = 0x116,
    Sync = 0x119,
    Power = 0x11a,
}

/// The lowest type that belongs to I/O.
pub const IO_TYPE_FIRST: u16 = 0x101;
/// The highest type that belongs to I/O; messages outside are a server's own.
pub const IO_TYPE_LAST: u16 = 0x1ff;

impl IoType {
    /// Every type, in the order of their numbers.
    pub const ALL: [IoType; 21] = [
        IoType::Read,
        IoType::Write,
        IoType::Stat,
        IoType::Notify,
        IoType::Devctl,
        IoType::Pathconf,
        IoType::Lseek,
        IoType::Chmod,
        IoType::Chown,
        IoType::Utime,
        IoType::Openfd,
        IoType::Fdinfo,
        IoType::Lock,
        IoType::Space,
        IoType::Shutdown,
        IoType::Mmap,
        IoType::Msg,
        IoType::Dup,
        IoType::Close,
        IoType::Sync,
        IoType::Power,
    ];

    /// The type with this number.
    ///
    /// # Errors
    /// `ENOSYS` for a number of I/O that names none, `EBADMSG` for one outside I/O.
    pub fn from_number(number: u16) -> Result<IoType> {
        match Self::ALL.into_iter().find(|kind| *kind as u16 == number) {
            Some(kind) => Ok(kind),
            None if (IO_TYPE_FIRST..=IO_TYPE_LAST).contains(&number) => Err(Errno::ENOSYS),
            None => Err(Errno::EBADMSG),
        }
    }
}

/// From where a seek counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u16)]
pub enum Whence {
    /// From the start.
    Set = 0,
    /// From where the OCB is.
    Current = 1,
    /// From the end.
    End = 2,
    /// To the next byte that holds data.
    Data = 3,
    /// To the next hole.
    Hole = 4,
}

/// Which bytes a read or write moves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ReadKind {
    /// Those at the OCB's offset, which moves on.
    Next,
    /// Those at this offset; the OCB's stays.
    At(u64),
}

/// A time to set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum TimeSet {
    /// Leave it.
    #[default]
    Omit,
    /// The server's time now.
    Now,
    /// This time.
    To(TimeSpec),
}

/// What a lock message asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u16)]
pub enum LockKind {
    /// Give the range back.
    Unlock = 0,
    /// Share it.
    Shared = 1,
    /// Have it alone.
    Exclusive = 2,
    /// Nothing: only say whether it could be shared.
    TestShared = 3,
    /// Nothing: only say whether it could be had alone.
    TestExclusive = 4,
}

/// What a space message asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u16)]
pub enum Space {
    /// The file ends at `len`; what is new reads as zeroes.
    Truncate = 0,
    /// Writes to the range do not fail for want of space.
    Allocate = 1,
}

impl Whence {
    /// The place with this number, which is that of `lseek(2)`.
    ///
    /// # Errors
    /// `EINVAL` for another number.
    pub fn from_number(number: u16) -> Result<Whence> {
        [
            Whence::Set,
            Whence::Current,
            Whence::End,
            Whence::Data,
            Whence::Hole,
        ]
        .get(usize::from(number))
        .copied()
        .ok_or(Errno::EINVAL)
    }
}

impl LockKind {
    pub(super) fn from_number(number: u16) -> Result<LockKind> {
        [
            LockKind::Unlock,
            LockKind::Shared,
            LockKind::Exclusive,
            LockKind::TestShared,
            LockKind::TestExclusive,
        ]
        .get(usize::from(number))
        .copied()
        .ok_or(Errno::EINVAL)
    }
}

impl Space {
    pub(super) fn from_number(number: u16) -> Result<Space> {
        [Space::Truncate, Space::Allocate]
            .get(usize::from(number))
            .copied()
            .ok_or(Errno::EINVAL)
    }
}
