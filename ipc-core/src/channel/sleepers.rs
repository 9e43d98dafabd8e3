//! Receiving threads that sleep, and which of them is woken: the last to wait that would find something (RCV-2).

use crate::{channel::state::State, srr::Want};

/// A receiving thread that sleeps or is about to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sleeper {
    /// Tells it from every other one, masks being used again, and who came to wait later.
    pub(super) id: u64,
    pub(super) mask: u32,
    pub(super) want: Want,
    /// Woken for what is there by a thread that left it to this one.
    called: bool,
}

impl State {
    /// Wakes the newest sleeper that would find something (RCV-2).
    pub(super) fn wake_a_receiver(&self) {
        let finder = self
            .sleepers
            .iter()
            .rev()
            .find(|sleeper| self.table.has_any(sleeper.want));
        match finder {
            Some(sleeper) => self.bells.own().kick_mask(sleeper.mask),
            // Somebody outside may wait on the word without being a sleeper here.
            None => drop(self.bells.own().kick()),
        }
    }

    /// Whether a thread that came to wait after sleeper `id` would find something: it is served first (RCV-2).
    pub(super) fn newer_finds(&self, id: u64) -> bool {
        let mut newer = self.sleepers.iter().filter(|sleeper| sleeper.id > id);
        newer.any(|sleeper| self.table.has_any(sleeper.want))
    }

    /// Wakes the last to wait, besides sleeper `id`, that would find something. Once: until it has been here
    /// another wake-up would tell it nothing, and would only keep those from sleeping that leave it to it.
    pub(super) fn call_other(&mut self, id: u64) {
        let table = &self.table;
        let mut others = self.sleepers.iter_mut().rev().filter(|s| s.id != id);
        if let Some(other) = others.find(|sleeper| table.has_any(sleeper.want))
            && !other.called
        {
            other.called = true;
            self.bells.own().kick_masked(other.mask);
        }
    }

    /// Wakes every receiver, whatever there is for it.
    pub(super) fn wake_everybody(&self) {
        self.bells.iter().for_each(|bell| bell.kick_all());
    }

    /// A mask of its own for a thread that is going to sleep. One that slept already keeps the place it had
    /// then: to be woken in vain makes nobody the last to wait (RCV-2).
    pub(super) fn new_sleeper(&mut self, want: Want, place: Option<u64>) -> Sleeper {
        let id = place.unwrap_or_else(|| {
            self.sleepers_seen += 1;
            self.sleepers_seen
        });
        let mask = 1 << (id % u64::from(u32::BITS));
        let sleeper = Sleeper {
            id,
            mask,
            want,
            called: false,
        };
        let at = self.sleepers.partition_point(|other| other.id < id);
        self.sleepers.insert(at, sleeper);
        sleeper
    }
}
