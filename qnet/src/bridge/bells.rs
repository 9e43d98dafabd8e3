//! The doorbells of local message passing, for the ring to sleep on.

use std::{cell::RefCell, sync::Arc};

use ipc_core::{Channel, CompletionQueue, FutexWord};

use crate::driver::{Doorbell, Word};

/// Rings when a local client sends to another node.
pub(super) struct ChannelBell {
    channel: Arc<Channel>,
    words: RefCell<Vec<FutexWord>>,
}

/// Rings when a local server answers a remote client.
pub(super) struct QueueBell {
    queue: Arc<CompletionQueue>,
    words: RefCell<Vec<FutexWord>>,
}

impl ChannelBell {
    pub(super) fn new(channel: Arc<Channel>) -> ChannelBell {
        let words = RefCell::default();
        ChannelBell { channel, words }
    }
}

impl QueueBell {
    pub(super) fn new(queue: Arc<CompletionQueue>) -> QueueBell {
        let words = RefCell::default();
        QueueBell { queue, words }
    }
}

impl Doorbell for ChannelBell {
    fn announce(&self, words: &mut Vec<Word>) -> bool {
        let mut own = self.words.borrow_mut();
        own.clear();
        let has_something = self.channel.outside().arm(&mut own);
        words.extend(own.iter().map(word));
        !has_something
    }

    fn retract(&self) {
        self.channel.outside().disarm();
    }

    fn is_ready(&self) -> bool {
        self.channel.outside().is_ready()
    }
}

impl Doorbell for QueueBell {
    fn announce(&self, words: &mut Vec<Word>) -> bool {
        let mut own = self.words.borrow_mut();
        own.clear();
        let has_something = self.queue.arm(&mut own);
        words.extend(own.iter().map(word));
        !has_something
    }

    fn retract(&self) {
        self.queue.disarm();
    }

    fn is_ready(&self) -> bool {
        self.queue.is_ready()
    }
}

fn word(word: &FutexWord) -> Word {
    Word {
        address: word.addr,
        value: word.value,
        serial: word.serial,
    }
}
