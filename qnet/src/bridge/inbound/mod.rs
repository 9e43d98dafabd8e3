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
mod kept;
mod lent;
mod notices;
mod room;
mod runs;
mod shares;
mod staging;

use std::{collections::VecDeque, sync::Arc};

use ipc_core::{
    CompletionQueue, Connection, SpeaksFor, Taken, Wake,
    abi::{Chid, Coid, Credentials, Errno, Nd, Pid},
};
use qnet_proto::{ConnectInfo, InboundCall, InboundConn, PeerId};

use crate::bridge::{
    Mailbox, Request, Turn,
    attacher::{Attach, Attached, Attacher},
    handles::Handles,
    inbound::{
        call::Call,
        kept::{Kept, KeptByAll},
        lent::{Lent, LentTo},
        notices::Notices,
        room::{Room, Seat},
        runs::Runs,
        staging::Staging,
    },
    outbound::remote_errno,
};

/// The connections that speak for remote clients, and their messages.
pub(super) struct Inbound {
    queue: Arc<CompletionQueue>,
    attacher: Attacher,
    mailbox: Mailbox,
    conns: Handles<InboundConn, Conn>,
    room: Room,
    calls: Handles<InboundCall, Call>,
    runs: Runs,
    /// What came of local servers and was not looked at yet; of receipts there are none between two rounds.
    taken: Taken,
    staging: Staging,
    lent: Lent,
    kept: KeptByAll,
    /// Connections with pulses or events that found no room.
    full: Vec<InboundConn>,
    /// Connections whose clients have gone and whose pulses have not arrived yet.
    lingering: Vec<(InboundConn, Conn)>,
    /// Pulses that found no room there and are not counted yet.
    unkept: u64,
    /// Small messages that have arrived in this round, in their order.
    due: Vec<InboundCall>,
    /// Connections that may have room for what waits.
    roomy: Vec<InboundConn>,
    /// Connections with messages that their servers were not told of.
    unrung: Vec<Arc<Connection>>,
}

struct Conn {
    /// The node of the client.
    peer: PeerId,
    state: ConnState,
    notices: Notices,
    /// Calls that found no room at the server, or have pulses before them that did not, first come first.
    waiting: VecDeque<InboundCall>,
    /// How many have gone since those that had were taken out of the line.
    left: usize,
    kept: Kept,
    lent: LentTo,
    /// Its place among all, from the attach on.
    seats: Option<[Seat; 2]>,
    /// Without it there is no use for an attach.
    life: Arc<()>,
}

enum ConnState {
    /// The attach is under way.
    Attaching,
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
            conns: Handles::default(),
            room: Room::new(),
            calls: Handles::default(),
            runs: Runs::default(),
            taken: Taken::default(),
            staging: Staging::default(),
            lent: Lent::default(),
            kept: KeptByAll::default(),
            full: Vec::new(),
            lingering: Vec::new(),
            unkept: 0,
            due: Vec::new(),
            roomy: Vec::new(),
            unrung: Vec::new(),
        }
    }

    pub(super) fn connections(&self) -> usize {
        self.conns.len()
    }

    pub(super) fn pending(&self) -> usize {
        self.calls.len() + self.runs.open()
    }

    /// Tells local servers of what was submitted to them; adds the wake-ups of those that sleep.
    pub(super) fn take_wakes(&mut self, into: &mut Vec<Wake>) {
        let unrung = self.unrung.drain(..);
        into.extend(unrung.filter_map(|connection| connection.flush_quietly()));
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
        self.enter(conn, peer);
        let (pid, chid) = (Pid(info.server_pid), Chid(info.server_chid));
        let Some(entry) = self.conns.get_mut(conn) else {
            return;
        };
        entry.seats = self.room.take(pid, chid);
        if entry.seats.is_none() {
            return self.attacher.refuse(conn);
        }
        self.attacher.start(Attach {
            conn,
            wanted: Arc::downgrade(&entry.life),
            pid,
            chid,
            client: SpeaksFor {
                nd: Nd(peer.0),
                pid: Pid(info.client_pid),
                coid: Coid(info.coid),
                srcnd: Nd(info.srcnd),
                credentials,
            },
        });
    }

    /// Makes the entry of a connection, unless it is there. The frame that begins a connection may have ended
    /// the one that had its index before, and that event is read only later: the pulses that one left behind
    /// are kept here and now (PLS-2).
    fn enter(&mut self, conn: InboundConn, peer: PeerId) {
        if self.conns.get(conn).is_none()
            && let Some((former, gone)) = self
                .conns
                .insert(conn, Conn::new(peer, &self.kept, self.lent.to(peer)))
        {
            self.linger(former, gone);
        }
    }

    /// A helper's attach has ended.
    pub(super) fn attached(
        &mut self,
        turn: &mut Turn<'_>,
        conn: InboundConn,
        outcome: Result<Attached, Errno>,
    ) {
        turn.counters.attaches += 1;
        if self.conns.get(conn).is_none() {
            return self.attached_late(turn, conn, outcome.ok());
        }
        match outcome {
            Ok(attached) => {
                let mailbox = self.mailbox.clone();
                let server_died = move || mailbox.put(Request::ServerDied(conn));
                attached.connection.on_end(Box::new(server_died));
                self.forward_events(conn, &attached.connection);
                if let Some(entry) = self.conns.get_mut(conn) {
                    entry.state = ConnState::ready(attached);
                }
                self.pass_pulses(turn, conn);
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

    /// The remote client detached or died. The pulses it had sent still arrive (PLS-2).
    pub(super) fn detached(&mut self, turn: &mut Turn<'_>, conn: InboundConn) {
        self.pass_pulses(turn, conn);
        if let Some(gone) = self.conns.remove(conn) {
            self.linger(conn, gone);
        }
    }
}

impl ConnState {
    fn ready(attached: Attached) -> ConnState {
        ConnState::Ready {
            connection: Arc::new(attached.connection),
            may_pulse: attached.may_pulse,
        }
    }
}

impl Conn {
    /// A message that takes memory was handed over.
    fn note_lent(&mut self) {
        if let ConnState::Ready { connection, .. } = &self.state {
            self.lent.note(connection);
        }
    }

    /// Whether something waits that must go before what comes now.
    fn has_line(&self) -> bool {
        !self.waiting.is_empty()
    }

    fn new(peer: PeerId, kept: &KeptByAll, lent: LentTo) -> Conn {
        Conn {
            peer,
            state: ConnState::Attaching,
            notices: Notices::default(),
            waiting: VecDeque::new(),
            left: 0,
            kept: Kept::new(kept),
            lent,
            seats: None,
            life: Arc::new(()),
        }
    }
}
