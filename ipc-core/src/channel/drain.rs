//! From the rings of the connections into the table.

use std::sync::atomic::Ordering;

use crate::{
    abi::Pulse,
    channel::{
        attached::InFlight,
        state::{Connected, State},
    },
    shm::Entry,
    srr::Want,
    sys::{
        clock,
        failpoint::{self, Failpoint},
    },
};

impl State {
    /// Makes sure that what such a receiver would get first is what it has to get (RCV-1). Something that was posted
    /// after the rings were looked at may stand in the table beside what was posted before it, to a ring that had had
    /// its turn: then the rings are looked at again. What was posted before that look is in the table afterwards, so
    /// only what is more urgent still leads to one more.
    #[inline]
    pub(super) fn settle(&mut self, want: Want) {
        while self.table.first_stamp_ns(want) > self.looked_ns {
            self.drain();
        }
    }

    /// Moves what clients posted into the table.
    pub(super) fn drain(&mut self) {
        // Before the first ring. A stamp is read after all that its sender posted earlier was handed over.
        self.looked_ns = self.stamp();
        if self.uses_ready_set {
            let mut ready = std::mem::take(&mut self.looked_at);
            let is_mixed = !ready.is_empty();
            self.bells.take_ready(|index| ready.push(*index));
            if is_mixed {
                ready.sort_unstable();
                ready.dedup();
            }
            for &index in &ready {
                self.drain_connection(index);
            }
            // The memory is kept for the next time; what has to be looked at again is not.
            if self.looked_at.is_empty() {
                ready.clear();
                self.looked_at = ready;
            }
        } else {
            for at in 0..self.looked_at.len() {
                self.drain_connection(self.looked_at[at]);
            }
        }
    }

    pub(super) fn drain_connection(&mut self, index: u32) {
        let Some(Some(connected)) = self.connections.get_mut(index as usize) else {
            return;
        };
        let (stamped, looked_ns) = (self.stamped, self.looked_ns);
        let bounded = |stamp_ns| bounded_stamp(stamp_ns, stamped, looked_ns);
        let head = connected.consumer.head();
        while connected.consumer.is_ready(&connected.attached.region) {
            if connected.pulses_queued >= connected.attached.region.layout().slots() {
                if self.uses_ready_set {
                    self.looked_at.push(index);
                }
                break;
            }
            let accepted = match connected.consumer.pop(&connected.attached.region) {
                Ok(Some(Entry::Message(entry, inline))) if connected.occupy(entry.slot) => {
                    let stamp = bounded(entry.stamp_ns);
                    let message = InFlight {
                        index,
                        written: (0, 0),
                        return_settled: false,
                        entry,
                        inline,
                    };
                    let at = self.table.arrive(entry.priority, stamp, message);
                    connected.places[entry.slot as usize] = at;
                    true
                }
                Ok(Some(Entry::Pulse(pulse)))
                    if pulse.code.is_application() && connected.attached.may_pulse =>
                {
                    connected.pulses_queued += 1;
                    let (code, value, priority) = (pulse.code, pulse.value, pulse.priority);
                    let scoid = connected.attached.scoid;
                    let stamp = bounded(pulse.stamp_ns);
                    let pulse = Pulse {
                        code,
                        value,
                        priority,
                        scoid,
                    };
                    if !self.routed.push(&connected.attached, pulse) {
                        self.table.arrive_pulse(stamp, pulse, Some(index));
                    }
                    true
                }
                Ok(None) => break,
                Ok(Some(_)) | Err(_) => false,
            };
            if !accepted {
                self.counts.faults += 1;
                connected.attached.cut();
                break;
            }
        }
        if connected.consumer.head() != head {
            failpoint::pass(Failpoint::Drained);
            let attached = &connected.attached;
            connected.consumer.publish_head(&attached.region);
            attached
                .head_hint
                .store(connected.consumer.head(), Ordering::Relaxed);
        }
    }
}

impl Connected {
    /// Marks a slot busy; false when it is already, which no honest client does.
    #[inline(always)]
    pub(super) fn occupy(&mut self, slot: u32) -> bool {
        !std::mem::replace(&mut self.busy[slot as usize], true)
    }

    /// Whether a slot's message waits or is being answered; not of a slot that does not exist.
    pub(super) fn is_busy(&self, slot: u32) -> bool {
        self.busy.get(slot as usize).is_some_and(|is_busy| *is_busy)
    }

    /// A slot's message is answered: it may be posted again.
    #[inline(always)]
    pub(super) fn vacate(&mut self, slot: u32) {
        self.busy[slot as usize] = false;
    }
}

/// A client's stamp counts for its order of arrival where stamps count, but not from the future, which the time of a
/// look is not.
pub(super) fn bounded_stamp(stamp_ns: u64, stamped: bool, looked_ns: u64) -> u64 {
    if !stamped {
        0
    } else if stamp_ns <= looked_ns {
        stamp_ns
    } else {
        stamp_ns.min(clock::monotonic_ns())
    }
}
