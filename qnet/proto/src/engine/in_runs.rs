//! Runs on the server's node: messages that came in one record, kept together as long as all that becomes of each is a
//! bare answer.
//!
//! A call by itself costs its place in two tables and an event at each of its stages; those of a run share all of that.
//! One that something else becomes of (a cancel, bytes in its reply, an error, the end of its connection) is taken out, and
//! from then on is a call as if it had come by itself. One invariant: every number of a run is in exactly one of its sets,
//! or over.

use super::calls::InCall;
use super::chain::{Chained, Link};
use super::members::{Members, below, positions, within};
use super::queue::Reply;
use super::ranges::RangeSet;
use super::session::Session;
use super::{Engine, Event, Incoming, LinkPolicy, Store, peer_of};
use crate::limits::{CALLS_MAX, RUN_MESSAGES_MAX};
use crate::wire::MessageHead;
use crate::{Errno, InboundCall, InboundConn, InboundRun, PeerId, Time};

// A hostile client's runs of two cost no more than two calls, with their places in the session's table.
const _: () = assert!(
    size_of::<InRun>() + 2 * size_of::<(u64, InboundRun, u32)>() <= 2 * size_of::<InCall>()
);

/// Messages of a remote client that came together.
pub(super) struct InRun {
    pub(super) peer: PeerId,
    pub(super) conn: InboundConn,
    /// Its place among the runs of its connection.
    pub(super) link: Link,
    /// The links its answers may take.
    pub(super) back: LinkPolicy,
    /// The number of its first message.
    pub(super) first: u64,
    count: u32,
    len: u32,
    reply_len: u32,
    /// Not answered.
    waiting: Members,
    /// Answered, and the answer is to be sent.
    answered: Members,
    /// Their answers are on their way.
    sent: Members,
    /// Taken out, and not over.
    out: Members,
    /// Whether it stands in the queue of replies.
    pub(super) is_queued: bool,
}

impl InRun {
    /// The first answers to be sent whose numbers are neighbours: the first number, and how many.
    pub(super) fn next_answers(&self) -> Option<(u64, u32)> {
        let from = self.answered.trailing_zeros();
        let count = self.answered.checked_shr(from)?.trailing_ones();
        Some((self.first + u64::from(from), count))
    }

    /// Such answers are on their way.
    pub(super) fn on_sent(&mut self, number: u64, count: u32) {
        let sent = self.members(number, count);
        self.answered &= !sent;
        self.sent |= sent;
    }

    /// Those of its messages that have one of `count` numbers from `number` on.
    fn members(&self, number: u64, count: u32) -> Members {
        within(self.first, self.count, number, count)
    }

    /// Messages that are neither over nor taken out.
    pub(super) fn open_count(&self) -> usize {
        (self.waiting | self.answered | self.sent).count_ones() as usize
    }

    fn is_over(&self) -> bool {
        self.waiting | self.answered | self.sent | self.out == 0
    }
}

impl Chained for InRun {
    fn link(&mut self) -> &mut Link {
        &mut self.link
    }

    fn older(&self) -> u32 {
        self.link.older()
    }
}

impl Session {
    /// The run that a number belongs to, if it is in one that is not over.
    fn run_of(&self, number: u64) -> Option<InboundRun> {
        let (&first, &(run, count)) = self.in_runs.range(..=number).next_back()?;
        (number < first + u64::from(count)).then_some(run)
    }
}

