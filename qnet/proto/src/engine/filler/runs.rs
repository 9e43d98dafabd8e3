//! Runs: neighbours in a queue that share one record.

use std::collections::VecDeque;

use super::{Filler, Outcome};
use crate::engine::conns::OutConn;
use crate::engine::in_runs::InRun;
use crate::engine::queue::{Outgo, Reply};
use crate::engine::sent::Carried;
use crate::engine::{Outgoing, Store};
use crate::limits::REPLIES_MAX;
use crate::wire::{MessageHead, RepliesRecord};
use crate::{InboundCall, OutboundCall, OutboundRun};

impl<S: Store> Filler<'_, '_, S> {
    /// Writes one record for as many of a run's messages as fit.
    pub(super) fn sent_together(&mut self, run: OutboundRun) -> Outcome {
        let Some(its) = self.tables.out_run(run) else {
            return Outcome::Done;
        };
        let (outgoing, from, left) = (its.outgoing, its.sent, its.count - its.sent);
        let conn = self.tables.out_conn(its.conn).and_then(|conn| conn.id);
        let Some(conn) = conn else {
            return Outcome::Blocked;
        };
        let room = self.frame.room();
        let room = room.saturating_sub(MessageHead::fixed_len(false, false));
        let count = left.min((room / outgoing.len as usize) as u32);
        // One by itself if two never fit: nothing else is in the frame.
        let least = if self.carried == 0 { 1 } else { left.min(2) };
        if count < least {
            return Outcome::Full;
        }
        let first = its.first;
        let first = first.or_else(|| self.session.number_run(run, left));
        let Some(first) = first else {
            return Outcome::Blocked;
        };
        let head = MessageHead::of_run(first + u64::from(from), conn, &outgoing);
        let bytes = head.emit_run(&mut self.frame, count as usize);
        let bytes = bytes.expect("room was checked");
        let each = bytes.chunks_exact_mut(outgoing.len as usize);
        for (at, into) in (from..).zip(each) {
            self.store.read_run(run, at, into);
        }
        let its = self.tables.out_run_mut(run).expect("found above");
        (its.first, its.sent) = (Some(first), from + count);
        self.carry(Carried::Messages {
            first: head.call,
            count,
        });
        match count == left {
            true => Outcome::Done,
            false => Outcome::Full,
        }
    }

    /// Writes one record for as many of the first messages as are new, alike but for their bytes, and fit. Answers how
    /// many that are; none if they are fewer than two.
    pub(super) fn message_run(&mut self, messages: &VecDeque<Outgo>) -> usize {
        let alone = |outgo: &Outgo| match outgo {
            Outgo::Call(call) => Some(*call),
            Outgo::Run(_) => None,
        };
        let calls = || messages.iter().map_while(alone);
        let Some(first) = calls().next().and_then(|call| self.tables.out_call(call)) else {
            return 0;
        };
        let (handle, outgoing) = (first.conn, first.outgoing);
        let room = self
            .frame
            .room()
            .saturating_sub(MessageHead::fixed_len(false, false));
        let conn = self.tables.out_conn(handle);
        let is_plain = |conn: &&OutConn| conn.unconfirmed().is_none() && conn.pulses_unacked == 0;
        let conn = conn.filter(|conn| is_plain(conn) && !outgoing.reports);
        let Some(number) = conn.and_then(|conn| conn.id) else {
            return 0;
        };
        let len = outgoing.len as usize;
        let is_alike = |call: &OutboundCall| {
            let out = self.tables.out_call(*call);
            out.is_some_and(|out| {
                let is_new = out.id.is_none() && out.message.is_untouched();
                is_new && out.conn == handle && out.outgoing == outgoing
            })
        };
        let fit = room
            .checked_div(len)
            .unwrap_or(0)
            .min(self.session.numbers_left());
        let count = calls().take(fit).take_while(is_alike).count();
        if count < 2 {
            return 0;
        }
        let head = MessageHead::of_run(self.session.next_call, number, &outgoing);
        let bytes = head
            .emit_run(&mut self.frame, count)
            .expect("room was checked");
        for (call, into) in calls().zip(bytes.chunks_exact_mut(len)) {
            self.store.read_message(call, 0, into);
            let out = self.tables.out_call_mut(call).expect("found above");
            out.id = self.session.number_call(call);
            out.message.on_all_sent();
        }
        self.carry(Carried::Messages {
            first: head.call,
            count: count as u32,
        });
        count
    }

    /// Writes one record for as many of the first replies as are bare and answer calls with neighbouring numbers, and takes
    /// them out of the queue, and with them runs that have nothing to send any more. `false` if there were none of either,
    /// or there is no room.
    pub(super) fn bare_replies(&mut self, replies: &mut VecDeque<Reply>) -> bool {
        if self.frame.room() < RepliesRecord::LEN {
            return false;
        }
        let mut all = Neighbours::default();
        let waiting = replies.len();
        while let Some(&reply) = replies.front() {
            let goes = match reply {
                Reply::Call(call) => self.bare_reply(call, &mut all),
                Reply::Run(run) => {
                    let run = self.tables.in_run_mut(run);
                    run.is_none_or(|run| answers_of(run, &mut all))
                }
            };
            if !goes {
                break;
            }
            replies.pop_front();
        }
        let Neighbours { first, count } = all;
        if count > 0 {
            self.carry(Carried::Replies { first, count });
            let record = RepliesRecord { call: first, count };
            record.emit(&mut self.frame).expect("room was checked");
        }
        count > 0 || replies.len() < waiting
    }

    /// Whether the reply to a call is bare, and goes with the others.
    fn bare_reply(&mut self, call: InboundCall, all: &mut Neighbours) -> bool {
        let Some(inbound) = self.tables.in_call_mut(call) else {
            return false;
        };
        let number = inbound.id;
        let answer = inbound.answer.as_mut().filter(|answer| answer.is_bare());
        let Some(answer) = answer.filter(|_| all.join(number, 1)) else {
            return false;
        };
        answer.bytes.on_head_sent();
        answer.bytes.is_queued = false;
        true
    }
}

impl MessageHead {
    /// The first of messages that differ in their bytes alone.
    fn of_run(call: u64, conn: u64, outgoing: &Outgoing) -> MessageHead {
        MessageHead {
            call,
            conn,
            len: outgoing.len,
            reply_len: outgoing.reply_len,
            tid: outgoing.tid,
            priority: outgoing.priority,
            reports: false,
            pulses: 0,
        }
    }
}

/// Whether all answers of a run that wait go with the others; those that do are sent.
fn answers_of(run: &mut InRun, all: &mut Neighbours) -> bool {
    while let Some((number, count)) = run.next_answers() {
        if !all.join(number, count) {
            return false;
        }
        run.on_sent(number, count);
    }
    run.is_queued = false;
    true
}

/// Numbers without a gap.
#[derive(Default)]
struct Neighbours {
    first: u64,
    count: u32,
}

impl Neighbours {
    /// Takes `count` numbers from `number` on, if they join the others. Upwards or downwards: answers that a server gave
    /// together come in either order.
    fn join(&mut self, number: u64, count: u32) -> bool {
        let sum = self.count + count;
        if sum as usize > REPLIES_MAX {
            return false;
        }
        if self.count == 0 || number + u64::from(count) == self.first {
            self.first = number;
        } else if number != self.first + u64::from(self.count) {
            return false;
        }
        self.count = sum;
        true
    }
}
