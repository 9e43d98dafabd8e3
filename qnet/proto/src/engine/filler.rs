//! Fills the frame of a session: control records, then small things, and long messages last.

mod runs;

use super::calls::Answer;
use super::queue::{Bulk, Control, Outgo, Queue, Reply, SMALL_LEN};
use super::sent::Carried;
use super::session::Session;
use super::tables::Tables;
use super::{Cancel, Engine, LinkPolicy, Store};
use crate::limits::{ACK_RANGES_PER_RECORD, FRAGMENT_LEN_MIN};
use crate::wire::{
    AckRange, AckRanges, CancelRecord, DetachRecord, ErrorRecord, Fragment, FrameBuilder,
    GrantRecord, MessageHead, PulseRecord, ReceivedRecord, RecordType, ReplyHead, Side,
};
use crate::{InboundCall, OutboundCall};

/// How far something got into a frame.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Outcome {
    /// Nothing of it waits any more.
    Done,
    /// The frame has no more room for it.
    Full,
    /// It must wait for something the peer has to do.
    Blocked,
}

/// A frame being filled for one session.
pub(super) struct Filler<'a, 'b, S> {
    pub(super) frame: FrameBuilder<'b>,
    pub(super) session: &'a mut Session,
    /// The path that the frame takes.
    path: usize,
    tables: &'a mut Tables,
    store: &'a S,
    /// Room that one record would have in this frame if it were the only one.
    room_max: usize,
    /// Entries of the sent log that this packet carries.
    pub(super) carried: u32,
}

impl<'a, 'b, S: Store> Filler<'a, 'b, S> {
    /// Begins a frame.
    pub(super) fn new(
        frame: FrameBuilder<'b>,
        session: &'a mut Session,
        path: usize,
        tables: &'a mut Tables,
        store: &'a S,
    ) -> Filler<'a, 'b, S> {
        let room_max = frame.room();
        Filler {
            frame,
            session,
            path,
            tables,
            store,
            room_max,
            carried: 0,
        }
    }

    /// Writes, before all else, what the header cannot say of the packets received through a path of the peer; answers how
    /// many steps that are.
    pub(super) fn acknowledge(&mut self, space: usize) -> usize {
        let received = &self.session.spaces[space].received;
        if !received.has_gaps() {
            return 0;
        }
        let mut steps = [AckRange::default(); ACK_RANGES_PER_RECORD];
        let count = received.steps(&mut steps);
        if count > 0 {
            let written = AckRanges::emit(&mut self.frame, &steps[..count]);
            written.expect("the smallest frame takes all steps");
        }
        self.room_max = self.frame.room();
        count
    }

    /// Takes from a queue, whose entries have this policy, what fits.
    pub(super) fn fill(&mut self, policy: LinkPolicy, queue: &mut Queue) {
        let takes_bulk = self.session.paths[self.path].may_send_bulk();
        if takes_bulk && queue.next_turn() {
            let oldest = queue.bulk[0];
            if self.bulk(oldest) == Outcome::Done {
                queue.bulk.remove(0);
            }
        }
        let mut blocked = 0;
        while let Some(&control) = queue.control.get(blocked) {
            match self.control(control, policy) {
                Outcome::Done => drop(queue.control.remove(blocked)),
                Outcome::Blocked => blocked += 1,
                Outcome::Full => break,
            }
        }
        while let Some(&reply) = queue.replies.front() {
            if self.bare_replies(&mut queue.replies) {
                continue;
            }
            match reply {
                Reply::Call(call) if self.reply(call) == Outcome::Done => {
                    queue.replies.pop_front();
                }
                _ => break,
            }
        }
        while let Some(&call) = queue.begun.front() {
            if self.message(call) != Outcome::Done {
                break;
            }
            queue.begun.pop_front();
        }
        while let Some(&outgo) = queue.messages.front() {
            let goes = match outgo {
                Outgo::Run(run) if queue.spread_first(run) => continue,
                Outgo::Run(run) => usize::from(self.sent_together(run) == Outcome::Done),
                Outgo::Call(call) => match self.message_run(&queue.messages) {
                    0 => usize::from(self.message(call) == Outcome::Done),
                    count => count,
                },
            };
            if goes == 0 {
                break;
            }
            queue.messages.drain(..goes);
        }
        while takes_bulk && let Some(at) = self.shortest(&queue.bulk) {
            if self.bulk(queue.bulk[at]) != Outcome::Done {
                break;
            }
            queue.bulk.remove(at);
        }
    }

