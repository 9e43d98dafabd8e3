//! I/O messages: what is said over a connection that an open has made a file.
//!
//! Every I/O message is one 32-byte header, some with a payload behind it. What the fields of the header
//! mean is the type's business and stands in one place, [`Io::fields`]; a field that a type does not use
//! is zero. Messages may be combined: `combine_len`, where not 0, is where the next one starts, counted
//! from this header (RMG-3).

use zerocopy::little_endian::{I32, U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::TimeSpec;
use super::wire::{index, len_u32, take};
use crate::abi::limits::MSG_LEN_MAX;
use crate::abi::{Coid, Errno, Pid, Result};

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

/// The front of every I/O message.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned,
)]
#[repr(C)]
pub struct IoHeader {
    /// An [`IoType`].
    pub kind: U16,
    /// A variant of the type: how to read, which lock, from where to seek.
    pub subtype: U16,
    /// Where the next combined message starts, from the start of this one; 0 for the last.
    pub combine_len: U32,
    /// A length in bytes.
    pub len: U32,
    /// A small argument.
    pub argument: U32,
    /// An offset or other wide argument.
    pub first: U64,
    /// A second wide argument.
    pub second: U64,
}

/// Bytes of an I/O message's header: where a payload starts.
pub const IO_HEADER_LEN: usize = 32;

const _: () = assert!(size_of::<IoHeader>() == IO_HEADER_LEN);

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

/// An I/O message: how both sides see it.
///
/// The status of the reply is 0 where nothing else is said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Io {
    /// Up to `len` bytes of a file, or as many [`DirEntries`](super::DirEntries) of a directory as fit (its
    /// offsets are the entries' `next`). The status is the bytes replied; 0 at the end.
    Read {
        /// Bytes wanted.
        len: u32,
        /// Which.
        kind: ReadKind,
    },
    /// The `len` bytes behind the header. The status is the bytes written.
    Write {
        /// Bytes of payload.
        len: u32,
        /// Where to.
        kind: ReadKind,
    },
    /// The file's attributes as a [`Stat`](super::Stat).
    Stat,
    /// Which of `events` (the bits of `poll(2)`) hold: the status. With `arm` one event, handed over as
    /// pulse `code` and `value`, follows when one comes to hold.
    Notify {
        /// Bits of `poll(2)`.
        events: u32,
        /// Whether to tell later.
        arm: bool,
        /// Code of the pulse that tells.
        code: u32,
        /// Value of the pulse that tells.
        value: u64,
    },
    /// A command to a device with the `len` bytes behind the header. The reply is a [`DevctlAnswer`] and
    /// what the device answers, up to `reply_len` bytes.
    Devctl {
        /// The command, as the device defines it.
        command: u32,
        /// Bytes of payload.
        len: u32,
        /// Bytes that the client takes back.
        reply_len: u32,
    },
    /// The status is the limit's value.
    Pathconf {
        /// A `_PC_` name.
        name: u32,
    },
    /// Moves the OCB's offset; the status is the new one.
    Lseek {
        /// How far, from `whence`.
        offset: i64,
        /// From where.
        whence: Whence,
    },
    /// Sets permission bits.
    Chmod {
        /// The bits; a file type among them is ignored.
        mode: u32,
    },
    /// Sets owner and group; `None` leaves one.
    Chown {
        /// New owner.
        uid: Option<u32>,
        /// New group.
        gid: Option<u32>,
    },
    /// Sets times.
    Utime {
        /// Of the last read.
        atime: TimeSet,
        /// Of the last write.
        mtime: TimeSet,
    },
    /// Opens the OCB's file again over another connection, with `flags`.
    Openfd {
        /// [`OpenFlags`](super::OpenFlags).
        flags: u32,
        /// The connection that has the file open.
        coid: Coid,
    },
    /// The path that the server knows the OCB by, as the reply's bytes.
    Fdinfo,
    /// Locks a range.
    Lock {
        /// How.
        kind: LockKind,
        /// Whether to wait for it; otherwise EAGAIN.
        wait: bool,
        /// First byte.
        start: u64,
        /// Bytes; 0 to the end of the file, wherever that comes to be.
        len: u64,
    },
    /// Allots or takes away space.
    Space {
        /// Which.
        kind: Space,
        /// First byte of the range; 0 for a truncate.
        start: u64,
        /// Bytes of the range, or the file's new size.
        len: u64,
    },
    /// Ends one or both directions of a socket-like file.
    Shutdown {
        /// 0 reading, 1 writing, 2 both.
        how: u32,
    },
    /// Asks whether the file may be mapped.
    Mmap {
        /// `PROT_` bits.
        protection: u32,
        /// First byte.
        offset: u64,
    },
    /// Anything that a server and its clients have agreed on; `len` bytes behind the header.
    Msg {
        /// Whose messages these are.
        manager: u32,
        /// Which of them.
        number: u16,
        /// Bytes of payload.
        len: u32,
    },
    /// Binds this connection to the OCB that another one of the client has (RMG-2).
    Dup {
        /// The process that has it; [`Pid::SELF`] for the sender.
        pid: Pid,
        /// That process's connection.
        coid: Coid,
    },
    /// The connection is no longer the file; the last one to close closes the OCB. A write error that
    /// only shows now is the answer.
    Close,
    /// Everything written is on the device when the answer comes.
    Sync {
        /// Without attributes that are not needed to read the data back.
        data_only: bool,
    },
    /// Power management, as the device defines it.
    Power {
        /// The mode asked for.
        mode: u32,
    },
}

