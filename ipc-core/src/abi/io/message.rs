//! I/O messages: what is said over a connection that an open has made a file.

use super::wire::index;
use super::{IoType, LockKind, ReadKind, Space, TimeSet, Whence};
use crate::abi::{Coid, Pid};

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
    /// A command to a device with the `len` bytes behind the header. The reply is a [`DevctlAnswer`](super::DevctlAnswer) and
    /// what the device answers, up to `reply_len` bytes. [`DCMD_FSYS_STATVFS`](super::DCMD_FSYS_STATVFS) is one that
    /// every file answers.
    Devctl {
        /// The command, as the device defines it.
        command: u32,
        /// Bytes of payload.
        len: u32,
        /// Bytes that the client takes back behind the `DevctlAnswer`.
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
    /// Locks a range for the OCB: who shares it shares its locks, and they go with it.
    Lock {
        /// How.
        kind: LockKind,
        /// Whether the server may keep the message until the range is free; otherwise, and always if it does not wait
        /// for anybody, EAGAIN.
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
}
