//! Real clients call the stranger's server.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::rc::Rc;

use ipc_core::abi::io::{Connect as Walk, Redirect, RedirectServer};
use ipc_core::abi::proc::PrefixFlags;
use ipc_core::abi::{Chid, Nd, Pid};

use crate::node::Node;
use crate::record::{CancelKind, Record};
use crate::server::{Server, ToServer};
use crate::support::{Running, part, text};
use crate::talk::{PEER, lab_with_a_stranger, stranger};

const PATH: &str = "dev/name/local/oracle";
/// Where the stranger's server is: numbers that mean something to the stranger alone.
const SERVER: (u32, u32) = (77, 3);
const MANAGER: (u32, u32) = (1, 1);
const ENOENT: u16 = 2;
const EINTR: u16 = 4;
const EROFS: u16 = 30;
/// What a qnet sends for its client to get if the server leaves the outcome to it: no server's error.
const LET_GO: u16 = 65535;

// covers: NET-3, NET-6, PTH-7
#[test]
fn a_stranger_serves_real_clients() {
    serve("stranger", "serving::part_serves");
}

// covers: NET-4
#[test]
fn who_begins_at_once_and_has_the_lower_name_stays_the_initiator() {
    serve("stranger", "serving::part_serves_and_begins");
}

// covers: NET-4
#[test]
fn who_begins_at_once_and_has_the_greater_name_gives_in() {
    serve("zebra", "serving::part_serves_and_begins");
}

/// The stranger serves under this name, and a client visits it.
fn serve(name: &str, serves: &str) {
    let Some(lab) = lab_with_a_stranger(&[]) else {
        return;
    };
    let mut serving = part(&lab, "stranger", serves);
    serving.env("NAME", name);
    let mut serving = Running::start(serving);
    serving.next("ready");
    let mut visitor = part(&lab, PEER, "clerk::part_visitor");
    visitor.env("TARGET", format!("/net/{name}"));
    text(&mut visitor);
    assert!(serving.wait().success());
}

/// Serves until its client has gone.
#[test]
#[ignore = "run by the tests here as the stranger"]
fn part_serves() {
    let mut node = stranger();
    println!("ready");
    assert!(serve_visitor(&mut node));
}

/// As the other, but begins a session when the peer does.
#[test]
#[ignore = "run by the tests here as the stranger"]
fn part_serves_and_begins() {
    let mut node = stranger();
    let has_begun = Rc::new(Cell::new(false));
    let seen = Rc::clone(&has_begun);
    node.lose_received = Box::new(move |frame| {
        let begins = matches!(frame.records[..], [Record::Init(_)]);
        begins && !seen.replace(true)
    });
    node.ask_who_is(PEER);
    node.until("a hello", |node| node.heard.get(PEER).map(|_| ()));
    println!("ready");
    node.until("the peer's Init", |_| has_begun.get().then_some(()));
    node.begin_session(PEER);
    assert_eq!(serve_visitor(&mut node), *node.name > *PEER);
}

/// Whether the session, which it ends, was begun by the peer.
fn serve_visitor(node: &mut Node) -> bool {
    let mut oracle = Oracle::default();
    let is_responder = node.until("the client's end", |node| {
        let has_gone = oracle.serve(node);
        has_gone.then(|| node.session().is_responder)
    });
    assert_eq!(oracle.pulses, [(3, 0), (3, 1), (3, 2), (3, 3), (3, 4)]);
    assert_eq!((oracle.unblocks, oracle.withdrawals), (2, 1));
    node.leave();
    is_responder
}

#[derive(Default)]
struct Oracle {
    pulses: Vec<(i8, i64)>,
    unblocks: u32,
    withdrawals: u32,
    /// Messages that came and that nobody received.
    ignored: BTreeMap<u64, ()>,
    held: BTreeMap<u64, ()>,
}

impl Oracle {
    /// Answers what has come; whether the client of the oracle has gone.
    fn serve(&mut self, node: &mut Node) -> bool {
        let Some(session) = &mut node.session else {
            return false;
        };
        let events = std::mem::take(&mut session.server.events);
        let capacity = session.capacity();
        let mut has_gone = false;
        for event in events {
            match event {
                ToServer::Message {
                    call,
                    connect,
                    reply_len,
                    reports,
                    bytes,
                } => {
                    let is_ignored = bytes.starts_with(b"deaf");
                    if reports && !is_ignored {
                        session.push(Record::Received { call });
                    }
                    let answer = match (connect.server_pid, connect.server_chid) {
                        MANAGER => resolve(call, &bytes, capacity),
                        SERVER => self.answer(call, &bytes, reply_len, capacity),
                        other => panic!("the stranger named no {other:?}"),
                    };
                    session.extend(answer);
                }
                ToServer::Pulse { code, value, .. } => self.pulses.push((code, value)),
                ToServer::Cancel { call, kind, errno } => {
                    if self.ignored.remove(&call).is_some() {
                        assert_eq!((kind, errno), (CancelKind::Withdraw, LET_GO));
                        self.withdrawals += 1;
                        session.push(Record::Error { call, errno });
                        continue;
                    }
                    assert_ne!(kind, CancelKind::Withdraw, "it was received");
                    if self.held.remove(&call).is_some() {
                        assert_eq!((kind, errno), (CancelKind::Unblock, LET_GO));
                        self.unblocks += 1;
                        session.push(Record::Error { call, errno: EINTR });
                    }
                }
                ToServer::Detached { connect, .. } => {
                    has_gone |= (connect.server_pid, connect.server_chid) == SERVER;
                }
            }
        }
        has_gone
    }

    fn answer(
        &mut self,
        call: u64,
        bytes: &[u8],
        reply_len: usize,
        capacity: usize,
    ) -> Vec<Record> {
        match &bytes[..4] {
            b"echo" => {
                assert!(reply_len > bytes.len());
                let turned: Vec<u8> = bytes.iter().map(|byte| !byte).collect();
                Server::reply(call, bytes.len() as i64, &turned, capacity)
            }
            b"fail" => vec![Record::Error { call, errno: EROFS }],
            b"deaf" => {
                self.ignored.insert(call, ());
                Vec::new()
            }
            b"hold" => {
                self.held.insert(call, ());
                Vec::new()
            }
            _ => vec![Record::Replies { call, count: 1 }],
        }
    }
}

/// What the stranger's process manager says to a walk.
fn resolve(call: u64, bytes: &[u8], capacity: usize) -> Vec<Record> {
    let walk = Walk::parse(bytes).expect("the library's own message");
    let path = walk.path.strip_prefix(b"/").unwrap_or(walk.path);
    if path != PATH.as_bytes() {
        return vec![Record::Error {
            call,
            errno: ENOENT,
        }];
    }
    let server = RedirectServer {
        nd: Nd::LOCAL,
        pid: Pid(SERVER.0.cast_signed()),
        chid: Chid(SERVER.1.cast_signed()),
        handle: 0,
        flags: PrefixFlags::NAME.bits(),
        prefix_len: walk.path.len(),
        node_name: None,
    };
    let redirect = Redirect {
        servers: vec![server],
        path: walk.path.to_vec(),
    };
    let reply = redirect.encode().expect("a redirect");
    Server::reply(call, Redirect::STATUS, &reply, capacity)
}
