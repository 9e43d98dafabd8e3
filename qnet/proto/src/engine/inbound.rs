//! Records from remote clients: messages, pulses, cancels, detaches.

use super::calls::{Answer, InCall};
use super::conns::InConn;
use super::receive::Taken;
use super::{Accept, Cancel, DropReason, Engine, Event, Incoming, Store, peer_of};
use crate::limits::{CALLS_MAX, EAGER_LEN, RUN_MESSAGES_MAX, UNASKED_LEN};
use crate::wire::{CancelRecord, Connect, DetachRecord, Fragment, MessageHead, PulseRecord, Side};
use crate::{Errno, InboundCall, InboundConn, PeerId};

/// A connection that a record names.
enum Named {
    Live {
        conn: InboundConn,
        is_new: bool,
    },
    /// It was there and is gone, or there is no room for it.
    Dead(Errno),
    /// Its connect has not arrived.
    Unknown,
}

impl Engine {
    pub(super) fn take_message(
        &mut self,
        id: PeerId,
        head: &MessageHead,
        connect: Option<Connect>,
        bytes: &[u8],
        store: &mut impl Store,
    ) -> Taken {
        let Some(session) = self.peer_mut(id).and_then(|peer| peer.session_mut()) else {
            return Taken::Useless;
        };
        if let Some(call) = session.in_calls.get(head.call) {
            return self.place_message(id, call, 0, bytes, store);
        }
        let is_repeated = session.calls_seen.contains(head.call);
        let is_too_far =
            !session.calls_seen.is_within(head.call) || session.in_calls_len() >= 2 * CALLS_MAX;
        if !is_repeated && is_too_far {
            return Taken::Early;
        }
        // The connect counts even when the call was abandoned before its message came.
        let named = self.name_conn(id, head.conn, connect);
        if is_repeated {
            return Taken::Yes;
        }
        let (conn, is_new, refusal) = match named {
            Named::Live { conn, is_new } => (conn, is_new, None),
            Named::Dead(errno) => (InboundConn::default(), false, Some(errno)),
            Named::Unknown => return Taken::Early,
        };
        let call = self.admit(id, head, conn);
        let refusal = refusal.or_else(|| self.offer(id, call, head, is_new, store));
        if let Some(errno) = refusal {
            self.refuse(id, call, errno);
            return Taken::Yes;
        }
        self.place_message(id, call, 0, bytes, store)
    }

    /// Several messages of one connection: as if each had come by itself.
    pub(super) fn take_messages(
        &mut self,
        id: PeerId,
        head: &MessageHead,
        bytes: &[u8],
        store: &mut impl Store,
    ) -> Taken {
        let mut all = Taken::Yes;
        let len = head.len as usize;
        let runs = bytes.chunks(len * RUN_MESSAGES_MAX);
        // The numbers second: the one behind the last need not exist.
        for (run, call) in runs.zip((head.call..).step_by(RUN_MESSAGES_MAX)) {
            if self.take_run(id, &MessageHead { call, ..*head }, run, store) {
                continue;
            }
            for (bytes, call) in run.chunks_exact(len).zip(call..) {
                let head = MessageHead { call, ..*head };
                match self.take_message(id, &head, None, bytes, store) {
                    Taken::Yes => {}
                    // What is early holds the packet back, whatever else is in it.
                    Taken::Early => all = Taken::Early,
                    other if all == Taken::Yes => all = other,
                    _ => {}
                }
            }
        }
        all
    }

    /// Finds or makes the connection that a message or pulse came through.
    fn name_conn(&mut self, id: PeerId, number: u64, connect: Option<Connect>) -> Named {
        let Some(session) = peer_of(&mut self.peers, id).and_then(|peer| peer.session_mut()) else {
            return Named::Unknown;
        };
        if let Some(&conn) = session.in_conns.get(&number) {
            let entry = self
                .tables
                .in_conn_mut(conn)
                .expect("both tables name the same connections");
            entry.came_through(self.arriving_on);
            if connect.is_some_and(|connect| entry.update(&connect)) {
                let info = entry.info;
                self.events.push_back(Event::Credentials { conn, info });
            }
            return Named::Live {
                conn,
                is_new: false,
            };
        }
        if session.conns_seen.contains(number) {
            return Named::Dead(Errno::ESRCH);
        }
        let Some(connect) = connect.filter(|_| session.conns_seen.is_within(number)) else {
            return Named::Unknown;
        };
        session.conns_seen.insert(number);
        if !session.has_room_for_conn() {
            self.drop_of(id, DropReason::Full);
            return Named::Dead(Errno::EAGAIN);
        }
        let conn = self
            .tables
            .insert_in_conn(InConn::new(id, number, &connect, self.arriving_on));
        session.in_conns.insert(number, conn);
        self.events.push_back(Event::Attach {
            conn,
            peer: id,
            info: connect.info,
        });
        Named::Live { conn, is_new: true }
    }

