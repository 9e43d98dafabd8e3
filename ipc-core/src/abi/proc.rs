//! Messages of the process manager: registering prefixes and names, and asking what a node runs.
//!
//! All integers are little-endian and unaligned; reserved fields are zero. A parser works on a private
//! copy of the message, takes nothing on trust and never panics: what is malformed is `EBADMSG`, a
//! type that is not known `ENOSYS`. Paths are resolved by `_IO_CONNECT`, whose format is not here.

mod entries;
mod query;
mod register;

use zerocopy::{FromBytes, Immutable, KnownLayout};

use crate::abi::{Errno, Result};

pub use entries::{BlockState, BlockedEntry, ChannelEntry, CountersEntry, NameEntry, ProcessEntry};
pub use query::{Entry, Page, Query, Table, pack_page, parse_page};
pub use register::{PrefixFlags, Register, RegistrationId, Unregister};

/// The message types of the process manager; below them are those of connect and I/O.
pub mod message_type {
    /// Put a prefix into the pathname space.
    pub const REGISTER: u16 = 0x0200;
    /// Take a prefix out again.
    pub const UNREGISTER: u16 = 0x0201;
    /// Read a table of what the node runs.
    pub const QUERY: u16 = 0x0202;
}

/// The directory below which every user may register.
pub const NAME_ROOT: &str = "/dev/name";
/// Where the names of this node are.
pub const NAME_LOCAL: &str = "/dev/name/local";
/// Where the names that are meant for all nodes are.
pub const NAME_GLOBAL: &str = "/dev/name/global";

/// A message to the process manager that is not a connect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProcMessage<'a> {
    /// [`message_type::REGISTER`]
    Register(Register<'a>),
    /// [`message_type::UNREGISTER`]
    Unregister(Unregister),
    /// [`message_type::QUERY`]
    Query(Query),
}

impl<'a> ProcMessage<'a> {
    /// Reads a message out of a private copy of its bytes.
    ///
    /// # Errors
    /// `ENOSYS` a type that is not the process manager's, `EBADMSG` too short, too long, a reserved
    /// field that is not zero or a value out of its range.
    pub fn parse(bytes: &'a [u8]) -> Result<ProcMessage<'a>> {
        match peek_type(bytes)? {
            message_type::REGISTER => Register::parse(bytes).map(ProcMessage::Register),
            message_type::UNREGISTER => Unregister::parse(bytes).map(ProcMessage::Unregister),
            message_type::QUERY => Query::parse(bytes).map(ProcMessage::Query),
            _ => Err(Errno::ENOSYS),
        }
    }
}

/// The type of any message: its first two bytes.
///
/// # Errors
/// `EBADMSG` when the message is shorter.
pub fn peek_type(bytes: &[u8]) -> Result<u16> {
    let (head, _) = bytes.split_first_chunk::<2>().ok_or(Errno::EBADMSG)?;
    Ok(u16::from_le_bytes(*head))
}

/// Splits a fixed part off the front of a message.
fn split_head<T: FromBytes + KnownLayout + Immutable>(bytes: &[u8]) -> Result<(T, &[u8])> {
    T::read_from_prefix(bytes).map_err(|_| Errno::EBADMSG)
}

/// The next `len` bytes, which must be there.
fn split_bytes(bytes: &[u8], len: usize) -> Result<(&[u8], &[u8])> {
    bytes.split_at_checked(len).ok_or(Errno::EBADMSG)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_message_without_a_type_is_malformed() {
        assert_eq!(ProcMessage::parse(&[]), Err(Errno::EBADMSG));
        assert_eq!(ProcMessage::parse(&[0]), Err(Errno::EBADMSG));
    }

    #[test]
    fn a_type_of_somebody_else_is_not_known() {
        assert_eq!(ProcMessage::parse(&[0, 1, 0, 0]), Err(Errno::ENOSYS));
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_parser_panic(mut bytes in proptest::collection::vec(any::<u8>(), 0..80), kind in 0u16..4) {
            if bytes.len() >= 2 {
                bytes[..2].copy_from_slice(&(message_type::REGISTER + kind).to_le_bytes());
            }
            let _ = ProcMessage::parse(&bytes);
        }
    }
}