    /// The long message with the fewest bytes to go among those that can go.
    fn shortest(&self, bulk: &[Bulk]) -> Option<usize> {
        if bulk.is_empty() || self.frame.room() < FRAGMENT_LEN_MIN {
            return None;
        }
        let can_number = self.can_number();
        let remaining = |&bulk| Engine::bulk_remaining(self.tables, bulk, can_number);
        let ready = bulk
            .iter()
            .enumerate()
            .filter_map(|(at, bulk)| Some((remaining(bulk)?, at)));
        ready.min().map(|(_, at)| at)
    }

    fn can_number(&self) -> bool {
        self.session.numbers_left() > 0 && self.session.can_number_conn()
    }

    #[inline(always)]
    fn carry(&mut self, carried: Carried) {
        self.session.paths[self.path].sent.carry(carried);
        self.carried += 1;
    }

    /// Asks for an acknowledgement.
    pub(super) fn ping(&mut self) {
        if self.frame.mark(RecordType::Ping).is_some() {
            self.carry(Carried::Ping);
        }
    }

    fn bulk(&mut self, bulk: Bulk) -> Outcome {
        match bulk {
            Bulk::Message(call) => self.message(call),
            Bulk::Reply(call) => self.reply(call),
        }
    }

    fn control(&mut self, control: Control, policy: LinkPolicy) -> Outcome {
        let written = match control {
            Control::Cancel { call, cancel, .. }
                if cancel != Cancel::Abandon && self.tables.out_call(call).is_none() =>
            {
                return Outcome::Done;
            }
            Control::Cancel { id, cancel, .. } => {
                CancelRecord { call: id, cancel }.emit(&mut self.frame)
            }
            Control::Detach { conn, to, errno } => {
                DetachRecord { conn, to, errno }.emit(&mut self.frame)
            }
            Control::Grant { call, .. } if self.tables.in_call(call).is_none() => {
                return Outcome::Done;
            }
            Control::Grant { id, limit, .. } => {
                GrantRecord { call: id, limit }.emit(&mut self.frame)
            }
            Control::Received { call, .. } if !self.tables.waits_for_answer(call) => {
                return Outcome::Done;
            }
            Control::Received { id, .. } => ReceivedRecord { call: id }.emit(&mut self.frame),
            Control::PulseClient {
                conn,
                sequence,
                pulse,
            } => PulseRecord {
                conn,
                sequence,
                to: Side::Client,
                pulse,
            }
            .emit(&mut self.frame, None),
            Control::PulseServer {
                conn,
                sequence,
                pulse,
            } => {
                let Some(open) = self.tables.out_conn_mut(conn) else {
                    return Outcome::Done;
                };
                if open.id.is_none() {
                    open.id = self.session.number_conn(conn);
                }
                let Some(number) = open.id else {
                    return Outcome::Blocked;
                };
                let connect = open.unconfirmed();
                let record = PulseRecord {
                    conn: number,
                    sequence,
                    to: Side::Server,
                    pulse,
                };
                let written = record.emit(&mut self.frame, connect.as_ref());
                if let (Some(()), Some(connect)) = (written, connect) {
                    self.carry(Carried::Connect {
                        conn,
                        revision: connect.revision,
                    });
                }
                written
            }
        };
        if written.is_none() {
            return Outcome::Full;
        }
        self.carry(Carried::Control(control, policy));
        Outcome::Done
    }

    fn message(&mut self, call: OutboundCall) -> Outcome {
        let Some(out) = self.tables.out_call(call) else {
            return Outcome::Done;
        };
        if out.message.is_head_pending() {
            let outcome = self.message_head(call);
            if outcome != Outcome::Done {
                return outcome;
            }
        }
        let number = self
            .tables
            .out_call(call)
            .and_then(|out| out.id)
            .expect("numbered with its head");
        loop {
            let out = self.tables.out_call_mut(call).expect("found above");
            if !out.message.is_ready() {
                out.message.is_queued = false;
                return Outcome::Done;
            }
            let room = self.frame.room().saturating_sub(Fragment::FIXED_LEN);
            if room < FRAGMENT_LEN_MIN.min(out.message.pending_len() as usize) {
                return Outcome::Full;
            }
            let range = out.message.take(room).expect("ready");
            let len = range.len();
            let kind = RecordType::MessageFragment;
            let bytes = Fragment::emit(&mut self.frame, kind, number, range.start, len)
                .expect("room was checked");
            self.store.read_message(call, range.start, bytes);
            self.carry(Carried::Message {
                call,
                head: false,
                range,
            });
        }
    }

