//! Records: section 2.

use crate::alike;
use crate::bytes::{Reader, Writer};
use crate::connect::{CONNECT_FOLLOWS, Connect, put_connect, take_connect};
use crate::hello::{Handshake, Hello, Name, put_name, take_name};

/// Flag of a Message: its client wants to know when the server receives it.
const REPORT: u8 = 0x02;
/// Flag of a Message: how many pulses go before it follows.
const PULSES_FOLLOW: u8 = 0x04;
/// Flag of a Pulse or Detach.
const TO_CLIENT: u8 = 0x02;

/// A record of a frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Record {
    Message {
        call: u64,
        conn: u64,
        len: u32,
        reply_len: u32,
        tid: u32,
        priority: u8,
        reports: bool,
        pulses: u64,
        connect: Option<Connect>,
        bytes: Vec<u8>,
    },
    MessageFragment {
        call: u64,
        offset: u32,
        bytes: Vec<u8>,
    },
    Reply {
        call: u64,
        status: i64,
        len: u32,
        sent_len: u32,
        offset: u32,
        bytes: Vec<u8>,
    },
    ReplyFragment {
        call: u64,
        offset: u32,
        bytes: Vec<u8>,
    },
    Error {
        call: u64,
        errno: u16,
    },
    Pulse {
        conn: u64,
        sequence: u64,
        value: i64,
        code: i8,
        priority: u8,
        to_client: bool,
        connect: Option<Connect>,
    },
    Cancel {
        call: u64,
        kind: CancelKind,
        errno: u16,
    },
    Detach {
        conn: u64,
        errno: u16,
        to_client: bool,
    },
    Grant {
        call: u64,
        limit: u32,
    },
    /// Gaps and runs.
    AckRanges(Vec<(u32, u32)>),
    Ping,
    Pad(Vec<u8>),
    Replies {
        call: u64,
        count: u32,
    },
    /// Each of them a Message.
    Messages(Vec<Record>),
    Received {
        call: u64,
    },
    Announce(Hello),
    WhoIs(Hello, Name),
    IAm(Hello),
    Goodbye(Hello),
    Init(Handshake),
    InitAck(Handshake),
    Confirm(Handshake),
    Bye,
    Reset {
        session: u64,
        epoch: u64,
        reason: u8,
    },
    /// Of a type that the document does not have.
    Unknown(u8, Vec<u8>),
}

/// What a client on its way out wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CancelKind {
    Unblock = 1,
    Withdraw = 2,
    Abandon = 3,
}

