//! The end of a session, and of everything in it.

use super::datagram::Datagram;
use super::peer::State;
use super::queue::{Bulk, Control};
use super::{DownReason, Engine, Event, peer_of};
use crate::{
    Errno, InboundCall, InboundConn, InboundRun, OutboundCall, OutboundConn, PeerId, Time,
};

impl Engine {
    /// Ends the session with a peer, and everything in it, now.
    ///
    /// # Errors
    /// `EHOSTUNREACH` no such peer.
    pub fn forget(&mut self, now: Time, peer: PeerId) -> Result<(), Errno> {
        self.peer(peer).ok_or(Errno::EHOSTUNREACH)?;
        self.take_down(now, peer, DownReason::Forgotten);
        Ok(())
    }

    /// Ends the session, or the attempt at one: tells the caller of everything that dies with it.
    ///
    /// When the peer lives on, messages of connections that it never heard of are kept, and go with the
    /// next session.
    pub(super) fn take_down(&mut self, now: Time, id: PeerId, reason: DownReason) {
        if self.peer(id).is_none_or(|peer| peer.is_known_only()) {
            return;
        }
        let keeps_unsent = matches!(reason, DownReason::Restarted | DownReason::SessionLost);
        if matches!(reason, DownReason::Silent | DownReason::Forgotten) {
            self.say_bye(id);
        }
        let out_conns: Vec<OutboundConn> = self.tables.out_conns_to(id).collect();
        (out_conns.into_iter()).for_each(|conn| self.dissolve_all(conn));
        // What the peer began goes with the session that numbers it.
        let session = self.peer(id).and_then(|peer| peer.session());
        let runs = session
            .into_iter()
            .flat_map(|session| session.in_runs.values());
        let in_runs: Vec<InboundRun> = runs.map(|(run, _)| *run).collect();
        in_runs.iter().for_each(|run| self.take_all_out(*run));
        let session = self.peer(id).and_then(|peer| peer.session());
        let calls = session
            .into_iter()
            .flat_map(|session| session.in_calls.values());
        let mut in_calls: Vec<InboundCall> = calls.collect();
        let conns = session
            .into_iter()
            .flat_map(|session| session.in_conns.values());
        let mut in_conns: Vec<InboundConn> = conns.copied().collect();
        // In an order that does not hang on hashes.
        in_calls.sort_unstable();
        in_conns.sort_unstable();
        self.drop_session(id);
        let is_unsent = |conn: OutboundConn, engine: &Engine| {
            keeps_unsent
                && engine
                    .tables
                    .out_conn(conn)
                    .is_some_and(|conn| conn.id.is_none())
        };
        for call in self.out_calls_to(id) {
            let conn = self
                .tables
                .out_call(call)
                .expect("listed a moment ago")
                .conn;
            if !is_unsent(conn, self) {
                self.tables.remove_out_call(call);
                self.events.push_back(Event::Failed {
                    call,
                    errno: reason.errno(),
                });
            }
        }
        for call in in_calls {
            let inbound = self
                .tables
                .remove_in_call(call)
                .expect("both tables name the same calls");
            if inbound.is_accepted {
                self.events.push_back(Event::Abandoned { call });
            }
        }
        for run in in_runs {
            self.tables.remove_in_run(run);
            self.events.push_back(Event::RunDone { run });
        }
        for conn in in_conns {
            self.tables.remove_in_conn(conn);
            self.events.push_back(Event::Detached { conn });
        }
        self.close_out_conns(id, reason);
        self.clear_queue(id, keeps_unsent);
        self.events.push_back(Event::PeerDown { peer: id, reason });
        if matches!(
            reason,
            DownReason::Silent | DownReason::Bye | DownReason::Unreachable
        ) && let Some(peer) = self.peer_mut(id)
        {
            peer.epoch = 0;
        }
        let has_work = self.peer(id).is_some_and(|peer| !peer.queues.is_empty());
        if has_work {
            self.begin_connecting(now, id);
        }
    }

