//! Messages for a batch: straight out of a ring where that is their order, else out of the table.
//!
//! A batch brings what single receives would have brought one after the other (RCV-1): messages by priority,
//! then by age, up to the first pulse that comes before the next of them. Where one ring alone has something
//! and nothing waits in the table, the messages at its front that have one priority are just that, unless the
//! client says that a more urgent one is behind them.

use std::sync::{Arc, atomic::Ordering};

use crate::{
    channel::{
        drain::bounded_stamp,
        leases::{Items, Run},
        state::State,
    },
    shm::{Copied, EntryFlags, Taken},
    srr::Want,
    sys::failpoint::{self, Failpoint},
};

/// Entries ahead of the one that is read whose lines are asked for.
const READ_AHEAD: u32 = 8;

/// Rings that have something.
enum Ready {
    None,
    One(u32),
    Several,
}

impl State {
    /// Takes messages into `items`, which is empty, `max` at most, in the order of receipt. Answers whether
    /// there were any; otherwise a pulse is next, or nothing.
    pub(super) fn receive_messages(&mut self, items: &mut Items, max: usize) -> bool {
        if self.may_take_runs() {
            match self.ready_rings() {
                Ready::None => return false,
                Ready::One(index) => self.take_all_of_run(index, items, max),
                Ready::Several => {}
            }
        }
        if items.len() == 0 {
            self.drain();
            while items.len() < max && self.message_is_next() {
                let message = self.table.take_message().expect("invariant: it is next");
                let copied = Copied::of(&message.entry, &message.inline);
                items.push(self.attached(&message), message.index, copied);
            }
        }
        for run in &items.runs {
            if run.any.contains(EntryFlags::REPORT_RECEIVE) {
                let received = items.part(&run.range).iter();
                received.for_each(|item| {
                    run.attached
                        .report_receipt(item.flags(), item.slot(), item.generation())
                });
            }
        }
        items.len() > 0
    }

    /// Takes messages straight out of the only ring that has something, if that is their order. Answers whether there
    /// were any.
    pub(super) fn take_only_run(&mut self, items: &mut Items, max: usize) -> bool {
        if self.may_take_runs()
            && let Ready::One(index) = self.ready_rings()
        {
            self.take_all_of_run(index, items, max);
        }
        items.len() > 0
    }

    /// Takes messages straight out of this ring, or puts them into the table after all.
    fn take_all_of_run(&mut self, index: u32, items: &mut Items, max: usize) {
        self.take_run(index, items, max);
        // Who posted to this ring while it was read may have posted to another one before: that is seen here, as it was
        // handed over before what was taken.
        if self.looked_at.len() > 1 && self.has_ready_beside(index) {
            self.put_back(items);
        }
    }

    /// Whether nothing waits but in rings, which are looked at one by one. Others that sleep are woken for what is left: it
    /// has to be in the table.
    fn may_take_runs(&self) -> bool {
        self.sleepers.is_empty() && !self.uses_ready_set && !self.table.has_any(Want::Anything)
    }

    fn message_is_next(&mut self) -> bool {
        self.settle(Want::Anything);
        self.table.message_is_next()
    }

    /// Puts messages that were taken straight out of a ring into the table, as those of another ring may come first.
    pub(super) fn put_back(&mut self, items: &mut Items) {
        for at in 0..items.len() {
            let message = items.in_flight(at);
            let (index, slot) = (message.index as usize, message.entry.slot as usize);
            let stamp = bounded_stamp(message.entry.stamp_ns, self.stamped, self.looked_ns);
            let place = self.table.arrive(message.entry.priority, stamp, message);
            if let Some(connected) = &mut self.connections[index] {
                connected.places[slot] = place;
            }
        }
        items.clear();
    }

    /// Which of the rings that are looked at one by one have something.
    fn ready_rings(&self) -> Ready {
        let looked_at = self.looked_at.iter().copied();
        let mut ready = looked_at.filter(|index| self.is_ready(*index));
        match (ready.next(), ready.next()) {
            (None, _) => Ready::None,
            (Some(index), None) => Ready::One(index),
            _ => Ready::Several,
        }
    }

    /// Whether a ring of those that are looked at one by one has something that may be taken: not while its client's pulses
    /// fill their share.
    pub(super) fn has_ready_ring(&self) -> bool {
        let has_share = |index: u32| {
            let connected = self.connections[index as usize].as_ref();
            connected.is_some_and(|c| c.pulses_queued < c.attached.region.layout().slots())
        };
        let mut looked_at = self.looked_at.iter().copied();
        looked_at.any(|index| self.is_ready(index) && has_share(index))
    }

    fn has_ready_beside(&self, index: u32) -> bool {
        let mut others = self.looked_at.iter().filter(|other| **other != index);
        others.any(|other| self.is_ready(*other))
    }

    fn is_ready(&self, index: u32) -> bool {
        let connected = self.connections[index as usize].as_ref();
        connected.is_some_and(|c| c.consumer.is_ready(&c.attached.region))
    }

    /// Takes messages of one priority straight out of a ring: what else is in it comes later in the order
    /// of receipt. Takes none if that is not so.
    fn take_run(&mut self, index: u32, items: &mut Items, max: usize) {
        let Some(Some(connected)) = self.connections.get_mut(index as usize) else {
            return;
        };
        let attached = Arc::clone(&connected.attached);
        let region = &attached.region;
        let Some(like) = connected.consumer.peek(region) else {
            return;
        };
        if !connected.consumer.is_in_order(region) {
            return;
        }
        let first = items.len();
        // All by value: what is stored in between could be the ring's head or the marks' address, for all the
        // compiler knows, and both would be read again with each message.
        let lines = region.lines();
        let mut consumer = std::mem::take(&mut connected.consumer);
        let busy = &mut connected.busy[..];
        let (mut taken, mut any, mut all) = (0, like.flags(), like.flags());
        for item in items.free_places(max) {
            lines.will_read_entry(consumer.head().wrapping_add(READ_AHEAD));
            match consumer.pop_like(region, lines, &like, item) {
                Ok(Taken::Nothing) => break,
                Ok(kind) if !std::mem::replace(&mut busy[item.slot() as usize], true) => {
                    if kind == Taken::Message {
                        (any, all) = (any | item.flags(), all & item.flags());
                    }
                    taken += 1;
                }
                Ok(_) | Err(_) => {
                    self.counts.faults += 1;
                    attached.cut();
                    break;
                }
            }
        }
        items.len += taken;
        failpoint::pass(Failpoint::Drained);
        consumer.publish_head(region);
        attached.head_hint.store(consumer.head(), Ordering::Relaxed);
        connected.consumer = consumer;
        let range = first..items.len();
        if !range.is_empty() {
            items.runs.push(Run {
                attached,
                index,
                range,
                priority: like.priority(),
                any,
                all,
            });
        }
    }
}
