//! The way of an answer out, and of a client that does not wait for it.

use ipc_core::{Completion, LoanReply, MappedBytes, Token, abi::Errno};
use qnet_proto::{Cancel, InboundCall, InboundConn};

use crate::{
    bridge::{
        Turn,
        handles::Handles,
        inbound::{
            Conn, ConnState, Inbound,
            call::{Answer, Call, Place, extents, index, token},
        },
        outbound::remote_errno,
    },
    limits::ANSWERS_PER_ROUND,
};

impl Inbound {
    /// Copies bytes of a reply; answers how many there were.
    pub(in crate::bridge) fn read(
        &self,
        call: InboundCall,
        offset: usize,
        into: &mut [u8],
    ) -> usize {
        match self.calls.get(call).map(|call| &call.place) {
            Some(Place::Answered(answer)) => answer.read(offset, into),
            _ => 0,
        }
    }

    /// Bytes of a reply where they lie, if they lie in shared memory.
    pub(in crate::bridge) fn mapped(
        &self,
        call: InboundCall,
        offset: usize,
        len: usize,
    ) -> Option<MappedBytes> {
        match &self.calls.get(call)?.place {
            Place::Answered(Answer::Kept(reply)) => reply.mapped(offset, len),
            _ => None,
        }
    }

    /// Whether answers that were taken wait for the next round.
    pub(in crate::bridge) fn has_completed(&self) -> bool {
        !self.taken.completions.is_empty() || !self.taken.statuses.is_empty()
    }

    /// Takes answers of local servers. Answers whether there may be more.
    pub(in crate::bridge) fn collect(&mut self, turn: &mut Turn<'_>) -> bool {
        if !self.has_completed() {
            self.queue.take_apart(&mut self.taken);
            self.pass_receipts(turn);
        }
        for _ in 0..ANSWERS_PER_ROUND {
            if let Some((token, status)) = self.taken.statuses.pop_front() {
                self.answered(turn, token, Outcome::Status(status));
            } else if let Some(completion) = self.taken.completions.pop_front() {
                self.answered(turn, completion.token, Outcome::of(completion));
            } else {
                break;
            }
        }
        self.pass_answers(turn);
        self.has_completed()
    }

    /// Tells remote clients that want to know that local servers have received their messages.
    fn pass_receipts(&mut self, turn: &mut Turn<'_>) {
        while let Some(token) = self.taken.received.pop() {
            if let Some(id) = self.call_of(token) {
                turn.engine.received(turn.now, id);
            }
        }
    }

    /// The call that a message was submitted for, unless its client has gone.
    fn call_of(&self, of: Token) -> Option<InboundCall> {
        self.calls.at(index(of)).filter(|id| token(*id) == of)
    }

    /// An answer for a client that has gone is dropped, and its buffers with it.
    fn answered(&mut self, turn: &mut Turn<'_>, token: Token, outcome: Outcome) {
        let id = match self.runs.member_of(token) {
            Some((run, at)) if outcome.is_bare() && !self.is_alone(run, at) => {
                return self.answered_bare(turn, run, at);
            }
            Some((run, at)) => self.alone(turn, run, at),
            None => self.call_of(token),
        };
        let Some(id) = id else {
            drop(outcome);
            if let Some(conn) = self.lent.given_up(token) {
                self.note_room(conn);
            }
            return;
        };
        let Some(call) = self.calls.get_mut(id) else {
            return;
        };
        let conn = call.conn;
        match outcome {
            Outcome::Status(status) => {
                turn.counters.replies_out += 1;
                turn.note_call(call.len, 0);
                call.place = Place::Answered(Answer::Empty);
                // An error means that the client does not wait; its end is an event of its own.
                let _ = turn.engine.reply(turn.now, id, status, 0);
            }
            Outcome::Reply(reply) => {
                turn.counters.replies_out += 1;
                let status = reply.reply().status;
                let extents = extents(&reply, call.reply_len);
                let extents = extents.as_slice();
                let end = extents.last().map_or(0, |extent| extent.end as usize);
                turn.note_call(call.len, end);
                call.place = Place::Answered(Answer::new(reply, end));
                // The same.
                let _ = turn.engine.reply_extents(turn.now, id, status, extents);
            }
            Outcome::Failed(Errno::ESRCH | Errno::EBADF, _) if !is_alive(&self.conns, conn) => {
                // The connection's end is reported in a moment, and ends all its calls at once.
                call.place = Place::Answered(Answer::Empty);
            }
            Outcome::Failed(errno, let_go) => {
                let errno = match (errno, call.cancel) {
                    (_, Some(wanted)) if let_go => wanted,
                    // The connection lives, so that it is the server's own word, whichever it is (SND-5).
                    (errno, _) => remote_errno(errno),
                };
                self.fail_with(turn, id, errno);
            }
        }
        self.note_room(conn);
    }

