//! Commands of the server's side: grants, replies, errors, pulses to clients.

use std::ops::Range;

use super::calls::{Answer, InCall};
use super::peer::State;
use super::queue::Control;
use super::stream::Stream;
use super::{Engine, Event, peer_of};
use crate::limits::{CONTROLS_KEPT_MAX, EAGER_LEN, GRANTED_LEN_MAX, PULSES_MAX, REPLY_EXTENTS_MAX};
use crate::wire::Side;
use crate::{Errno, InboundCall, InboundConn, InboundRun, PeerId, Pulse, Time};

impl Engine {
    /// There is a buffer now for a message that was accepted with [`Accept::Eager`](super::Accept::Eager).
    ///
    /// # Errors
    /// `ESRCH` the client no longer waits.
    pub fn grant(&mut self, now: Time, call: InboundCall) -> Result<(), Errno> {
        let id = self.tables.in_call(call).ok_or(Errno::ESRCH)?.peer;
        self.offer_grant(id, call);
        self.settle(now, id);
        Ok(())
    }

    /// The server has received a message. Its client is told if it wants to know; no effect otherwise, or once the call
    /// is answered.
    pub fn received(&mut self, now: Time, call: InboundCall) {
        let Some(inbound) = self.tables.in_call_mut(call) else {
            return;
        };
        if !inbound.reports || inbound.answer.is_some() {
            return;
        }
        inbound.reports = false;
        let (id, back) = (inbound.peer, inbound.back);
        let received = Control::Received {
            call,
            id: inbound.id,
        };
        let peer = peer_of(&mut self.peers, id).expect("a call's peer keeps its place");
        let control = &mut peer.queues.of(back).control;
        // Those of calls that have ended go as they come up; a peer that acknowledges nothing lets none come up.
        if control.len() >= CONTROLS_KEPT_MAX {
            let tables = &self.tables;
            control.retain(|control| match control {
                Control::Received { call, .. } => tables.waits_for_answer(*call),
                _ => true,
            });
        }
        control.push_back(received);
        self.settle(now, id);
    }

    /// Answers an inbound call with the first `len` bytes of its reply buffer. Ends in `ReplyDone` (or
    /// `Abandoned`); until then the bytes must stay.
    ///
    /// # Errors
    /// `ESRCH` the client no longer waits or has its answer; `EMSGSIZE` longer than its reply buffer.
    pub fn reply(
        &mut self,
        now: Time,
        call: InboundCall,
        status: i64,
        len: u32,
    ) -> Result<(), Errno> {
        let whole = 0..len;
        self.reply_extents(now, call, status, std::slice::from_ref(&whole))
    }

    /// As [`Engine::reply`], for a server that wrote at scattered offsets: sends only these extents,
    /// sorted and disjoint, and leaves the rest of the client's buffer as it is.
    ///
    /// # Errors
    /// As [`Engine::reply`]; `EINVAL` extents unsorted, overlapping or more than 64.
    pub fn reply_extents(
        &mut self,
        now: Time,
        call: InboundCall,
        status: i64,
        extents: &[Range<u32>],
    ) -> Result<(), Errno> {
        let is_sorted = extents.windows(2).all(|pair| pair[0].end <= pair[1].start);
        let is_sound = extents.iter().all(|extent| extent.start <= extent.end);
        if !is_sorted || !is_sound || extents.len() > REPLY_EXTENTS_MAX {
            return Err(Errno::EINVAL);
        }
        let len = extents.last().map_or(0, |extent| extent.end);
        let answer = Answer {
            outcome: Ok(status),
            len,
            bytes: Stream::reply(extents),
        };
        self.answer(now, call, answer)
    }

    /// Answers an inbound call with an error. Ends in `ReplyDone` (or `Abandoned`).
    ///
    /// # Errors
    /// As [`Engine::reply`].
    pub fn error(&mut self, now: Time, call: InboundCall, errno: Errno) -> Result<(), Errno> {
        self.answer(now, call, Answer::error(errno))
    }

    fn answer(&mut self, now: Time, call: InboundCall, mut answer: Answer) -> Result<(), Errno> {
        let inbound = self
            .tables
            .in_call_mut(call)
            .filter(|call| call.answer.is_none())
            .ok_or(Errno::ESRCH)?;
        if answer.len > inbound.reply_len {
            return Err(Errno::EMSGSIZE);
        }
        let id = inbound.peer;
        answer.bytes.is_queued = true;
        let len = answer.bytes.sent_len();
        inbound.answer = Some(answer);
        let back = inbound.back;
        let peer = peer_of(&mut self.peers, id).expect("a call's peer keeps its place");
        peer.queues.of(back).push_reply(call, len);
        // One that is ready is looked at anyway, and nothing but its queue has changed.
        if !peer.is_ready {
            self.settle(now, id);
        }
        Ok(())
    }