    fn message_head(&mut self, call: OutboundCall) -> Outcome {
        let room = self.frame.room();
        let room_max = self.room_max;
        let out = self.tables.out_call(call).expect("found by the caller");
        let (handle, outgoing, number) = (out.conn, out.outgoing, out.id);
        let pulses_before = out.pulses;
        let first = out.message.first();
        let want = if first.start == 0 { first.len() } else { 0 };
        let conn = self
            .tables
            .out_conn_mut(handle)
            .expect("a call keeps its connection");
        let connect = conn.unconfirmed();
        let pulses = match conn.pulses_unacked {
            0 => 0,
            _ => pulses_before,
        };
        let fixed = MessageHead::fixed_len(connect.is_some(), pulses > 0);
        let fits_one = outgoing.len <= SMALL_LEN && fixed + want <= room_max;
        let least = if fits_one {
            want
        } else {
            want.min(FRAGMENT_LEN_MIN)
        };
        if room < fixed + least {
            return Outcome::Full;
        }
        if conn.id.is_none() {
            conn.id = self.session.number_conn(handle);
        }
        let Some(conn) = conn.id else {
            return Outcome::Blocked;
        };
        let Some(number) = number.or_else(|| self.session.number_call(call)) else {
            return Outcome::Blocked;
        };
        let out = self.tables.out_call_mut(call).expect("found by the caller");
        out.id = Some(number);
        out.message.on_head_sent();
        let range = if want > 0 {
            out.message.take(room - fixed).unwrap_or(0..0)
        } else {
            0..0
        };
        let head = MessageHead {
            call: number,
            conn,
            len: outgoing.len,
            reply_len: outgoing.reply_len,
            tid: outgoing.tid,
            priority: outgoing.priority,
            reports: outgoing.reports,
            pulses,
        };
        let bytes = head
            .emit(&mut self.frame, connect.as_ref(), range.len())
            .expect("room was checked");
        self.store.read_message(call, 0, bytes);
        if let Some(connect) = connect {
            self.carry(Carried::Connect {
                conn: handle,
                revision: connect.revision,
            });
        }
        self.carry(Carried::Message {
            call,
            head: true,
            range,
        });
        Outcome::Done
    }

    fn reply(&mut self, call: InboundCall) -> Outcome {
        let room_max = self.room_max;
        let Some(inbound) = self.tables.in_call_mut(call) else {
            return Outcome::Done;
        };
        let number = inbound.id;
        let answer = inbound.answer.as_mut().expect("queued when it was given");
        if answer.bytes.is_head_pending() {
            let frame = &mut self.frame;
            let carried = write_answer_head(frame, self.store, call, number, answer, room_max);
            let Some(carried) = carried else {
                return Outcome::Full;
            };
            self.session.paths[self.path].sent.carry(carried);
            self.carried += 1;
        }
        loop {
            if !answer.bytes.is_ready() {
                answer.bytes.is_queued = false;
                return Outcome::Done;
            }
            let room = self.frame.room().saturating_sub(Fragment::FIXED_LEN);
            if room < FRAGMENT_LEN_MIN.min(answer.bytes.pending_len() as usize) {
                return Outcome::Full;
            }
            let range = answer.bytes.take(room).expect("ready");
            let kind = RecordType::ReplyFragment;
            let bytes = Fragment::emit(&mut self.frame, kind, number, range.start, range.len())
                .expect("room was checked");
            self.store.read_reply(call, range.start, bytes);
            self.session.paths[self.path].sent.carry(Carried::Reply {
                call,
                head: false,
                range,
            });
            self.carried += 1;
        }
    }
}

/// Writes the head of a reply, or an error; `None` if the frame has no room for it.
fn write_answer_head(
    frame: &mut FrameBuilder<'_>,
    store: &impl Store,
    call: InboundCall,
    number: u64,
    answer: &mut Answer,
    room_max: usize,
) -> Option<Carried> {
    let status = match answer.outcome {
        Ok(status) => status,
        Err(errno) => {
            ErrorRecord {
                call: number,
                errno,
            }
            .emit(frame)?;
            answer.bytes.on_head_sent();
            return Some(Carried::Reply {
                call,
                head: true,
                range: 0..0,
            });
        }
    };
    let want = answer.bytes.first().len();
    let room = frame.room();
    let fits_one = answer.bytes.sent_len() <= SMALL_LEN && ReplyHead::FIXED_LEN + want <= room_max;
    let least = if fits_one {
        want
    } else {
        want.min(FRAGMENT_LEN_MIN)
    };
    if room < ReplyHead::FIXED_LEN + least {
        return None;
    }
    let range = answer
        .bytes
        .take(room - ReplyHead::FIXED_LEN)
        .unwrap_or(0..0);
    let head = ReplyHead {
        call: number,
        status,
        len: answer.len,
        sent_len: answer.bytes.sent_len(),
        offset: range.start,
    };
    let bytes = head.emit(frame, range.len())?;
    store.read_reply(call, range.start, bytes);
    answer.bytes.on_head_sent();
    Some(Carried::Reply {
        call,
        head: true,
        range,
    })
}