impl Engine {
    /// Takes messages that came in one record as a run. `false` if they have to be taken one by one: there is something to
    /// be seen to with some of them, or their holder does not want them together.
    pub(super) fn take_run(
        &mut self,
        id: PeerId,
        head: &MessageHead,
        bytes: &[u8],
        store: &mut impl Store,
    ) -> bool {
        let count = bytes.len() / head.len as usize;
        let arriving_on = self.arriving_on;
        let session = peer_of(&mut self.peers, id).and_then(|peer| peer.session_mut());
        let Some(session) = session else {
            return false;
        };
        let are_many = (2..=RUN_MESSAGES_MAX).contains(&count);
        let is_room = session.in_calls_len() + count <= 2 * CALLS_MAX;
        if !are_many || !is_room || head.reports || head.pulses > 0 {
            return false;
        }
        let Some(&conn) = session.in_conns.get(&head.conn) else {
            return false;
        };
        if !session.calls_seen.are_new(head.call, count as u64) {
            return false;
        }
        let entry = self.tables.in_conn_mut(conn);
        let entry = entry.expect("both tables name the same connections");
        entry.came_through(arriving_on);
        let (back, info) = (entry.back, entry.info);
        let run = self.tables.insert_in_run(InRun {
            peer: id,
            conn,
            link: Link::default(),
            back,
            first: head.call,
            count: count as u32,
            len: head.len,
            reply_len: head.reply_len,
            waiting: below(count as u32),
            answered: 0,
            sent: 0,
            out: 0,
            is_queued: false,
        });
        let incoming = Incoming {
            peer: id,
            conn,
            is_new_conn: false,
            info,
            tid: head.tid,
            priority: head.priority,
            len: head.len,
            reply_len: head.reply_len,
            reports: false,
            pulses: 0,
        };
        if !store.accept_run(run, &incoming, bytes) {
            self.tables.remove_in_run(run);
            return false;
        }
        session.calls_seen.insert_run(head.call, count as u64);
        session.in_runs.insert(head.call, (run, count as u32));
        session.in_run_calls += count;
        self.events.push_back(Event::RunArrived { run, conn });
        self.coming_len = 0;
        if let Some(peer) = self.peer_mut(id) {
            peer.stats.messages_received += count as u64;
        }
        true
    }

    /// Answers messages of a run, those whose bits are set, with status 0 and no bytes. One that was answered or is over is
    /// passed over.
    pub fn reply_run(&mut self, now: Time, run: InboundRun, answered: u64) {
        let Some(its) = self.tables.in_run_mut(run) else {
            return;
        };
        let bare = its.waiting & answered;
        its.waiting &= !bare;
        its.answered |= bare;
        // Nobody else may have been told of their calls yet.
        let (id, first, alone) = (its.peer, its.first, its.out & answered);
        self.queue_run(run);
        for at in positions(alone) {
            let session = self.peer(id).and_then(|peer| peer.session());
            let call = session.and_then(|session| session.in_calls.get(first + u64::from(at)));
            // An error means that it is answered.
            let _ = call.map(|call| self.reply(now, call, 0, 0));
        }
        if peer_of(&mut self.peers, id).is_some_and(|peer| !peer.is_ready) {
            self.settle(now, id);
        }
    }

    /// Makes message `at` of a run a call by itself, or finds the call that it is already: for who wants to answer with
    /// more than a status of 0, or with an error.
    ///
    /// # Errors
    /// `ESRCH` it is answered or over.
    pub fn take_out(&mut self, run: InboundRun, at: u32) -> Result<InboundCall, Errno> {
        let its = self.tables.in_run_mut(run).ok_or(Errno::ESRCH)?;
        let member = 1_u64.checked_shl(at).ok_or(Errno::ESRCH)?;
        let (id, number) = (its.peer, its.first + u64::from(at));
        if its.out & member != 0 {
            let session = self.peer(id).and_then(|peer| peer.session());
            let call = session.and_then(|session| session.in_calls.get(number));
            return call.ok_or(Errno::ESRCH);
        }
        if its.waiting & member == 0 {
            return Err(Errno::ESRCH);
        }
        its.waiting &= !member;
        its.out |= member;
        let mut placed = RangeSet::default();
        placed.insert(0..its.len);
        let call = InCall {
            peer: id,
            conn: its.conn,
            link: Link::default(),
            back: its.back,
            id: number,
            len: its.len,
            reply_len: its.reply_len,
            placed,
            has_arrived: true,
            limit: its.len,
            waits_for_grant: false,
            is_accepted: true,
            reports: false,
            run: Some((run, at)),
            cancel: None,
            answer: None,
        };
        let call = self.tables.insert_in_call(call);
        let session = peer_of(&mut self.peers, id).and_then(|peer| peer.session_mut());
        if let Some(session) = session {
            session.in_run_calls -= 1;
            session.in_calls.insert(number, call);
        }
        Ok(call)
    }

    /// As [`take_out`](Self::take_out), for a reason that the caller does not know of.
    fn take_out_and_tell(&mut self, run: InboundRun, at: u32) -> Option<InboundCall> {
        let call = self.take_out(run, at).ok()?;
        self.events.push_back(Event::TakenOut { run, at, call });
        Some(call)
    }

