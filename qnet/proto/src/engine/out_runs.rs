//! Runs on the client's node: short messages that are alike and were sent together, kept together until their answers.
//!
//! A call by itself costs its place in two tables, and an event; those of a run share all of that as long as all that becomes
//! of them is to be sent, and to be answered with a status. Anything else (a cancel, a loss, bytes or an error in an answer)
//! dissolves the run: those of its messages that wait are calls by themselves from then on, at the same place in the queue
//! and with the same numbers. It costs what they are, however much waits before them. One invariant: what a run holds is sent
//! from its first message to its last, and has numbers without a gap.

use super::calls::OutCall;
use super::chain::{Chained, Link};
use super::members::{Members, below, positions, within};
use super::queue::Outgo;
use super::session::Session;
use super::{Engine, Event, LinkPolicy, Outgoing, peer_of};
use crate::limits::{
    ACK_RANGES_PER_RECORD, EAGER_LEN, MTU_MIN, QNET_HEADER_LEN, RECORD_HEADER_LEN, RUN_LEN_MAX,
    RUN_MESSAGES_MAX, TAG_LEN,
};
use crate::wire::MessageHead;
use crate::{OutboundCall, OutboundConn, OutboundRun, PeerId, Time};

/// What the longest message of a run shares the shortest frame with: an acknowledgement, and its head.
const BESIDE_LEN: usize = RECORD_HEADER_LEN
    + 2
    + 8 * ACK_RANGES_PER_RECORD
    + RECORD_HEADER_LEN
    + MessageHead::fixed_len(false, false);
const _: () = assert!(QNET_HEADER_LEN + BESIDE_LEN + RUN_LEN_MAX + TAG_LEN <= MTU_MIN);
const _: () = assert!(RUN_LEN_MAX <= EAGER_LEN);

/// Messages of a local client that were sent together.
pub(super) struct OutRun {
    pub(super) peer: PeerId,
    pub(super) conn: OutboundConn,
    /// Its place among the runs of its connection.
    pub(super) link: Link,
    /// The links it may take.
    pub(super) policy: LinkPolicy,
    pub(super) outgoing: Outgoing,
    /// Pulses of the connection that were sent before it; all of them have arrived.
    pulses: u64,
    /// The number of its first message, from the first transmission on.
    pub(super) first: Option<u64>,
    pub(super) count: u32,
    /// How many were sent; the others are in the queue.
    pub(super) sent: u32,
    /// Not answered.
    waiting: Members,
}

impl OutRun {
    /// Messages that are not answered.
    pub(super) fn waiting_count(&self) -> usize {
        self.waiting.count_ones() as usize
    }

    /// Those that were sent and are not answered, among `count` numbers from `number` on.
    fn answerable(&self, number: u64, count: u32) -> Members {
        let first = self.first.unwrap_or(u64::MAX);
        within(first, self.sent, number, count) & self.waiting
    }
}

impl Chained for OutRun {
    fn link(&mut self) -> &mut Link {
        &mut self.link
    }

    fn older(&self) -> u32 {
        self.link.older()
    }
}

impl Session {
    /// Numbers the messages of a run that is sent for the first time; `None` if too many are on their way.
    pub(super) fn number_run(&mut self, run: OutboundRun, count: u32) -> Option<u64> {
        if self.numbers_left() < count as usize {
            return None;
        }
        let first = self.next_call;
        self.next_call += u64::from(count);
        self.out_runs.insert(first, (run, count));
        self.out_run_calls += count as usize;
        Some(first)
    }

    /// The run that a number belongs to, if it is in one that is not over.
    fn out_run_of(&self, number: u64) -> Option<OutboundRun> {
        let (&first, &(run, count)) = self.out_runs.range(..=number).next_back()?;
        (number < first + u64::from(count)).then_some(run)
    }
}

impl Engine {
    /// Sends `count` messages of a local client, at most [`RUN_MESSAGES_MAX`], that are alike but for their bytes, at most
    /// [`RUN_LEN_MAX`] bytes long, and expect no bytes; each ends in `RunReplied`, or leaves the run (`LeftRun`) before it
    /// ends otherwise. `None` if they have to be sent one by one: the connection is new, pulses that were sent through it
    /// may not have arrived, or too many messages wait for answers.
    pub fn send_run(
        &mut self,
        now: Time,
        conn: OutboundConn,
        message: Outgoing,
        count: usize,
    ) -> Option<OutboundRun> {
        let is_short = (1..=RUN_LEN_MAX).contains(&(message.len as usize));
        let is_bare = is_short && message.reply_len == 0 && !message.reports;
        let id = self.tables.out_conn(conn)?.peer;
        if self.peer(id)?.session()?.numbers_left() < count {
            return None;
        }
        let open = self.tables.out_conn_mut(conn)?;
        let is_plain = open.unconfirmed().is_none() && open.pulses_unacked == 0;
        let are_fit = (2..=RUN_MESSAGES_MAX).contains(&count) && is_bare;
        if open.is_closing || open.id.is_none() || !is_plain || !are_fit {
            return None;
        }
        open.begin_use(now);
        open.uses += count as u32 - 1;
        let (policy, pulses) = (open.policy, open.next_pulse);
        self.watch_link(now, id, policy);
        let run = self.tables.insert_out_run(OutRun {
            peer: id,
            conn,
            link: Link::default(),
            policy,
            outgoing: message,
            pulses,
            first: None,
            count: count as u32,
            sent: 0,
            waiting: below(count as u32),
        });
        let peer = peer_of(&mut self.peers, id).expect("a peer with connections keeps its place");
        peer.stats.messages_sent += count as u64;
        peer.queues.of(policy).messages.push_back(Outgo::Run(run));
        self.settle_queued(id);
        Some(run)
    }

