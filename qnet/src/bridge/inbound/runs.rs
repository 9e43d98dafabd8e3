//! Runs: messages of remote clients that came in one record, and go to their server and back together.
//!
//! A message by itself costs its place in a table, a copy and a look at each of its stages; those of a run share all of
//! that. One that needs more than a bare answer is taken out, and is a call by itself from then on.

use ipc_core::{ShortMessage, Token, abi::Tid, set_priority, speak_as};
use qnet_proto::{InboundCall, InboundConn, InboundRun, Incoming, limits::RUN_MESSAGES_MAX};

use crate::{
    bridge::{
        Turn,
        handles::Handles,
        inbound::{
            ConnState, Inbound,
            arriving::ring_later,
            call::{Call, Place, lent_len, token},
        },
    },
    limits::{SMALL_LEN_MAX, SPARE_RUNS_MAX},
};

/// What tells the token of a run's message from that of a call, whose index has no such bit.
const RUN_BIT: Token = 1 << 31;
/// Below it the token says which message it is, and below that the index of the run.
const AT_SHIFT: u32 = 25;

const _: () = assert!(RUN_MESSAGES_MAX <= 1 << (31 - AT_SHIFT));

// A hostile client's runs of two cost no more than two calls, with what is noted of those that were taken out.
const _: () =
    assert!(size_of::<Run>() + 4 * size_of::<(u32, InboundCall)>() <= 2 * size_of::<Call>());

/// Messages that came together.
struct Run {
    conn: InboundConn,
    len: usize,
    reply_len: usize,
    priority: u8,
    tid: Tid,
    count: usize,
    /// Those that are neither answered, as far as the bridge knows, nor taken out: one bit each.
    open: u64,
    /// All of them, one after the other, until they are with the server.
    bytes: Vec<u8>,
    /// Those that are calls by themselves now, and which.
    taken_out: Vec<(u32, InboundCall)>,
}

/// All runs of remote clients.
#[derive(Default)]
pub(super) struct Runs {
    runs: Handles<InboundRun, Run>,
    /// Those whose index went to another one before their end was told.
    former: Vec<(InboundRun, Run)>,
    /// Messages that are not answered.
    open: usize,
    /// Answers of one run that are to be passed on together, one bit each.
    answered: Option<(InboundRun, u64)>,
    /// Room for the bytes of the next ones.
    spare: Vec<Vec<u8>>,
}

impl Runs {
    fn get_mut(&mut self, run: InboundRun) -> Option<&mut Run> {
        match self.runs.get(run) {
            Some(_) => self.runs.get_mut(run),
            None => {
                let mut former = self.former.iter_mut();
                former.find(|(its, _)| *its == run).map(|(_, run)| run)
            }
        }
    }

    /// The run and its message that a token is of, if it is one and the run is there.
    pub(super) fn member_of(&self, of: Token) -> Option<(InboundRun, u32)> {
        let index = of as usize & ((1 << AT_SHIFT) - 1);
        let at = (of as u32 & !(RUN_BIT as u32)) >> AT_SHIFT;
        let run = self.runs.at(index).filter(|_| of & RUN_BIT != 0)?;
        (member_token(run, at) == of).then_some((run, at))
    }

    /// Messages that are not answered.
    pub(super) fn open(&self) -> usize {
        self.open
    }

    /// The bytes are with the server.
    fn give_back(&mut self, bytes: Vec<u8>) {
        if self.spare.len() < SPARE_RUNS_MAX {
            self.spare.push(bytes);
        }
    }
}

/// The token under which the answer to a run's message comes back.
fn member_token(run: InboundRun, at: u32) -> Token {
    u64::from(run.generation()) << 32 | RUN_BIT | u64::from(at) << AT_SHIFT | run.index() as u64
}

impl Run {
    /// Some are not open any more; answers how many of them were.
    fn close(&mut self, members: u64) -> usize {
        let closed = self.open & members;
        self.open &= !closed;
        closed.count_ones() as usize
    }

