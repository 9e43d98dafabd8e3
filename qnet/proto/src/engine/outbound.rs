//! Records from remote servers: replies, errors, grants, pulses to clients, closed connections.

use super::calls::OutCall;
use super::receive::Taken;
use super::{Engine, Event, Store, peer_of};
use crate::wire::{
    DetachRecord, ErrorRecord, Fragment, GrantRecord, PulseRecord, ReceivedRecord, RepliesRecord,
    ReplyHead,
};
use crate::{Errno, OutboundCall, OutboundConn, PeerId};

impl Engine {
    pub(super) fn take_reply(
        &mut self,
        id: PeerId,
        head: &ReplyHead,
        bytes: &[u8],
        store: &mut impl Store,
    ) -> Taken {
        if (head.len, head.sent_len) == (0, 0)
            && self.reply_members(id, head.call, 1, head.status) > 0
        {
            return Taken::Yes;
        }
        let Some(call) = self.numbered_call(id, head.call) else {
            return Taken::Yes;
        };
        let out = self
            .tables
            .out_call_mut(call)
            .expect("both tables name the same calls");
        if head.len > out.outgoing.reply_len {
            self.end_outbound(
                call,
                Event::Failed {
                    call,
                    errno: Errno::EPROTO,
                },
            );
            return Taken::Useless;
        }
        if out.reply.is_none() {
            out.reply = Some((head.status, head.len, head.sent_len));
        }
        self.place_reply(call, head.offset, bytes, store)
    }

    pub(super) fn take_reply_fragment(
        &mut self,
        id: PeerId,
        fragment: &Fragment<'_>,
        store: &mut impl Store,
    ) -> Taken {
        match self.numbered_call(id, fragment.call) {
            Some(call) => self.place_reply(call, fragment.offset, fragment.bytes, store),
            None => Taken::Yes,
        }
    }

    fn place_reply(
        &mut self,
        call: OutboundCall,
        offset: u32,
        bytes: &[u8],
        store: &mut impl Store,
    ) -> Taken {
        let out = self
            .tables
            .out_call_mut(call)
            .expect("both tables name the same calls");
        let end = offset as usize + bytes.len();
        if end > out.outgoing.reply_len as usize {
            return Taken::Useless;
        }
        let session = peer_of(&mut self.peers, out.peer).and_then(|peer| peer.session_mut());
        let placed = session.map(|session| {
            let range = offset..end as u32;
            session.gaps.place(&mut out.placed, range)
        });
        match placed.flatten() {
            None => return Taken::Early,
            Some(0) => {}
            Some(_) => store.write_reply(call, offset, bytes),
        }
        self.coming_len = match out.reply {
            Some((_, _, sent_len)) => sent_len.saturating_sub(out.placed.len()),
            None => 0,
        };
        if let Some((status, len)) = out.outcome() {
            self.end_outbound(call, Event::Replied { call, status, len });
        }
        Taken::Yes
    }

    pub(super) fn take_error(&mut self, id: PeerId, record: &ErrorRecord) -> Taken {
        if let Some(call) = self.numbered_call(id, record.call) {
            let event = match record.errno {
                Errno(0) => Event::Replied {
                    call,
                    status: 0,
                    len: 0,
                },
                errno => Event::Failed { call, errno },
            };
            self.end_outbound(call, event);
        }
        Taken::Yes
    }

    /// Answers a run of calls; of no use if it names calls that were never made, or with those before it in its frame more
    /// than a sound node can have answered.
    pub(super) fn take_replies(&mut self, id: PeerId, record: &RepliesRecord) -> Taken {
        let Some(replies_left) = self.replies_left.checked_sub(record.count) else {
            return Taken::Useless;
        };
        self.replies_left = replies_left;
        let session = self.peer(id).and_then(|peer| peer.session());
        if session.is_none_or(|session| record.calls().end > session.next_call) {
            return Taken::Useless;
        }
        let mut numbers = record.calls();
        while let Some(number) = numbers.next() {
            let left = (numbers.end - number) as u32;
            let of_run = self.reply_members(id, number, left, 0);
            if of_run > 0 {
                numbers.start = number + u64::from(of_run);
            } else if let Some(call) = self.numbered_call(id, number) {
                let (status, len) = (0, 0);
                self.end_outbound(call, Event::Replied { call, status, len });
            }
        }
        Taken::Yes
    }

