//! Timeouts of one blocking send.

use std::time::Duration;

use bitflags::bitflags;

use crate::srr::Wish;

bitflags! {
    /// The states of a sender that a timeout covers.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct BlockedStates: u32 {
        /// Until the server receives the message.
        const SEND = 1;
        /// From then until it answers.
        const REPLY = 2;
    }
}

/// How long, and in which states, a send may block. It starts when the first named state is entered
/// and is not restarted from SEND to REPLY (TMO-1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeout {
    /// The states it covers; with none it has no effect.
    pub states: BlockedStates,
    /// How long.
    pub duration: Duration,
}

impl Timeout {
    /// Covers the whole send.
    pub fn all(duration: Duration) -> Timeout {
        Timeout {
            states: BlockedStates::all(),
            duration,
        }
    }

    /// Covers the time until the server receives the message.
    pub fn send(duration: Duration) -> Timeout {
        Timeout {
            states: BlockedStates::SEND,
            duration,
        }
    }

    /// Covers the time from then until it answers.
    pub fn reply(duration: Duration) -> Timeout {
        Timeout {
            states: BlockedStates::REPLY,
            duration,
        }
    }

    pub(super) fn wish(self) -> Option<Wish> {
        if self.states == BlockedStates::all() {
            Some(Wish::Both)
        } else if self.states == BlockedStates::SEND {
            Some(Wish::SendBlocked)
        } else if self.states == BlockedStates::REPLY {
            Some(Wish::ReplyBlocked)
        } else {
            None
        }
    }
}
