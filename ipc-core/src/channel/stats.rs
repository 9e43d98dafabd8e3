//! Where a channel counts what its [`ChannelStats`] say.
//!
//! They are plain numbers under the channel's lock, which every step takes anyway; only what is known
//! after the lock was given back is counted by an atomic instruction, and that is always a slow path.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::abi::ChannelStats;

/// What the channel's lock protects of them.
#[derive(Debug, Default)]
pub(super) struct Counts {
    pub(super) messages: u64,
    pub(super) pulses: u64,
    pub(super) replies: u64,
    pub(super) spins_won: u64,
    pub(super) spins_lost: u64,
    pub(super) faults: u64,
}

/// What is counted outside of it.
#[derive(Debug, Default)]
pub(super) struct Counters {
    pub(super) wakes_sent: Counter,
    pub(super) dropped_unanswered: Counter,
    pub(super) priorities_refused: Counter,
}

/// One event counter.
#[derive(Debug, Default)]
pub(super) struct Counter(AtomicU64);

impl Counts {
    /// A receiver looked, and it paid or not.
    pub(super) fn looked(&mut self, won: bool) {
        self.spins_won += u64::from(won);
        self.spins_lost += u64::from(!won);
    }

    pub(super) fn with(&self, counters: &Counters) -> ChannelStats {
        let wakes_sent = counters.wakes_sent.read();
        ChannelStats {
            messages: self.messages,
            pulses: self.pulses,
            replies: self.replies,
            wakes_sent,
            // A reply is counted a moment before its wake-up.
            wakes_avoided: self.replies.saturating_sub(wakes_sent),
            spins_won: self.spins_won,
            spins_lost: self.spins_lost,
            dropped_unanswered: counters.dropped_unanswered.read(),
            priorities_refused: counters.priorities_refused.read(),
            faults: self.faults,
        }
    }
}

impl Counter {
    pub(super) fn add_one(&self) {
        self.add(1);
    }

    pub(super) fn add(&self, count: usize) {
        self.0.fetch_add(count as u64, Ordering::Relaxed);
    }

    fn read(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}
