//! How I/O messages stand in bytes.
//!
//! Every I/O message is one 32-byte header, some with a payload behind it. What the fields of the header
//! mean is the type's business and stands in one place, [`Io::fields`]; a field that a type does not use
//! is zero. Messages may be combined: `combine_len`, where not 0, is where the next one starts, counted
//! from this header (RMG-3).

use zerocopy::little_endian::{U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::wire::{index, len_u32, take};
use super::{Io, IoType, LockKind, ReadKind, Space, TimeSet, TimeSpec, Whence};
use crate::abi::{Coid, Errno, Pid, Result};

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
/// fails ends the chain, and its error is the answer; with more than
/// [`COMBINED_MAX`](crate::abi::limits::COMBINED_MAX) that is `EMSGSIZE`, when so many are done.
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

#[cfg(test)]
#[path = "header_tests.rs"]
mod tests;
