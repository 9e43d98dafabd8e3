//! Remote clients of local servers: what the engine announces is handed to the server, its answers go to
//! the engine.
//!
//! ```text
//! accept --> Staged (no buffer yet: attach or arena) --> Loaned --> Submitted --> Answered --> gone
//!               \-- whole in the connection's region: Loaned --/
//! ```

use std::{ops::Range, sync::Arc};

use ipc_core::{
    Completion, CompletionQueue, Connection, Loan, LoanReply, SpeaksFor, Token,
    abi::{Chid, Coid, Credentials, Errno, Nd, Pid, PulseCode},
    set_priority,
};
use qnet_proto::{
    Accept, Cancel, ConnectInfo, Engine, InboundCall, InboundConn, Incoming, PeerId, Time,
    limits::{EAGER_LEN, MESSAGE_LEN_MAX},
};

use crate::bridge::{
    BridgeCounters,
    attacher::{Attach, Attacher},
    handles::Handles,
    mailbox::{Mailbox, Request},
    outbound::remote_errno,
};

/// Bytes that may be staged at one time, whoever sends them.
const STAGED_LEN_MAX: usize = 16 << 20;
/// Answers taken in one round.
const ANSWERS_PER_ROUND: usize = 64;

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
    Attaching,
    Ready(Arc<Connection>),
}

struct Call {
    conn: InboundConn,
    len: usize,
    reply_len: usize,
    priority: u8,
    place: Place,
    /// All bytes are there.
    arrived: bool,
    /// The remote client wants out, and this is what it gets if the server leaves that to it.
    cancel: Option<Errno>,
}