    fn message(&self, at: usize) -> &[u8] {
        &self.bytes[at * self.len..][..self.len]
    }

    fn call_of(&self, at: u32) -> Option<InboundCall> {
        let mut taken_out = self.taken_out.iter();
        taken_out.find(|(its, _)| *its == at).map(|(_, call)| *call)
    }
}

impl Inbound {
    /// Messages came together. Takes those that may go to their server at once, as far as can be seen.
    pub(in crate::bridge) fn accept_run(
        &mut self,
        run: InboundRun,
        incoming: &Incoming,
        bytes: &[u8],
    ) -> bool {
        let (len, reply_len) = (incoming.len as usize, incoming.reply_len as usize);
        let conn = self.conns.get(incoming.conn);
        let is_ready = conn
            .is_some_and(|conn| matches!(conn.state, ConnState::Ready { .. }) && !conn.has_line());
        let has_index = run.index() < 1 << AT_SHIFT;
        // What takes room of the region has to ask for it, one by one.
        let is_short = len <= SMALL_LEN_MAX && lent_len(len, reply_len) == 0;
        if !is_ready || !has_index || !is_short {
            return false;
        }
        let mut kept = self.runs.spare.pop().unwrap_or_default();
        kept.clear();
        kept.extend_from_slice(bytes);
        let count = bytes.len() / len;
        let former = self.runs.runs.insert(
            run,
            Run {
                conn: incoming.conn,
                len,
                reply_len,
                priority: incoming.priority,
                tid: Tid(incoming.tid),
                count,
                open: u64::MAX >> (64 - count),
                bytes: kept,
                taken_out: Vec::new(),
            },
        );
        self.runs.former.extend(former);
        self.runs.open += count;
        true
    }

    /// A run is there: its messages go to their server, those that find room.
    pub(in crate::bridge) fn run_arrived(&mut self, turn: &mut Turn<'_>, run: InboundRun) {
        self.hand_over_due(turn);
        let Some(its) = self.runs.get_mut(run) else {
            return;
        };
        let count = its.count;
        turn.counters.messages_in += count as u64;
        let handed_over = self.hand_over_whole(run);
        for at in handed_over..count {
            self.spill(turn, run, at as u32);
        }
        if let Some(its) = self.runs.get_mut(run) {
            let bytes = std::mem::take(&mut its.bytes);
            self.runs.give_back(bytes);
        }
    }

    /// Hands the messages of a run over, from the first on. Answers how many found room; why the others did not they
    /// learn one by one.
    fn hand_over_whole(&mut self, run: InboundRun) -> usize {
        let Some(its) = self.runs.get_mut(run) else {
            return 0;
        };
        let Some(entry) = self.conns.get(its.conn) else {
            return 0;
        };
        let ConnState::Ready { connection, .. } = &entry.state else {
            return 0;
        };
        if entry.has_line() {
            return 0;
        }
        let messages = (0..its.count).map(|at| ShortMessage {
            bytes: its.message(at),
            reply_len: its.reply_len,
            token: member_token(run, at as u32),
        });
        set_priority(its.priority);
        speak_as(its.tid);
        let handed_over = connection.enqueue_run(messages).unwrap_or(0);
        if handed_over > 0 {
            ring_later(&mut self.unrung, connection);
        }
        handed_over
    }

    /// A message of a run that has to wait goes on by itself.
    fn spill(&mut self, turn: &mut Turn<'_>, run: InboundRun, at: u32) {
        let Ok(id) = turn.engine.take_out(run, at) else {
            return;
        };
        let Some(its) = self.runs.get_mut(run) else {
            return;
        };
        let mut place = [0; SMALL_LEN_MAX];
        place[..its.len].copy_from_slice(its.message(at as usize));
        let conn = its.conn;
        self.keep_alone(run, at, id, Place::Small(place), token(id));
        self.line_up(conn, id);
    }

