//! The way of a message in: a place for its bytes, and the hand-over to the server.

use std::sync::Arc;

use ipc_core::{
    Connection, MappedBytes, ShortMessage,
    abi::{Errno, Tid},
    set_priority, speak_as,
};
use qnet_proto::{
    Accept, InboundCall, InboundConn, Incoming,
    limits::{EAGER_LEN, MESSAGE_LEN_MAX},
};

use crate::{
    bridge::{
        Turn,
        inbound::{
            ConnState, Inbound,
            call::{Call, Place, lent_len, token},
        },
        outbound::remote_errno,
    },
    limits::SMALL_LEN_MAX,
};

impl Inbound {
    /// A message begins to arrive.
    pub(in crate::bridge) fn accept(&mut self, call: InboundCall, incoming: &Incoming) -> Accept {
        let (len, reply_len) = (incoming.len as usize, incoming.reply_len as usize);
        if len > MESSAGE_LEN_MAX || reply_len > MESSAGE_LEN_MAX {
            return Accept::Refuse(remote_errno(Errno::EMSGSIZE));
        }
        self.enter(incoming.conn, incoming.peer);
        let place = match self.find_place(incoming, len, reply_len) {
            Ok(place) => place,
            Err(errno) => return Accept::Refuse(remote_errno(errno)),
        };
        let accept = match &place {
            Place::Staged(_) => {
                if let Some(conn) = self.conns.get_mut(incoming.conn) {
                    conn.waiting.push_back(call);
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
            tid: Tid(incoming.tid),
            place,
            token: token(call),
            pulses: incoming.pulses,
            reports: incoming.reports,
            arrived: false,
            cancel: None,
        };
        if let Some((_, gone)) = self.calls.insert(call, call_state) {
            self.release(gone);
        }
        accept
    }

    fn find_place(&mut self, of: &Incoming, len: usize, reply_len: usize) -> Result<Place, Errno> {
        let conn = self.conns.get_mut(of.conn).ok_or(Errno::ESRCH)?;
        // Runs are for those that nobody wants to hear of before their answers.
        if len <= SMALL_LEN_MAX && !of.reports {
            return Ok(Place::Small([0; SMALL_LEN_MAX]));
        }
        let is_next = !conn.has_line() && matches!(conn.state, ConnState::Ready { .. });
        if is_next
            && self.lend(of.conn, lent_len(len, reply_len))
            && let Some(conn) = self.conns.get_mut(of.conn)
            && let ConnState::Ready { connection, .. } = &conn.state
        {
            match connection.loan(len, reply_len) {
                Ok(loan) => {
                    conn.kept.note(connection);
                    conn.lent.note(connection);
                    return Ok(Place::Loaned(loan));
                }
                Err(Errno::EAGAIN) => {}
                Err(Errno::EBADF) => return Err(Errno::ESRCH),
                Err(errno) => return Err(errno),
            }
        }
        let Some(staged) = self.staging.take(of.peer, len.min(EAGER_LEN)) else {
            // It does not wait for memory, either.
            self.note_room(of.conn);
            return Err(Errno::EAGAIN);
        };
        Ok(Place::Staged(staged))
    }

    /// Where bytes of a message belong, if it has its buffer.
    pub(in crate::bridge) fn room(
        &mut self,
        call: InboundCall,
        offset: usize,
        len: usize,
    ) -> Option<MappedBytes> {
        match &mut self.calls.get_mut(call)?.place {
            Place::Loaned(loan) => loan.room(offset, len),
            _ => None,
        }
    }

    /// Places bytes of a message.
    pub(in crate::bridge) fn write(&mut self, call: InboundCall, offset: usize, bytes: &[u8]) {
        match self.calls.get_mut(call).map(|call| &mut call.place) {
            Some(Place::Staged(staged)) => {
                if let Some(room) = staged.bytes.get_mut(offset..offset + bytes.len()) {
                    room.copy_from_slice(bytes);
                }
            }
            Some(Place::Small(message)) => {
                if let Some(room) = message.get_mut(offset..offset + bytes.len()) {
                    room.copy_from_slice(bytes);
                }
            }
            Some(Place::Loaned(loan)) => {
                loan.write(offset, bytes);
            }
            _ => {}
        }
    }

    /// All bytes are there: the message goes to its server with the others of this round.
    pub(in crate::bridge) fn arrived(&mut self, turn: &mut Turn<'_>, call: InboundCall) {
        turn.counters.messages_in += 1;
        if let Some(state) = self.calls.get_mut(call) {
            state.arrived = true;
            match state.place {
                Place::Small(_) => self.due.push(call),
                _ => {
                    self.hand_over_due(turn);
                    self.hand_over_loaned(turn, call);
                }
            }
        }
    }

    /// Hands over what has arrived since the last time, and what found no room before and may now.
    pub(in crate::bridge) fn hand_over_due(&mut self, turn: &mut Turn<'_>) {
        loop {
            while let Some(conn) = self.roomy.pop() {
                self.place_waiting(turn, conn);
            }
            if !self.lend_again(turn) {
                break;
            }
        }
        let due = std::mem::take(&mut self.due);
        let mut rest = due.as_slice();
        while let Some(&first) = rest.first() {
            let must_wait = self.calls.get(first).is_some_and(|call| {
                let conn = self.conns.get(call.conn);
                conn.is_some_and(|conn| conn.has_line() || conn.notices.is_behind(call.pulses))
            });
            let handed_over = match must_wait {
                true => 0,
                false => self.hand_over_run(turn, rest.iter().copied()),
            };
            if handed_over == 0
                && let Some(call) = self.calls.get(first)
            {
                self.line_up(call.conn, first);
            }
            rest = &rest[handed_over.max(1)..];
        }
        self.due = due;
        self.due.clear();
    }

    /// Hands small messages over from the first on, as many as came through one connection from one thread, and
    /// find room. Answers how many; none if the first has to wait. One that is no small message any more, or
    /// cannot be sent, is passed over alone.
    fn hand_over_run(
        &mut self,
        turn: &mut Turn<'_>,
        ids: impl Iterator<Item = InboundCall> + Clone,
    ) -> usize {
        let Some(id) = ids.clone().next() else {
            return 0;
        };
        if !self.lend_to(id) {
            return 0;
        }
        let calls = &self.calls;
        let Some(first) = calls.get(id) else {
            return 1;
        };
        let Some(entry) = self.conns.get(first.conn) else {
            return 1;
        };
        let ConnState::Ready { connection, .. } = &entry.state else {
            return 0;
        };
        let run = ids.clone().map_while(|at| {
            let call = calls.get(at).filter(|call| call.is_like(first))?;
            let must_ask = at != id && call.lent_len() > 0;
            if must_ask || entry.notices.is_behind(call.pulses) {
                return None;
            }
            Some(ShortMessage {
                bytes: call.small()?,
                reply_len: call.reply_len,
                token: token(at),
            })
        });
        let (conn, is_long) = (first.conn, first.lent_len() > 0);
        set_priority(first.priority);
        speak_as(first.tid);
        match connection.enqueue_run(run) {
            // It was cancelled.
            Ok(0) => 1,
            Ok(count) => {
                ring_later(&mut self.unrung, connection);
                for id in ids.take(count) {
                    if let Some(call) = self.calls.get_mut(id) {
                        call.place = Place::Submitted;
                    }
                }
                if is_long && let Some(entry) = self.conns.get_mut(conn) {
                    entry.note_lent();
                }
                count
            }
            Err(Errno::EAGAIN) => 0,
            Err(errno) => {
                let errno = match errno {
                    Errno::EBADF => Errno::ESRCH,
                    errno => errno,
                };
                self.fail(turn, id, errno);
                1
            }
        }
    }

    /// Hands a message over that lies in its connection's region, if all of it is there. One that pulses go before
    /// waits for them in the line.
    fn hand_over_loaned(&mut self, turn: &mut Turn<'_>, id: InboundCall) {
        let Some(call) = self.calls.get_mut(id).filter(|call| call.arrived) else {
            return;
        };
        let Some(entry) = self.conns.get_mut(call.conn) else {
            return;
        };
        let ConnState::Ready { connection, .. } = &entry.state else {
            return;
        };
        if let Place::Loaned(_) = call.place
            && entry.notices.is_behind(call.pulses)
        {
            return entry.waiting.push_back(id);
        }
        let loan = match std::mem::replace(&mut call.place, Place::Submitted) {
            Place::Loaned(loan) => loan,
            other => return call.place = other,
        };
        set_priority(call.priority);
        speak_as(call.tid);
        let enqueued = match call.reports {
            true => connection.enqueue_reporting(loan, token(id)),
            false => connection.enqueue(loan, token(id)),
        };
        match enqueued {
            Ok(()) => ring_later(&mut self.unrung, connection),
            Err(Errno::EBADF) => self.fail(turn, id, Errno::ESRCH),
            Err(errno) => self.fail(turn, id, errno),
        }
    }

    /// Finds room for messages that wait for it, or for pulses before them, first come first.
    pub(super) fn place_waiting(&mut self, turn: &mut Turn<'_>, conn: InboundConn) {
        while let Some(entry) = self.conns.get_mut(conn)
            && let ConnState::Ready { .. } = &entry.state
            && let Some(id) = entry.waiting.front().copied()
        {
            let call = self.calls.get_mut(id);
            let Some(call) = call.filter(|call| call.place.waits()) else {
                entry.waiting.pop_front();
                continue;
            };
            if entry.notices.is_behind(call.pulses) {
                return;
            }
            if let Place::Loaned(_) = call.place {
                entry.waiting.pop_front();
                self.hand_over_loaned(turn, id);
                continue;
            }
            if let Place::Small(_) = call.place {
                let mut line = std::mem::take(&mut entry.waiting);
                let handed_over = self.hand_over_run(turn, line.iter().copied());
                line.drain(..handed_over);
                turn.counters.messages_staged += handed_over as u64;
                if let Some(entry) = self.conns.get_mut(conn) {
                    entry.waiting = line;
                }
                if handed_over == 0 {
                    return;
                }
                continue;
            }
            if !self.place_staged(turn, conn, id) {
                return;
            }
        }
    }

    /// Finds room for the first message of a line, which has come as far as it does without; `false` if it has to wait.
    fn place_staged(&mut self, turn: &mut Turn<'_>, conn: InboundConn, id: InboundCall) -> bool {
        if !self.lend_to(id) {
            return false;
        }
        let (Some(entry), Some(call)) = (self.conns.get_mut(conn), self.calls.get_mut(id)) else {
            return true;
        };
        let (ConnState::Ready { connection, .. }, Place::Staged(staged)) =
            (&entry.state, &call.place)
        else {
            return true;
        };
        let loaned = connection.loan(call.len, call.reply_len);
        if let Err(Errno::EAGAIN) = loaned {
            return false;
        }
        entry.kept.note(connection);
        entry.lent.note(connection);
        entry.waiting.pop_front();
        self.staging.give_back(staged);
        match loaned {
            Ok(mut loan) => {
                turn.counters.messages_staged += 1;
                loan.write(0, &staged.bytes);
                call.place = Place::Loaned(loan);
                if call.len > EAGER_LEN {
                    // A client that no longer waits is told of by an event.
                    let _ = turn.engine.grant(turn.now, id);
                }
                self.hand_over_loaned(turn, id);
            }
            Err(errno) => {
                call.place = Place::Submitted;
                self.fail(turn, id, errno);
            }
        }
        true
    }

    /// A message has to wait for those before it, or for room.
    pub(super) fn line_up(&mut self, conn: InboundConn, id: InboundCall) {
        if let Some(entry) = self.conns.get_mut(conn) {
            entry.waiting.push_back(id);
        }
    }

    /// There may be room again for what waits at a connection, or nothing under way any more.
    pub(super) fn note_room(&mut self, conn: InboundConn) {
        let Some(entry) = self.conns.get_mut(conn) else {
            return;
        };
        if let ConnState::Ready { connection, .. } = &entry.state {
            entry.kept.trim(connection);
            entry.lent.note_room(connection);
        }
        if entry.has_line() && self.roomy.last() != Some(&conn) {
            self.roomy.push(conn);
        }
    }
}

/// A connection's server is to be told, once for all that goes to it in this round.
pub(super) fn ring_later(unrung: &mut Vec<Arc<Connection>>, connection: &Arc<Connection>) {
    let last = unrung.last();
    if !last.is_some_and(|last| Arc::ptr_eq(last, connection)) {
        unrung.push(Arc::clone(connection));
    }
}