    /// Makes the messages of a run that wait calls by themselves: for who has something to do with one of them alone.
    /// Answers which they are, counted from 0, and what they are from now on.
    pub fn dissolve(&mut self, run: OutboundRun) -> Vec<(u32, OutboundCall)> {
        let Some(its) = self.tables.remove_out_run(run) else {
            return Vec::new();
        };
        let peer = peer_of(&mut self.peers, its.peer);
        let peer = peer.expect("a run's peer keeps its place");
        let mut calls = Vec::with_capacity(its.waiting_count());
        for at in positions(its.waiting) {
            let (conn, policy, outgoing) = (its.conn, its.policy, its.outgoing);
            let mut out = OutCall::new(its.peer, conn, policy, outgoing, its.pulses, EAGER_LEN);
            out.id = its.first.map(|first| first + u64::from(at));
            match at < its.sent {
                true => out.message.on_all_sent(),
                false => out.message.is_queued = true,
            }
            calls.push((at, self.tables.insert_out_call(out)));
        }
        if let (Some(session), Some(first)) = (peer.session_mut(), its.first) {
            session.out_runs.remove(&first);
            session.out_run_calls -= calls.len();
            for (at, call) in &calls {
                session.out_calls.insert(first + u64::from(*at), *call);
            }
        }
        if its.sent < its.count {
            let unsent = calls.iter().filter(|(at, _)| *at >= its.sent);
            let unsent = unsent.map(|(_, call)| *call).collect();
            peer.queues.of(its.policy).spread(run, unsent);
        }
        calls
    }

    /// The first runs of a node's queues dissolve if there are numbers, but fewer than they have messages: they would wait
    /// for calls that need not end soon, or for ever beside others that take one number each.
    pub(super) fn relieve_runs(&mut self, id: PeerId) {
        let Some(peer) = self.peer(id) else {
            return;
        };
        let left = peer.session().map_or(0, Session::numbers_left);
        if !(1..RUN_MESSAGES_MAX).contains(&left) {
            return;
        }
        let is_short = |run: &OutboundRun| {
            let its = self.tables.out_run(*run);
            its.is_some_and(|its| its.first.is_none() && left < its.count as usize)
        };
        let queues = peer.queues.iter();
        let first = queues.filter_map(|(_, queue)| queue.messages.front()?.run());
        let short: Vec<OutboundRun> = first.filter(is_short).collect();
        short
            .into_iter()
            .for_each(|run| self.dissolve_and_tell(run));
    }

    /// As [`dissolve`](Self::dissolve), for a reason that the caller does not know of.
    pub(super) fn dissolve_and_tell(&mut self, run: OutboundRun) {
        for (at, call) in self.dissolve(run) {
            self.events.push_back(Event::LeftRun { run, at, call });
        }
    }

    /// The runs of a virtual connection that have not ended, the newest first.
    pub fn runs_of(&self, conn: OutboundConn) -> impl Iterator<Item = OutboundRun> + '_ {
        self.tables.out_runs_of(conn)
    }

    /// Dissolves all runs of a connection.
    pub(super) fn dissolve_all(&mut self, conn: OutboundConn) {
        let runs: Vec<OutboundRun> = self.runs_of(conn).collect();
        runs.into_iter().for_each(|run| self.dissolve_and_tell(run));
    }

    /// The run that a number belongs to dissolves, if there is one.
    pub(super) fn dissolve_number(&mut self, id: PeerId, number: u64) {
        if let Some(run) = self.out_run_of(id, number) {
            self.dissolve_and_tell(run);
        }
    }

    fn out_run_of(&self, id: PeerId, number: u64) -> Option<OutboundRun> {
        self.peer(id)?.session()?.out_run_of(number)
    }

    /// Calls were answered with a status and no bytes. Answers how many of the first numbers are of one run; 0 if the first
    /// is of none.
    pub(super) fn reply_members(
        &mut self,
        id: PeerId,
        number: u64,
        count: u32,
        status: i64,
    ) -> u32 {
        let Some(run) = self.out_run_of(id, number) else {
            return 0;
        };
        let its = self.tables.out_run_mut(run);
        let its = its.expect("session and table name the same runs");
        let first = its.first.expect("found by its number");
        let answered = its.answerable(number, count);
        its.waiting &= !answered;
        let (conn, is_over) = (its.conn, its.waiting == 0);
        let of_run = (first + u64::from(its.count) - number).min(u64::from(count)) as u32;
        let session = peer_of(&mut self.peers, id).and_then(|peer| peer.session_mut());
        if let Some(session) = session {
            session.out_run_calls -= answered.count_ones() as usize;
            for at in positions(answered) {
                session.calls_known.insert(first + u64::from(at));
            }
            if is_over {
                session.out_runs.remove(&first);
            }
        }
        if is_over {
            self.tables.remove_out_run(run);
        }
        if answered != 0 {
            self.note_room(conn, true);
            self.events.push_back(Event::RunReplied {
                run,
                members: answered,
                status,
            });
            if let Some(open) = self.tables.out_conn_mut(conn) {
                open.uses = open.uses.saturating_sub(answered.count_ones() - 1);
            }
            self.release_conn(conn);
        }
        of_run
    }
}