    pub(super) fn take_grant(&mut self, id: PeerId, record: &GrantRecord) -> Taken {
        if let Some(call) = self.numbered_call(id, record.call) {
            let out = self
                .tables
                .out_call_mut(call)
                .expect("both tables name the same calls");
            if record.limit > out.outgoing.len {
                return Taken::Useless;
            }
            if out.message.on_grant(record.limit) {
                self.queue_message(call);
            }
        }
        Taken::Yes
    }

    /// The server has received a message whose client wants to know. It may have come before.
    pub(super) fn take_received(&mut self, id: PeerId, record: &ReceivedRecord) -> Taken {
        let Some(call) = self.numbered_call(id, record.call) else {
            return Taken::Yes;
        };
        let out = self
            .tables
            .out_call_mut(call)
            .expect("both tables name the same calls");
        if !out.outgoing.reports {
            return Taken::Useless;
        }
        if !std::mem::replace(&mut out.is_reported, true) {
            self.events.push_back(Event::Received { call });
        }
        Taken::Yes
    }

    pub(super) fn take_client_pulse(&mut self, id: PeerId, record: &PulseRecord) -> Taken {
        let Some(conn) = self.numbered_conn(id, record.conn) else {
            return Taken::Yes;
        };
        let entry = self
            .tables
            .out_conn_mut(conn)
            .expect("both tables name the same connections");
        let session = peer_of(&mut self.peers, id).and_then(|peer| peer.session_mut());
        let Some(session) = session else {
            return Taken::Useless;
        };
        let (sequence, pulse) = (record.sequence, record.pulse);
        let before = entry.pulses.early_len();
        let is_taken = entry.pulses.insert(sequence, pulse, session.early_pulses);
        session.early_pulses -= before;
        while let Some(pulse) = entry.pulses.pop() {
            if !entry.is_closing {
                self.events.push_back(Event::ClientPulse { conn, pulse });
            }
        }
        session.early_pulses += entry.pulses.early_len();
        if is_taken { Taken::Yes } else { Taken::Early }
    }

    /// The server's node says that the server behind a connection is gone.
    pub(super) fn take_close(&mut self, id: PeerId, record: &DetachRecord) -> Taken {
        let Some(conn) = self.numbered_conn(id, record.conn) else {
            return Taken::Yes;
        };
        let entry = self
            .tables
            .out_conn_mut(conn)
            .expect("both tables name the same connections");
        if !entry.is_closing {
            self.events.push_back(Event::Closed {
                conn,
                errno: record.errno,
            });
        }
        entry.is_closing = true;
        entry.is_closed_by_server = true;
        entry.uses += 1;
        self.release_conn(conn);
        Taken::Yes
    }

    /// The outcome of a call is known.
    pub(super) fn end_outbound(&mut self, call: OutboundCall, event: Event) {
        let last_look = |out: &OutCall| (out.peer, out.id, out.conn, out.placed.gaps());
        let Some((peer, number, conn, gaps)) = self.tables.end_out_call(call, last_look) else {
            return;
        };
        let session = peer_of(&mut self.peers, peer).and_then(|peer| peer.session_mut());
        if let (Some(number), Some(session)) = (number, session) {
            session.out_calls.remove(number);
            session.calls_known.insert(number);
            session.gaps.forget(gaps);
        }
        if matches!(event, Event::Replied { .. }) {
            self.note_room(conn, true);
        }
        self.events.push_back(event);
        self.release_conn(conn);
    }

    fn numbered_call(&mut self, id: PeerId, number: u64) -> Option<OutboundCall> {
        self.dissolve_number(id, number);
        self.peer(id)?.session()?.out_calls.get(number)
    }

    fn numbered_conn(&mut self, id: PeerId, number: u64) -> Option<OutboundConn> {
        self.peer_mut(id)?
            .session_mut()?
            .out_conns
            .get(&number)
            .copied()
    }
}