    /// The local server behind an inbound connection is gone, or could not be attached to: every call
    /// not answered yet is answered with `errno` (`ReplyDone` follows for each), and the client's node is
    /// told. The handle is dead at once.
    ///
    /// # Errors
    /// `EBADF` not a live connection.
    pub fn close(&mut self, now: Time, conn: InboundConn, errno: Errno) -> Result<(), Errno> {
        let runs: Vec<InboundRun> = self.tables.in_runs_of(conn).collect();
        runs.into_iter().for_each(|run| self.take_all_out(run));
        let mut calls: Vec<InboundCall> = self.tables.in_calls_of(conn).collect();
        let closed = self.tables.remove_in_conn(conn).ok_or(Errno::EBADF)?;
        calls.retain(|&call| self.tables.waits_for_answer(call));
        for call in calls {
            self.error(now, call, errno)?;
        }
        if let Some(peer) = peer_of(&mut self.peers, closed.peer) {
            let detach = Control::Detach {
                conn: closed.id,
                to: Side::Client,
                errno,
            };
            peer.queues.of(closed.back).control.push_back(detach);
            if let Some(session) = peer.session_mut() {
                session.in_conns.remove(&closed.id);
                session.early_pulses -= closed.pulses.early_len();
                session.last_words += 1;
            }
        }
        self.settle(now, closed.peer);
        Ok(())
    }

    /// Sends a pulse to the client of an inbound connection.
    ///
    /// # Errors
    /// `EBADF` not a live connection, `EAGAIN` too many pulses on their way to that node.
    pub fn pulse_client(
        &mut self,
        now: Time,
        conn: InboundConn,
        pulse: Pulse,
    ) -> Result<(), Errno> {
        let open = self.tables.in_conn_mut(conn).ok_or(Errno::EBADF)?;
        let peer =
            peer_of(&mut self.peers, open.peer).expect("a connection's peer keeps its place");
        if peer.pulses >= PULSES_MAX {
            return Err(Errno::EAGAIN);
        }
        peer.pulses += 1;
        let sequence = open.next_pulse;
        open.next_pulse += 1;
        peer.queues
            .of(open.back)
            .control
            .push_back(Control::PulseClient {
                conn: open.id,
                sequence,
                pulse,
            });
        let id = open.peer;
        self.settle(now, id);
        Ok(())
    }

    /// Grants a whole message, now or when enough of those granted before has arrived and its turn has come.
    pub(super) fn offer_grant(&mut self, id: PeerId, call: InboundCall) {
        let Some(inbound) = self.tables.in_call_mut(call) else {
            return;
        };
        let is_needed = inbound.len as usize > EAGER_LEN
            && inbound.limit < inbound.len
            && inbound.answer.is_none()
            && !inbound.waits_for_grant;
        let Some(peer) = peer_of(&mut self.peers, id).filter(|_| is_needed) else {
            return;
        };
        if let Some(session) = peer.session_mut() {
            inbound.waits_for_grant = true;
            session.grant_waiting.push(call);
        }
        self.grant_in_turn(id);
    }

    /// Grants what waits, first come, first served, as far as it is within the bound.
    fn grant_in_turn(&mut self, id: PeerId) {
        let tables = &mut self.tables;
        let Some(peer) = peer_of(&mut self.peers, id) else {
            return;
        };
        while let State::Up(session) = &mut peer.state
            && let Some(call) = session
                .grant_waiting
                .first(|call| tables.in_call(call).is_some())
            && let Some(inbound) = tables.in_call_mut(call)
        {
            // One that was answered meanwhile needs none.
            if inbound.answer.is_none() {
                let granted_len = session.granted_len + u64::from(inbound.len);
                if granted_len > GRANTED_LEN_MAX as u64 {
                    return;
                }
                session.granted_len = granted_len;
                inbound.limit = inbound.len;
                let grant = Control::Grant {
                    call,
                    id: inbound.id,
                    limit: inbound.len,
                };
                peer.queues.of(inbound.back).control.push_back(grant);
            }
            inbound.waits_for_grant = false;
            session.grant_waiting.pop();
        }
    }

    /// Bytes granted have arrived or never will: others get their turn.
    pub(super) fn return_grant(&mut self, id: PeerId, len: u64) {
        if len == 0 {
            return;
        }
        if let Some(session) = self.peer_mut(id).and_then(|peer| peer.session_mut()) {
            session.granted_len -= len;
            if !session.grant_waiting.is_empty() {
                self.grant_in_turn(id);
            }
        }
    }

    /// Ends an inbound call and everything that is kept for it.
    pub(super) fn end_inbound(&mut self, call: InboundCall, event: Option<Event>) {
        let last_look = |inbound: &InCall| {
            let granted_len = inbound.granted_len();
            let (id, number) = (inbound.peer, inbound.id);
            let (waited, gaps) = (inbound.waits_for_grant, inbound.placed.gaps());
            let (is_accepted, run) = (inbound.is_accepted, inbound.run);
            (id, number, granted_len, waited, gaps, is_accepted, run)
        };
        let Some((id, number, granted_len, waited, gaps, is_accepted, run)) =
            self.tables.end_in_call(call, last_look)
        else {
            return;
        };
        let tables = &self.tables;
        if let Some(session) = peer_of(&mut self.peers, id).and_then(|peer| peer.session_mut()) {
            session.in_calls.remove(number);
            session.gaps.forget(gaps);
            if waited {
                session
                    .grant_waiting
                    .leave(|call| tables.in_call(call).is_some());
            }
        }
        self.return_grant(id, granted_len);
        if is_accepted {
            self.events.extend(event);
        }
        if let Some(member) = run {
            self.end_taken_out(member);
        }
    }
}
