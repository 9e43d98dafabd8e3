//! The calls and connections of this node: section 7, the client's side.

use std::collections::BTreeMap;

use crate::connect::Connect;
use crate::record::{CancelKind, Record};
use crate::runs::Runs;

/// Bytes of a message for which every receiver has a place.
pub(crate) const UNASKED: usize = 16 << 10;
/// As many to a server whose last answer was a reply.
pub(crate) const UNASKED_ANSWERED: usize = 256 << 10;
/// Bytes of a Message without its connect and of a MessageFragment, and of a connect.
const MESSAGE_LEN: usize = 40;
const FRAGMENT_LEN: usize = 16;
const CONNECT_LEN: usize = 32;
/// Bytes of how many pulses go before a message.
const PULSES_LEN: usize = 8;
const PRIORITY: u8 = 10;
const TID: u32 = 1;

/// How a call ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The status, where the reply's last extent ends, and the client's whole buffer.
    Reply {
        status: i64,
        len: usize,
        buffer: Vec<u8>,
    },
    Error(u16),
}

/// What the server's side sent without being called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ToClient {
    Pulse { conn: u64, code: i8, value: i64 },
    Detached { conn: u64, errno: u16 },
}

/// The client's side of a session.
#[derive(Debug, Default)]
pub(crate) struct Client {
    calls: BTreeMap<u64, Call>,
    connections: BTreeMap<u64, Connection>,
    call_next: u64,
    connection_next: u64,
    pub(crate) events: Vec<ToClient>,
    /// Grants that came.
    pub(crate) grants: u32,
    /// Whether the calls that are begun want to know when the server receives their messages.
    pub(crate) wants_receipts: bool,
    /// The calls of which that was told.
    pub(crate) received: Vec<u64>,
}

#[derive(Debug)]
struct Connection {
    connect: Connect,
    /// A packet with the connect was acknowledged.
    is_known: bool,
    /// The last answer was a reply.
    is_answered: bool,
    pulses: u64,
    pulses_taken: u64,
}

#[derive(Debug)]
struct Call {
    conn: u64,
    /// Records that wait for a grant.
    held: Vec<Record>,
    granted: usize,
    buffer: Vec<u8>,
    placed: Runs,
    placed_len: u64,
    /// Status, len and sent_len.
    head: Option<(i64, u32, u32)>,
    outcome: Option<Outcome>,
}

impl Client {
    /// A new connection; nothing is sent.
    pub(crate) fn connect(&mut self, connect: Connect) -> u64 {
        let conn = self.connection_next;
        self.connection_next += 1;
        let connection = Connection {
            connect,
            is_known: false,
            is_answered: false,
            pulses: 0,
            pulses_taken: 0,
        };
        self.connections.insert(conn, connection);
        conn
    }

    /// A call with this message and a buffer of so many bytes for its reply. What may be sent goes to `queue`.
    pub(crate) fn call(
        &mut self,
        conn: u64,
        message: &[u8],
        reply_len: usize,
        capacity: usize,
        queue: &mut Vec<Record>,
    ) -> u64 {
        let number = self.call_next;
        self.call_next += 1;
        let connection = self
            .connections
            .get(&conn)
            .expect("a connection of this session");
        let connect = (!connection.is_known).then(|| connection.connect.clone());
        let unasked = if connection.is_answered {
            UNASKED_ANSWERED
        } else {
            UNASKED
        };
        let connect_len = if connect.is_some() { CONNECT_LEN } else { 0 };
        let fixed_len = MESSAGE_LEN + connect_len + PULSES_LEN;
        let first_len = message.len().min(capacity - fixed_len);
        queue.push(Record::Message {
            call: number,
            conn,
            len: message.len() as u32,
            reply_len: reply_len as u32,
            tid: TID,
            priority: PRIORITY,
            reports: self.wants_receipts,
            pulses: connection.pulses,
            connect,
            bytes: message[..first_len].to_vec(),
        });
        let mut held = Vec::new();
        let mut offset = first_len;
        while offset < message.len() {
            // No fragment crosses a limit, so that each is within it or beyond.
            let limits = [UNASKED, UNASKED_ANSWERED, message.len()];
            let limit = limits
                .into_iter()
                .find(|limit| *limit > offset)
                .expect("the last one is");
            let end = limit
                .min(message.len())
                .min(offset + capacity - FRAGMENT_LEN);
            let fragment = Record::MessageFragment {
                call: number,
                offset: offset as u32,
                bytes: message[offset..end].to_vec(),
            };
            let list = if offset < unasked {
                &mut *queue
            } else {
                &mut held
            };
            list.push(fragment);
            offset = end;
        }
        let call = Call {
            conn,
            held,
            granted: 0,
            buffer: vec![0; reply_len],
            placed: Runs::default(),
            placed_len: 0,
            head: None,
            outcome: None,
        };
        self.calls.insert(number, call);
        number
    }

