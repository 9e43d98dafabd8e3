//! What a round lends to both directions.

use qnet_proto::{Engine, Time};

use crate::{bridge::BridgeCounters, limits::SHORT_CALL_LEN};

/// What both directions need to act: the moment, the engine, and where to count.
pub(super) struct Turn<'a> {
    pub(super) now: Time,
    pub(super) engine: &'a mut Engine,
    pub(super) counters: &'a mut BridgeCounters,
    /// Messages and answers of short calls that were taken.
    pub(super) short_calls: u64,
}

impl Turn<'_> {
    /// A message was taken, or the answer to one: so many bytes, and so many of its reply.
    pub(super) fn note_call(&mut self, len: usize, reply_len: usize) {
        self.note_calls(1, len, reply_len);
    }

    /// The same of `count` that are alike.
    pub(super) fn note_calls(&mut self, count: usize, len: usize, reply_len: usize) {
        if len.max(reply_len) <= SHORT_CALL_LEN {
            self.short_calls += count as u64;
        }
    }
}
