//! Clients that want out of messages they posted.

use crate::{
    channel::state::State,
    shm::{Completion, CompletionFlags, SlotState},
    srr::{Cancelled, Wish},
    sys::failpoint::{self, Failpoint},
};

impl State {
    /// A client wants out of a message it posted (CHN-2). However often it says so, and of whatever message, nobody
    /// else's messages are looked at.
    pub(super) fn cancel(&mut self, index: u32, slot: u32, generation: u32, wish: Wish) {
        let Some(at) = self.place_of(index, slot, generation) else {
            return;
        };
        let message = self.table.message_at(at).expect("invariant: just found");
        let (priority, attached) = (message.entry.priority, self.attached(message));
        let (scoid, is_routed) = (attached.scoid, attached.target.is_some());
        let stamp = self.stamp();
        let leaves_send = is_routed && wish == Wish::SendBlocked;
        match self.table.cancel(wish, priority, stamp, scoid, at) {
            Cancelled::Ignored if leaves_send && self.ask_back(at) => {
                self.move_to_unblocking(index, slot, generation);
            }
            Cancelled::Withdrawn(message) | Cancelled::Abandoned(message) => {
                self.ended.add_one();
                self.release(&message);
                failpoint::pass(Failpoint::LetGo);
                let answer = Completion {
                    flags: CompletionFlags::CANCELLED,
                    written: message.written,
                    ..Completion::default()
                };
                let attached = self.attached(&message);
                message.answer(attached, &answer);
                message.tell(attached);
            }
            Cancelled::Unblocking => self.move_to_unblocking(index, slot, generation),
            Cancelled::Ignored | Cancelled::Unknown => {}
        }
    }

    /// Tells a client that its wish was announced to the server, and a receiver that there is a pulse.
    fn move_to_unblocking(&mut self, index: u32, slot: u32, generation: u32) {
        let Some(Some(connected)) = self.connections.get(index as usize) else {
            return;
        };
        let region = &connected.attached.region;
        region.move_to(slot, generation, SlotState::Unblocking);
        failpoint::pass(Failpoint::UnblockTold);
        self.wake_a_receiver();
    }

    /// Where in the table a message of a connection stands. One in a lease is put there first.
    fn place_of(&mut self, index: u32, slot: u32, generation: u32) -> Option<u32> {
        let connected = self.connections.get(index as usize)?.as_ref()?;
        if !connected.is_busy(slot) {
            return None;
        }
        let id = connected.attached.id;
        let at = connected.places[slot as usize];
        if self.stands_at(at, index, slot).is_none() {
            self.adopt_one_leased(id, slot, generation);
        }
        let at = self.connections[index as usize].as_ref()?.places[slot as usize];
        let message = self.stands_at(at, index, slot)?;
        // A client that uses a slot again may still have named the message before.
        (message.entry.generation == generation).then_some(at)
    }
}