    /// Makes a place for a call that is new.
    fn admit(&mut self, id: PeerId, head: &MessageHead, conn: InboundConn) -> InboundCall {
        let back = self.tables.in_conn(conn).map(|conn| conn.back);
        let call = self.tables.insert_in_call(InCall {
            peer: id,
            conn,
            link: Default::default(),
            back: back.unwrap_or_default(),
            id: head.call,
            len: head.len,
            reply_len: head.reply_len,
            placed: Default::default(),
            has_arrived: false,
            limit: head.len.min(EAGER_LEN as u32),
            waits_for_grant: false,
            is_accepted: false,
            reports: head.reports,
            run: None,
            cancel: None,
            answer: None,
        });
        let session = self
            .peer_mut(id)
            .and_then(|peer| peer.session_mut())
            .expect("checked by the caller");
        session.calls_seen.insert(head.call);
        session.in_calls.insert(head.call, call);
        call
    }

    /// Asks the holder of the bytes; an error if it refuses.
    fn offer(
        &mut self,
        id: PeerId,
        call: InboundCall,
        head: &MessageHead,
        is_new_conn: bool,
        store: &mut impl Store,
    ) -> Option<Errno> {
        let conn = self.tables.in_call(call)?.conn;
        let info = self.tables.in_conn(conn)?.info;
        let incoming = Incoming {
            peer: id,
            conn,
            is_new_conn,
            info,
            tid: head.tid,
            priority: head.priority,
            len: head.len,
            reply_len: head.reply_len,
            reports: head.reports,
            pulses: head.pulses,
        };
        let accept = store.accept(call, &incoming);
        if let Accept::Refuse(errno) = accept {
            return Some(errno);
        }
        self.tables.in_call_mut(call)?.is_accepted = true;
        if accept == Accept::All {
            self.offer_grant(id, call);
        }
        None
    }

    /// Answers a call that the holder of the bytes never gets to know.
    fn refuse(&mut self, id: PeerId, call: InboundCall, errno: Errno) {
        let Some(inbound) = self.tables.in_call_mut(call) else {
            return;
        };
        let mut answer = Answer::error(errno);
        answer.bytes.is_queued = true;
        inbound.answer = Some(answer);
        let back = inbound.back;
        if let Some(peer) = peer_of(&mut self.peers, id) {
            peer.queues.of(back).push_reply(call, 0);
        }
    }

    pub(super) fn take_message_fragment(
        &mut self,
        id: PeerId,
        fragment: &Fragment<'_>,
        store: &mut impl Store,
    ) -> Taken {
        let Some(session) = self.peer_mut(id).and_then(|peer| peer.session_mut()) else {
            return Taken::Useless;
        };
        match session.in_calls.get(fragment.call) {
            Some(call) => self.place_message(id, call, fragment.offset, fragment.bytes, store),
            None if session.calls_seen.contains(fragment.call) => Taken::Yes,
            None => Taken::Early,
        }
    }

