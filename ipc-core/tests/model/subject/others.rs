//! The process beside this one: submits, sends pulses, is killed.

use super::{Subject, WAITING_MAX};
use crate::{
    oracle::{OTHER, Sender},
    other::Other,
};

impl Subject {
    pub(super) fn other_submits(&mut self, priority: u8, len: usize, room: usize) {
        if self.oracle.messages().count() >= WAITING_MAX {
            return;
        }
        let message = self.message(OTHER, Sender::Process, priority, len, room);
        self.other().submit(message.token, priority, len, room);
        self.oracle.send(message);
    }

    pub(super) fn other_pulses(&mut self, priority: u8) {
        if self.oracle.pulse_count() >= WAITING_MAX {
            return;
        }
        let value = self.number().cast_signed();
        self.other().pulse(value, priority);
        self.oracle.pulse(priority, value);
    }

    pub(super) fn other(&mut self) -> &mut Other {
        let chid = self.channel.chid();
        if self.other.is_none() {
            // As in `reattach`.
            self.send_waiters_off();
        }
        self.other.get_or_insert_with(|| Other::start(chid))
    }

    pub(super) fn kill_other(&mut self) {
        if self.other.is_some() {
            // As in `reattach`.
            self.send_waiters_off();
            self.other = None;
            let gone = self.oracle.in_flight_on(OTHER);
            self.oracle.detach(OTHER, true);
            self.until_connections(self.connections.len());
            self.forget(&gone);
        }
    }
}
