//! Local clients of remote servers: what arrives on the router's channel goes to the engine, what the
//! engine announces goes back.

mod crowd;
mod pulses;
mod together;

use std::{collections::VecDeque, sync::Arc};

use ipc_core::{
    Channel, MappedBytes, Received, ReceivedMessage, RoutedPulse, Wake,
    abi::{self, Chid, ClientInfo, Coid, Errno, Nd, Pid, PulseCode, Rcvid, Scoid},
};
use qnet_proto::{Cancel, ConnectInfo, OutboundCall, OutboundConn, Outgoing, limits};

use crate::{
    bridge::{Turn, by_place::CallsByPlace, handles::Handles, own_ids::OwnIds},
    limits::MESSAGES_PER_ROUND,
    netmgr::policy,
};

use crowd::{Crowds, Place};
use together::Together;

/// The router's channel, the virtual connections behind its clients, and the messages that wait.
pub(super) struct Outbound {
    channel: Arc<Channel>,
    conns: OwnIds<Route, Conn>,
    routes: OwnIds<OutboundConn, Route>,
    /// The connection used last, and where it leads: runs of messages come through one.
    last: Option<(Route, OutboundConn)>,
    calls: Handles<OutboundCall, Waiting>,
    /// Clients whose calls the engine has ended, and whose handles it has used again, before it was asked for its events:
    /// those that wanted out of what was not on its way.
    ended_calls: Vec<(OutboundCall, Waiting)>,
    /// Who wants out is known by the receive id only.
    by_place: CallsByPlace<OutboundCall>,
    /// Messages that came together.
    crowds: Crowds,
    /// Those of them that were sent together.
    together: Together,
    /// What was received and is to be looked at; empty between two rounds.
    received: Vec<Received>,
    /// Messages that were there when there last were any.
    last_count: usize,
    /// Replies without more bytes that are to be handed over together: see [`Outbound::flush`].
    replies: Vec<(ReceivedMessage, i64)>,
    /// Clients that sleep beside their replies: see [`Outbound::take_wakes`].
    wakes: Vec<Wake>,
    /// Connections whose servers are gone, and sends that failed with `ESRCH`, of the events that are being
    /// handled: see [`Outbound::settle`].
    ended: Vec<Route>,
    esrch: Vec<ReceivedMessage>,
    /// Pulses that the engine had no room for, one for each way to a node; those behind them wait in the channel.
    held: Vec<RoutedPulse>,
    /// The engine may have room now, though no frame has come.
    may_have_room: bool,
    /// Messages whose clients sent pulses before them that wait for room.
    behind: VecDeque<ReceivedMessage>,
    /// Connections whose clients have gone while pulses waited, which may be theirs.
    leaving: Vec<Route>,
}

/// A client's connection to the router.
type Route = u64;

/// Who sent a message or pulse, and to whom.
struct Sender {
    route: Route,
    target: Option<(Nd, Pid, Chid)>,
    client: ClientInfo,
    coid: Coid,
}

impl Sender {
    fn of_message(message: &ReceivedMessage) -> Sender {
        Sender {
            route: message.connection_id(),
            target: message.target(),
            client: message.client(),
            coid: message.coid(),
        }
    }

    fn of_pulse(routed: &RoutedPulse) -> Sender {
        Sender {
            route: routed.connection_id,
            target: Some(routed.target),
            client: routed.client,
            coid: routed.coid,
        }
    }
}

/// A client that is blocked on another node.
struct Waiting {
    message: Held,
    /// It wants out, of SEND or altogether, and the server's node was told.
    wants_out: bool,
}

/// Its message.
enum Held {
    Alone(ReceivedMessage),
    InCrowd(Place),
}

/// What the server's node answers where it leaves the outcome to the client: no server's error.
const LET_GO: qnet_proto::Errno = qnet_proto::Errno(u16::MAX);

enum Conn {
    /// Leads to a server on another node.
    Open(OutboundConn),
    /// Its server is gone, and this is why; the client is being told. What it sent before it knows ends in the same way.
    Dead(Errno),
}

impl Outbound {
    pub(super) fn new(channel: Arc<Channel>) -> Outbound {
        Outbound {
            channel,
            conns: OwnIds::default(),
            routes: OwnIds::default(),
            last: None,
            calls: Handles::default(),
            ended_calls: Vec::new(),
            by_place: CallsByPlace::new(),
            crowds: Crowds::default(),
            together: Together::default(),
            received: Vec::new(),
            last_count: 0,
            replies: Vec::new(),
            wakes: Vec::new(),
            ended: Vec::new(),
            esrch: Vec::new(),
            held: Vec::new(),
            may_have_room: false,
            behind: VecDeque::new(),
            leaving: Vec::new(),
        }
    }

