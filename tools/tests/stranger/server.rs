//! The calls and connections of other nodes' clients: section 7, the server's side.

use std::collections::BTreeMap;

use crate::client::{UNASKED, UNASKED_ANSWERED};
use crate::connect::Connect;
use crate::record::{CancelKind, Record};
use crate::runs::Runs;

const ESRCH: u16 = 3;
/// Bytes of a Reply and of a ReplyFragment.
const REPLY_LEN: usize = 32;
const FRAGMENT_LEN: usize = 16;

/// What a server here gets to see.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ToServer {
    Message {
        call: u64,
        connect: Connect,
        reply_len: usize,
        /// The client wants to know that it has come.
        reports: bool,
        bytes: Vec<u8>,
    },
    Pulse {
        connect: Connect,
        code: i8,
        value: i64,
    },
    Cancel {
        call: u64,
        kind: CancelKind,
        errno: u16,
    },
    Detached {
        connect: Connect,
        errno: u16,
    },
}

/// The server's side of a session.
#[derive(Debug, Default)]
pub(crate) struct Server {
    connections: BTreeMap<u64, Connection>,
    connections_seen: Runs,
    calls: BTreeMap<u64, Call>,
    calls_seen: Runs,
    pub(crate) events: Vec<ToServer>,
}

#[derive(Debug)]
struct Connection {
    connect: Connect,
    pulse_next: u64,
    pulses_early: BTreeMap<u64, (i8, i64)>,
    /// Messages that are here, each after the pulse that it waits for.
    behind: Vec<(u64, ToServer)>,
}

#[derive(Debug)]
struct Call {
    conn: u64,
    reply_len: usize,
    reports: bool,
    pulses: u64,
    bytes: Vec<u8>,
    placed: Runs,
    placed_len: usize,
}

/// Whether a record was taken or came before what it depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Taken {
    Yes,
    Early,
}

impl Server {
    /// Takes a record of a client of the peer; what there is to say to it at once goes to `queue`.
    pub(crate) fn take(&mut self, record: Record, queue: &mut Vec<Record>) -> Taken {
        match record {
            Record::Message {
                call,
                conn,
                len,
                reply_len,
                reports,
                pulses,
                connect,
                bytes,
                ..
            } => {
                if let Err(taken) = self.learn(conn, connect) {
                    return taken;
                }
                if self.calls_seen.insert(call..call + 1) == 0 {
                    return Taken::Yes;
                }
                if !self.connections.contains_key(&conn) {
                    queue.push(Record::Error { call, errno: ESRCH });
                    return Taken::Yes;
                }
                if len as usize > UNASKED {
                    queue.push(Record::Grant { call, limit: len });
                }
                let (reply_len, room) = (reply_len as usize, vec![0; len as usize]);
                let placed = Runs::default();
                self.calls.insert(
                    call,
                    Call {
                        conn,
                        reply_len,
                        reports,
                        pulses,
                        bytes: room,
                        placed,
                        placed_len: 0,
                    },
                );
                self.place(call, 0, &bytes);
                Taken::Yes
            }
            Record::Messages(messages) => {
                let each = messages.into_iter();
                let taken = each.map(|message| self.take(message, queue));
                taken.fold(
                    Taken::Yes,
                    |all, one| if one == Taken::Early { one } else { all },
                )
            }
            Record::MessageFragment {
                call,
                offset,
                bytes,
            } => {
                if !self.calls_seen.contains(call) {
                    return Taken::Early;
                }
                assert!(
                    self.calls
                        .get(&call)
                        .is_none_or(|open| open.bytes.len() > UNASKED)
                        || offset as usize <= UNASKED_ANSWERED,
                    "a byte that may not come unasked"
                );
                self.place(call, offset as usize, &bytes);
                Taken::Yes
            }
            Record::Pulse {
                conn,
                sequence,
                value,
                code,
                connect,
                ..
            } => {
                if let Err(taken) = self.learn(conn, connect) {
                    return taken;
                }
                self.pulse(conn, sequence, code, value);
                Taken::Yes
            }
            Record::Cancel { call, kind, errno } => {
                if !self.calls_seen.contains(call) && kind != CancelKind::Abandon {
                    return Taken::Early;
                }
                self.calls_seen.insert(call..call + 1);
                self.events.push(ToServer::Cancel { call, kind, errno });
                Taken::Yes
            }
            Record::Detach { conn, errno, .. } => {
                self.connections_seen.insert(conn..conn + 1);
                if let Some(Connection { connect, .. }) = self.connections.remove(&conn) {
                    self.events.push(ToServer::Detached { connect, errno });
                }
                Taken::Yes
            }
            other => panic!("{other:?} is not for a server"),
        }
    }

