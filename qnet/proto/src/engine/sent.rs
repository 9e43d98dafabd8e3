//! The log of packets sent and not resolved: what each carried, until it is acknowledged or lost.

use std::collections::VecDeque;
use std::ops::Range;

use super::LinkPolicy;
use super::queue::Control;
use crate::{InboundCall, OutboundCall, OutboundConn, Time};

/// Packets sent later that must be acknowledged before one counts as lost.
pub(super) const LOSS_THRESHOLD: u64 = 3;

/// What one record of a packet carried, by meaning.
#[derive(Clone, Debug)]
pub(super) enum Carried {
    /// Bytes of a message, with its head or without.
    Message {
        call: OutboundCall,
        head: bool,
        range: Range<u32>,
    },
    /// Whole messages with neighbouring numbers, for the first time.
    Messages { first: u64, count: u32 },
    /// Replies without bytes to calls with neighbouring numbers.
    Replies { first: u64, count: u32 },
    /// Bytes of a reply, with its head or without.
    Reply {
        call: InboundCall,
        head: bool,
        range: Range<u32>,
    },
    /// A connect in this revision.
    Connect { conn: OutboundConn, revision: u16 },
    /// A control record, and the links that it may take.
    Control(Control, LinkPolicy),
    /// A question whether anybody hears.
    Ping,
}

struct Packet {
    sent_at: Time,
    /// Bytes that count as in flight; 0 for a packet that wants no acknowledgement, or is resolved.
    len: u32,
    /// Its entries of `Sent::carried`, counted from the first ever noted.
    carried: Range<u64>,
    /// The acknowledgement that this packet carried.
    ack: Acked,
}

/// The acknowledgement in a packet's header.
#[derive(Clone, Copy)]
pub(super) struct Acked {
    /// Of packets that came through this path of the peer.
    pub(super) space: u8,
    /// Its end; 0: none.
    pub(super) end: u64,
}

pub(super) struct Sent {
    /// Packets `base..next`, in order.
    packets: VecDeque<Packet>,
    base: u64,
    /// Records of all packets, in order; those of a resolved packet are taken out (`None`).
    carried: VecDeque<Option<Carried>>,
    /// How many entries left `carried` at the old end.
    carried_base: u64,
    in_flight: u64,
    largest_acked: Option<u64>,
    /// When the last packet that wants an acknowledgement was sent.
    last_at: Time,
}

/// A packet that left the log.
pub(super) struct Resolved {
    pub(super) packet: u64,
    pub(super) sent_at: Time,
    pub(super) len: u32,
    /// The acknowledgement it carried.
    pub(super) ack: Acked,
}

impl Sent {
    /// An empty log whose first packet will have number `base`.
    pub(super) fn new(base: u64) -> Sent {
        Sent {
            packets: VecDeque::new(),
            base,
            carried: VecDeque::new(),
            carried_base: 0,
            in_flight: 0,
            largest_acked: None,
            last_at: Time(0),
        }
    }

    /// The number of the next packet.
    pub(super) fn next(&self) -> u64 {
        self.base + self.packets.len() as u64
    }

    /// Bytes of packets that are not resolved.
    pub(super) fn in_flight(&self) -> u64 {
        self.in_flight
    }

    /// When the last packet that wants an acknowledgement was sent.
    pub(super) fn last_at(&self) -> Time {
        self.last_at
    }

    /// Starts the wait for an acknowledgement anew.
    pub(super) fn rearm(&mut self, now: Time) {
        self.last_at = now;
    }

    /// Notes a record of the packet that is being written. Inlined, it is put together where it stays: read back in
    /// one piece, it would wait until the payload that was just copied has reached the cache.
    #[inline(always)]
    pub(super) fn carry(&mut self, carried: Carried) {
        self.carried.push_back(Some(carried));
    }

