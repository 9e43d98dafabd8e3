//! Runs: neighbours in a queue that share one record.

use std::collections::VecDeque;

use super::Filler;
use crate::engine::Store;
use crate::engine::conns::OutConn;
use crate::engine::sent::Carried;
use crate::limits::REPLIES_MAX;
use crate::wire::{MessageHead, RepliesRecord};
use crate::{InboundCall, OutboundCall};

impl<S: Store> Filler<'_, '_, S> {
    /// Writes one record for as many of the first messages as are new, alike but for their bytes, and fit. Answers how
    /// many that are; none if they are fewer than two.
    pub(super) fn message_run(&mut self, messages: &VecDeque<OutboundCall>) -> usize {
        let Some(first) = messages
            .front()
            .and_then(|call| self.tables.out_call(*call))
        else {
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
        let is_alike = |call: &&OutboundCall| {
            let out = self.tables.out_call(**call);
            out.is_some_and(|out| {
                out.conn == handle && out.outgoing == outgoing && out.message.is_untouched()
            })
        };
        let fit = room
            .checked_div(len)
            .unwrap_or(0)
            .min(self.session.numbers_left());
        let count = messages.iter().take(fit).take_while(is_alike).count();
        if count < 2 {
            return 0;
        }
        let head = MessageHead {
            call: self.session.next_call,
            conn: number,
            len: outgoing.len,
            reply_len: outgoing.reply_len,
            tid: outgoing.tid,
            priority: outgoing.priority,
            reports: false,
            pulses: 0,
        };
        let bytes = head
            .emit_run(&mut self.frame, count)
            .expect("room was checked");
        for (&call, into) in messages.iter().zip(bytes.chunks_exact_mut(len)) {
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

    /// Writes one record for as many of the first replies as are bare and answer calls with neighbouring
    /// numbers. Answers how many that are.
    pub(super) fn bare_replies(&mut self, replies: &VecDeque<InboundCall>) -> usize {
        if self.frame.room() < RepliesRecord::LEN {
            return 0;
        }
        let (mut first, mut count) = (0, 0_u32);
        for &call in replies.iter().take(REPLIES_MAX) {
            let Some(inbound) = self.tables.in_call_mut(call) else {
                break;
            };
            let number = inbound.id;
            let Some(answer) = inbound.answer.as_mut().filter(|answer| answer.is_bare()) else {
                break;
            };
            // Upwards or downwards: answers that a server gave together come in either order.
            if count == 0 || number + 1 == first {
                first = number;
            } else if number != first + u64::from(count) {
                break;
            }
            answer.bytes.on_head_sent();
            answer.bytes.is_queued = false;
            count += 1;
        }
        if count > 0 {
            self.carry(Carried::Replies { first, count });
            let record = RepliesRecord { call: first, count };
            record.emit(&mut self.frame).expect("room was checked");
        }
        count as usize
    }
}
