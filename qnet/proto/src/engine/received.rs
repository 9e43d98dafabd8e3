//! Packet numbers received: refuses repetitions, and knows what to acknowledge and when.

use zerocopy::byteorder::network_endian::U32;

use crate::Time;
use crate::limits::{ACK_RANGES_MAX, ACK_RANGES_PER_RECORD};
use crate::wire::AckRange;

/// Packets that may come in before an acknowledgement goes out without waiting for the timer.
pub(super) const ACK_EVERY: u32 = 32;
/// Fewer of them, if they are long: a window that holds few frames must not wait for the timer.
pub(super) const ACK_EVERY_LONG: u32 = 4;
/// Bytes of frames that are long.
pub(super) const ACK_EVERY_LEN: u64 = 64 << 10;

/// What the header says of received packets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct AckFields {
    pub(super) ack: u64,
    pub(super) run: u16,
    pub(super) delay: u16,
}

pub(super) struct Received {
    /// Disjoint runs `start..end`, highest first.
    runs: Vec<(u64, u64)>,
    /// Below this nothing is remembered; what comes from there is refused.
    floor: u64,
    largest_at: Time,
    /// Packets that want an acknowledgement and have none yet.
    unacked: u32,
    /// Bytes of their frames.
    unacked_len: u64,
    due: Option<Time>,
}

impl Received {
    pub(super) fn new() -> Received {
        Received {
            runs: Vec::with_capacity(4),
            floor: 0,
            largest_at: Time(0),
            unacked: 0,
            unacked_len: 0,
            due: None,
        }
    }

    /// Whether `packet` was received before, or is too old to tell.
    pub(super) fn is_repeated(&self, packet: u64) -> bool {
        packet < self.floor
            || self
                .runs
                .iter()
                .any(|&(start, end)| (start..end).contains(&packet))
    }

    /// Remembers a packet that was taken, of a frame of `len` bytes if it carries anything that must arrive.
    pub(super) fn insert(&mut self, now: Time, packet: u64, len: Option<usize>, ack_delay_ns: u64) {
        let is_next = self.runs.first().is_none_or(|&(_, end)| packet == end);
        if self.runs.first().is_none_or(|&(_, end)| packet >= end) {
            self.largest_at = now;
        }
        self.add(packet);
        let Some(len) = len else {
            return;
        };
        self.unacked += 1;
        self.unacked_len += len as u64;
        let are_long = self.unacked >= ACK_EVERY_LONG && self.unacked_len >= ACK_EVERY_LEN;
        let at_once = !is_next || are_long || self.unacked >= ACK_EVERY;
        let due = if at_once {
            now
        } else {
            now.after(ack_delay_ns)
        };
        self.due = Some(self.due.map_or(due, |earlier| earlier.min(due)));
    }

    fn add(&mut self, packet: u64) {
        let at = self.runs.partition_point(|&(start, _)| start > packet);
        let joins_above = at > 0 && self.runs[at - 1].0 == packet + 1;
        let joins_below = at < self.runs.len() && self.runs[at].1 == packet;
        match (joins_above, joins_below) {
            (true, true) => {
                self.runs[at - 1].0 = self.runs[at].0;
                self.runs.remove(at);
            }
            (true, false) => self.runs[at - 1].0 = packet,
            (false, true) => self.runs[at].1 = packet + 1,
            (false, false) => self.runs.insert(at, (packet, packet + 1)),
        }
        if self.runs.len() > ACK_RANGES_MAX {
            let (_, end) = self.runs.pop().expect("longer than the limit");
            self.floor = self.floor.max(end);
        }
    }

    /// Asks for an acknowledgement now: the peer repeats itself, so one was lost.
    pub(super) fn hurry(&mut self, now: Time) {
        self.due = Some(now);
    }

    /// When an acknowledgement must go out even if nothing else does.
    pub(super) fn due(&self) -> Option<Time> {
        self.due
    }

    /// The header fields; a frame that carries them pays what is due.
    pub(super) fn fields(&self, now: Time) -> AckFields {
        let Some(&(start, end)) = self.runs.first() else {
            return AckFields::default();
        };
        AckFields {
            ack: end,
            run: u16::try_from(end - start).unwrap_or(u16::MAX),
            delay: u16::try_from(now.since(self.largest_at) / 16_000).unwrap_or(u16::MAX),
        }
    }