    /// Completes a packet that carried the last `carried_count` noted records.
    pub(super) fn push(&mut self, now: Time, len: usize, carried_count: u32, ack: Acked) -> u64 {
        let packet = self.next();
        let wants_ack = carried_count > 0;
        let len = if wants_ack { len as u32 } else { 0 };
        if wants_ack {
            self.last_at = now;
        }
        self.in_flight += u64::from(len);
        let end = self.carried_base + self.carried.len() as u64;
        let carried = end - u64::from(carried_count)..end;
        self.packets.push_back(Packet {
            sent_at: now,
            len,
            carried,
            ack,
        });
        self.trim();
        packet
    }

    /// Whether the peer may speak of this packet.
    pub(super) fn was_sent(&self, packet: u64) -> bool {
        packet < self.next()
    }

    /// Takes acknowledged packets `range` out; each goes to `resolved`, its records to `carried`, neighbouring bytes of a
    /// message as one. Answers whether a later packet than ever before is known to have arrived.
    pub(super) fn acknowledge(
        &mut self,
        range: Range<u64>,
        resolved: &mut Vec<Resolved>,
        carried: &mut Vec<Carried>,
    ) -> bool {
        let end = range.end.min(self.next());
        let is_news = range.start < end && self.largest_acked < Some(end - 1);
        if is_news {
            self.largest_acked = Some(end - 1);
        }
        for packet in range.start.max(self.base)..end {
            if let Some(one) = self.resolve(packet, carried, join) {
                resolved.push(one);
            }
        }
        self.trim();
        is_news
    }

    /// Takes out the packets that later acknowledged ones show to be lost.
    pub(super) fn detect_losses(
        &mut self,
        resolved: &mut Vec<Resolved>,
        carried: &mut Vec<Carried>,
    ) {
        let Some(largest) = self.largest_acked else {
            return;
        };
        for packet in self.base..(largest + 1).saturating_sub(LOSS_THRESHOLD) {
            if let Some(one) = self.resolve(packet, carried, append) {
                resolved.push(one);
            }
        }
        self.trim();
    }

    /// Gives up the oldest unresolved packet; `None` if there is none.
    pub(super) fn give_up_oldest(&mut self, carried: &mut Vec<Carried>) -> Option<Resolved> {
        let oldest = self.packets.iter().position(|packet| packet.len > 0);
        let resolved = oldest.and_then(|at| self.resolve(self.base + at as u64, carried, append));
        self.trim();
        resolved
    }

    /// Gives up one packet; `None` if it is resolved already.
    pub(super) fn give_up(&mut self, packet: u64, carried: &mut Vec<Carried>) -> Option<Resolved> {
        let resolved = self.resolve(packet, carried, append);
        self.trim();
        resolved
    }

    /// The unresolved packets that carry anything such, oldest first.
    pub(super) fn that_carry(&self, is_such: impl Fn(&Carried) -> bool) -> Vec<u64> {
        let carries = |packet: &Packet| {
            let from = (packet.carried.start - self.carried_base) as usize;
            let to = (packet.carried.end - self.carried_base) as usize;
            packet.len > 0 && self.carried.range(from..to).flatten().any(&is_such)
        };
        let packets = (self.base..).zip(&self.packets);
        let such = packets.filter(|(_, packet)| carries(packet));
        such.map(|(number, _)| number).collect()
    }

    /// Number and length of the oldest unresolved packet.
    pub(super) fn oldest(&self) -> Option<(u64, u32)> {
        let at = self.packets.iter().position(|packet| packet.len > 0)?;
        Some((self.base + at as u64, self.packets[at].len))
    }

