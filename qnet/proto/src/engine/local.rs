//! Commands of the client's side: connections, messages, cancels, pulses to servers.

use super::calls::OutCall;
use super::conns::OutConn;
use super::queue::Control;
use super::{Cancel, Engine, Event, LinkPolicy, peer_of};
use crate::limits::{CONNS_MAX, MESSAGE_LEN_MAX, PULSES_MAX};
use crate::wire::Side;
use crate::{
    ConnectInfo, Errno, LinkId, OutboundCall, OutboundConn, OutboundRun, PeerId, Pulse, Time,
};

/// What [`Engine::send`] must know of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outgoing {
    /// Bytes of the message.
    pub len: u32,
    /// Bytes that the client's reply buffer takes.
    pub reply_len: u32,
    /// The priority it is sent at.
    pub priority: u8,
    /// The client's thread.
    pub tid: i32,
    /// Whether the client wants to know when the server receives it: `Received` tells.
    pub reports: bool,
}

impl Engine {
    /// Makes a virtual connection. Nothing is sent: the connect travels with the first message or pulse.
    ///
    /// # Errors
    /// `EHOSTUNREACH` no such peer, `EAGAIN` too many connections.
    pub fn connect(&mut self, peer: PeerId, info: ConnectInfo) -> Result<OutboundConn, Errno> {
        self.connect_through(peer, info, LinkPolicy::LoadBalance)
    }

    /// As [`Engine::connect`], for a connection that does not leave the choice of links to the engine.
    ///
    /// # Errors
    /// As [`Engine::connect`]; `EINVAL` the policy names a link that this node does not have.
    pub fn connect_through(
        &mut self,
        peer: PeerId,
        info: ConnectInfo,
        policy: LinkPolicy,
    ) -> Result<OutboundConn, Errno> {
        let has = |link: LinkId| usize::from(link.0) < self.config.links.len();
        if !policy.link().is_none_or(has) {
            return Err(Errno::EINVAL);
        }
        if self.tables.out_conn_count() >= CONNS_MAX {
            return Err(Errno::EAGAIN);
        }
        let known = self.peer_mut(peer).ok_or(Errno::EHOSTUNREACH)?;
        known.is_pinned = true;
        Ok(self
            .tables
            .insert_out_conn(OutConn::new(peer, info, policy)))
    }

    /// Changes the credentials of a client; they go with its next message or pulse.
    ///
    /// # Errors
    /// `EBADF` not a live connection.
    pub fn set_credentials(&mut self, conn: OutboundConn, uid: u32, gid: u32) -> Result<(), Errno> {
        let conn = self.open_conn(conn)?;
        if (conn.info.uid, conn.info.gid) != (uid, gid) {
            (conn.info.uid, conn.info.gid) = (uid, gid);
            conn.revision = conn.revision.wrapping_add(1);
        }
        Ok(())
    }

    /// Sends a local client's message of `len` bytes; ends in `Replied` or `Failed`. The server gets it after all pulses
    /// that were sent through the connection before.
    ///
    /// # Errors
    /// `EBADF` not a live connection, `EMSGSIZE` a length over 16 MiB.
    pub fn send(
        &mut self,
        now: Time,
        conn: OutboundConn,
        message: Outgoing,
    ) -> Result<OutboundCall, Errno> {
        if message.len as usize > MESSAGE_LEN_MAX || message.reply_len as usize > MESSAGE_LEN_MAX {
            return Err(Errno::EMSGSIZE);
        }
        let open = self.open_conn(conn)?;
        open.begin_use(now);
        let (id, policy) = (open.peer, open.policy);
        let unasked_len = open.unasked_len();
        let pulses = open.next_pulse;
        self.be_connected(now, id);
        self.watch_link(now, id, policy);
        let mut out = OutCall::new(id, conn, policy, message, pulses, unasked_len);
        out.message.is_queued = true;
        let call = self.tables.insert_out_call(out);
        let peer = self
            .peer_mut(id)
            .expect("a peer with connections keeps its place");
        peer.stats.messages_sent += 1;
        peer.queues.of(policy).push_message(call, message.len);
        self.settle_queued(id);
        Ok(call)
    }

