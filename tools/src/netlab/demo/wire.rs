//! Which frames on the wire belong to which message.

use crate::netlab::capture::Frame;

use super::event::Event;

/// EtherType of qnet's frames.
const QNET: [u8; 2] = [0x88, 0xb5];

/// Frames that crossed the wire for something.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Frames {
    /// From the client's node.
    pub(super) there: usize,
    /// To the client's node.
    pub(super) back: usize,
    /// Bytes of all of them, with their headers.
    pub(super) bytes: usize,
}

impl Frames {
    /// Frames in both directions.
    pub(super) fn count(&self) -> usize {
        self.there + self.back
    }

    fn add(&mut self, frame: &Frame, from: &str) {
        if frame.node == from {
            self.there += 1;
        } else {
            self.back += 1;
        }
        self.bytes += frame.bytes.len();
    }
}

/// For each event the frames that crossed while it was under way and while no later-begun event was
/// (a network transaction of step 2 is not counted for step 2); and those that crossed in between.
pub(super) fn by_event(events: &[&Event], frames: &[Frame], client: &str) -> (Vec<Frames>, Frames) {
    let mut counts = vec![Frames::default(); events.len()];
    let mut between = Frames::default();
    let (Some(begin), Some(end)) = (
        events.iter().map(|event| event.start_ns()).min(),
        events.iter().map(|event| event.t_ns).max(),
    ) else {
        return (counts, between);
    };
    let within = frames
        .iter()
        .filter(|frame| (begin..=end).contains(&frame.t_ns));
    for frame in within.filter(|frame| frame.bytes.get(12..14) == Some(&QNET)) {
        let covers = |event: &Event| (event.start_ns()..=event.t_ns).contains(&frame.t_ns);
        let under_way = (0..events.len()).filter(|&index| covers(events[index]));
        let latest = under_way.max_by_key(|&index| events[index].start_ns());
        match latest.map(|index| cause(events, index)) {
            Some(index) => counts[index].add(frame, client),
            None => between.add(frame, client),
        }
    }
    (counts, between)
}

/// A message that stays on its node causes no frame: what crosses meanwhile is qnet's transaction.
fn cause(events: &[&Event], index: usize) -> usize {
    let is_cause = |other: &&Event| other.step == "2a" && other.overlaps(events[index]);
    match events[index].nd {
        0 => events.iter().position(is_cause).unwrap_or(index),
        _ => index,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::event::tests::event;
    use super::*;

    fn frame(t_ns: u64, node: &str, kind: [u8; 2]) -> Frame {
        let mut bytes = vec![0; 60];
        bytes[12..14].copy_from_slice(&kind);
        Frame {
            t_ns,
            since_1970: Duration::from_nanos(t_ns),
            node: node.into(),
            bytes,
        }
    }

    #[test]
    fn frames_count_for_the_innermost_event_that_was_under_way() {
        let (two, resolve, write) = (
            Event {
                nd: 0,
                ..event("2", 1_000, 9_000, "_IO_CONNECT")
            },
            event("2a", 3_000, 6_000, "who is wintermute"),
            event("4", 20_000, 30_000, "_IO_WRITE 24 bytes"),
        );
        let frames = [
            frame(500, "magenta", QNET),
            frame(2_000, "magenta", QNET),
            frame(4_000, "magenta", QNET),
            frame(5_000, "wintermute", QNET),
            frame(5_000, "wintermute", [8, 0]),
            frame(12_000, "wintermute", QNET),
            frame(21_000, "magenta", QNET),
            frame(29_000, "wintermute", QNET),
            frame(31_000, "wintermute", QNET),
        ];
        let (counts, between) = by_event(&[&two, &resolve, &write], &frames, "magenta");
        let three = Frames {
            there: 2,
            back: 1,
            bytes: 180,
        };
        let pair = Frames {
            there: 1,
            back: 1,
            bytes: 120,
        };
        assert_eq!(counts, [Frames::default(), three, pair]);
        assert_eq!(between.count(), 1);
    }
}