/// The fields of a header that have a meaning to the type.
#[derive(Clone, Copy, Default)]
struct Fields {
    subtype: u16,
    len: u32,
    argument: u32,
    first: u64,
    second: u64,
}

impl Io {
    /// The message's type.
    pub fn io_type(&self) -> IoType {
        match self {
            Io::Read { .. } => IoType::Read,
            Io::Write { .. } => IoType::Write,
            Io::Stat => IoType::Stat,
            Io::Notify { .. } => IoType::Notify,
            Io::Devctl { .. } => IoType::Devctl,
            Io::Pathconf { .. } => IoType::Pathconf,
            Io::Lseek { .. } => IoType::Lseek,
            Io::Chmod { .. } => IoType::Chmod,
            Io::Chown { .. } => IoType::Chown,
            Io::Utime { .. } => IoType::Utime,
            Io::Openfd { .. } => IoType::Openfd,
            Io::Fdinfo => IoType::Fdinfo,
            Io::Lock { .. } => IoType::Lock,
            Io::Space { .. } => IoType::Space,
            Io::Shutdown { .. } => IoType::Shutdown,
            Io::Mmap { .. } => IoType::Mmap,
            Io::Msg { .. } => IoType::Msg,
            Io::Dup { .. } => IoType::Dup,
            Io::Close => IoType::Close,
            Io::Sync { .. } => IoType::Sync,
            Io::Power { .. } => IoType::Power,
        }
    }

    /// Bytes behind the header that belong to the message.
    pub fn payload_len(&self) -> usize {
        match *self {
            Io::Write { len, .. } | Io::Devctl { len, .. } | Io::Msg { len, .. } => index(len),
            _ => 0,
        }
    }

    /// The header alone; the payload, if any, goes behind it.
    pub fn encode(&self) -> [u8; IO_HEADER_LEN] {
        self.encode_combined(0)
    }

    fn encode_combined(&self, combine_len: u32) -> [u8; IO_HEADER_LEN] {
        zerocopy::transmute!(self.header(combine_len))
    }

    fn header(&self, combine_len: u32) -> IoHeader {
        let fields = self.fields();
        IoHeader {
            kind: (self.io_type() as u16).into(),
            subtype: fields.subtype.into(),
            combine_len: combine_len.into(),
            len: fields.len.into(),
            argument: fields.argument.into(),
            first: fields.first.into(),
            second: fields.second.into(),
        }
    }