    /// Passes on that a local client wants out. A call that is not on its way yet ends here and now:
    /// `Failed` with the error of `Unblock` or `Withdraw`.
    ///
    /// # Errors
    /// `ESRCH` the call has ended.
    pub fn cancel(&mut self, now: Time, call: OutboundCall, cancel: Cancel) -> Result<(), Errno> {
        let out = self.tables.out_call(call).ok_or(Errno::ESRCH)?;
        let (id, conn, number, policy) = (out.peer, out.conn, out.id, out.policy);
        match (number, cancel) {
            (Some(number), _) => {
                let peer = peer_of(&mut self.peers, id).expect("a call's peer keeps its place");
                let policy = match cancel {
                    Cancel::Abandon => policy.at_all_costs(),
                    _ => policy,
                };
                peer.queues.of(policy).control.push_back(Control::Cancel {
                    call,
                    conn,
                    id: number,
                    cancel,
                });
                if cancel == Cancel::Abandon {
                    let gone = self.tables.remove_out_call(call).expect("found above");
                    if let Some(session) = peer.session_mut() {
                        session.gaps.forget(gone.placed.gaps());
                        session.out_calls.remove(number);
                        session.last_words += 1;
                    }
                }
            }
            (None, Cancel::Unblock(errno) | Cancel::Withdraw(errno)) => {
                self.tables.remove_out_call(call);
                self.events.push_back(Event::Failed { call, errno });
                self.release_conn(conn);
            }
            (None, Cancel::Abandon) => {
                self.tables.remove_out_call(call);
                self.release_conn(conn);
            }
        }
        self.settle(now, id);
        Ok(())
    }

    /// The calls of a virtual connection that have not ended, the newest first. It costs what there are.
    pub fn calls_of(&self, conn: OutboundConn) -> impl Iterator<Item = OutboundCall> + '_ {
        self.tables.out_calls_of(conn)
    }

    /// Ends a virtual connection; calls and runs outstanding on it are abandoned. All their handles are dead at once.
    ///
    /// # Errors
    /// `EBADF` not a live connection.
    pub fn detach(&mut self, now: Time, conn: OutboundConn) -> Result<(), Errno> {
        let open = self.open_conn(conn)?;
        open.is_closing = true;
        let id = open.peer;
        // One more use keeps the connection until all calls are abandoned.
        open.uses += 1;
        let runs: Vec<OutboundRun> = self.runs_of(conn).collect();
        runs.into_iter().for_each(|run| drop(self.dissolve(run)));
        let calls: Vec<OutboundCall> = self.calls_of(conn).collect();
        for call in calls {
            self.cancel(now, call, Cancel::Abandon)?;
        }
        self.release_conn(conn);
        self.settle(now, id);
        Ok(())
    }

    /// Sends a pulse to the server, once and in order with other pulses of the connection.
    ///
    /// # Errors
    /// `EBADF` not a live connection, `EAGAIN` too many pulses on their way to that node.
    pub fn pulse_server(
        &mut self,
        now: Time,
        conn: OutboundConn,
        pulse: Pulse,
    ) -> Result<(), Errno> {
        let open = self.open_conn(conn)?;
        let (id, policy) = (open.peer, open.policy);
        let peer = self
            .peer_mut(id)
            .expect("a peer with connections keeps its place");
        if peer.pulses >= PULSES_MAX {
            return Err(Errno::EAGAIN);
        }
        self.be_connected(now, id);
        self.watch_link(now, id, policy);
        let open = self.open_conn(conn)?;
        open.begin_use(now);
        let sequence = open.next_pulse;
        open.next_pulse += 1;
        open.pulses_unacked += 1;
        let peer = self
            .peer_mut(id)
            .expect("a peer with connections keeps its place");
        peer.pulses += 1;
        peer.queues
            .of(policy)
            .control
            .push_back(Control::PulseServer {
                conn,
                sequence,
                pulse,
            });
        self.settle(now, id);
        Ok(())
    }

    fn open_conn(&mut self, conn: OutboundConn) -> Result<&mut OutConn, Errno> {
        self.tables
            .out_conn_mut(conn)
            .filter(|conn| !conn.is_closing)
            .ok_or(Errno::EBADF)
    }

    /// One use of a connection is over: the last one of a closing connection lets it go.
    pub(super) fn release_conn(&mut self, conn: OutboundConn) {
        let Some(entry) = self.tables.out_conn_mut(conn) else {
            return;
        };
        entry.uses = entry.uses.saturating_sub(1);
        if entry.uses > 0 || !entry.is_closing {
            return;
        }
        let entry = self.tables.remove_out_conn(conn).expect("found above");
        let (Some(id), Some(peer)) = (entry.id, peer_of(&mut self.peers, entry.peer)) else {
            return;
        };
        if !entry.is_closed_by_server {
            let detach = Control::Detach {
                conn: id,
                to: Side::Server,
                errno: Errno(0),
            };
            let policy = entry.policy.at_all_costs();
            peer.queues.of(policy).control.push_back(detach);
        }
        if let Some(session) = peer.session_mut() {
            session.out_conns.remove(&id);
            session.early_pulses -= entry.pulses.early_len();
            session.last_words += usize::from(!entry.is_closed_by_server);
        }
    }
}