impl Record {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut body = Writer::default();
        let kind = self.put(&mut body);
        let mut record = Writer::default();
        record
            .u8(kind)
            .u8(0)
            .u16(body.0.len() as u16)
            .bytes(&body.0);
        record.0
    }

    /// Takes a record off the front; `None` if it is malformed.
    pub(crate) fn decode(reader: &mut Reader<'_>) -> Option<Record> {
        let kind = reader.u8()?;
        reader.zeros(1)?;
        let len = reader.u16()?;
        let mut body = Reader(reader.take(usize::from(len))?);
        let record = Record::take(kind, &mut body)?;
        body.end()?;
        Some(record)
    }

    /// Whether it may stand in a frame of a session, or of none.
    pub(crate) fn is_placed(&self, in_session: bool) -> bool {
        let outside = matches!(
            self,
            Record::Announce(_)
                | Record::WhoIs(..)
                | Record::IAm(_)
                | Record::Goodbye(_)
                | Record::Init(_)
                | Record::InitAck(_)
                | Record::Reset { .. }
        );
        outside != in_session
    }

    /// Bytes of a whole record.
    pub(crate) fn len(&self) -> usize {
        self.encode().len()
    }

    fn put(&self, to: &mut Writer) -> u8 {
        match self {
            Record::Message {
                call,
                conn,
                len,
                reply_len,
                tid,
                priority,
                reports,
                pulses,
                connect,
                bytes,
            } => {
                to.u64(*call).u64(*conn).u32(*len).u32(*reply_len).u32(*tid);
                let flags = u8::from(connect.is_some()) * CONNECT_FOLLOWS
                    + u8::from(*reports) * REPORT
                    + u8::from(*pulses > 0) * PULSES_FOLLOW;
                to.u8(*priority).u8(flags).u16(0);
                put_connect(to, connect.as_ref());
                if *pulses > 0 {
                    to.u64(*pulses);
                }
                to.bytes(bytes);
                1
            }
            Record::MessageFragment {
                call,
                offset,
                bytes,
            } => {
                to.u64(*call).u32(*offset).bytes(bytes);
                2
            }
            Record::Reply {
                call,
                status,
                len,
                sent_len,
                offset,
                bytes,
            } => {
                to.u64(*call).u64(status.cast_unsigned());
                to.u32(*len).u32(*sent_len).u32(*offset).bytes(bytes);
                3
            }
            Record::ReplyFragment {
                call,
                offset,
                bytes,
            } => {
                to.u64(*call).u32(*offset).bytes(bytes);
                4
            }
            Record::Error { call, errno } => {
                to.u64(*call).u16(*errno).u16(0);
                5
            }
            Record::Pulse {
                conn,
                sequence,
                value,
                code,
                priority,
                to_client,
                connect,
            } => {
                let flags = u8::from(connect.is_some()) * CONNECT_FOLLOWS
                    + u8::from(*to_client) * TO_CLIENT;
                to.u64(*conn).u64(*sequence).u64(value.cast_unsigned());
                to.u8(code.cast_unsigned()).u8(*priority).u8(flags).u8(0);
                put_connect(to, connect.as_ref());
                6
            }
            Record::Cancel { call, kind, errno } => {
                to.u64(*call).u8(*kind as u8).u8(0).u16(*errno);
                7
            }
            Record::Detach {
                conn,
                errno,
                to_client,
            } => {
                let flags = u8::from(*to_client) * TO_CLIENT;
                to.u64(*conn).u16(*errno).u8(flags).u8(0);
                8
            }
            Record::Grant { call, limit } => {
                to.u64(*call).u32(*limit);
                9
            }
            Record::AckRanges(ranges) => {
                for (gap, run) in ranges {
                    to.u32(*gap).u32(*run);
                }
                10
            }
            Record::Ping => 11,
            Record::Pad(bytes) => {
                to.bytes(bytes);
                12
            }
            Record::Replies { call, count } => {
                to.u64(*call).u32(*count);
                13
            }
            Record::Messages(messages) => alike::put(messages, to),
            Record::Received { call } => {
                to.u64(*call);
                15
            }
            Record::Announce(hello) => {
                hello.put(to);
                16
            }
            Record::WhoIs(hello, name) => {
                hello.put(to);
                put_name(to, name);
                17
            }
            Record::IAm(hello) => {
                hello.put(to);
                18
            }
            Record::Goodbye(hello) => {
                hello.put(to);
                19
            }
            Record::Init(handshake) => {
                handshake.put(to);
                20
            }
            Record::InitAck(handshake) => {
                handshake.put(to);
                21
            }
            Record::Confirm(handshake) => {
                handshake.put(to);
                22
            }
            Record::Bye => 23,
            Record::Reset {
                session,
                epoch,
                reason,
            } => {
                to.u64(*session).u64(*epoch).u8(*reason).bytes(&[0; 7]);
                24
            }
            Record::Unknown(kind, bytes) => {
                to.bytes(bytes);
                *kind
            }
        }
    }

    fn take(kind: u8, from: &mut Reader<'_>) -> Option<Record> {
        Some(match kind {
            1 => {
                let (call, conn, len, reply_len) =
                    (from.u64()?, from.u64()?, from.u32()?, from.u32()?);
                let (tid, priority, flags) = (from.u32()?, from.u8()?, from.u8()?);
                from.zeros(2)?;
                let known = CONNECT_FOLLOWS | REPORT | PULSES_FOLLOW;
                let connect = take_connect(from, flags, known)?;
                let pulses = match flags & PULSES_FOLLOW {
                    0 => 0,
                    _ => from.u64().filter(|pulses| *pulses > 0)?,
                };
                let bytes = from.rest().to_vec();
                check(bytes.len() <= len as usize && len <= LEN_MAX && reply_len <= LEN_MAX)?;
                Record::Message {
                    call,
                    conn,
                    len,
                    reply_len,
                    tid,
                    priority,
                    reports: flags & REPORT != 0,
                    pulses,
                    connect,
                    bytes,
                }
            }
            2 => {
                let (call, offset, bytes) = take_fragment(from)?;
                Record::MessageFragment {
                    call,
                    offset,
                    bytes,
                }
            }
            3 => {
                let (call, status) = (from.u64()?, from.u64()?.cast_signed());
                let (len, sent_len, offset) = (from.u32()?, from.u32()?, from.u32()?);
                let bytes = from.rest().to_vec();
                let end = offset as usize + bytes.len();
                check(len <= LEN_MAX && sent_len <= len && bytes.len() <= sent_len as usize)?;
                check(end <= len as usize)?;
                Record::Reply {
                    call,
                    status,
                    len,
                    sent_len,
                    offset,
                    bytes,
                }
            }
            4 => {
                let (call, offset, bytes) = take_fragment(from)?;
                Record::ReplyFragment {
                    call,
                    offset,
                    bytes,
                }
            }
            5 => {
                let (call, errno) = (from.u64()?, from.u16()?);
                from.zeros(2)?;
                Record::Error { call, errno }
            }
            6 => {
                let (conn, sequence) = (from.u64()?, from.u64()?);
                let value = from.u64()?.cast_signed();
                let (code, priority, flags) = (from.u8()?.cast_signed(), from.u8()?, from.u8()?);
                from.zeros(1)?;
                let connect = take_connect(from, flags, CONNECT_FOLLOWS | TO_CLIENT)?;
                let to_client = flags & TO_CLIENT != 0;
                check(!(to_client && connect.is_some()))?;
                Record::Pulse {
                    conn,
                    sequence,
                    value,
                    code,
                    priority,
                    to_client,
                    connect,
                }
            }
            7 => {
                let (call, kind) = (from.u64()?, from.u8()?);
                from.zeros(1)?;
                let errno = from.u16()?;
                let kinds = [
                    CancelKind::Unblock,
                    CancelKind::Withdraw,
                    CancelKind::Abandon,
                ];
                let kind = kinds.into_iter().find(|known| *known as u8 == kind)?;
                check(kind != CancelKind::Abandon || errno == 0)?;
                Record::Cancel { call, kind, errno }
            }
            8 => {
                let (conn, errno, flags) = (from.u64()?, from.u16()?, from.u8()?);
                from.zeros(1)?;
                check(flags & !TO_CLIENT == 0)?;
                Record::Detach {
                    conn,
                    errno,
                    to_client: flags & TO_CLIENT != 0,
                }
            }
            9 => {
                let (call, limit) = (from.u64()?, from.u32()?);
                check(limit <= LEN_MAX)?;
                Record::Grant { call, limit }
            }
            10 => {
                let mut ranges = Vec::new();
                while from.end().is_none() {
                    let (gap, run) = (from.u32()?, from.u32()?);
                    check(gap > 0 && run > 0)?;
                    ranges.push((gap, run));
                }
                check((1..=32).contains(&ranges.len()))?;
                Record::AckRanges(ranges)
            }
            11 => Record::Ping,
            12 => {
                let bytes = from.rest().to_vec();
                check(bytes.iter().all(|byte| *byte == 0))?;
                Record::Pad(bytes)
            }
            13 => {
                let (call, count) = (from.u64()?, from.u32()?);
                check((1..=4096).contains(&count))?;
                Record::Replies { call, count }
            }
            14 => alike::take(from)?,
            15 => Record::Received { call: from.u64()? },
            16 => Record::Announce(Hello::take(from)?),
            17 => Record::WhoIs(Hello::take(from)?, take_name(from)?),
            18 => Record::IAm(Hello::take(from)?),
            19 => Record::Goodbye(Hello::take(from)?),
            20 => Record::Init(Handshake::take(from)?),
            21 => Record::InitAck(Handshake::take(from)?),
            22 => Record::Confirm(Handshake::take(from)?),
            23 => Record::Bye,
            24 => {
                let (session, epoch, reason) = (from.u64()?, from.u64()?, from.u8()?);
                from.zeros(7)?;
                check(reason == 1 || reason == 2)?;
                Record::Reset {
                    session,
                    epoch,
                    reason,
                }
            }
            _ => return None,
        })
    }
}

/// Bytes of a message or reply, at most.
pub(crate) const LEN_MAX: u32 = 16 << 20;

pub(crate) fn check(holds: bool) -> Option<()> {
    holds.then_some(())
}

fn take_fragment(from: &mut Reader<'_>) -> Option<(u64, u32, Vec<u8>)> {
    let (call, offset, bytes) = (from.u64()?, from.u32()?, from.rest().to_vec());
    check(!bytes.is_empty() && offset as usize + bytes.len() <= LEN_MAX as usize)?;
    Some((call, offset, bytes))
}