    /// Closes what the peer knew of; connections it never heard of stay.
    fn close_out_conns(&mut self, id: PeerId, reason: DownReason) {
        let mut conns: Vec<OutboundConn> = self.tables.out_conns_to(id).collect();
        conns.sort_unstable();
        for conn in conns {
            let entry = self.tables.out_conn(conn).expect("listed a moment ago");
            if entry.id.is_none() && !entry.is_closing {
                continue;
            }
            if !entry.is_closing {
                self.events.push_back(Event::Closed {
                    conn,
                    errno: reason.errno(),
                });
            }
            self.tables.remove_out_conn(conn);
        }
    }

    /// The calls of local clients to a peer, by index.
    fn out_calls_to(&self, id: PeerId) -> Vec<OutboundCall> {
        let conns = self.tables.out_conns_to(id);
        let calls = conns.flat_map(|conn| self.tables.out_calls_of(conn));
        let mut calls: Vec<OutboundCall> = calls.collect();
        calls.sort_unstable();
        calls
    }

    /// Leaves in the queue what can go with another session, and counts uses anew.
    fn clear_queue(&mut self, id: PeerId, keeps_unsent: bool) {
        let Some(peer) = peer_of(&mut self.peers, id) else {
            return;
        };
        let tables = &mut self.tables;
        peer.pulses = 0;
        for (_, queue) in peer.queues.iter_mut() {
            queue.replies.clear();
            queue.begun.clear();
            queue.control.retain(|control| match control {
                Control::PulseServer { conn, .. } => {
                    keeps_unsent && tables.out_conn(*conn).is_some()
                }
                _ => false,
            });
            queue.drop_ended(tables);
            queue.bulk.retain(|bulk| match bulk {
                Bulk::Message(call) => tables.out_call(*call).is_some(),
                Bulk::Reply(_) => false,
            });
            peer.pulses += queue.control.len();
        }
        let conns: Vec<OutboundConn> = tables.out_conns_to(id).collect();
        for conn in conns {
            let calls = tables.out_calls_of(conn).count() as u32;
            let entry = tables.out_conn_mut(conn).expect("listed a moment ago");
            (entry.uses, entry.pulses_unacked) = (calls, 0);
        }
        for control in peer.queues.iter().flat_map(|(_, queue)| &queue.control) {
            if let Control::PulseServer { conn, .. } = control
                && let Some(entry) = tables.out_conn_mut(*conn)
            {
                entry.uses += 1;
                entry.pulses_unacked += 1;
            }
        }
    }

    /// Ends the session without a word to the caller: for one that nothing uses, or whose end was told.
    pub(super) fn drop_session(&mut self, id: PeerId) {
        self.generations += 1;
        let generation = self.generations;
        let Some(peer) = peer_of(&mut self.peers, id) else {
            return;
        };
        let number = match &peer.state {
            State::Known => None,
            State::Connecting(attempt) => attempt.confirm.map(|confirm| confirm.message.session()),
            State::Up(session) => Some(session.id),
        };
        peer.state = State::Known;
        peer.generation = generation;
        if let Some(number) = number {
            self.sessions.remove(&number);
        }
        self.active.retain(|&active| active != id);
    }

    /// Queues a last frame of the session for each path, so that a peer that lives need not wait for the
    /// tolerance.
    fn say_bye(&mut self, id: PeerId) {
        let Some(session) = self.peer(id).and_then(|peer| peer.session()) else {
            return;
        };
        let (number, is_responder) = (session.id, session.is_responder);
        let ends = session.paths.iter().enumerate().map(|(at, path)| {
            Datagram::bye(
                path.address,
                number,
                at as u8,
                path.sent.next(),
                is_responder,
            )
        });
        let ends: Vec<Datagram> = ends.collect();
        for end in ends {
            self.push_datagram(end);
        }
    }
}