    /// Whether there is anything that the run in the header does not say.
    pub(super) fn has_gaps(&self) -> bool {
        self.runs.len() > 1
    }

    /// The steps below the run in the header; how many were written into `steps`.
    pub(super) fn steps(&self, steps: &mut [AckRange; ACK_RANGES_PER_RECORD]) -> usize {
        let mut count = 0;
        for pair in self.runs.windows(2).take(ACK_RANGES_PER_RECORD) {
            let (gap, run) = (pair[0].0 - pair[1].1, pair[1].1 - pair[1].0);
            let (Ok(gap), Ok(run)) = (u32::try_from(gap), u32::try_from(run)) else {
                break;
            };
            // A run too long for the header's field cannot be followed by steps.
            if count == 0 && pair[0].1 - pair[0].0 > u64::from(u16::MAX) {
                break;
            }
            steps[count] = AckRange {
                gap: U32::new(gap),
                run: U32::new(run),
            };
            count += 1;
        }
        count
    }

    /// An acknowledgement of everything up to here went out.
    pub(super) fn on_ack_sent(&mut self) {
        self.unacked = 0;
        self.unacked_len = 0;
        self.due = None;
    }

    /// The peer is known to have the acknowledgement that named `ack` as the end: runs wholly below
    /// need not be repeated.
    pub(super) fn forget_below(&mut self, ack: u64) {
        while self.runs.len() > 1 && self.runs.last().is_some_and(|&(_, end)| end < ack) {
            let (_, end) = self.runs.pop().expect("there is a last one");
            self.floor = self.floor.max(end);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn steps(received: &Received) -> Vec<(u32, u32)> {
        let mut steps = [AckRange {
            gap: U32::new(0),
            run: U32::new(0),
        }; ACK_RANGES_PER_RECORD];
        let count = received.steps(&mut steps);
        steps[..count]
            .iter()
            .map(|step| (step.gap.get(), step.run.get()))
            .collect()
    }

    #[test]
    fn gaps_are_told_from_the_highest_packet_down() {
        let mut received = Received::new();
        for packet in [0, 1, 2, 5, 6, 9] {
            assert!(!received.is_repeated(packet));
            received.insert(Time(0), packet, Some(100), 1000);
            assert!(received.is_repeated(packet));
        }
        assert_eq!(
            received.fields(Time(0)),
            AckFields {
                ack: 10,
                run: 1,
                delay: 0
            }
        );
        assert_eq!(steps(&received), [(2, 2), (2, 3)]);
        received.insert(Time(0), 4, Some(100), 1000);
        received.insert(Time(0), 3, Some(100), 1000);
        assert_eq!(steps(&received), [(2, 7)]);
    }

    #[test]
    fn an_acknowledgement_in_order_waits_and_one_out_of_order_does_not() {
        let mut received = Received::new();
        received.insert(Time(5), 0, None, 1000);
        assert_eq!(received.due(), None);
        received.insert(Time(5), 1, Some(100), 1000);
        assert_eq!(received.due(), Some(Time(1005)));
        received.insert(Time(6), 3, Some(100), 1000);
        assert_eq!(received.due(), Some(Time(6)));
        received.on_ack_sent();
        assert_eq!(received.due(), None);
    }

    #[test]
    fn four_long_packets_are_acknowledged_at_once_and_four_short_ones_are_not() {
        let due_after = |count: u64, len: usize| {
            let mut received = Received::new();
            (0..count).for_each(|packet| received.insert(Time(5), packet, Some(len), 1000));
            received.due()
        };
        assert_eq!(due_after(3, 65_549), Some(Time(1005)));
        assert_eq!(due_after(4, 65_549), Some(Time(5)));
        assert_eq!(due_after(7, 9014), Some(Time(1005)));
        assert_eq!(due_after(8, 9014), Some(Time(5)));
        assert_eq!(due_after(31, 1514), Some(Time(1005)));
        assert_eq!(due_after(32, 1514), Some(Time(5)));
    }

    #[test]
    fn memory_stays_bounded_whatever_comes() {
        let mut received = Received::new();
        for packet in 0..10_000 {
            received.insert(Time(0), packet * 2, Some(100), 1);
        }
        assert!(received.runs.len() <= ACK_RANGES_MAX);
        assert!(
            received.is_repeated(0),
            "what was forgotten counts as repeated"
        );
    }
}