    fn place_message(
        &mut self,
        id: PeerId,
        call: InboundCall,
        offset: u32,
        bytes: &[u8],
        store: &mut impl Store,
    ) -> Taken {
        let inbound = self
            .tables
            .in_call_mut(call)
            .expect("both tables name the same calls");
        if inbound.has_arrived || !inbound.is_accepted || inbound.answer.is_some() {
            return Taken::Yes;
        }
        let end = offset as usize + bytes.len();
        if end > inbound.limit as usize {
            // Unasked, in the hope of a buffer that is not there yet: it comes again with the grant.
            return match end <= UNASKED_LEN.min(inbound.len as usize) {
                true => Taken::Early,
                false => Taken::Useless,
            };
        }
        let session = peer_of(&mut self.peers, id).and_then(|peer| peer.session_mut());
        let placed = session.map(|session| {
            let range = offset..end as u32;
            session.gaps.place(&mut inbound.placed, range)
        });
        match placed.flatten() {
            None => return Taken::Early,
            Some(0) => {}
            Some(_) => store.write_message(call, offset, bytes),
        }
        let missing_len = inbound.len - inbound.placed.len();
        if missing_len == 0 {
            let granted = inbound.granted_len();
            inbound.has_arrived = true;
            let conn = inbound.conn;
            self.return_grant(id, granted);
            self.events.push_back(Event::MessageArrived { call, conn });
            if let Some(peer) = self.peer_mut(id) {
                peer.stats.messages_received += 1;
            }
        }
        self.coming_len = missing_len;
        Taken::Yes
    }

    pub(super) fn take_cancel(&mut self, id: PeerId, record: &CancelRecord) -> Taken {
        let of_run = self.take_out_number(id, record.call);
        let Some(session) = self.peer_mut(id).and_then(|peer| peer.session_mut()) else {
            return Taken::Useless;
        };
        let Some(call) = of_run.or_else(|| session.in_calls.get(record.call)) else {
            if session.calls_seen.contains(record.call) {
                if record.cancel == Cancel::Abandon {
                    self.drop_answer(id, record.call);
                }
                return Taken::Yes;
            }
            if record.cancel != Cancel::Abandon || !session.calls_seen.is_within(record.call) {
                return Taken::Early;
            }
            // Its message never came, and if it comes late it is a repetition.
            session.calls_seen.insert(record.call);
            return Taken::Yes;
        };
        if record.cancel == Cancel::Abandon {
            self.end_inbound(call, Some(Event::Abandoned { call }));
            return Taken::Yes;
        }
        let inbound = self
            .tables
            .in_call_mut(call)
            .expect("both tables name the same calls");
        let is_news = inbound.cancel != Some(record.cancel);
        if is_news && inbound.answer.is_none() && inbound.is_accepted {
            inbound.cancel = Some(record.cancel);
            self.events.push_back(Event::CancelRequested {
                call,
                cancel: record.cancel,
            });
        }
        Taken::Yes
    }

    pub(super) fn take_pulse(
        &mut self,
        id: PeerId,
        record: &PulseRecord,
        connect: Option<Connect>,
    ) -> Taken {
        if record.to == Side::Client {
            return self.take_client_pulse(id, record);
        }
        match self.name_conn(id, record.conn, connect) {
            Named::Unknown => Taken::Early,
            Named::Dead(_) => Taken::Yes,
            Named::Live { conn, .. } => {
                let entry = self.tables.in_conn_mut(conn).expect("named a moment ago");
                let session = peer_of(&mut self.peers, id).and_then(|peer| peer.session_mut());
                let Some(session) = session else {
                    return Taken::Useless;
                };
                let pulses = &mut entry.pulses;
                let before = pulses.early_len();
                let is_taken = pulses.insert(record.sequence, record.pulse, session.early_pulses);
                session.early_pulses -= before;
                while let Some(pulse) = pulses.pop() {
                    self.events.push_back(Event::ServerPulse { conn, pulse });
                }
                session.early_pulses += pulses.early_len();
                if is_taken { Taken::Yes } else { Taken::Early }
            }
        }
    }

    pub(super) fn take_detach(&mut self, id: PeerId, record: &DetachRecord) -> Taken {
        if record.to == Side::Client {
            // Who closes a connection has seen it. Its first record may be acknowledged after the connection
            // is gone, and a number that nobody notes would hold up all later ones for good.
            self.know_closed(id, record.conn);
            return self.take_close(id, record);
        }
        let Some(session) = peer_of(&mut self.peers, id).and_then(|peer| peer.session_mut()) else {
            return Taken::Useless;
        };
        if let Some(conn) = session.in_conns.remove(&record.conn) {
            if let Some(gone) = self.tables.remove_in_conn(conn) {
                session.early_pulses -= gone.pulses.early_len();
            }
            self.events.push_back(Event::Detached { conn });
        } else if !session.conns_seen.contains(record.conn) {
            if !session.conns_seen.is_within(record.conn) {
                return Taken::Early;
            }
            session.conns_seen.insert(record.conn);
        }
        Taken::Yes
    }
}
