//! Records: what a frame carries.

use super::builder::RecordHeader;
use super::{
    AckRanges, CancelRecord, Connect, DetachRecord, ErrorRecord, Fragment, GrantRecord, Handshake,
    Hello, Malformed, MessageHead, PulseRecord, ReceivedRecord, RepliesRecord, ReplyHead, Reset,
    WhoIs, split, zero,
};

/// The type byte of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum RecordType {
    /// The begin of a message.
    Message = 1,
    /// More bytes of a message.
    MessageFragment = 2,
    /// The begin of a reply.
    Reply = 3,
    /// More bytes of a reply.
    ReplyFragment = 4,
    /// An error in place of a reply.
    Error = 5,
    /// A pulse, to the server or to the client.
    Pulse = 6,
    /// The client wants out, or no longer waits.
    Cancel = 7,
    /// One side of a virtual connection is gone.
    Detach = 8,
    /// The receiver has room for a message.
    Grant = 9,
    /// Ranges of received packets below the run in the header.
    AckRanges = 10,
    /// Asks for an acknowledgement.
    Ping = 11,
    /// Nothing: makes a frame as long as it is to be.
    Pad = 12,
    /// Many calls are answered with nothing.
    Replies = 13,
    /// Several small messages that differ in their bytes alone.
    Messages = 14,
    /// The server has received a message.
    Received = 15,
    /// A node is there.
    Announce = 16,
    /// Who bears this name?
    WhoIs = 17,
    /// The bearer of a name answers.
    IAm = 18,
    /// A node leaves.
    Goodbye = 19,
    /// First message of a handshake.
    Init = 20,
    /// Second message of a handshake.
    InitAck = 21,
    /// Third message of a handshake, the first frame in its session.
    Confirm = 22,
    /// The sender ends the session.
    Bye = 23,
    /// The sender knows no such session, or refuses it.
    Reset = 24,
}

impl RecordType {
    /// Every type, by number.
    pub const ALL: &'static [RecordType] = &[
        RecordType::Message,
        RecordType::MessageFragment,
        RecordType::Reply,
        RecordType::ReplyFragment,
        RecordType::Error,
        RecordType::Pulse,
        RecordType::Cancel,
        RecordType::Detach,
        RecordType::Grant,
        RecordType::AckRanges,
        RecordType::Ping,
        RecordType::Pad,
        RecordType::Replies,
        RecordType::Messages,
        RecordType::Received,
        RecordType::Announce,
        RecordType::WhoIs,
        RecordType::IAm,
        RecordType::Goodbye,
        RecordType::Init,
        RecordType::InitAck,
        RecordType::Confirm,
        RecordType::Bye,
        RecordType::Reset,
    ];
}

