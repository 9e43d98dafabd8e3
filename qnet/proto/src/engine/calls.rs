//! Calls in progress, on the client's node and on the server's.

use super::chain::{Chained, Link};
use super::ranges::RangeSet;
use super::stream::Stream;
use super::{Cancel, LinkPolicy, Outgoing};
use crate::limits::EAGER_LEN;
use crate::{Errno, InboundConn, InboundRun, OutboundConn, PeerId};

/// A message of a local client.
pub(super) struct OutCall {
    pub(super) peer: PeerId,
    pub(super) conn: OutboundConn,
    /// Its place among the calls of its connection.
    pub(super) link: Link,
    /// The links it may take.
    pub(super) policy: LinkPolicy,
    /// Its number in the session, from the first transmission on.
    pub(super) id: Option<u64>,
    pub(super) outgoing: Outgoing,
    /// Pulses of the connection that were sent before it.
    pub(super) pulses: u64,
    /// Its client knows that the server has received it, or does not want to.
    pub(super) is_reported: bool,
    pub(super) message: Stream,
    /// Bytes of the reply that are in place.
    pub(super) placed: RangeSet,
    /// Status, length, and bytes to come in all; known when the head of the reply came.
    pub(super) reply: Option<(i64, u32, u32)>,
}

impl OutCall {
    pub(super) fn new(
        peer: PeerId,
        conn: OutboundConn,
        policy: LinkPolicy,
        outgoing: Outgoing,
        pulses: u64,
        unasked_len: usize,
    ) -> OutCall {
        let message = Stream::message(outgoing.len, EAGER_LEN as u32, unasked_len as u32);
        OutCall {
            peer,
            conn,
            link: Link::default(),
            policy,
            id: None,
            outgoing,
            pulses,
            is_reported: !outgoing.reports,
            message,
            placed: RangeSet::default(),
            reply: None,
        }
    }

    /// Status and length of the reply, if all of it is in place.
    pub(super) fn outcome(&self) -> Option<(i64, u32)> {
        let (status, len, sent_len) = self.reply?;
        (self.placed.len() >= sent_len).then_some((status, len))
    }
}

impl Chained for OutCall {
    fn link(&mut self) -> &mut Link {
        &mut self.link
    }

    fn older(&self) -> u32 {
        self.link.older()
    }
}

/// A message of a remote client.
pub(super) struct InCall {
    pub(super) peer: PeerId,
    pub(super) conn: InboundConn,
    /// Its place among the calls of its connection.
    pub(super) link: Link,
    /// The links its answer may take.
    pub(super) back: LinkPolicy,
    pub(super) id: u64,
    pub(super) len: u32,
    pub(super) reply_len: u32,
    /// Bytes of the message that are in place.
    pub(super) placed: RangeSet,
    /// Whether all of them are, and the caller was told.
    pub(super) has_arrived: bool,
    /// Bytes at and above this offset were not granted.
    pub(super) limit: u32,
    /// Whether it stands in the line for a grant.
    pub(super) waits_for_grant: bool,
    /// Whether the holder knows the call: it was not refused.
    pub(super) is_accepted: bool,
    /// Whether its client wants to know when the server receives it.
    pub(super) reports: bool,
    /// Which message of a run it was before it was taken out.
    pub(super) run: Option<(InboundRun, u32)>,
    /// The last cancel that was passed on.
    pub(super) cancel: Option<Cancel>,
    pub(super) answer: Option<Answer>,
}

/// A reply or an error on its way.
pub(super) struct Answer {
    pub(super) outcome: Result<i64, Errno>,
    /// Where the last extent ends.
    pub(super) len: u32,
    pub(super) bytes: Stream,
}

impl Answer {
    /// Whether it says no more than that the call is over: status 0, no bytes, nothing sent yet.
    pub(super) fn is_bare(&self) -> bool {
        self.outcome == Ok(0)
            && self.len == 0
            && self.bytes.sent_len() == 0
            && self.bytes.is_head_pending()
    }

    pub(super) fn error(errno: Errno) -> Answer {
        Answer {
            outcome: Err(errno),
            len: 0,
            bytes: Stream::reply(&[]),
        }
    }
}

impl Chained for InCall {
    fn link(&mut self) -> &mut Link {
        &mut self.link
    }

    fn older(&self) -> u32 {
        self.link.older()
    }
}

impl InCall {
    /// Bytes that were granted and have not all arrived, beyond what may come unasked.
    pub(super) fn granted_len(&self) -> u64 {
        if self.limit as usize > EAGER_LEN && !self.has_arrived {
            u64::from(self.limit)
        } else {
            0
        }
    }
}