    /// The record of a pulse to the server.
    pub(crate) fn pulse(&mut self, conn: u64, code: i8, value: i64) -> Record {
        let connection = self
            .connections
            .get_mut(&conn)
            .expect("a connection of this session");
        let sequence = connection.pulses;
        connection.pulses += 1;
        Record::Pulse {
            conn,
            sequence,
            value,
            code,
            priority: PRIORITY,
            to_client: false,
            connect: (!connection.is_known).then(|| connection.connect.clone()),
        }
    }

    pub(crate) fn take_outcome(&mut self, call: u64) -> Option<Outcome> {
        let outcome = self.calls.get_mut(&call)?.outcome.take()?;
        self.calls.remove(&call);
        Some(outcome)
    }

    /// What a record that arrived means for later ones.
    pub(crate) fn arrived(&mut self, record: &Record) {
        let (Record::Message {
            conn,
            connect: Some(_),
            ..
        }
        | Record::Pulse {
            conn,
            connect: Some(_),
            to_client: false,
            ..
        }) = record
        else {
            return;
        };
        if let Some(connection) = self.connections.get_mut(conn) {
            connection.is_known = true;
        }
    }

    /// Whether a record that was lost is to be sent again now. One beyond the grant waits for it.
    pub(crate) fn lost(&mut self, record: Record, queue: &mut Vec<Record>) {
        let (Record::Message { call, .. } | Record::MessageFragment { call, .. }) = &record else {
            return queue.push(record);
        };
        let Some(call) = self
            .calls
            .get_mut(call)
            .filter(|call| call.outcome.is_none())
        else {
            return;
        };
        if end_of(&record) > call.granted.max(UNASKED) {
            call.held.push(record);
        } else {
            queue.push(record);
        }
    }

    /// Whether a record that waits to be sent must wait for a grant: one of a message of which unasked bytes
    /// were lost.
    pub(crate) fn is_held_back(&self, record: &Record) -> bool {
        let Record::MessageFragment { call, .. } = record else {
            return false;
        };
        let call = self.calls.get(call);
        call.is_some_and(|call| !call.held.is_empty() && end_of(record) > call.granted.max(UNASKED))
    }

    /// Puts a record aside until its call's grant comes.
    pub(crate) fn hold(&mut self, record: Record) {
        let Record::MessageFragment { call, .. } = &record else {
            unreachable!("a fragment")
        };
        self.calls
            .get_mut(call)
            .expect("an open call")
            .held
            .push(record);
    }

