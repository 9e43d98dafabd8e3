//! Counters of one channel: why it is slow, and who is to blame.

use std::sync::atomic::{AtomicU64, Ordering};

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// What happened on a channel since it was created.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct ChannelStats {
            $($(#[$doc])* pub $name: u64,)*
        }

        #[derive(Debug, Default)]
        pub(super) struct Counters {
            $(pub(super) $name: Counter,)*
        }

        impl Counters {
            pub(super) fn read(&self) -> ChannelStats {
                ChannelStats { $($name: self.$name.0.load(Ordering::Relaxed),)* }
            }
        }
    };
}

counters! {
    /// Messages received.
    messages,
    /// Pulses received.
    pulses,
    /// Replies and errors handed over.
    replies,
    /// Clients that slept and had to be woken by a system call.
    wakes_sent,
    /// Clients that were still looking when their answer came.
    wakes_avoided,
    /// Receives that found something while they looked, before they would have slept.
    spins_won,
    /// Receives that looked in vain and slept.
    spins_lost,
    /// Messages that were dropped unanswered and failed with `EIO` (RPL-6).
    dropped_unanswered,
    /// Malformed entries of clients; the connection is cut.
    faults,
}

/// One event counter.
#[derive(Debug, Default)]
pub(super) struct Counter(AtomicU64);

impl Counter {
    pub(super) fn add_one(&self) {
        self.add(1);
    }

    pub(super) fn add(&self, count: usize) {
        self.0.fetch_add(count as u64, Ordering::Relaxed);
    }
}
