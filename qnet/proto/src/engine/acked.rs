//! What follows when a packet is known to have arrived, or counts as lost.

use std::ops::Range;

use super::queue::{Bulk, Control};
use super::sent::Carried;
use super::{Cancel, Engine, Event, peer_of};
use crate::wire::Side;
use crate::{InboundCall, OutboundCall, OutboundConn, PeerId};

impl Engine {
    /// Draws the conclusions from records that arrived.
    pub(super) fn on_arrived(&mut self, id: PeerId, carried: &mut Vec<Carried>) {
        for record in carried.drain(..) {
            match record {
                Carried::Message { call, head, range } => {
                    if let Some(out) = self.tables.out_call_mut(call) {
                        out.message.on_acked(head, range);
                        let number = out.id;
                        self.know_call(id, number.filter(|_| head));
                    }
                }
                Carried::Messages { first, count } => self.know_calls(id, first, count),
                Carried::Replies { first, count } => self.on_replies_arrived(id, first, count),
                Carried::Reply { call, head, range } => {
                    let answer = self
                        .tables
                        .in_call_mut(call)
                        .and_then(|call| call.answer.as_mut());
                    let is_done = answer.is_some_and(|answer| {
                        answer.bytes.on_acked(head, range);
                        answer.bytes.is_done()
                    });
                    if is_done {
                        self.end_inbound(call, Some(Event::ReplyDone { call }));
                    }
                }
                Carried::Connect { conn, revision } => {
                    if let Some(open) = self.tables.out_conn_mut(conn) {
                        if open.revision == revision || open.confirmed.is_none() {
                            open.confirmed = Some(revision);
                        }
                        let number = open.id;
                        self.know_conn(id, number);
                    }
                }
                Carried::Control(control, _) => self.on_control_arrived(id, control),
                Carried::Ping => {}
            }
        }
    }

    /// Whether the node of a connection's server may be expected to have buffers.
    pub(super) fn note_room(&mut self, conn: OutboundConn, has_room: bool) {
        if let Some(open) = self.tables.out_conn_mut(conn) {
            open.has_room = has_room;
        }
    }

    fn on_control_arrived(&mut self, id: PeerId, control: Control) {
        match control {
            Control::Cancel {
                conn,
                id: number,
                cancel: Cancel::Abandon,
                ..
            } => {
                self.know_call(id, Some(number));
                self.release_conn(conn);
                self.on_last_words_arrived(id);
            }
            Control::Detach { conn, to, .. } => {
                if to == Side::Server {
                    self.know_conn(id, Some(conn));
                }
                self.on_last_words_arrived(id);
            }
            Control::PulseServer { conn, .. } => {
                self.on_pulse_arrived(id);
                self.end_pulse(conn);
            }
            Control::PulseClient { .. } => self.on_pulse_arrived(id),
            Control::Cancel { .. } | Control::Grant { .. } | Control::Received { .. } => {}
        }
    }

    /// A pulse to a server has arrived, or never will.
    fn end_pulse(&mut self, conn: OutboundConn) {
        if let Some(open) = self.tables.out_conn_mut(conn) {
            open.pulses_unacked -= 1;
        }
        self.release_conn(conn);
    }

    fn on_last_words_arrived(&mut self, id: PeerId) {
        if let Some(session) = self.peer_mut(id).and_then(|peer| peer.session_mut()) {
            session.last_words -= 1;
        }
    }

    fn on_pulse_arrived(&mut self, id: PeerId) {
        if let Some(peer) = self.peer_mut(id) {
            peer.pulses -= 1;
        }
    }

    /// The peer is known to have seen the call of this number.
    pub(super) fn know_call(&mut self, id: PeerId, number: Option<u64>) {
        let session = peer_of(&mut self.peers, id).and_then(|peer| peer.session_mut());
        if let (Some(session), Some(number)) = (session, number) {
            session.calls_known.insert(number);
        }
    }

    /// The same of many calls. What was sent of them needs no note: bytes of theirs go again only when they were lost,
    /// and what was acknowledged is not.
    fn know_calls(&mut self, id: PeerId, first: u64, count: u32) {
        if let Some(session) = peer_of(&mut self.peers, id).and_then(|peer| peer.session_mut()) {
            session.calls_known.insert_run(first, u64::from(count));
        }
    }

    fn on_replies_arrived(&mut self, id: PeerId, first: u64, count: u32) {
        let (mut number, end) = (first, first + u64::from(count));
        while number < end {
            let left = (end - number) as u32;
            if let Some(call) = self.in_call_of(id, number) {
                self.end_inbound(call, Some(Event::ReplyDone { call }));
                number += 1;
            } else {
                let of_run = self.on_run_answers_arrived(id, number, left);
                number += u64::from(of_run.max(1));
            }
        }
    }

    fn on_replies_lost(&mut self, id: PeerId, first: u64, count: u32) {
        let (mut number, end) = (first, first + u64::from(count));
        while number < end {
            let left = (end - number) as u32;
            if let Some(call) = self.in_call_of(id, number) {
                self.lose_reply(call, true, 0..0);
                number += 1;
            } else {
                let of_run = self.on_run_answers_lost(id, number, left);
                number += u64::from(of_run.max(1));
            }
        }
    }

    fn in_call_of(&self, id: PeerId, number: u64) -> Option<InboundCall> {
        self.peer(id)?.session()?.in_calls.get(number)
    }

    fn out_call_of(&self, id: PeerId, number: u64) -> Option<OutboundCall> {
        self.peer(id)?.session()?.out_calls.get(number)
    }