/// Where the bytes of a message, or of its reply, are.
enum Place {
    /// The first bytes, as many as come unasked.
    Staged(Vec<u8>),
    /// In the region of the connection.
    Loaned(Loan),
    /// With the server.
    Submitted,
    /// The server's reply, until it is known to have arrived.
    Answered(Option<LoanReply>),
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
        now: Time,
        engine: &mut Engine,
        conn: InboundConn,
        outcome: Result<Connection, Errno>,
        counters: &mut BridgeCounters,
    ) {
        counters.attaches += 1;
        // The client may have gone meanwhile: then the connection is dropped here.
        let Some(entry) = self.conns.get_mut(conn) else {
            return;
        };
        match outcome {
            Ok(connection) => {
                let mailbox = self.mailbox.clone();
                connection.on_end(Box::new(move || mailbox.put(Request::ServerDied(conn))));
                entry.state = ConnState::Ready(Arc::new(connection));
                self.place_waiting(now, engine, conn, counters);
            }
            Err(errno) => {
                counters.attaches_refused += 1;
                self.close(now, engine, conn, errno);
            }
        }
    }

    /// The server is gone, or never was: the remote client is told.
    pub(super) fn close(
        &mut self,
        now: Time,
        engine: &mut Engine,
        conn: InboundConn,
        errno: Errno,
    ) {
        if self.conns.remove(conn).is_some() {
            // An error here means that the client has gone at the same time.
            let _ = engine.close(now, conn, remote_errno(errno));
        }
    }

    /// The remote client detached or died.
    pub(super) fn detached(&mut self, conn: InboundConn) {
        self.conns.remove(conn);
    }

    /// A message begins to arrive.
    pub(super) fn accept(&mut self, call: InboundCall, incoming: &Incoming) -> Accept {
        let (len, reply_len) = (incoming.len as usize, incoming.reply_len as usize);
        if len > MESSAGE_LEN_MAX || reply_len > MESSAGE_LEN_MAX {
            return Accept::Refuse(remote_errno(Errno::EMSGSIZE));
        }
        if self.conns.get(incoming.conn).is_none() {
            self.conns.insert(incoming.conn, Conn::new());
        }
        let place = match self.find_place(incoming.conn, len, reply_len) {
            Ok(place) => place,
            Err(errno) => return Accept::Refuse(remote_errno(errno)),
        };
        let accept = match &place {
            Place::Staged(bytes) => {
                self.staged_len += bytes.len();
                if let Some(conn) = self.conns.get_mut(incoming.conn) {
                    conn.waiting.push(call);
                }
                Accept::Eager
            }
            _ => Accept::All,
        };
        let call_state = Call {
            conn: incoming.conn,
            len,
            reply_len,
            priority: incoming.priority,
            place,
            arrived: false,
            cancel: None,
        };
        if let Some((former, gone)) = self.calls.insert(call, call_state) {
            let conn = self.release(former, gone);
            self.freed.push(conn);
        }
        accept
    }

    fn find_place(&self, conn: InboundConn, len: usize, reply_len: usize) -> Result<Place, Errno> {
        let conn = self.conns.get(conn).ok_or(Errno::ESRCH)?;
        if conn.waiting.is_empty()
            && let ConnState::Ready(connection) = &conn.state
        {
            match connection.loan(len, reply_len) {
                Ok(loan) => return Ok(Place::Loaned(loan)),
                Err(Errno::EAGAIN) => {}
                Err(Errno::EBADF) => return Err(Errno::ESRCH),
                Err(errno) => return Err(errno),
            }
        }
        let eager = len.min(EAGER_LEN);
        if self.staged_len + eager > STAGED_LEN_MAX {
            return Err(Errno::EAGAIN);
        }
        Ok(Place::Staged(vec![0; eager]))
    }

    /// Places bytes of a message.
    pub(super) fn write(&mut self, call: InboundCall, offset: usize, bytes: &[u8]) {
        match self.calls.get_mut(call).map(|call| &mut call.place) {
            Some(Place::Staged(staged)) => {
                if let Some(room) = staged.get_mut(offset..offset + bytes.len()) {
                    room.copy_from_slice(bytes);
                }
            }
            Some(Place::Loaned(loan)) => {
                loan.write(offset, bytes);
            }
            _ => {}
        }
    }

    /// Copies bytes of a reply; answers how many there were.
    pub(super) fn read(&self, call: InboundCall, offset: usize, into: &mut [u8]) -> usize {
        match self.calls.get(call).map(|call| &call.place) {
            Some(Place::Answered(Some(reply))) => reply.read(offset, into),
            _ => 0,
        }
    }

    /// All bytes are there: hand the message over, or remember to.
    pub(super) fn arrived(
        &mut self,
        now: Time,
        engine: &mut Engine,
        call: InboundCall,
        counters: &mut BridgeCounters,
    ) {
        counters.messages_in += 1;
        if let Some(state) = self.calls.get_mut(call) {
            state.arrived = true;
            self.submit(now, engine, call, counters);
        }
    }

    fn submit(
        &mut self,
        now: Time,
        engine: &mut Engine,
        id: InboundCall,
        counters: &mut BridgeCounters,
    ) {
        let Some(call) = self.calls.get_mut(id) else {
            return;
        };
        let Some(ConnState::Ready(connection)) = self.conns.get(call.conn).map(|c| &c.state) else {
            return;
        };
        if !call.arrived || !matches!(call.place, Place::Loaned(_)) {
            return;
        }
        let Place::Loaned(loan) = std::mem::replace(&mut call.place, Place::Submitted) else {
            return;
        };
        set_priority(call.priority);
        if let Err(errno) = connection.submit(loan, token(id)) {
            let errno = if errno == Errno::EBADF {
                Errno::ESRCH
            } else {
                errno
            };
            self.fail(now, engine, id, errno, counters);
        }
    }

    /// Finds buffers for messages that wait for one.
    fn place_waiting(
        &mut self,
        now: Time,
        engine: &mut Engine,
        conn: InboundConn,
        counters: &mut BridgeCounters,
    ) {
        while let Some(entry) = self.conns.get_mut(conn)
            && let ConnState::Ready(connection) = &entry.state
            && let Some(id) = entry.waiting.first().copied()
        {
            let Some(call) = self.calls.get_mut(id) else {
                entry.waiting.remove(0);
                continue;
            };
            let loaned = connection.loan(call.len, call.reply_len);
            if let Err(Errno::EAGAIN) = loaned {
                return;
            }
            entry.waiting.remove(0);
            let Place::Staged(staged) = std::mem::replace(&mut call.place, Place::Submitted) else {
                continue;
            };
            self.staged_len -= staged.len();
            match loaned {
                Ok(mut loan) => {
                    counters.messages_staged += 1;
                    loan.write(0, &staged);
                    call.place = Place::Loaned(loan);
                    if call.len > EAGER_LEN {
                        // A client that no longer waits is told of by an event.
                        let _ = engine.grant(now, id);
                    }
                    self.submit(now, engine, id, counters);
                }
                Err(errno) => self.fail(now, engine, id, errno, counters),
            }
        }
    }

    /// Takes answers of local servers. Answers whether there may be more.
    pub(super) fn collect(
        &mut self,
        now: Time,
        engine: &mut Engine,
        counters: &mut BridgeCounters,
    ) -> bool {
        for _ in 0..ANSWERS_PER_ROUND {
            match self.queue.try_next() {
                Some(completion) => self.answered(now, engine, completion, counters),
                None => return false,
            }
        }
        true
    }

    fn answered(
        &mut self,
        now: Time,
        engine: &mut Engine,
        completion: Completion,
        counters: &mut BridgeCounters,
    ) {
        // An answer for a client that has gone is dropped, and its buffers with it.
        let Some(id) = self
            .calls
            .at(index(completion.token))
            .filter(|id| token(*id) == completion.token)
        else {
            return;
        };
        let Some(call) = self.calls.get_mut(id) else {
            return;
        };
        let conn = call.conn;
        match completion.result {
            Ok(reply) => {
                counters.replies_out += 1;
                let status = reply.reply().status;
                let extents = extents(&reply, call.reply_len);
                call.place = Place::Answered(Some(reply));
                // An error means that the client does not wait; its end is an event of its own.
                let _ = engine.reply_extents(now, id, status, &extents);
            }
            Err(errno) => {
                let errno = match (errno, call.cancel) {
                    (Errno::EINTR, Some(wanted)) => wanted,
                    (Errno::EBADF, _) => Errno::ESRCH,
                    (errno, _) => errno,
                };
                self.fail(now, engine, id, errno, counters);
            }
        }
        self.place_waiting(now, engine, conn, counters);
    }

    /// The remote client wants out (CHN-2).
    pub(super) fn cancel(
        &mut self,
        now: Time,
        engine: &mut Engine,
        id: InboundCall,
        cancel: Cancel,
        counters: &mut BridgeCounters,
    ) {
        let (Cancel::Unblock(errno) | Cancel::Withdraw(errno)) = cancel else {
            return;
        };
        let errno = crate::bridge::outbound::local_errno(errno);
        let Some(call) = self.calls.get_mut(id) else {
            return;
        };
        match &call.place {
            Place::Staged(_) | Place::Loaned(_) => self.fail(now, engine, id, errno, counters),
            Place::Submitted if matches!(cancel, Cancel::Unblock(_)) => {
                call.cancel = Some(errno);
                let conn = call.conn;
                self.unblock(conn, id);
            }
            Place::Submitted | Place::Answered(_) => {}
        }
    }

    fn unblock(&self, conn: InboundConn, id: InboundCall) {
        if let Some(ConnState::Ready(connection)) = self.conns.get(conn).map(|conn| &conn.state) {
            // Not in flight any more: then its answer is on its way out of the queue.
            let _ = connection.unblock(token(id));
        }
    }

    /// The remote client no longer waits.
    pub(super) fn abandoned(&mut self, id: InboundCall) {
        self.remove(id);
    }

    /// The answer has arrived: its bytes are free.
    pub(super) fn reply_done(
        &mut self,
        now: Time,
        engine: &mut Engine,
        id: InboundCall,
        counters: &mut BridgeCounters,
    ) {
        let conn = self.remove(id);
        for conn in std::mem::take(&mut self.freed).into_iter().chain(conn) {
            self.place_waiting(now, engine, conn, counters);
        }
    }

    /// A remote client's pulse goes to its server.
    pub(super) fn pulse(
        &self,
        conn: InboundConn,
        pulse: qnet_proto::Pulse,
        counters: &mut BridgeCounters,
    ) {
        counters.pulses += 1;
        let sent = match self.conns.get(conn).map(|conn| &conn.state) {
            Some(ConnState::Ready(connection)) => {
                connection.send_pulse(Some(pulse.priority), PulseCode(pulse.code), pulse.value)
            }
            _ => Err(Errno::EAGAIN),
        };
        if sent.is_err() {
            counters.pulses_lost += 1;
        }
    }

    fn fail(
        &mut self,
        now: Time,
        engine: &mut Engine,
        id: InboundCall,
        errno: Errno,
        counters: &mut BridgeCounters,
    ) {
        counters.errors_out += 1;
        if let Some(call) = self.calls.get_mut(id) {
            if let Place::Staged(staged) = &call.place {
                self.staged_len -= staged.len();
            }
            call.place = Place::Answered(None);
            // As with a reply.
            let _ = engine.error(now, id, remote_errno(errno));
        }
    }

    fn remove(&mut self, id: InboundCall) -> Option<InboundConn> {
        let call = self.calls.remove(id)?;
        Some(self.release(id, call))
    }

    /// Lets go of a call that has ended, and of its buffers. Answers whose they were.
    fn release(&mut self, id: InboundCall, call: Call) -> InboundConn {
        match &call.place {
            Place::Staged(staged) => self.staged_len -= staged.len(),
            // Nobody waits for the server's answer any more.
            Place::Submitted => self.unblock(call.conn, id),
            Place::Loaned(_) | Place::Answered(_) => {}
        }
        if let Some(conn) = self.conns.get_mut(call.conn) {
            conn.waiting.retain(|waiting| *waiting != id);
        }
        call.conn
    }
}

impl Conn {
    fn new() -> Conn {
        Conn {
            state: ConnState::Attaching,
            waiting: Vec::new(),
        }
    }
}

/// The token under which a call's answer comes back: index and generation.
fn token(id: InboundCall) -> Token {
    u64::from(id.generation()) << 32 | id.index() as u64
}

fn index(token: Token) -> usize {
    token as u32 as usize
}

/// What the server put into the reply buffer: what it replied, from the start, and what it wrote before.
/// The lengths are its own word and bounded here.
fn extents(reply: &LoanReply, reply_len: usize) -> Vec<Range<u32>> {
    let (replied, (start, end)) = reply.extents();
    let (replied, end) = (replied.min(reply_len), end.min(reply_len));
    let mut extents = Vec::with_capacity(2);
    if start <= replied || start >= end {
        extents.push(0..replied.max(if start < end { end } else { 0 }) as u32);
    } else {
        extents.push(0..replied as u32);
        extents.push(start as u32..end as u32);
    }
    extents.retain(|extent| !extent.is_empty());
    extents
}
