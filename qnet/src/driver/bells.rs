//! The set of futex words that one sleep of the ring covers.

use std::{io, mem};

use io_uring::types::FutexWaitV;

use crate::{
    driver::{
        doorbell::{Doorbell, FUTEX_SIZE_U32, Poke, Word},
        relay::Relay,
    },
    limits::DOORBELL_WORDS_MAX,
};

/// The doorbells of a link and the sleep that the kernel, or the relay, keeps on their words.
///
/// A sleep outlasts the rounds of the thread: whoever rings while nobody announced one makes no system
/// call and leaves it alone, so that it has to be renewed only when it has ended or the words are others.
pub(super) struct Bells {
    doorbells: Vec<Box<dyn Doorbell>>,
    /// Where io_uring cannot wait for futexes.
    relay: Option<Relay>,
    /// The words of the last announcement.
    words: Vec<Word>,
    /// The words of the sleep that goes on.
    asleep: Vec<Word>,
    /// What the kernel was given for it.
    waiters: Vec<FutexWaitV>,
}

impl Bells {
    pub(super) fn new(
        doorbells: Vec<Box<dyn Doorbell>>,
        ring_can_wait: bool,
        poke: &Poke,
    ) -> io::Result<Bells> {
        let relay = match ring_can_wait || doorbells.is_empty() {
            true => None,
            false => Some(Relay::start(poke.clone())?),
        };
        Ok(Bells {
            doorbells,
            relay,
            words: Vec::new(),
            asleep: Vec::new(),
            waiters: Vec::new(),
        })
    }

    /// Tells every doorbell that the thread is about to sleep; `false` if one has something already.
    pub(super) fn announce(&mut self) -> bool {
        self.words.clear();
        let quiet = self
            .doorbells
            .iter()
            .all(|doorbell| doorbell.announce(&mut self.words));
        self.words.truncate(DOORBELL_WORDS_MAX);
        if quiet && let Some(relay) = &self.relay {
            relay.watch(&self.words);
        }
        quiet
    }

    /// Whether there is something to do for a doorbell; nothing is announced.
    pub(super) fn are_ready(&self) -> bool {
        self.doorbells.iter().any(|doorbell| doorbell.is_ready())
    }

    /// Whether a relay thread sleeps on the words instead of the ring.
    pub(super) fn has_relay(&self) -> bool {
        self.relay.is_some()
    }

    /// The thread is awake.
    pub(super) fn retract(&self) {
        for doorbell in &self.doorbells {
            doorbell.retract();
        }
    }

    /// Whether the sleep that goes on is on other words than those of the last announcement.
    pub(super) fn are_others(&self) -> bool {
        !(self.asleep.iter().map(|word| word.address))
            .eq(self.words.iter().map(|word| word.address))
    }

    /// The array for a sleep on the announced words, which stays as it is until [`Bells::finished`].
    /// `None` when there are none, or the relay sleeps on them.
    pub(super) fn take_waiters(&mut self) -> Option<(*const FutexWaitV, u32)> {
        if self.relay.is_some() || self.words.is_empty() {
            return None;
        }
        self.asleep.clone_from(&self.words);
        self.waiters.clear();
        self.waiters.extend(self.asleep.iter().map(|word| {
            FutexWaitV::new()
                .val(u64::from(word.value))
                .uaddr(word.address as u64)
                .flags(FUTEX_SIZE_U32)
        }));
        Some((self.waiters.as_ptr(), self.waiters.len() as u32))
    }

    /// The kernel's sleep has ended.
    pub(super) fn finished(&mut self) {
        self.asleep.clear();
    }

    /// Gives up the array that the kernel may still read.
    pub(super) fn leak(&mut self) {
        mem::forget(mem::take(&mut self.waiters));
    }
}
