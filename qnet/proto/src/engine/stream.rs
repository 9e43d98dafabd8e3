//! The sending side of one message or reply: what is to be sent, and what is known to have arrived.

use std::ops::Range;

use super::ranges::RangeSet;

pub(super) struct Stream {
    /// To be sent: not sent yet, or lost.
    pending: RangeSet,
    acked: RangeSet,
    /// Bytes that must arrive.
    sent_len: u32,
    /// Bytes at and above this offset wait for a grant.
    limit: u32,
    /// What was granted, or needs no grant.
    granted: u32,
    head: Head,
    /// Whether the send queue holds this stream.
    pub(super) is_queued: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Head {
    Pending,
    Sent,
    Acked,
}

impl Stream {
    /// A message of `len` bytes. The receiver surely takes those below `granted`; those below `limit` are
    /// sent as well until it shows that it does not.
    pub(super) fn message(len: u32, granted: u32, limit: u32) -> Stream {
        Stream::new(RangeSet::of(0..len), granted, limit)
    }

    /// A reply of these extents.
    pub(super) fn reply(extents: &[Range<u32>]) -> Stream {
        let mut pending = RangeSet::default();
        for extent in extents {
            pending.insert(extent.clone());
        }
        Stream::new(pending, u32::MAX, u32::MAX)
    }

    fn new(pending: RangeSet, granted: u32, limit: u32) -> Stream {
        let sent_len = pending.len();
        Stream {
            pending,
            acked: RangeSet::default(),
            sent_len,
            limit,
            granted,
            head: Head::Pending,
            is_queued: false,
        }
    }

    /// Bytes that must arrive in all.
    pub(super) fn sent_len(&self) -> u32 {
        self.sent_len
    }

    /// Whether the head must be sent (again).
    pub(super) fn is_head_pending(&self) -> bool {
        self.head == Head::Pending
    }

    /// Whether anything can be sent now.
    pub(super) fn is_ready(&self) -> bool {
        self.is_head_pending()
            || (!self.pending.is_empty() && self.pending.first().start < self.limit)
    }

    /// The lowest range that can be sent now.
    pub(super) fn first(&self) -> Range<u32> {
        let first = self.pending.first();
        first.start..first.end.min(self.limit).max(first.start)
    }

    /// Bytes not known to have arrived.
    pub(super) fn remaining(&self) -> u32 {
        self.sent_len - self.acked.len()
    }

    /// Bytes that wait to be sent now.
    pub(super) fn pending_len(&self) -> u32 {
        let limit = self.limit;
        self.pending
            .iter()
            .map(|r| r.end.min(limit).saturating_sub(r.start))
            .sum()
    }

    /// The first range to send, at most `len` bytes.
    pub(super) fn take(&mut self, len: usize) -> Option<Range<u32>> {
        self.pending
            .take_first(u32::try_from(len).unwrap_or(u32::MAX), self.limit)
    }

    /// Whether nothing of it was sent yet.
    pub(super) fn is_untouched(&self) -> bool {
        self.is_head_pending() && self.acked.is_empty() && self.pending.len() == self.sent_len
    }

    /// Head and all bytes were sent, and it left the queue.
    pub(super) fn on_all_sent(&mut self) {
        self.head = Head::Sent;
        self.pending = RangeSet::default();
        self.is_queued = false;
    }

    pub(super) fn on_head_sent(&mut self) {
        self.head = Head::Sent;
    }

    /// The receiver takes bytes below `limit`; true if that is more than before.
    pub(super) fn on_grant(&mut self, limit: u32) -> bool {
        let is_more = limit > self.limit;
        self.granted = self.granted.max(limit);
        self.limit = self.limit.max(limit);
        is_more
    }

    /// Something was lost: what goes beyond the granted waits for the grant from now on. True if that is
    /// a change.
    pub(super) fn hold_back(&mut self) -> bool {
        let is_change = self.limit > self.granted;
        self.limit = self.granted;
        is_change
    }

    pub(super) fn on_acked(&mut self, head: bool, range: Range<u32>) {
        if head {
            self.head = Head::Acked;
        }
        self.pending.remove(range.clone());
        self.acked.insert(range);
    }

    pub(super) fn on_lost(&mut self, head: bool, range: Range<u32>) {
        if head && self.head == Head::Sent {
            self.head = Head::Pending;
        }
        if range.is_empty() {
            return;
        }
        let known: Vec<Range<u32>> = self
            .acked
            .iter()
            .filter(|r| r.start < range.end && range.start < r.end)
            .collect();
        self.pending.insert(range);
        for acked in known {
            self.pending.remove(acked);
        }
    }

    pub(super) fn is_head_acked(&self) -> bool {
        self.head == Head::Acked
    }

    /// Whether head and all bytes are known to have arrived.
    pub(super) fn is_done(&self) -> bool {
        self.is_head_acked() && self.remaining() == 0
    }
}
