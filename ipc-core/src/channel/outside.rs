//! A channel as somebody else's event loop sees it.

use crate::{channel::Inner, sys::futex::FutexWord};

/// Lets a loop that sleeps elsewhere (io_uring's `FUTEX_WAIT`, a relay thread) wait for a channel.
///
/// Arm, sleep on all the words at once, receive with [`super::Channel::try_receive`] until it is
/// empty, arm again. One thread at a time may use it, and none may sleep in `receive` beside it: the
/// sleeper's leaving would take down the flag that the loop raised.
#[derive(Debug)]
pub struct Outside<'a> {
    channel: &'a Inner,
}

impl<'a> Outside<'a> {
    pub(super) fn new(channel: &'a Inner) -> Outside<'a> {
        Outside { channel }
    }

    /// Announces that the caller is about to sleep and appends the words to sleep on. Answers true if
    /// something is there already, and then the caller must not sleep; always so in a forked child.
    pub fn arm(&self, words: &mut Vec<FutexWord>) -> bool {
        let Ok(mut state) = self.channel.lock_own() else {
            return true;
        };
        for bell in state.bells.iter() {
            words.push(bell.futex_word(bell.prepare_sleep(u32::MAX)));
        }
        state.finds_something()
    }

    /// Says that the caller no longer sleeps, so that clients save the wake-up.
    pub fn disarm(&self) {
        if let Ok(state) = self.channel.lock_own()
            && state.sleepers.is_empty()
        {
            state.bells.iter().for_each(|bell| bell.cancel_sleep());
        }
    }

    /// Whether a look at the channel would find something; touches only what clients write.
    pub fn is_ready(&self) -> bool {
        let state = self.channel.lock_own();
        state.is_ok_and(|mut state| state.finds_something())
    }
}
