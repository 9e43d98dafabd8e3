//! When the network-handler thread lets work gather before it looks at it, and how much of it a round does.
//!
//! A thread that works off each frame and each message as it comes falls asleep between two of them, has every
//! one wake it, and finds a batch of one. Where so much comes that the next is sure to follow, and so much is
//! under way that nobody waits for the single one, it rests for a moment instead: it is not woken, who rings
//! makes no system call, and what it finds then goes out in few frames.
//!
//! What a round does of a long message, a short call waits for that came meanwhile: for the frames before its own at the
//! socket, and for those that are being filled. Where short calls pass, rounds are short therefore. They cost a system
//! call each, which a long message by itself is spared.
//!
//! Knows neither link nor engine: what came, how much is under way, and the time, are told.

use std::time::Duration;

use qnet_proto::Time;

use crate::limits::{
    MIXED_LEN, RECEIVE_LEN, REST, REST_COMING_LEN, REST_CROWD, REST_DENSE_EVENTS, REST_DENSE_LEN,
    REST_DENSE_NS, SHORT_CALL_LATELY_NS, TRANSMIT_LEN,
};

/// What one round found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Burst {
    /// Frames, messages and answers.
    pub(super) events: u64,
    /// Bytes of the frames.
    pub(super) len: u64,
}

/// How densely work came lately.
#[derive(Debug, Default)]
pub(super) struct Pace {
    /// When the present count began.
    since: Time,
    count: Burst,
    /// Of the count before.
    many_events: bool,
    many_bytes: bool,
    /// Until when the next short call is expected.
    short_until: Time,
}

impl Pace {
    /// A round found this.
    pub(super) fn note(&mut self, now: Time, burst: Burst) {
        self.count.events += burst.events;
        self.count.len += burst.len;
        let span_ns = now.since(self.since);
        if span_ns < REST_DENSE_NS {
            return;
        }
        // A count that took longer than meant must have found as much more.
        let spans = |least: u64| least.saturating_mul(span_ns) / REST_DENSE_NS;
        self.many_events = self.count.events >= spans(REST_DENSE_EVENTS);
        self.many_bytes = self.count.len >= spans(REST_DENSE_LEN);
        self.since = now;
        self.count = Burst::default();
    }

    /// A short call passed.
    pub(super) fn note_short_call(&mut self, now: Time) {
        self.short_until = now.after(SHORT_CALL_LATELY_NS);
    }

    /// Bytes of frames after which a round takes no more.
    pub(super) fn receive_len(&self, now: Time) -> usize {
        self.round_len(now, RECEIVE_LEN)
    }

    /// Bytes of frames after which a round fills no more.
    pub(super) fn transmit_len(&self, now: Time) -> usize {
        self.round_len(now, TRANSMIT_LEN)
    }

    fn round_len(&self, now: Time, alone_len: usize) -> usize {
        match now < self.short_until {
            true => MIXED_LEN,
            false => alone_len,
        }
    }

    /// How long the thread may look away, with `crowd` calls unanswered and `coming_len` bytes of a message
    /// still to come. A message that is alone, or the end of a long one, is never delayed.
    pub(super) fn rest(&self, crowd: usize, coming_len: u32) -> Option<Duration> {
        let in_crowd = self.many_events && crowd >= REST_CROWD;
        let in_stream = self.many_bytes && coming_len >= REST_COMING_LEN;
        (in_crowd || in_stream).then_some(REST)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paced(events_a_count: u64, bytes_a_count: u64) -> Pace {
        let mut pace = Pace::default();
        for count in 1..=3 {
            let burst = Burst {
                events: events_a_count,
                len: bytes_a_count,
            };
            pace.note(Time(count * REST_DENSE_NS), burst);
        }
        pace
    }

    #[test]
    fn only_a_crowd_that_keeps_the_thread_busy_has_to_wait() {
        let busy = paced(REST_DENSE_EVENTS, 0);
        assert_eq!(busy.rest(REST_CROWD, 0), Some(REST));
        assert_eq!(busy.rest(REST_CROWD - 1, 0), None);
        let quiet = paced(REST_DENSE_EVENTS - 1, 0);
        assert_eq!(quiet.rest(REST_CROWD, 0), None);
    }

    #[test]
    fn the_end_of_a_long_message_is_not_delayed() {
        let stream = paced(0, REST_DENSE_LEN);
        assert_eq!(stream.rest(0, REST_COMING_LEN), Some(REST));
        assert_eq!(stream.rest(0, REST_COMING_LEN - 1), None);
        let trickle = paced(0, REST_DENSE_LEN - 1);
        assert_eq!(trickle.rest(0, REST_COMING_LEN), None);
    }

    #[test]
    fn rounds_are_short_for_a_while_after_a_short_call() {
        let mut pace = Pace::default();
        let begin = Time(5);
        assert_eq!(pace.receive_len(begin), RECEIVE_LEN);
        assert_eq!(pace.transmit_len(begin), TRANSMIT_LEN);
        pace.note_short_call(begin);
        for after_ns in [0, SHORT_CALL_LATELY_NS - 1] {
            let now = begin.after(after_ns);
            assert_eq!(pace.receive_len(now), MIXED_LEN);
            assert_eq!(pace.transmit_len(now), MIXED_LEN);
        }
        let later = begin.after(SHORT_CALL_LATELY_NS);
        assert_eq!(pace.receive_len(later), RECEIVE_LEN);
        assert_eq!(pace.transmit_len(later), TRANSMIT_LEN);
    }

    #[test]
    fn a_burst_after_silence_is_not_dense() {
        let mut pace = paced(0, 0);
        let burst = Burst {
            events: 10 * REST_DENSE_EVENTS,
            len: 0,
        };
        pace.note(Time(1_000 * REST_DENSE_NS), burst);
        assert_eq!(pace.rest(REST_CROWD, 0), None);
    }
}