    pub(super) fn connections(&self) -> usize {
        self.routes.len()
    }

    pub(super) fn pending(&self) -> usize {
        self.calls.len() + self.together.open()
    }

    /// Copies bytes of a call's message, while it waits for its answer; answers how many there were.
    pub(super) fn read(&self, call: OutboundCall, offset: usize, into: &mut [u8]) -> usize {
        match self.calls.get(call).map(|waiting| &waiting.message) {
            Some(Held::Alone(message)) => message.read(offset, into).unwrap_or(0),
            Some(Held::InCrowd(place)) => {
                let bytes = self.crowds.bytes(*place).get(offset..).unwrap_or_default();
                let len = bytes.len().min(into.len());
                into[..len].copy_from_slice(&bytes[..len]);
                len
            }
            None => 0,
        }
    }

    /// Bytes of it where they lie, if they lie in shared memory.
    pub(super) fn mapped(
        &self,
        call: OutboundCall,
        offset: usize,
        len: usize,
    ) -> Option<MappedBytes> {
        self.alone(call)?.mapped(offset, len)
    }

    /// The message of a call that does not belong to a crowd, while it waits for its answer.
    pub(super) fn alone(&self, call: OutboundCall) -> Option<&ReceivedMessage> {
        match &self.calls.get(call)?.message {
            Held::Alone(message) => Some(message),
            Held::InCrowd(_) => None,
        }
    }

    /// Takes what local clients sent. Answers whether there may be more.
    pub(super) fn receive(&mut self, turn: &mut Turn<'_>) -> bool {
        let in_crowd = self.receive_crowd(turn);
        if in_crowd > 0 {
            self.last_count = in_crowd;
        }
        if in_crowd == MESSAGES_PER_ROUND {
            // The next round takes what else there is: what is looked for otherwise leaves the rings.
            return true;
        }
        let mut received = std::mem::take(&mut self.received);
        let taken = self
            .channel
            .try_receive_many(MESSAGES_PER_ROUND, &mut received);
        // What was posted before these messages, and by whoever posts them, goes before them.
        let has_more_pulses = self.send_pulses(turn);
        let all_pulses_went = !has_more_pulses && self.held.is_empty();
        for message in std::mem::take(&mut self.behind) {
            self.send_in_turn(turn, message, all_pulses_went);
        }
        for one in received.drain(..) {
            match one {
                Received::Message(message) => {
                    turn.counters.messages_out += 1;
                    turn.note_call(message.len(), message.reply_len_max());
                    self.send_in_turn(turn, message, all_pulses_went);
                }
                Received::Pulse(pulse) => self.pulse(turn, &pulse),
            }
        }
        self.received = received;
        match taken {
            Ok(count @ 1..) if in_crowd == 0 => self.last_count = count,
            _ => {}
        }
        match taken {
            Ok(MESSAGES_PER_ROUND) => true,
            Ok(_) => has_more_pulses,
            Err(errno) => {
                tracing::error!("the router's channel cannot be received from: {errno}");
                false
            }
        }
    }

    /// Sends a message, unless pulses of its client wait that were sent before it.
    fn send_in_turn(
        &mut self,
        turn: &mut Turn<'_>,
        message: ReceivedMessage,
        all_pulses_went: bool,
    ) {
        let is_behind = !all_pulses_went && self.has_pulses(message.connection_id());
        match is_behind {
            true => self.behind.push_back(message),
            false => self.send(turn, message),
        }
    }

    fn send(&mut self, turn: &mut Turn<'_>, message: ReceivedMessage) {
        match self.try_send(turn, &message) {
            Ok(call) => self.note_alone(call, message),
            // A client that died meanwhile needs no answer.
            Err(errno) => drop(message.error(errno)),
        }
    }