    /// Takes a packet out; what it carried comes by `note` into `carried`.
    #[inline(always)]
    fn resolve(
        &mut self,
        packet: u64,
        carried: &mut Vec<Carried>,
        note: impl Fn(&mut Vec<Carried>, &mut Option<Carried>),
    ) -> Option<Resolved> {
        let at = usize::try_from(packet.checked_sub(self.base)?).ok()?;
        let entry = self.packets.get(at)?;
        if entry.len == 0 {
            return None;
        }
        let resolved = Resolved {
            packet,
            sent_at: entry.sent_at,
            len: entry.len,
            ack: entry.ack,
        };
        let (from, to) = (
            entry.carried.start - self.carried_base,
            entry.carried.end - self.carried_base,
        );
        let entries = self.carried.range_mut(from as usize..to as usize);
        entries.for_each(|entry| note(carried, entry));
        self.in_flight -= u64::from(resolved.len);
        self.packets[at].len = 0;
        Some(resolved)
    }

    /// Forgets resolved packets at the old end.
    fn trim(&mut self) {
        while self.packets.front().is_some_and(|packet| packet.len == 0) {
            let packet = self.packets.pop_front().expect("there is a front");
            let gone = packet.carried.end - self.carried_base;
            for _ in 0..gone {
                self.carried.pop_front();
            }
            self.carried_base += gone;
            self.base += 1;
        }
    }
}

/// Takes a record out and adds it to others.
fn append(carried: &mut Vec<Carried>, record: &mut Option<Carried>) {
    carried.extend(record.take());
}

/// The same, but bytes that follow those of the record before, in one message, are added to these: what arrived is noted
/// once for all of them.
#[inline(always)]
fn join(carried: &mut Vec<Carried>, record: &mut Option<Carried>) {
    if let Some(Carried::Message {
        call,
        head: false,
        range,
    }) = record
        && let Some(Carried::Message {
            call: same,
            range: before,
            ..
        }) = carried.last_mut()
        && same == call
        && before.end == range.start
    {
        before.end = range.end;
        *record = None;
        return;
    }
    append(carried, record);
}

#[cfg(test)]
mod tests {
    use super::*;

    const NO_ACK: Acked = Acked { space: 0, end: 0 };

    /// A log of packets that carried these bytes of these calls, the first with the head of its message.
    fn sent(parts: &[(u32, Range<u32>)]) -> Sent {
        let mut sent = Sent::new(0);
        for (at, (call, range)) in parts.iter().enumerate() {
            sent.carry(Carried::Message {
                call: OutboundCall::new(*call, 1),
                head: at == 0,
                range: range.clone(),
            });
            sent.push(Time(0), 100, 1, NO_ACK);
        }
        sent
    }

    fn parts(carried: &[Carried]) -> Vec<(u32, bool, Range<u32>)> {
        let part = |carried: &Carried| match carried {
            Carried::Message { call, head, range } => (call.index, *head, range.clone()),
            other => panic!("{other:?}"),
        };
        carried.iter().map(part).collect()
    }

    #[test]
    fn neighbouring_bytes_of_a_message_that_arrived_are_noted_as_one() {
        let mut sent = sent(&[
            (7, 0..100),
            (7, 100..300),
            (7, 400..500),
            (8, 500..600),
            (8, 600..650),
        ]);
        let (mut resolved, mut carried) = (Vec::new(), Vec::new());
        assert!(sent.acknowledge(0..5, &mut resolved, &mut carried));
        let expected = [
            (7, true, 0..300),
            (7, false, 400..500),
            (8, false, 500..650),
        ];
        assert_eq!(parts(&carried), expected);
        let packets: Vec<u64> = resolved.iter().map(|one| one.packet).collect();
        assert_eq!((packets, sent.in_flight()), (vec![0, 1, 2, 3, 4], 0));
    }

    #[test]
    fn what_was_lost_is_told_packet_by_packet() {
        let mut sent = sent(&[(7, 0..100), (7, 100..300), (7, 300..400)]);
        let mut carried = Vec::new();
        while sent.give_up_oldest(&mut carried).is_some() {}
        let expected = [
            (7, true, 0..100),
            (7, false, 100..300),
            (7, false, 300..400),
        ];
        assert_eq!(parts(&carried), expected);
    }
}
