//! Records on control sockets: attach and its answer, cancel, events, and the status of a process.
//!
//! One record is one SEQPACKET datagram, in the byte order of the machine: it never leaves it. Records
//! are parsed from a private copy; a peer's words are only claims.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::{
    abi::{Errno, EventHandle, Result},
    srr::Wish,
};

const MAGIC: u32 = u32::from_le_bytes(*b"QCTL");
const VERSION: u16 = 1;

const OP_ATTACH: u16 = 1;
const OP_CANCEL: u16 = 2;
const OP_STATUS: u16 = 3;
const OP_EVENT: u16 = 4;
const OP_EVENTS_TAKEN: u16 = 5;

/// Starts every record but the answer to an attach.
#[repr(C)]
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout)]
struct Header {
    magic: u32,
    version: u16,
    op: u16,
}

/// A client wants to attach; its region comes with the record, and then, if `completion_bit` is not
/// [`NO_BIT`], the doorbell of its completion queue.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub(crate) struct Attach {
    /// The server wanted, as the client numbers it; with `SPEAKS_FOR` a server of this node, as the remote client
    /// numbers this node.
    pub(crate) nd: u32,
    pub(crate) pid: i32,
    pub(crate) chid: i32,
    /// What the client calls the connection.
    pub(crate) coid: i32,
    /// [`crate::abi::AttachFlags`].
    pub(crate) flags: u32,
    /// Layout of the region.
    pub(crate) slots: u32,
    pub(crate) arena_len: u32,
    pub(crate) completion_bit: u32,
    /// Whom the client speaks for, with `SPEAKS_FOR`: the remote client as this node knows it.
    pub(crate) for_nd: u32,
    pub(crate) for_pid: i32,
    pub(crate) for_uid: u32,
    pub(crate) for_gid: u32,
}

/// In place of a bit of a completion doorbell: the client has none.
pub(crate) const NO_BIT: u32 = u32::MAX;

/// The answer to [`Attach`]; the doorbell to ring comes with it unless `errno` is set.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub(crate) struct Attached {
    /// 0, or why not.
    pub(crate) errno: i32,
    pub(crate) scoid: i32,
    /// The connection's bit of the doorbell.
    pub(crate) bit: u32,
    /// [`crate::abi::ChannelFlags`] of the channel.
    pub(crate) channel_flags: u32,
}

/// A client that waits for an answer wants out.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub(crate) struct Cancel {
    pub(crate) slot: u32,
    pub(crate) generation: u32,
    wish: u32,
    reserved: u32,
}

/// A record from a client, or, of an event, from a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Record {
    Attach(Attach),
    Cancel(Cancel),
    Status,
    /// The server notifies the client through an event that it registered.
    Event(EventHandle),
    /// The client took so many more of the events that were delivered to it.
    EventsTaken(u32),
}

/// Bytes of an event's record.
pub(crate) const EVENT_LEN: usize = size_of::<Header>() + size_of::<EventHandle>();

impl Cancel {
    pub(crate) fn new(slot: u32, generation: u32, wish: Wish) -> Cancel {
        let wish = match wish {
            Wish::SendBlocked => 1,
            Wish::ReplyBlocked => 2,
            Wish::Both => 3,
        };
        Cancel {
            slot,
            generation,
            wish,
            reserved: 0,
        }
    }

    /// # Errors
    /// `EBADMSG` for a wish that is none.
    pub(crate) fn wish(&self) -> Result<Wish> {
        match self.wish {
            1 => Ok(Wish::SendBlocked),
            2 => Ok(Wish::ReplyBlocked),
            3 => Ok(Wish::Both),
            _ => Err(Errno::EBADMSG),
        }
    }
}

impl Record {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let (op, body): (u16, &[u8]) = match self {
            Record::Attach(attach) => (OP_ATTACH, attach.as_bytes()),
            Record::Cancel(cancel) => (OP_CANCEL, cancel.as_bytes()),
            Record::Status => (OP_STATUS, &[]),
            Record::Event(handle) => (OP_EVENT, handle.as_bytes()),
            Record::EventsTaken(count) => (OP_EVENTS_TAKEN, count.as_bytes()),
        };
        let header = Header {
            magic: MAGIC,
            version: VERSION,
            op,
        };
        [header.as_bytes(), body].concat()
    }

    /// # Errors
    /// `EPROTO` for another version of this library, `EBADMSG` for anything else that is no record.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Record> {
        let (header, body) = Header::read_from_prefix(bytes).map_err(|_| Errno::EBADMSG)?;
        if header.magic != MAGIC {
            return Err(Errno::EBADMSG);
        }
        if header.version != VERSION {
            return Err(Errno::EPROTO);
        }
        match header.op {
            OP_ATTACH => read(body).map(Record::Attach),
            OP_CANCEL => read(body).map(Record::Cancel),
            OP_STATUS if body.is_empty() => Ok(Record::Status),
            OP_EVENT => read(body).map(Record::Event),
            OP_EVENTS_TAKEN => read(body).map(Record::EventsTaken),
            _ => Err(Errno::EBADMSG),
        }
    }
}

fn read<T: FromBytes>(body: &[u8]) -> Result<T> {
    T::read_from_bytes(body).map_err(|_| Errno::EBADMSG)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_parsed_as_encoded() {
        let cancel = Cancel::new(3, 4, Wish::Both);
        let event = Record::Event(EventHandle(5 << 32 | 6));
        assert_eq!(event.encode().len(), EVENT_LEN);
        let taken = Record::EventsTaken(7);
        for record in [Record::Cancel(cancel), Record::Status, event, taken] {
            assert_eq!(Record::parse(&record.encode()), Ok(record));
        }
        assert_eq!(cancel.wish(), Ok(Wish::Both));
    }

    proptest::proptest! {
        #[test]
        fn arbitrary_records_never_panic(bytes in proptest::collection::vec(0_u8.., 0..100), tail in 0_usize..80) {
            let _ = Record::parse(&bytes);
            let mut record = Record::Status.encode();
            record[6] = 1;
            record.resize(8 + tail, 7);
            let _ = Record::parse(&record);
        }
    }
}