    /// Takes a record that answers or concerns a client here.
    pub(crate) fn take(&mut self, record: Record, queue: &mut Vec<Record>) {
        match record {
            Record::Grant { call, limit } => self.grant(call, limit as usize, queue),
            Record::Reply {
                call,
                status,
                len,
                sent_len,
                offset,
                bytes,
            } => {
                if let Some(open) = self.open(call) {
                    open.head = Some((status, len, sent_len));
                }
                self.place(call, offset, &bytes);
            }
            Record::ReplyFragment {
                call,
                offset,
                bytes,
            } => self.place(call, offset, &bytes),
            Record::Error { call, errno: 0 } => self.answer_empty(call),
            Record::Error { call, errno } => {
                if let Some(open) = self.open(call) {
                    open.outcome = Some(Outcome::Error(errno));
                    let conn = open.conn;
                    self.answered(conn, false);
                }
            }
            Record::Replies { call, count } => {
                assert!(
                    call + u64::from(count) <= self.call_next,
                    "an answer to no call"
                );
                (call..call + u64::from(count)).for_each(|call| self.answer_empty(call));
            }
            Record::Received { call } => {
                if self.open(call).is_some() {
                    self.received.push(call);
                }
            }
            Record::Pulse {
                conn,
                sequence,
                value,
                code,
                ..
            } => {
                let connection = self.connections.get_mut(&conn);
                // Nothing overtakes in this lab.
                if connection.is_some_and(|connection| {
                    let is_next = connection.pulses_taken == sequence;
                    connection.pulses_taken += u64::from(is_next);
                    is_next
                }) {
                    self.events.push(ToClient::Pulse { conn, code, value });
                }
            }
            Record::Detach { conn, errno, .. } => {
                if self.connections.remove(&conn).is_some() {
                    self.events.push(ToClient::Detached { conn, errno });
                }
            }
            other => panic!("{other:?} is not for a client"),
        }
    }

    fn open(&mut self, call: u64) -> Option<&mut Call> {
        assert!(call < self.call_next, "an answer to no call");
        self.calls
            .get_mut(&call)
            .filter(|call| call.outcome.is_none())
    }

    fn answered(&mut self, conn: u64, by_reply: bool) {
        if let Some(connection) = self.connections.get_mut(&conn) {
            connection.is_answered = by_reply;
        }
    }

    fn answer_empty(&mut self, call: u64) {
        if let Some(open) = self.open(call) {
            open.head = Some((0, 0, 0));
            self.place(call, 0, &[]);
        }
    }

    fn grant(&mut self, call: u64, limit: usize, queue: &mut Vec<Record>) {
        let Some(open) = self.open(call) else { return };
        open.granted = open.granted.max(limit);
        let granted = open.granted;
        queue.extend(open.held.extract_if(.., |record| end_of(record) <= granted));
        self.grants += 1;
    }

    /// Puts bytes of a reply where they belong; the call is over when the head and all that was sent is there.
    fn place(&mut self, call: u64, offset: u32, bytes: &[u8]) {
        let Some(open) = self.open(call) else { return };
        let start = offset as usize;
        let room = open.buffer.get_mut(start..start + bytes.len());
        room.expect("a reply fits the client's buffer")
            .copy_from_slice(bytes);
        let range = u64::from(offset)..u64::from(offset) + bytes.len() as u64;
        open.placed_len += open.placed.insert(range);
        let Some((status, len, sent_len)) = open.head else {
            return;
        };
        if open.placed_len < u64::from(sent_len) {
            return;
        }
        assert_eq!(
            open.placed_len,
            u64::from(sent_len),
            "no more bytes than announced"
        );
        let buffer = std::mem::take(&mut open.buffer);
        open.outcome = Some(Outcome::Reply {
            status,
            len: len as usize,
            buffer,
        });
        let conn = open.conn;
        self.answered(conn, true);
    }
}

/// The record with which a client wants out.
pub(crate) fn cancel(call: u64, kind: CancelKind, errno: u16) -> Record {
    Record::Cancel { call, kind, errno }
}

fn end_of(record: &Record) -> usize {
    match record {
        Record::Message { bytes, .. } => bytes.len(),
        Record::MessageFragment { offset, bytes, .. } => *offset as usize + bytes.len(),
        _ => 0,
    }
}