    /// The peer closed a connection: it has seen its number, if this node ever gave that.
    pub(super) fn know_closed(&mut self, id: PeerId, number: u64) {
        let session = self.peer(id).and_then(|peer| peer.session());
        if session.is_some_and(|session| number < session.next_conn) {
            self.know_conn(id, Some(number));
        }
    }

    fn know_conn(&mut self, id: PeerId, number: Option<u64>) {
        let session = peer_of(&mut self.peers, id).and_then(|peer| peer.session_mut());
        if let (Some(session), Some(number)) = (session, number) {
            session.conns_known.insert(number);
        }
    }

    /// Queues again what still has a meaning.
    pub(super) fn on_lost(&mut self, id: PeerId, carried: &mut Vec<Carried>) {
        if let Some(peer) = peer_of(&mut self.peers, id) {
            let is_record = |lost: &&Carried| !matches!(lost, Carried::Connect { .. });
            peer.stats.records_lost += carried.iter().filter(is_record).count() as u64;
        }
        for record in carried.drain(..) {
            match record {
                Carried::Message { call, head, range } => self.lose_message(call, head, range),
                Carried::Messages { first, count } => {
                    for number in first..first + u64::from(count) {
                        self.dissolve_number(id, number);
                        if let Some(call) = self.out_call_of(id, number)
                            && let Some(out) = self.tables.out_call(call)
                        {
                            let all = 0..out.outgoing.len;
                            self.lose_message(call, true, all);
                        }
                    }
                }
                Carried::Reply { call, head, range } => self.lose_reply(call, head, range),
                Carried::Replies { first, count } => self.on_replies_lost(id, first, count),
                // Goes again with the message or pulse that it came with.
                Carried::Connect { .. } | Carried::Ping => {}
                Carried::Control(control, policy) => {
                    let is_wanted = self.is_wanted(control);
                    let Some(peer) = peer_of(&mut self.peers, id) else {
                        continue;
                    };
                    if is_wanted {
                        peer.queues.of(policy).control.push_back(control);
                    } else if let Control::PulseServer { conn, .. } = control {
                        peer.pulses -= 1;
                        self.end_pulse(conn);
                    }
                }
            }
        }
    }

    fn lose_message(&mut self, call: OutboundCall, head: bool, range: Range<u32>) {
        if let Some(out) = self.tables.out_call_mut(call) {
            out.message.on_lost(head, range);
            if out.message.hold_back() {
                let conn = out.conn;
                self.note_room(conn, false);
            }
            self.queue_message(call);
        }
    }

    fn lose_reply(&mut self, call: InboundCall, head: bool, range: Range<u32>) {
        let inbound = self.tables.in_call_mut(call);
        if let Some(answer) = inbound.and_then(|call| call.answer.as_mut()) {
            answer.bytes.on_lost(head, range);
            self.queue_reply(call);
        }
    }

    /// Whether a lost control record is still worth sending.
    pub(super) fn is_wanted(&self, control: Control) -> bool {
        match control {
            Control::Cancel {
                cancel: Cancel::Abandon,
                ..
            } => true,
            Control::Cancel { call, .. } => self.tables.out_call(call).is_some(),
            Control::Grant { call, .. } => self
                .tables
                .in_call(call)
                .is_some_and(|call| !call.has_arrived),
            Control::Received { call, .. } => self.tables.waits_for_answer(call),
            Control::PulseServer { conn, .. } => {
                self.tables.out_conn(conn).is_some_and(|conn| !conn.is_cut)
            }
            Control::Detach { .. } | Control::PulseClient { .. } => true,
        }
    }

    /// Puts a message that was begun into the send queue, unless it is there or has nothing to send.
    pub(super) fn queue_message(&mut self, call: OutboundCall) {
        let Some(out) = self.tables.out_call_mut(call) else {
            return;
        };
        if out.message.is_queued || !out.message.is_ready() {
            return;
        }
        out.message.is_queued = true;
        let (id, len, policy) = (out.peer, out.message.pending_len(), out.policy);
        if let Some(peer) = peer_of(&mut self.peers, id) {
            peer.queues.of(policy).push_begun(call, len);
        }
    }

    fn queue_reply(&mut self, call: InboundCall) {
        let Some(inbound) = self.tables.in_call_mut(call) else {
            return;
        };
        let Some(answer) = inbound
            .answer
            .as_mut()
            .filter(|answer| !answer.bytes.is_queued)
        else {
            return;
        };
        if !answer.bytes.is_ready() {
            return;
        }
        answer.bytes.is_queued = true;
        let (id, len, policy) = (inbound.peer, answer.bytes.pending_len(), inbound.back);
        if let Some(peer) = peer_of(&mut self.peers, id) {
            peer.queues.of(policy).push_reply(call, len);
        }
    }

    /// Bytes that a long message or reply has still to bring across; `None` if it cannot go now.
    pub(super) fn bulk_remaining(
        tables: &super::Tables,
        bulk: Bulk,
        can_number: bool,
    ) -> Option<u32> {
        match bulk {
            Bulk::Message(call) => {
                let Some(out) = tables.out_call(call) else {
                    return Some(0);
                };
                (out.id.is_some() || can_number).then(|| out.message.remaining())
            }
            Bulk::Reply(call) => {
                let answer = tables.in_call(call).and_then(|call| call.answer.as_ref());
                Some(answer.map_or(0, |answer| answer.bytes.remaining()))
            }
        }
    }
}
