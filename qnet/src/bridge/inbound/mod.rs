//! Remote clients of local servers: what the engine announces is handed to the server, its answers go to
//! the engine.
//!
//! ```text
//! accept --> Staged (no buffer yet: attach or arena) --> Loaned --> Submitted --> Answered --> gone
//!               \-- whole in the connection's region: Loaned --/
//! ```

mod answering;
mod arriving;
mod call;

use std::sync::Arc;

use ipc_core::{
    CompletionQueue, Connection, SpeaksFor,
    abi::{Chid, Coid, Credentials, Errno, Nd, Pid, PulseCode},
};
use qnet_proto::{ConnectInfo, InboundCall, InboundConn, PeerId, Pulse};

use crate::{
    bridge::{
        Mailbox, Request, Turn,
        attacher::{Attach, Attached, Attacher},
        handles::Handles,
        inbound::call::Call,
        outbound::remote_errno,
    },
    limits::PULSES_WAITING_MAX,
};

/// The connections that speak for remote clients, and their messages.
pub(super) struct Inbound {
    queue: Arc<CompletionQueue>,
    attacher: Attacher,
    mailbox: Mailbox,
    conns: Handles<InboundConn, Conn>,
    calls: Handles<InboundCall, Call>,
    staged_len: usize,
    /// Connections whose buffers were freed before the event that says so was read.
    freed: Vec<InboundConn>,
}

struct Conn {
    state: ConnState,
    /// Calls without a buffer, first come first.
    waiting: Vec<InboundCall>,
}

enum ConnState {
    /// The attach is under way, and these pulses wait for it.
    Attaching(Vec<Pulse>),
    Ready {
        connection: Arc<Connection>,
        /// Whether the remote client, as whom it counts here, may send pulses to the server (PLS-3).
        may_pulse: bool,
    },
}

impl Inbound {
    pub(super) fn new(queue: Arc<CompletionQueue>, mailbox: Mailbox) -> Inbound {
        Inbound {
            attacher: Attacher::new(Arc::clone(&queue), mailbox.clone()),
            mailbox,
            queue,
            conns: Handles::new(),
            calls: Handles::new(),
            staged_len: 0,
            freed: Vec::new(),
        }
    }

    pub(super) fn connections(&self) -> usize {
        self.conns.len()
    }

    pub(super) fn pending(&self) -> usize {
        self.calls.len()
    }

    /// A remote client speaks through a new connection: attach to its server, as the user it counts as.
    pub(super) fn attach(
        &mut self,
        conn: InboundConn,
        peer: PeerId,
        info: &ConnectInfo,
        credentials: Credentials,
    ) {
        // A message may have made the entry already.
        if self.conns.get(conn).is_none() {
            self.conns.insert(conn, Conn::new());
        }
        self.attacher.start(Attach {
            conn,
            pid: Pid(info.server_pid),
            chid: Chid(info.server_chid),
            client: SpeaksFor {
                nd: Nd(peer.0),
                pid: Pid(info.client_pid),
                coid: Coid(info.coid),
                credentials,
            },
        });
    }

    /// A helper's attach has ended.
    pub(super) fn attached(
        &mut self,
        turn: &mut Turn<'_>,
        conn: InboundConn,
        outcome: Result<Attached, Errno>,
    ) {
        turn.counters.attaches += 1;
        // The client may have gone meanwhile: then the connection is dropped here.
        let Some(entry) = self.conns.get_mut(conn) else {
            return;
        };
        match outcome {
            Ok(Attached {
                connection,
                may_pulse,
            }) => {
                let mailbox = self.mailbox.clone();
                connection.on_end(Box::new(move || mailbox.put(Request::ServerDied(conn))));
                let connection = Arc::new(connection);
                let ready = ConnState::Ready {
                    connection,
                    may_pulse,
                };
                let former = std::mem::replace(&mut entry.state, ready);
                if let ConnState::Attaching(pulses) = former {
                    for pulse in pulses {
                        self.pass_pulse(turn, conn, pulse);
                    }
                }
                self.place_waiting(turn, conn);
            }
            Err(errno) => {
                turn.counters.attaches_refused += 1;
                self.close(turn, conn, errno);
            }
        }
    }

    /// The server is gone, or never was: the remote client is told.
    pub(super) fn close(&mut self, turn: &mut Turn<'_>, conn: InboundConn, errno: Errno) {
        if self.conns.remove(conn).is_some() {
            // An error here means that the client has gone at the same time.
            let _ = turn.engine.close(turn.now, conn, remote_errno(errno));
        }
    }

    /// The remote client detached or died.
    pub(super) fn detached(&mut self, conn: InboundConn) {
        self.conns.remove(conn);
    }

    /// A remote client's pulse goes to its server, or waits for the attach.
    pub(super) fn pulse(&mut self, turn: &mut Turn<'_>, conn: InboundConn, pulse: Pulse) {
        turn.counters.pulses += 1;
        match self.conns.get_mut(conn).map(|conn| &mut conn.state) {
            Some(ConnState::Attaching(pulses)) if pulses.len() < PULSES_WAITING_MAX => {
                pulses.push(pulse);
            }
            _ => self.pass_pulse(turn, conn, pulse),
        }
    }

    /// Nobody waits for a pulse: one that the server may not or cannot get is counted.
    fn pass_pulse(&self, turn: &mut Turn<'_>, conn: InboundConn, pulse: Pulse) {
        let sent = match self.conns.get(conn).map(|conn| &conn.state) {
            Some(ConnState::Ready {
                may_pulse: false, ..
            }) => Err(Errno::EPERM),
            Some(ConnState::Ready { connection, .. }) => {
                connection.send_pulse(Some(pulse.priority), PulseCode(pulse.code), pulse.value)
            }
            Some(ConnState::Attaching(_)) => Err(Errno::EAGAIN),
            None => Err(Errno::ESRCH),
        };
        if let Err(errno) = sent {
            turn.counters.pulses_lost += 1;
            tracing::debug!("a pulse of a remote client is lost: {errno}");
        }
    }
}

impl Conn {
    fn new() -> Conn {
        Conn {
            state: ConnState::Attaching(Vec::new()),
            waiting: Vec::new(),
        }
    }
}
