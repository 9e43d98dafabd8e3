//! The way of a message in: a place for its bytes, and the hand-over to the server.

use std::sync::Arc;

use ipc_core::{
    MappedBytes,
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
            call::{Call, Place, token},
        },
        outbound::remote_errno,
    },
    limits::{SMALL_LEN_MAX, STAGED_LEN_MAX},
};

impl Inbound {
    /// A message begins to arrive.
    pub(in crate::bridge) fn accept(&mut self, call: InboundCall, incoming: &Incoming) -> Accept {
        let (len, reply_len) = (incoming.len as usize, incoming.reply_len as usize);
        if len > MESSAGE_LEN_MAX || reply_len > MESSAGE_LEN_MAX {
            return Accept::Refuse(remote_errno(Errno::EMSGSIZE));
        }
        self.enter(incoming.conn);
        let place = match self.find_place(incoming.conn, len, reply_len) {
            Ok(place) => place,
            Err(errno) => return Accept::Refuse(remote_errno(errno)),
        };
        let accept = match &place {
            Place::Staged(bytes) => {
                self.staged_len += bytes.len();
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
        if len <= SMALL_LEN_MAX {
            return Ok(Place::Small([0; SMALL_LEN_MAX]));
        }
        if conn.waiting.is_empty()
            && let ConnState::Ready { connection, .. } = &conn.state
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
                if let Some(room) = staged.get_mut(offset..offset + bytes.len()) {
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

    /// All bytes are there: hand the message over, or remember to.
    pub(in crate::bridge) fn arrived(&mut self, turn: &mut Turn<'_>, call: InboundCall) {
        turn.counters.messages_in += 1;
        if let Some(state) = self.calls.get_mut(call) {
            state.arrived = true;
            self.submit(turn, call);
        }
    }

    /// Hands a message over that is in place, unless others wait before it.
    fn submit(&mut self, turn: &mut Turn<'_>, id: InboundCall) {
        let Some(call) = self.calls.get(id) else {
            return;
        };
        let Some(entry) = self.conns.get_mut(call.conn) else {
            return;
        };
        let is_small = matches!(call.place, Place::Small(_));
        if is_small && call.arrived && !(entry.is_ready() && entry.waiting.is_empty()) {
            return entry.waiting.push_back(id);
        }
        let conn = call.conn;
        if !self.hand_over(turn, id)
            && let Some(entry) = self.conns.get_mut(conn)
        {
            entry.waiting.push_back(id);
        }
    }

    /// Hands a message over to its server, if all of it is there. Answers `false` for one that found no room
    /// and has to wait.
    fn hand_over(&mut self, turn: &mut Turn<'_>, id: InboundCall) -> bool {
        let Some(call) = self.calls.get_mut(id).filter(|call| call.arrived) else {
            return true;
        };
        let Some(ConnState::Ready { connection, .. }) = self.conns.get(call.conn).map(|c| &c.state)
        else {
            return true;
        };
        set_priority(call.priority);
        speak_as(call.tid);
        let outcome = match &call.place {
            Place::Small(message) => {
                connection.enqueue_copy(&message[..call.len], call.reply_len, token(id))
            }
            Place::Loaned(_) => match std::mem::replace(&mut call.place, Place::Submitted) {
                Place::Loaned(loan) => connection.enqueue(loan, token(id)),
                _ => return true,
            },
            Place::Staged(_) | Place::Submitted | Place::Answered(_) => return true,
        };
        match outcome {
            Ok(()) => {
                call.place = Place::Submitted;
                let last = self.unrung.last();
                if !last.is_some_and(|last| Arc::ptr_eq(last, connection)) {
                    self.unrung.push(Arc::clone(connection));
                }
            }
            Err(Errno::EAGAIN) => return false,
            Err(Errno::EBADF) => self.fail(turn, id, Errno::ESRCH),
            Err(errno) => self.fail(turn, id, errno),
        }
        true
    }

    /// Finds room for messages that wait for it, first come first.
    pub(super) fn place_waiting(&mut self, turn: &mut Turn<'_>, conn: InboundConn) {
        while let Some(entry) = self.conns.get_mut(conn)
            && let ConnState::Ready { connection, .. } = &entry.state
            && let Some(id) = entry.waiting.front().copied()
        {
            let Some(call) = self.calls.get_mut(id) else {
                entry.waiting.pop_front();
                continue;
            };
            let Place::Staged(staged) = &call.place else {
                if !self.hand_over(turn, id) {
                    return;
                }
                turn.counters.messages_staged += 1;
                // One that failed left the line by itself.
                if let Some(entry) = self.conns.get_mut(conn)
                    && entry.waiting.front() == Some(&id)
                {
                    entry.waiting.pop_front();
                }
                continue;
            };
            let loaned = connection.loan(call.len, call.reply_len);
            if let Err(Errno::EAGAIN) = loaned {
                return;
            }
            entry.waiting.pop_front();
            self.staged_len -= staged.len();
            match loaned {
                Ok(mut loan) => {
                    turn.counters.messages_staged += 1;
                    loan.write(0, staged);
                    call.place = Place::Loaned(loan);
                    if call.len > EAGER_LEN {
                        // A client that no longer waits is told of by an event.
                        let _ = turn.engine.grant(turn.now, id);
                    }
                    self.submit(turn, id);
                }
                Err(errno) => {
                    call.place = Place::Submitted;
                    self.fail(turn, id, errno);
                }
            }
        }
    }
}
