//! Message formats of connect and I/O: what a client's library and a resource manager say to each other.
//!
//! Two families. A *connect* message ([`Connect`], type `0x100`) carries a path and leads to a server; its
//! answer ([`ConnectAnswer`]) is success, a redirect or a symbolic link. An *I/O* message ([`Io`], types
//! `0x101` and up) goes to a server that has answered an open with success, over that same connection.
//!
//! Every format is little endian, of fixed layout, and starts with `u16` type and `u16` subtype. Each type
//! here has an encoder and a parser, so that neither side writes offsets by hand. A parser works on a
//! private copy of the bytes, checks every length, number and reserved field, and answers
//! [`Errno::EBADMSG`](crate::abi::Errno::EBADMSG) for bytes no encoder makes; it never panics.
//!
//! ```text
//! connect:  ConnectHeader (40) | path | extra (other path, link text, or I/O messages of a combine)
//! I/O:      IoHeader (32) | payload (write, devctl, msg) | next part of a combine ...
//! answers:  status >= 0 and bytes; the formats are Redirect, Symlink, Stat, StatVfs, DirEntries, raw data
//! ```
//!
//! Knows no channel, no connection and no path resolution.

mod answer;
mod connect;
mod devctl;
mod dirent;
mod header;
mod io_type;
mod message;
mod open_flags;
mod stat;
mod stat_vfs;
mod wire;

pub use crate::abi::limits::{
    CONNECT_ANSWER_LEN_MAX, CONNECT_LEN_MAX, DIR_ENTRY_LEN_MAX, NODE_NAME_LEN_MAX,
    REDIRECT_SERVERS_MAX,
};
pub use answer::{ConnectAnswer, Redirect, RedirectServer, Symlink};
pub use connect::{CONNECT_TYPE, Connect, ConnectHeader, Extra, Subtype};
pub use devctl::DevctlAnswer;
pub use dirent::{DirEntries, DirEntry, DirWriter, FileType};
pub use header::{IO_HEADER_LEN, IoHeader, IoPart, chain};
pub use io_type::{
    IO_TYPE_FIRST, IO_TYPE_LAST, IoType, LockKind, ReadKind, Space, TimeSet, Whence,
};
pub use message::Io;
pub use open_flags::{Access, OpenFlags};
pub use stat::{Stat, TimeSpec};
pub use stat_vfs::{DCMD_FSYS_STATVFS, StatVfs};

/// Whether a message is a connect or I/O message by its first bytes, and its type.
///
/// `None` for fewer than two bytes.
pub fn message_type(bytes: &[u8]) -> Option<u16> {
    bytes
        .first_chunk::<2>()
        .map(|first| u16::from_le_bytes(*first))
}
