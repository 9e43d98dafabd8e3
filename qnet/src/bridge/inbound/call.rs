//! One message of a remote client, and where its bytes are.

use std::ops::Range;

use ipc_core::{Loan, LoanReply, Token, abi::Tid};
use qnet_proto::{Errno, InboundCall, InboundConn};

use crate::{
    bridge::inbound::staging::Staged,
    limits::{REPLY_COPIED_LEN_MAX, SMALL_LEN_MAX},
};

/// A message of a remote client, until its answer is known to have arrived.
pub(super) struct Call {
    pub(super) conn: InboundConn,
    pub(super) len: usize,
    pub(super) reply_len: usize,
    pub(super) priority: u8,
    pub(super) tid: Tid,
    pub(super) place: Place,
    /// What its answer comes back under.
    pub(super) token: Token,
    /// Pulses of the connection that the server gets before it.
    pub(super) pulses: u64,
    /// The remote client wants to know when the server receives it.
    pub(super) reports: bool,
    /// All bytes are there.
    pub(super) arrived: bool,
    /// The remote client wants out, and this is what it gets if the server leaves that to it.
    pub(super) cancel: Option<Errno>,
}

/// Where the bytes of a message, or of its reply, are.
pub(super) enum Place {
    /// The first bytes, as many as come unasked.
    Staged(Staged),
    /// All of a small message, which needs no buffer.
    Small([u8; SMALL_LEN_MAX]),
    /// In the region of the connection.
    Loaned(Loan),
    /// With the server.
    Submitted,
    /// The server's reply, until it is known to have arrived.
    Answered(Answer),
}

impl Call {
    /// Whether both came through one connection, from one thread at one priority.
    pub(super) fn is_like(&self, other: &Call) -> bool {
        (self.conn, self.priority, self.tid) == (other.conn, other.priority, other.tid)
    }

    /// Bytes that it takes of its connection's region.
    pub(super) fn lent_len(&self) -> usize {
        lent_len(self.len, self.reply_len)
    }

    /// All of a small message, while it is kept by itself.
    pub(super) fn small(&self) -> Option<&[u8]> {
        match &self.place {
            Place::Small(bytes) => Some(&bytes[..self.len]),
            _ => None,
        }
    }
}

/// Bytes that a message of `len` bytes and its answer take of a region. Short ones take little, or nothing, and are so
/// many that it pays not to count them.
pub(super) fn lent_len(len: usize, reply_len: usize) -> usize {
    let counted = |len, least| if len > least { len } else { 0 };
    counted(len, SMALL_LEN_MAX) + counted(reply_len, REPLY_COPIED_LEN_MAX)
}

impl Place {
    /// Whether the message has not been handed to the server, nor answered.
    pub(super) fn waits(&self) -> bool {
        matches!(self, Place::Staged(_) | Place::Small(_) | Place::Loaned(_))
    }
}

/// The bytes of a reply.
pub(super) enum Answer {
    /// There are none: an error, or an empty reply.
    Empty,
    /// Copied out of the region, so that the next message has the place at once and not only when the reply
    /// is known to have arrived.
    Copied(Vec<u8>),
    /// In the region of the connection.
    Kept(LoanReply),
}

impl Answer {
    /// Takes a reply over whose bytes end at `end`.
    pub(super) fn new(reply: LoanReply, end: usize) -> Answer {
        match end {
            0 => Answer::Empty,
            1..=REPLY_COPIED_LEN_MAX => {
                let mut bytes = vec![0; end];
                reply.read(0, &mut bytes);
                Answer::Copied(bytes)
            }
            _ => Answer::Kept(reply),
        }
    }

    /// Copies bytes of it; answers how many there were.
    pub(super) fn read(&self, offset: usize, into: &mut [u8]) -> usize {
        match self {
            Answer::Empty => 0,
            Answer::Copied(bytes) => {
                let bytes = bytes.get(offset..).unwrap_or_default();
                let len = bytes.len().min(into.len());
                into[..len].copy_from_slice(&bytes[..len]);
                len
            }
            Answer::Kept(reply) => reply.read(offset, into),
        }
    }
}

/// The token under which a call's answer comes back: index and generation.
pub(super) fn token(id: InboundCall) -> Token {
    u64::from(id.generation()) << 32 | id.index() as u64
}

pub(super) fn index(token: Token) -> usize {
    token as u32 as usize
}

/// What the server put into the reply buffer: what it replied, from the start, and what it wrote before.
/// The lengths are its own word and bounded here.
pub(super) fn extents(reply: &LoanReply, reply_len: usize) -> Extents {
    let (replied, written) = reply.extents();
    join(replied.min(reply_len), written.0, written.1.min(reply_len))
}

/// None, one or two extents, sorted and disjoint; none of them is empty.
#[derive(Debug)]
pub(super) struct Extents {
    both: [Range<u32>; 2],
    present: Range<usize>,
}

impl Extents {
    pub(super) fn as_slice(&self) -> &[Range<u32>] {
        &self.both[self.present.clone()]
    }
}

/// The first `replied` bytes, and those from `start` to `end`.
fn join(replied: usize, start: usize, end: usize) -> Extents {
    let (replied, start, end) = (replied as u32, start as u32, end as u32);
    let both = match () {
        () if start >= end => [0..replied, 0..0],
        () if start <= replied => [0..replied.max(end), 0..0],
        () => [0..replied, start..end],
    };
    let from = usize::from(both[0].is_empty());
    let to = 2 - usize::from(both[1].is_empty());
    Extents {
        present: from..to.max(from),
        both,
    }
}

#[cfg(test)]
#[allow(
    clippy::single_range_in_vec_init,
    reason = "one extent is meant, not its numbers"
)]
mod tests {
    use super::*;

    #[test]
    fn a_copied_answer_is_read_within_its_bounds() {
        let answer = Answer::Copied(vec![1, 2, 3]);
        let mut into = [9; 4];
        assert_eq!((answer.read(1, &mut into), into), (2, [2, 3, 9, 9]));
        assert_eq!(answer.read(4, &mut into), 0);
        assert_eq!(Answer::Empty.read(0, &mut into), 0);
    }

    // covers: RPL-4
    #[test]
    fn what_was_replied_and_what_was_written_before_go_out_once() {
        let join = |replied, start, end| join(replied, start, end).as_slice().to_vec();
        assert_eq!(join(0, 0, 0), []);
        assert_eq!(join(5, 0, 0), [0..5]);
        assert_eq!(join(0, 0, 7), [0..7]);
        assert_eq!(join(0, 3, 7), [3..7]);
        assert_eq!(join(3, 3, 7), [0..7]);
        assert_eq!(join(9, 3, 7), [0..9]);
        assert_eq!(join(2, 3, 7), [0..2, 3..7]);
        assert_eq!(join(2, 9, 7), [0..2], "a hostile server's range");
    }
}