    /// The message of a run with this number is taken out, if it is not answered.
    pub(super) fn take_out_number(&mut self, id: PeerId, number: u64) -> Option<InboundCall> {
        let run = self.peer(id)?.session()?.run_of(number)?;
        let its = self.tables.in_run(run)?;
        let at = (number - its.first) as u32;
        (its.waiting & 1 << at != 0).then_some(())?;
        self.take_out_and_tell(run, at)
    }

    /// Takes out all messages of a run that are not answered.
    pub(super) fn take_all_out(&mut self, run: InboundRun) {
        let waiting = self.tables.in_run(run).map_or(0, |run| run.waiting);
        for at in positions(waiting) {
            self.take_out_and_tell(run, at);
        }
    }

    /// The client waits no longer for the answer with this number, which it may have.
    pub(super) fn drop_answer(&mut self, id: PeerId, number: u64) {
        self.end_members(id, number, 1, |run, its| {
            let dropped = (run.answered | run.sent) & its;
            run.answered &= !dropped;
            run.sent &= !dropped;
            dropped
        });
    }

    /// Bare answers have arrived. Answers how many of the first numbers are of one run; 0 if the first is of none.
    pub(super) fn on_run_answers_arrived(&mut self, id: PeerId, number: u64, count: u32) -> u32 {
        self.end_members(id, number, count, |run, its| {
            let arrived = run.sent & its;
            run.sent &= !arrived;
            arrived
        })
    }

    /// Bare answers were lost. Answers as [`on_run_answers_arrived`](Self::on_run_answers_arrived).
    pub(super) fn on_run_answers_lost(&mut self, id: PeerId, number: u64, count: u32) -> u32 {
        let those = self.end_members(id, number, count, |run, its| {
            let lost = run.sent & its;
            run.sent &= !lost;
            run.answered |= lost;
            0
        });
        if let Some(run) = self.run_of(id, number) {
            self.queue_run(run);
        }
        those
    }

    fn run_of(&self, id: PeerId, number: u64) -> Option<InboundRun> {
        self.peer(id)?.session()?.run_of(number)
    }

    /// Lets `end` end members among `count` numbers from `number` on, as far as they are of one run and not taken out.
    /// Answers how many of the numbers are; 0 if the first is not.
    fn end_members(
        &mut self,
        id: PeerId,
        number: u64,
        count: u32,
        end: impl FnOnce(&mut InRun, Members) -> Members,
    ) -> u32 {
        let Some(run) = self.run_of(id, number) else {
            return 0;
        };
        let its = self.tables.in_run_mut(run);
        let its = its.expect("session and table name the same runs");
        let members = its.members(number, count);
        // One that was taken out is looked at by itself.
        let members = members & below((members & its.out).trailing_zeros());
        let ended = end(its, members).count_ones();
        let session = peer_of(&mut self.peers, id).and_then(|peer| peer.session_mut());
        if let Some(session) = session {
            session.in_run_calls -= ended as usize;
        }
        self.end_run_if_over(run);
        members.count_ones()
    }

    /// A message that was taken out of a run is over.
    pub(super) fn end_taken_out(&mut self, (run, at): (InboundRun, u32)) {
        if let Some(its) = self.tables.in_run_mut(run) {
            its.out &= !(1 << at);
            self.end_run_if_over(run);
        }
    }

    fn end_run_if_over(&mut self, run: InboundRun) {
        let its = self.tables.in_run(run).filter(|run| run.is_over());
        let Some((id, first)) = its.map(|run| (run.peer, run.first)) else {
            return;
        };
        self.tables.remove_in_run(run);
        if let Some(session) = peer_of(&mut self.peers, id).and_then(|peer| peer.session_mut()) {
            session.in_runs.remove(&first);
        }
        self.events.push_back(Event::RunDone { run });
    }

    /// Puts a run that has answers to send into the queue, unless it is there.
    fn queue_run(&mut self, run: InboundRun) {
        if let Some(its) = self.tables.in_run_mut(run)
            && its.answered != 0
            && !its.is_queued
            && let Some(peer) = peer_of(&mut self.peers, its.peer)
        {
            its.is_queued = true;
            peer.queues.of(its.back).replies.push_back(Reply::Run(run));
        }
    }
}