    /// What each field of the header means to each type. Its inverse is [`Io::from_header`].
    fn fields(&self) -> Fields {
        let none = Fields::default();
        match *self {
            Io::Read { len, kind } | Io::Write { len, kind } => match kind {
                ReadKind::Next => Fields { len, ..none },
                ReadKind::At(offset) => Fields {
                    subtype: 1,
                    len,
                    first: offset,
                    ..none
                },
            },
            Io::Notify {
                events,
                arm,
                code,
                value,
            } => Fields {
                subtype: arm.into(),
                len: code,
                argument: events,
                first: value,
                ..none
            },
            Io::Devctl {
                command,
                len,
                reply_len,
            } => Fields {
                len,
                argument: command,
                first: reply_len.into(),
                ..none
            },
            Io::Pathconf { name } => Fields {
                argument: name,
                ..none
            },
            Io::Lseek { offset, whence } => Fields {
                subtype: whence as u16,
                first: offset.cast_unsigned(),
                ..none
            },
            Io::Chmod { mode } | Io::Power { mode } => Fields {
                argument: mode,
                ..none
            },
            Io::Chown { uid, gid } => {
                let (uid_set, uid) = optional(uid);
                let (gid_set, gid) = optional(gid);
                Fields {
                    subtype: uid_set | gid_set << 1,
                    len: gid,
                    argument: uid,
                    ..none
                }
            }
            Io::Utime { atime, mtime } => {
                let (atime_kind, atime) = time_fields(atime);
                let (mtime_kind, mtime) = time_fields(mtime);
                Fields {
                    subtype: atime_kind | mtime_kind << 2,
                    len: atime.nanoseconds,
                    argument: mtime.nanoseconds,
                    first: atime.seconds.cast_unsigned(),
                    second: mtime.seconds.cast_unsigned(),
                }
            }
            Io::Openfd { flags, coid } => Fields {
                argument: flags,
                first: coid.0.cast_unsigned().into(),
                ..none
            },
            Io::Lock {
                kind,
                wait,
                start,
                len,
            } => Fields {
                subtype: kind as u16,
                argument: wait.into(),
                first: start,
                second: len,
                ..none
            },
            Io::Space { kind, start, len } => Fields {
                subtype: kind as u16,
                first: start,
                second: len,
                ..none
            },
            Io::Shutdown { how } => Fields {
                argument: how,
                ..none
            },
            Io::Mmap { protection, offset } => Fields {
                argument: protection,
                first: offset,
                ..none
            },
            Io::Msg {
                manager,
                number,
                len,
            } => Fields {
                subtype: number,
                len,
                argument: manager,
                ..none
            },
            Io::Dup { pid, coid } => Fields {
                first: pid.0.cast_unsigned().into(),
                second: coid.0.cast_unsigned().into(),
                ..none
            },
            Io::Sync { data_only } => Fields {
                argument: data_only.into(),
                ..none
            },
            Io::Stat | Io::Fdinfo | Io::Close => none,
        }
    }

    fn from_header(header: &IoHeader) -> Result<Io> {
        let (subtype, len, argument) = (
            header.subtype.get(),
            header.len.get(),
            header.argument.get(),
        );
        let (first, second) = (header.first.get(), header.second.get());
        let kind = if subtype == 1 {
            ReadKind::At(first)
        } else {
            ReadKind::Next
        };
        Ok(match IoType::from_number(header.kind.get())? {
            IoType::Read => Io::Read { len, kind },
            IoType::Write => Io::Write { len, kind },
            IoType::Stat => Io::Stat,
            IoType::Notify => Io::Notify {
                events: argument,
                arm: subtype == 1,
                code: len,
                value: first,
            },
            IoType::Devctl => Io::Devctl {
                command: argument,
                len,
                reply_len: narrow(first)?,
            },
            IoType::Pathconf => Io::Pathconf { name: argument },
            IoType::Lseek => Io::Lseek {
                offset: first.cast_signed(),
                whence: Whence::from_number(subtype)?,
            },
            IoType::Chmod => Io::Chmod { mode: argument },
            IoType::Chown => Io::Chown {
                uid: (subtype & 1 != 0).then_some(argument),
                gid: (subtype & 2 != 0).then_some(len),
            },
            IoType::Utime => Io::Utime {
                atime: time_from(subtype & 3, first, len)?,
                mtime: time_from(subtype >> 2, second, argument)?,
            },
            IoType::Openfd => Io::Openfd {
                flags: argument,
                coid: Coid(narrow(first)?.cast_signed()),
            },
            IoType::Fdinfo => Io::Fdinfo,
            IoType::Lock => Io::Lock {
                kind: LockKind::from_number(subtype)?,
                wait: argument == 1,
                start: first,
                len: second,
            },
            IoType::Space => Io::Space {
                kind: Space::from_number(subtype)?,
                start: first,
                len: second,
            },
            IoType::Shutdown => Io::Shutdown { how: argument },
            IoType::Mmap => Io::Mmap {
                protection: argument,
                offset: first,
            },
            IoType::Msg => Io::Msg {
                manager: argument,
                number: subtype,
                len,
            },
            IoType::Dup => Io::Dup {
                pid: Pid(narrow(first)?.cast_signed()),
                coid: Coid(narrow(second)?.cast_signed()),
            },
            IoType::Close => Io::Close,
            IoType::Sync => Io::Sync {
                data_only: argument == 1,
            },
            IoType::Power => Io::Power { mode: argument },
        })
    }
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
    fn from_number(number: u16) -> Result<LockKind> {
        [LockKind::Unlock, LockKind::Shared, LockKind::Exclusive]
            .get(usize::from(number))
            .copied()
            .ok_or(Errno::EINVAL)
    }
}

impl Space {
    fn from_number(number: u16) -> Result<Space> {
        [Space::Truncate, Space::Allocate]
            .get(usize::from(number))
            .copied()
            .ok_or(Errno::EINVAL)
    }
}