    /// The remote client wants out (CHN-2).
    pub(in crate::bridge) fn cancel(
        &mut self,
        turn: &mut Turn<'_>,
        id: InboundCall,
        cancel: Cancel,
    ) {
        let (errno, only_unreceived) = match cancel {
            Cancel::Unblock(errno) => (errno, false),
            Cancel::Withdraw(errno) => (errno, true),
            Cancel::Abandon => return,
        };
        let Some(call) = self.calls.get_mut(id) else {
            return;
        };
        match &call.place {
            Place::Staged(_) | Place::Small(_) | Place::Loaned(_) => {
                self.fail_with(turn, id, errno);
            }
            Place::Submitted => {
                call.cancel = Some(errno);
                let (conn, token) = (call.conn, call.token);
                self.take_back(conn, token, only_unreceived);
            }
            Place::Answered(_) => {}
        }
    }

    /// Takes a message out of its server's queue; one that was received goes on if only others are meant, else the
    /// server is told or let go.
    pub(super) fn take_back(&self, conn: InboundConn, token: Token, only_unreceived: bool) {
        if let Some(ConnState::Ready { connection, .. }) =
            self.conns.get(conn).map(|conn| &conn.state)
        {
            // Not in flight any more: then its answer is on its way out of the queue.
            let _ = match only_unreceived {
                true => connection.withdraw(token),
                false => connection.unblock(token),
            };
        }
    }

    /// The remote client no longer waits.
    pub(in crate::bridge) fn abandoned(&mut self, id: InboundCall) {
        self.remove(id);
    }

    /// The answer has arrived: its bytes are free.
    pub(in crate::bridge) fn reply_done(&mut self, id: InboundCall) {
        self.remove(id);
    }

    pub(super) fn fail(&mut self, turn: &mut Turn<'_>, id: InboundCall, errno: Errno) {
        self.fail_with(turn, id, remote_errno(errno));
    }

    /// As [`fail`](Self::fail), with an error as it goes over the wire.
    fn fail_with(&mut self, turn: &mut Turn<'_>, id: InboundCall, errno: qnet_proto::Errno) {
        turn.counters.errors_out += 1;
        if let Some(call) = self.calls.get_mut(id) {
            let place = std::mem::replace(&mut call.place, Place::Answered(Answer::Empty));
            let conn = call.conn;
            self.leave_line(conn, &place);
            drop(place);
            // What is behind it in the line may find room now, or need less.
            self.note_room(conn);
            // As with a reply.
            let _ = turn.engine.error(turn.now, id, errno);
        }
    }

    /// A message that was not submitted leaves the line of its connection. Its place stays until as many have gone as
    /// wait: clients that send and give up cost no look through the line each.
    fn leave_line(&mut self, conn: InboundConn, place: &Place) {
        if let Place::Staged(staged) = place {
            self.staging.give_back(staged);
        }
        if place.waits()
            && let Some(entry) = self.conns.get_mut(conn)
        {
            entry.left += 1;
            if 2 * entry.left > entry.waiting.len() {
                entry.left = 0;
                let calls = &self.calls;
                let waits =
                    |id: &InboundCall| calls.get(*id).is_some_and(|call| call.place.waits());
                entry.waiting.retain(waits);
            }
        }
    }

    fn remove(&mut self, id: InboundCall) {
        if let Some(call) = self.calls.remove(id) {
            self.release(call);
        }
    }

    /// Lets go of a call that has ended, and of its buffers.
    pub(super) fn release(&mut self, call: Call) {
        let conn = call.conn;
        self.leave_line(conn, &call.place);
        match &call.place {
            // Nobody waits for the server's answer any more.
            Place::Submitted => {
                self.lent.give_up(&call);
                return self.take_back(conn, call.token, false);
            }
            // It held nothing of the region.
            Place::Answered(Answer::Empty | Answer::Copied(_)) => return,
            Place::Staged(_)
            | Place::Small(_)
            | Place::Loaned(_)
            | Place::Answered(Answer::Kept(_)) => {}
        }
        drop(call);
        self.note_room(conn);
    }
}

/// How a submitted message ended.
enum Outcome {
    /// With a status and no bytes.
    Status(i64),
    Reply(LoanReply),
    /// With an error, and whether the client was let go of as it wanted out.
    Failed(Errno, bool),
}

impl Outcome {
    fn of(completion: Completion) -> Outcome {
        match completion.result {
            Ok(reply) if reply.extents() == (0, (0, 0)) => Outcome::Status(reply.reply().status),
            Ok(reply) => Outcome::Reply(reply),
            Err(errno) => Outcome::Failed(errno, completion.let_go),
        }
    }

    /// Whether it says no more than that the call is over.
    fn is_bare(&self) -> bool {
        matches!(self, Outcome::Status(0))
    }
}

/// Whether the server behind a connection was there a moment ago.
fn is_alive(conns: &Handles<InboundConn, Conn>, conn: InboundConn) -> bool {
    match conns.get(conn).map(|conn| &conn.state) {
        Some(ConnState::Ready { connection, .. }) => connection.is_alive(),
        Some(ConnState::Attaching) | None => true,
    }
}