    /// The records of a reply.
    pub(crate) fn reply(call: u64, status: i64, bytes: &[u8], capacity: usize) -> Vec<Record> {
        let len = bytes.len() as u32;
        let (first, rest) = bytes.split_at(bytes.len().min(capacity - REPLY_LEN));
        let head = Record::Reply {
            call,
            status,
            len,
            sent_len: len,
            offset: 0,
            bytes: first.to_vec(),
        };
        let chunk_len = capacity - FRAGMENT_LEN;
        let fragments = rest.chunks(chunk_len).enumerate().map(|(index, chunk)| {
            let offset = (first.len() + index * chunk_len) as u32;
            Record::ReplyFragment {
                call,
                offset,
                bytes: chunk.to_vec(),
            }
        });
        [head].into_iter().chain(fragments).collect()
    }

    /// Knows the connection from now on, if the record brought its connect.
    fn learn(&mut self, conn: u64, connect: Option<Connect>) -> Result<(), Taken> {
        let is_new = !self.connections_seen.contains(conn);
        match connect {
            None if is_new => Err(Taken::Early),
            Some(connect) if is_new => {
                self.connections_seen.insert(conn..conn + 1);
                let pulses_early = BTreeMap::new();
                self.connections.insert(
                    conn,
                    Connection {
                        connect,
                        pulse_next: 0,
                        pulses_early,
                        behind: Vec::new(),
                    },
                );
                Ok(())
            }
            Some(connect) => {
                if let Some(open) = self.connections.get_mut(&conn) {
                    let ahead = connect.revision.wrapping_sub(open.connect.revision);
                    if ahead != 0 && ahead < 0x8000 {
                        open.connect = connect;
                    }
                }
                Ok(())
            }
            None => Ok(()),
        }
    }

    fn place(&mut self, call: u64, offset: usize, bytes: &[u8]) {
        let Some(open) = self.calls.get_mut(&call) else {
            return;
        };
        let room = open.bytes.get_mut(offset..offset + bytes.len());
        room.expect("a fragment within its message")
            .copy_from_slice(bytes);
        let range = offset as u64..(offset + bytes.len()) as u64;
        open.placed_len += open.placed.insert(range) as usize;
        if open.placed_len < open.bytes.len() {
            return;
        }
        let open = self.calls.remove(&call).expect("it was just there");
        if let Some(connection) = self.connections.get_mut(&open.conn) {
            let message = ToServer::Message {
                call,
                connect: connection.connect.clone(),
                reply_len: open.reply_len,
                reports: open.reports,
                bytes: open.bytes,
            };
            match open.pulses > connection.pulse_next {
                true => connection.behind.push((open.pulses, message)),
                false => self.events.push(message),
            }
        }
    }

    fn pulse(&mut self, conn: u64, sequence: u64, code: i8, value: i64) {
        let Some(open) = self.connections.get_mut(&conn) else {
            return;
        };
        if sequence >= open.pulse_next {
            open.pulses_early.insert(sequence, (code, value));
        }
        while let Some((code, value)) = open.pulses_early.remove(&open.pulse_next) {
            open.pulse_next += 1;
            self.events.push(ToServer::Pulse {
                connect: open.connect.clone(),
                code,
                value,
            });
            let pulse_next = open.pulse_next;
            let due = open
                .behind
                .extract_if(.., |(pulses, _)| *pulses <= pulse_next);
            self.events.extend(due.map(|(_, message)| message));
        }
    }
}
