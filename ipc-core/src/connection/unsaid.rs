//! What the server's process is to be told and its socket has no room for: said as soon as there is.
//!
//! A stopped process reads nothing, and one that is slow has room for some hundred records. What is kept here is
//! bounded by the connection's slots. The one invariant: whoever keeps something asks the monitor afterwards to wait
//! for room, and the monitor, when nothing is left, looks under its lock whether something came.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard},
};

use crate::{
    abi::{Errno, Result},
    connection::link::Link,
    process::{
        Monitor,
        control::{Cancel, Record},
    },
    srr::Wish,
    sys::{
        failpoint::{self, Failpoint},
        mutex::lock,
    },
};

/// What one connection has still to say.
#[derive(Debug, Default)]
pub(super) struct Unsaid(Mutex<Kept>);

#[derive(Debug, Default)]
struct Kept {
    /// By slot: the generation of a message whose sender wants out, and of what.
    wishes: BTreeMap<u32, (u32, Wish)>,
    /// How many events were taken, which the table of events knows.
    events_taken: bool,
}

impl Link {
    /// Tells the server's process that the sender of a message wants out, now or as soon as it listens.
    pub(super) fn cancel(&self, slot: u32, generation: u32, wish: Wish) -> Result<()> {
        failpoint::pass(Failpoint::CancelWanted);
        let mut told = self.tell_wish(slot, generation, wish);
        if told == Err(Errno::EAGAIN) {
            self.unsaid.kept().keep_wish(slot, generation, wish);
            self.await_room();
            told = Ok(());
        }
        failpoint::pass(Failpoint::CancelSent);
        told
    }

    /// As soon as the server's process listens it is told how many events were taken.
    pub(super) fn tell_events_taken_later(&self) {
        self.unsaid.kept().events_taken = true;
        self.await_room();
    }

    pub(super) fn has_unsaid(&self) -> bool {
        let kept = self.unsaid.kept();
        kept.events_taken || !kept.wishes.is_empty()
    }

    /// Monitor: says one thing of what is left.
    pub(super) fn say_one(&self) {
        let mut kept = self.unsaid.kept();
        if std::mem::take(&mut kept.events_taken) {
            drop(kept);
            self.tell_events_taken();
        } else if let Some(first) = kept.wishes.first_entry() {
            let (slot, (generation, wish)) = (*first.key(), *first.get());
            // A server that hung up hears nothing more.
            if self.tell_wish(slot, generation, wish) != Err(Errno::EAGAIN) {
                first.remove();
            }
        }
    }

    fn tell_wish(&self, slot: u32, generation: u32, wish: Wish) -> Result<()> {
        let record = Record::Cancel(Cancel::new(slot, generation, wish));
        self.tell_server(&record.encode())
    }

    fn await_room(&self) {
        // Without a monitor the connection is over, or its heir asks by itself.
        if let (Some(id), Ok(monitor)) = (self.watch_id(), Monitor::current()) {
            monitor.wants_room(id);
        }
    }
}

impl Unsaid {
    fn kept(&self) -> MutexGuard<'_, Kept> {
        lock(&self.0)
    }
}

impl Kept {
    fn keep_wish(&mut self, slot: u32, generation: u32, wish: Wish) {
        let wish = match self.wishes.get(&slot) {
            Some((same, before)) if *same == generation && *before != wish => Wish::Both,
            // One for an earlier message of the slot is void.
            _ => wish,
        };
        self.wishes.insert(slot, (generation, wish));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wishes_for_one_message_add_up_and_those_for_an_earlier_one_are_void() {
        let mut kept = Kept::default();
        kept.keep_wish(3, 1, Wish::SendBlocked);
        kept.keep_wish(3, 1, Wish::SendBlocked);
        assert_eq!(kept.wishes[&3], (1, Wish::SendBlocked));
        kept.keep_wish(3, 1, Wish::ReplyBlocked);
        assert_eq!(kept.wishes[&3], (1, Wish::Both));
        kept.keep_wish(3, 2, Wish::ReplyBlocked);
        assert_eq!(kept.wishes[&3], (2, Wish::ReplyBlocked));
        assert_eq!(kept.wishes.len(), 1);
    }
}