/// A record whose format is sound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "each variant is the record type of its name")]
pub enum Record<'a> {
    Message {
        head: MessageHead,
        connect: Option<Connect>,
        bytes: &'a [u8],
    },
    MessageFragment(Fragment<'a>),
    Reply {
        head: ReplyHead,
        bytes: &'a [u8],
    },
    ReplyFragment(Fragment<'a>),
    Error(ErrorRecord),
    Pulse {
        pulse: PulseRecord,
        connect: Option<Connect>,
    },
    Cancel(CancelRecord),
    Detach(DetachRecord),
    Grant(GrantRecord),
    AckRanges(AckRanges<'a>),
    Ping,
    Pad,
    Replies(RepliesRecord),
    /// The head is that of the first; those behind it have the following numbers, and each has `head.len` of the bytes.
    Messages {
        head: MessageHead,
        bytes: &'a [u8],
    },
    Received(ReceivedRecord),
    Announce(Hello),
    WhoIs(WhoIs),
    IAm(Hello),
    Goodbye(Hello),
    Init(Handshake),
    InitAck(Handshake),
    Confirm(Handshake),
    Bye,
    Reset(Reset),
    /// A type this code does not know; to be counted and passed over.
    Unknown(u8),
}

/// The records of a frame, in order. Ends after the first that cannot be told from the next.
#[derive(Clone, Debug)]
pub struct Records<'a> {
    rest: &'a [u8],
}

impl<'a> Records<'a> {
    pub(super) fn new(records: &'a [u8]) -> Records<'a> {
        Records { rest: records }
    }

    fn cut(&mut self) -> Result<(u8, &'a [u8]), Malformed> {
        let (header, rest) = split::<RecordHeader>(self.rest)?;
        zero(header.reserved)?;
        let len = usize::from(header.len.get());
        if len > rest.len() {
            return Err(Malformed::Length);
        }
        let (body, rest) = rest.split_at(len);
        self.rest = rest;
        Ok((header.kind, body))
    }
}

impl<'a> Iterator for Records<'a> {
    type Item = Result<Record<'a>, Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let record = self
            .cut()
            .and_then(|(kind, body)| Record::parse(kind, body));
        if record.is_err() {
            self.rest = &[];
        }
        Some(record)
    }
}

impl<'a> Record<'a> {
    fn parse(kind: u8, body: &'a [u8]) -> Result<Record<'a>, Malformed> {
        const MESSAGE: u8 = RecordType::Message as u8;
        const MESSAGE_FRAGMENT: u8 = RecordType::MessageFragment as u8;
        const REPLY: u8 = RecordType::Reply as u8;
        const REPLY_FRAGMENT: u8 = RecordType::ReplyFragment as u8;
        const ERROR: u8 = RecordType::Error as u8;
        const PULSE: u8 = RecordType::Pulse as u8;
        const CANCEL: u8 = RecordType::Cancel as u8;
        const DETACH: u8 = RecordType::Detach as u8;
        const GRANT: u8 = RecordType::Grant as u8;
        const ACK_RANGES: u8 = RecordType::AckRanges as u8;
        const PING: u8 = RecordType::Ping as u8;
        const PAD: u8 = RecordType::Pad as u8;
        const REPLIES: u8 = RecordType::Replies as u8;
        const MESSAGES: u8 = RecordType::Messages as u8;
        const RECEIVED: u8 = RecordType::Received as u8;
        const ANNOUNCE: u8 = RecordType::Announce as u8;
        const WHO_IS: u8 = RecordType::WhoIs as u8;
        const I_AM: u8 = RecordType::IAm as u8;
        const GOODBYE: u8 = RecordType::Goodbye as u8;
        const INIT: u8 = RecordType::Init as u8;
        const INIT_ACK: u8 = RecordType::InitAck as u8;
        const CONFIRM: u8 = RecordType::Confirm as u8;
        const BYE: u8 = RecordType::Bye as u8;
        const RESET: u8 = RecordType::Reset as u8;
        match kind {
            MESSAGE => MessageHead::parse(body),
            MESSAGE_FRAGMENT => Fragment::parse(body).map(Record::MessageFragment),
            REPLY => ReplyHead::parse(body),
            REPLY_FRAGMENT => Fragment::parse(body).map(Record::ReplyFragment),
            ERROR => ErrorRecord::parse(body).map(Record::Error),
            PULSE => PulseRecord::parse(body),
            CANCEL => CancelRecord::parse(body).map(Record::Cancel),
            DETACH => DetachRecord::parse(body).map(Record::Detach),
            GRANT => GrantRecord::parse(body).map(Record::Grant),
            ACK_RANGES => AckRanges::parse(body).map(Record::AckRanges),
            PING => empty(body, Record::Ping),
            PAD => Ok(Record::Pad),
            REPLIES => RepliesRecord::parse(body).map(Record::Replies),
            MESSAGES => MessageHead::parse_run(body),
            RECEIVED => ReceivedRecord::parse(body).map(Record::Received),
            ANNOUNCE => Hello::parse(body).map(Record::Announce),
            WHO_IS => WhoIs::parse(body).map(Record::WhoIs),
            I_AM => Hello::parse(body).map(Record::IAm),
            GOODBYE => Hello::parse(body).map(Record::Goodbye),
            INIT => Handshake::parse(body).map(Record::Init),
            INIT_ACK => Handshake::parse(body).map(Record::InitAck),
            CONFIRM => Handshake::parse(body).map(Record::Confirm),
            BYE => empty(body, Record::Bye),
            RESET => Reset::parse(body).map(Record::Reset),
            unknown => Ok(Record::Unknown(unknown)),
        }
    }
}

fn empty<'a>(body: &[u8], record: Record<'a>) -> Result<Record<'a>, Malformed> {
    if body.is_empty() {
        Ok(record)
    } else {
        Err(Malformed::Length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_of_types_has_those_that_are_parsed_and_no_others() {
        let is_known = |kind: &u8| !matches!(Record::parse(*kind, &[]), Ok(Record::Unknown(_)));
        let known: Vec<u8> = (0..=u8::MAX).filter(is_known).collect();
        let listed: Vec<u8> = RecordType::ALL.iter().map(|kind| *kind as u8).collect();
        assert_eq!(listed, known);
    }
}