    fn try_send(
        &mut self,
        turn: &mut Turn<'_>,
        message: &ReceivedMessage,
    ) -> Result<OutboundCall, Errno> {
        let route = message.connection_id();
        let conn = match self.last {
            Some((last, conn)) if last == route => conn,
            _ => self.conn_of(turn, &Sender::of_message(message))?,
        };
        self.last = Some((route, conn));
        let len = message.len().min(u32::MAX as usize) as u32;
        // The engine bounds a reply like a message; nobody can fill more.
        let reply_len = message.reply_len_max().min(limits::MESSAGE_LEN_MAX) as u32;
        let outgoing = Outgoing {
            len,
            reply_len,
            priority: message.priority(),
            tid: message.tid().0,
            reports: message.wants_receipt(),
        };
        turn.engine
            .send(turn.now, conn, outgoing)
            .map_err(local_errno)
    }

    /// The virtual connection of a client's connection, made with its first message or pulse.
    fn conn_of(&mut self, turn: &mut Turn<'_>, from: &Sender) -> Result<OutboundConn, Errno> {
        match self.conns.get(&from.route) {
            Some(Conn::Open(conn)) => return Ok(*conn),
            Some(Conn::Dead(errno)) => return Err(*errno),
            None => {}
        }
        // A local attach to the router itself is no service.
        let (nd, Pid(pid), Chid(chid)) = from.target.ok_or(Errno::ENOSYS)?;
        let (peer, policy) = policy::take_apart(nd)?;
        let info = ConnectInfo {
            server_pid: pid,
            server_chid: chid,
            client_pid: from.client.pid.0,
            coid: from.coid.0,
            uid: from.client.credentials.uid,
            gid: from.client.credentials.gid,
            srcnd: nd.0,
        };
        let conn = (turn.engine)
            .connect_through(peer, info, policy)
            .map_err(local_errno)?;
        self.conns.insert(from.route, Conn::Open(conn));
        self.routes.insert(conn, from.route);
        Ok(conn)
    }

    fn pulse(&mut self, turn: &mut Turn<'_>, pulse: &abi::Pulse) {
        match pulse.code {
            PulseCode::UNBLOCK => self.want_out(turn, Rcvid(pulse.value), Cancel::Unblock(LET_GO)),
            PulseCode::WITHDRAW => {
                self.want_out(turn, Rcvid(pulse.value), Cancel::Withdraw(LET_GO));
            }
            PulseCode::DETACHED => self.leave(turn, pulse.value.cast_unsigned()),
            PulseCode::DISCONNECT => self.disconnected(pulse.scoid),
            code => tracing::debug!("a pulse {code:?} that no node is named for"),
        }
    }

    /// A client wants out and stays blocked until its server's node has answered, or said that the server has the
    /// message and the client does not want out of that.
    fn want_out(&mut self, turn: &mut Turn<'_>, id: Rcvid, cancel: Cancel) {
        if let Some(at) = self.behind.iter().position(|message| message.rcvid() == id) {
            // It has not left.
            let message = self.behind.remove(at).expect("found above");
            let _ = message.let_go();
            return;
        }
        let Some(call) = self.call_of(turn.engine, id) else {
            return;
        };
        if let Some(waiting) = self.calls.get_mut(call) {
            waiting.wants_out = true;
            // A call that has ended is being answered.
            let _ = turn.engine.cancel(turn.now, call, cancel);
        }
    }

    /// The server has received the message of a client that wants to know.
    pub(super) fn received(&self, call: OutboundCall) {
        if let Some(message) = self.alone(call) {
            // A dead client needs no news.
            let _ = message.report_receipt();
        }
    }

    /// Ends the virtual connection of one that has gone.
    fn detached(&mut self, turn: &mut Turn<'_>, route: Route) {
        self.behind
            .retain(|message| message.connection_id() != route);
        let Some(Conn::Open(conn)) = self.conns.remove(&route) else {
            return;
        };
        self.last = None;
        self.routes.remove(&conn);
        self.dissolve_all(turn.engine, conn);
        for call in turn.engine.calls_of(conn) {
            drop(self.forget(call).and_then(|waiting| self.take_out(waiting)));
        }
        if let Err(errno) = turn.engine.detach(turn.now, conn) {
            tracing::debug!("detach of {conn:?}: {errno:?}");
        }
        // A connection less: a pulse that waits for one need not wait for a frame.
        self.may_have_room = self.has_held();
    }

    fn disconnected(&self, scoid: Scoid) {
        if let Err(errno) = self.channel.detach_client(scoid) {
            tracing::debug!("detach of client {scoid}: {errno}");
        }
    }

