//! The set of futex words that one sleep of the ring covers.

use std::io;

use crate::{
    driver::{
        doorbell::{Doorbell, Poke, Word},
        relay::Relay,
    },
    limits::DOORBELL_WORDS_MAX,
};

/// The doorbells of a link, and the relay where the ring cannot sleep on their words.
///
/// A sleep on a word outlasts the rounds of the thread: whoever rings while nobody announced one makes no system
/// call and leaves it alone, so that it has to be renewed only when it has ended.
pub(super) struct Bells {
    doorbells: Vec<Box<dyn Doorbell>>,
    /// Where io_uring cannot wait for futexes.
    relay: Option<Relay>,
    /// The words of the last announcement.
    words: Vec<Word>,
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

    /// The announced words that the ring is to sleep on; none where the relay does.
    pub(super) fn to_watch(&self) -> &[Word] {
        match self.relay {
            Some(_) => &[],
            None => &self.words,
        }
    }
}