    /// The engine has taken a message out, which is with its server.
    pub(in crate::bridge) fn taken_out(&mut self, run: InboundRun, at: u32, id: InboundCall) {
        match self.calls.at(id.index()) {
            Some(its) if its == id => {}
            // One frame may take a message out, end it and begin another call, which has the index then and is known
            // already: the events of the first are read only now.
            Some(_) => self.end_unseen(run, at),
            None => self.keep_alone(run, at, id, Place::Submitted, member_token(run, at)),
        }
    }

    /// Nobody waits any more for the answer to a message of a run, which is with its server.
    fn end_unseen(&mut self, run: InboundRun, at: u32) {
        let Some(its) = self.runs.get_mut(run) else {
            return;
        };
        let (conn, closed) = (its.conn, its.close(1 << at));
        self.runs.open -= closed;
        self.take_back(conn, member_token(run, at), false);
    }

    /// A message of a run is a call from now on.
    fn keep_alone(
        &mut self,
        run: InboundRun,
        at: u32,
        id: InboundCall,
        place: Place,
        token: Token,
    ) {
        let Some(its) = self.runs.get_mut(run) else {
            return;
        };
        its.taken_out.push((at, id));
        let closed = its.close(1 << at);
        let call = Call {
            conn: its.conn,
            len: its.len,
            reply_len: its.reply_len,
            priority: its.priority,
            tid: its.tid,
            place,
            token,
            pulses: 0,
            reports: false,
            arrived: true,
            cancel: None,
        };
        self.runs.open -= closed;
        if let Some((_, gone)) = self.calls.insert(id, call) {
            self.release(gone);
        }
    }

    /// The call that a message of a run is, or becomes now: its answer is more than a status of 0. `None` if nobody waits
    /// for it any more.
    pub(super) fn alone(
        &mut self,
        turn: &mut Turn<'_>,
        run: InboundRun,
        at: u32,
    ) -> Option<InboundCall> {
        if let Some(call) = self.runs.get_mut(run)?.call_of(at) {
            return Some(call);
        }
        let call = turn.engine.take_out(run, at).ok()?;
        // It is open, so whoever else has its index here is one whose end was not told yet.
        self.keep_alone(run, at, call, Place::Submitted, member_token(run, at));
        Some(call)
    }

    /// A message of a run, which is no call by itself, was answered with a status of 0.
    pub(super) fn answered_bare(&mut self, turn: &mut Turn<'_>, run: InboundRun, at: u32) {
        match &mut self.runs.answered {
            Some((its, answered)) if *its == run => *answered |= 1 << at,
            _ => {
                self.pass_answers(turn);
                self.runs.answered = Some((run, 1 << at));
            }
        }
    }

    /// Whether a message of a run is a call by itself.
    pub(super) fn is_alone(&mut self, run: InboundRun, at: u32) -> bool {
        let its = self.runs.get_mut(run);
        its.is_some_and(|its| its.call_of(at).is_some())
    }

    /// Passes on the bare answers that were kept together.
    pub(super) fn pass_answers(&mut self, turn: &mut Turn<'_>) {
        let Some((run, answered)) = self.runs.answered.take() else {
            return;
        };
        let Some(its) = self.runs.get_mut(run) else {
            return;
        };
        let (conn, len, count) = (its.conn, its.len, answered.count_ones() as usize);
        let closed = its.close(answered);
        self.runs.open -= closed;
        turn.counters.replies_out += count as u64;
        turn.note_calls(count, len, 0);
        turn.engine.reply_run(turn.now, run, answered);
        self.note_room(conn);
    }

    /// Nothing of a run is open any more.
    pub(in crate::bridge) fn run_done(&mut self, run: InboundRun) {
        let gone = self.runs.runs.remove(run).or_else(|| {
            let at = self.runs.former.iter().position(|(its, _)| *its == run)?;
            Some(self.runs.former.swap_remove(at).1)
        });
        if let Some(gone) = gone {
            self.runs.open -= gone.open.count_ones() as usize;
        }
    }
}