fn optional(value: Option<u32>) -> (u16, u32) {
    (value.is_some().into(), value.unwrap_or_default())
}

fn narrow(wide: u64) -> Result<u32> {
    u32::try_from(wide).map_err(|_| Errno::EBADMSG)
}

fn time_fields(time: TimeSet) -> (u16, TimeSpec) {
    match time {
        TimeSet::Omit => (0, TimeSpec::default()),
        TimeSet::Now => (1, TimeSpec::default()),
        TimeSet::To(time) => (2, time),
    }
}

fn time_from(kind: u16, seconds: u64, nanoseconds: u32) -> Result<TimeSet> {
    match kind {
        0 => Ok(TimeSet::Omit),
        1 => Ok(TimeSet::Now),
        2 if nanoseconds < 1_000_000_000 => Ok(TimeSet::To(TimeSpec {
            seconds: seconds.cast_signed(),
            nanoseconds,
        })),
        2 => Err(Errno::EINVAL),
        _ => Err(Errno::EBADMSG),
    }
}

/// One message of a chain, as it was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IoPart {
    /// The message.
    pub message: Io,
    /// Bytes from this header to the next one; `None` for the last.
    pub next: Option<usize>,
}

impl IoPart {
    /// Reads the header at the front of `bytes`, which need not hold the payload: `len` is how many bytes the
    /// client sent from this header on.
    ///
    /// The result proves that payload and next header lie within `len`.
    ///
    /// # Errors
    /// `EBADMSG` for bytes that no encoder makes, `ENOSYS` for a type of later, `EINVAL` for an argument that
    /// is out of its range.
    pub fn parse(bytes: &[u8], len: usize) -> Result<IoPart> {
        let (header, _) = take::<IoHeader>(bytes)?;
        let message = Io::from_header(&header)?;
        let combine_len = header.combine_len.get();
        // Encoding is the only source of valid headers: this refuses every used reserved field at once.
        if message.header(combine_len) != header {
            return Err(Errno::EBADMSG);
        }
        let end = IO_HEADER_LEN.saturating_add(message.payload_len());
        let next = (combine_len != 0).then(|| index(combine_len));
        if end > len || next.is_some_and(|next| next < end || next >= len) {
            return Err(Errno::EBADMSG);
        }
        Ok(IoPart { message, next })
    }
}

/// The bytes of several messages without payload, combined in order; for [`Extra::Combine`] or as one I/O
/// message.
///
/// Their answers stand one after the other in the reply; the status is the last one's. The first that
/// fails ends the chain, and its error is the answer.
///
/// [`Extra::Combine`]: super::Extra::Combine
///
/// # Panics
/// If a message but the last has a payload.
pub fn chain(messages: &[Io]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(messages.len() * IO_HEADER_LEN);
    for (position, message) in messages.iter().enumerate() {
        let last = position + 1 == messages.len();
        assert!(
            last || message.payload_len() == 0,
            "only the last message of a chain may have a payload"
        );
        let combine_len = if last { 0 } else { len_u32(IO_HEADER_LEN) };
        bytes.extend_from_slice(&message.encode_combined(combine_len));
    }
    bytes
}

const _: () = assert!(MSG_LEN_MAX <= u32::MAX as usize);

/// The front of the reply to a devctl; what the device answered follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DevctlAnswer {
    /// The command's own result, beside success or failure of the message.
    pub result: i32,
    /// Bytes that follow.
    pub len: u32,
}

#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct DevctlLayout {
    result: I32,
    len: U32,
}

impl DevctlAnswer {
    /// Bytes of the format.
    pub const LEN: usize = size_of::<DevctlLayout>();

    /// The reply's first bytes.
    pub fn encode(self) -> [u8; DevctlAnswer::LEN] {
        zerocopy::transmute!(DevctlLayout {
            result: self.result.into(),
            len: self.len.into()
        })
    }

    /// Reads the answer and what follows from a private copy of a reply's bytes.
    ///
    /// # Errors
    /// `EBADMSG` if fewer bytes follow than it says.
    pub fn parse(bytes: &[u8]) -> Result<(DevctlAnswer, &[u8])> {
        let (layout, rest) = take::<DevctlLayout>(bytes)?;
        let answer = DevctlAnswer {
            result: layout.result.get(),
            len: layout.len.get(),
        };
        let data = rest.get(..index(answer.len)).ok_or(Errno::EBADMSG)?;
        Ok((answer, data))
    }
}

#[cfg(test)]
#[path = "message_tests.rs"]
mod tests;