    /// The reply's bytes are in place.
    pub(super) fn replied(&mut self, call: OutboundCall, status: i64) {
        let Some(waiting) = self.forget(call) else {
            return;
        };
        // The status is another node's word, and not to be trusted; a dead client needs no answer.
        match (status, waiting.message) {
            (0.., Held::Alone(message)) => self.replies.push((message, status)),
            (_, Held::Alone(message)) => drop(message.error(Errno::EPROTO)),
            (_, Held::InCrowd(place)) => self.reply_in_crowd(place, status),
        }
    }

    /// The call ended in an error.
    pub(super) fn failed(&mut self, call: OutboundCall, errno: qnet_proto::Errno) {
        let Some(waiting) = self.forget(call) else {
            return;
        };
        let wants_out = waiting.wants_out;
        if let Some(message) = self.take_out(waiting) {
            match local_errno(errno) {
                _ if errno == LET_GO && wants_out => drop(message.let_go()),
                errno => self.fail(message, errno),
            }
        }
    }

    /// A message that was taken ends in an error.
    fn fail(&mut self, message: ReceivedMessage, errno: Errno) {
        match errno {
            Errno::ESRCH => self.esrch.push(message),
            errno => drop(message.error(errno)),
        }
    }

    /// The remote server is gone: its clients' connections end (CHN-4).
    pub(super) fn closed(&mut self, conn: OutboundConn, errno: qnet_proto::Errno) {
        self.last = None;
        if let Some(route) = self.routes.remove(&conn) {
            self.conns.insert(route, Conn::Dead(local_errno(errno)));
            self.ended.push(route);
        }
    }

    /// All events that came together are handled. A client that was blocked is to find its connection
    /// ended when it wakes (SND-5), but an error other than `ESRCH` is to reach it first.
    pub(super) fn settle(&mut self) {
        if self.ended.is_empty() && self.esrch.is_empty() {
            return;
        }
        for message in std::mem::take(&mut self.behind) {
            match self.conns.get(&message.connection_id()) {
                Some(&Conn::Dead(errno)) => self.fail(message, errno),
                _ => self.behind.push_back(message),
            }
        }
        self.flush();
        for route in self.ended.drain(..) {
            self.channel.cut_connection(route);
        }
        for message in self.esrch.drain(..) {
            match self.conns.get(&message.connection_id()) {
                // The end of its connection is what tells the client.
                Some(Conn::Dead(_)) => drop(message.into_rcvid()),
                _ => drop(message.error(Errno::ESRCH)),
            }
        }
    }

    /// Hands over the replies that have come. Who sleeps beside one is to be woken: [`Outbound::take_wakes`].
    pub(super) fn flush(&mut self) {
        if !self.replies.is_empty() {
            let (channel, replies) = (&self.channel, &mut self.replies);
            let handed_over = channel.reply_all_quietly(replies, &mut self.wakes);
            handed_over.expect("invariant: statuses were checked, and there is one channel");
        }
        self.crowds.flush(&mut self.wakes);
    }

    /// Adds the wake-ups of clients that sleep beside their replies.
    pub(super) fn take_wakes(&mut self, into: &mut Vec<Wake>) {
        into.append(&mut self.wakes);
    }

    /// A message that came by itself waits for the answer to a call.
    fn note_alone(&mut self, call: OutboundCall, message: ReceivedMessage) {
        self.by_place.note(message.rcvid(), call);
        let (message, wants_out) = (Held::Alone(message), false);
        self.note(call, Waiting { message, wants_out });
    }

    /// A message waits for the answer to a call.
    fn note(&mut self, call: OutboundCall, waiting: Waiting) {
        self.ended_calls.extend(self.calls.insert(call, waiting));
    }

    fn forget(&mut self, call: OutboundCall) -> Option<Waiting> {
        self.calls.remove(call).or_else(|| {
            let at = self
                .ended_calls
                .iter()
                .position(|(ended, _)| *ended == call)?;
            Some(self.ended_calls.swap_remove(at).1)
        })
    }
}

/// An error as this node's clients know it.
pub(super) fn local_errno(errno: qnet_proto::Errno) -> Errno {
    Errno(i32::from(errno.0))
}

/// An error as it goes over the wire.
pub(super) fn remote_errno(errno: Errno) -> qnet_proto::Errno {
    let errno = u16::try_from(errno.0).map(qnet_proto::Errno);
    let errno = errno.ok().filter(|errno| *errno != LET_GO);
    errno.unwrap_or(qnet_proto::Errno(libc::EIO as u16))
}
