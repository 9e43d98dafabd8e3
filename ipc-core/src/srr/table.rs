//! The table of one channel: its receive queue and its unanswered messages.
//!
//! The queue knows messages by the receive ids they will have; they stay among the transactions until they are answered.

use crate::{
    abi::{Priority, Pulse, PulseCode, Rcvid, Result, Scoid},
    srr::{
        queue::{Queue, Rank},
        shelf::Unblock,
        transactions::Transactions,
    },
};

/// All that one channel knows of its messages and pulses.
#[derive(Debug)]
pub(crate) struct Table<M> {
    messages: Queue<Rcvid>,
    pulses: Queue<QueuedPulse>,
    transactions: Transactions<M>,
    order: u64,
    keeps_unblocking_clients: bool,
}

/// Which connection a pulse came through, by the shell's own numbering; none for the process itself
/// and the system.
type Source = Option<u32>;

#[derive(Clone, Copy, Debug)]
struct QueuedPulse {
    pulse: Pulse,
    source: Source,
    /// The message whose client wants out, of the unblock pulses that the table itself makes: answered, the pulse is
    /// taken back.
    unblocks: Option<Rcvid>,
}

/// What a receiving thread takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Want {
    Anything,
    /// Messages pass over it (RCV-4).
    Pulse,
}

/// What a receive brings.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Delivery {
    /// The client is REPLY-blocked from now on.
    Message(Rcvid),
    Pulse(Pulse, Source),
}

/// Which states a client that gives up wants to leave (TMO-1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wish {
    SendBlocked,
    ReplyBlocked,
    Both,
}

/// What became of a client's wish to give up.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Cancelled<M> {
    /// It was SEND-blocked; no server thread ever sees the message.
    Withdrawn(M),
    /// It was REPLY-blocked on a channel without UNBLOCK; its receive id is dead.
    Abandoned(M),
    /// The server was told, or had been told before; its answer decides.
    Unblocking,
    /// It is in a state that the wish does not cover.
    Ignored,
    /// No such message: the answer is on its way.
    Unknown,
}

impl<M: Copy> Table<M> {
    /// An empty table. With `keeps_unblocking_clients` a REPLY-blocked client that wants out is
    /// announced by a pulse and stays (CHN-2).
    pub(crate) fn new(keeps_unblocking_clients: bool) -> Table<M> {
        Table {
            messages: Queue::new(),
            pulses: Queue::new(),
            transactions: Transactions::new(),
            order: 0,
            keeps_unblocking_clients,
        }
    }

    /// A message came in: its client is SEND-blocked. Answers where it stands until it is answered.
    pub(crate) fn arrive(&mut self, priority: Priority, stamp_ns: u64, message: M) -> u32 {
        let rank = self.rank(priority, stamp_ns);
        let id = self.transactions.insert(message);
        self.messages.push(rank, id);
        index(id)
    }

    /// A pulse came in.
    pub(crate) fn arrive_pulse(&mut self, stamp_ns: u64, pulse: Pulse, source: Source) {
        self.queue_pulse(stamp_ns, pulse, source, None);
    }

    /// The first of what waits for such a receiver.
    pub(crate) fn receive(&mut self, want: Want) -> Option<Delivery> {
        let pulse_first = match (self.messages.first_rank(), self.pulses.first_rank()) {
            (Some(message), Some(pulse)) => pulse < message,
            (message, pulse) => message.is_none() && pulse.is_some(),
        };
        if pulse_first || want == Want::Pulse {
            self.receive_pulse()
        } else {
            let id = self.next_message()?;
            self.transactions.receive(id);
            Some(Delivery::Message(id))
        }
    }

    fn receive_pulse(&mut self) -> Option<Delivery> {
        let transactions = &self.transactions;
        let queued = self.pulses.pop(|queued| queued.stays(transactions))?;
        if let Some(id) = queued.unblocks {
            let asked = self.transactions.get_mut(id);
            *asked.expect("invariant: else it was taken back").1 = Unblock::Told;
        }
        Some(Delivery::Pulse(queued.pulse, queued.source))
    }

    fn next_message(&mut self) -> Option<Rcvid> {
        let transactions = &self.transactions;
        self.messages.pop(|id| transactions.is_send_blocked(*id))
    }

    /// When what such a receiver would get first was sent; 0 for what is not stamped, or nothing.
    #[inline]
    pub(crate) fn first_stamp_ns(&self, want: Want) -> u64 {
        let pulse = self.pulses.first_rank();
        let first = match (want, self.messages.first_rank()) {
            (Want::Anything, Some(message)) => {
                Some(pulse.map_or(message, |pulse| pulse.min(message)))
            }
            _ => pulse,
        };
        first.map_or(0, |first| first.stamp_ns)
    }

    /// Whether what a receiver of anything would get is a message.
    pub(crate) fn message_is_next(&self) -> bool {
        match (self.messages.first_rank(), self.pulses.first_rank()) {
            (Some(message), Some(pulse)) => message < pulse,
            (message, _) => message.is_some(),
        }
    }

    /// Takes the first message out for a receiver that keeps it in a lease: it is REPLY-blocked from now
    /// on, and has no receive id until it is [`adopt`](Self::adopt)ed.
    pub(crate) fn take_message(&mut self) -> Option<M> {
        let id = self.next_message()?;
        Some(self.transactions.withdraw(id))
    }

    /// Gives a leased message a receive id; answers also where it stands from now on.
    pub(crate) fn adopt(&mut self, message: M) -> (Rcvid, u32) {
        let id = self.transactions.insert(message);
        self.transactions.receive(id);
        (id, index(id))
    }

    /// Whether such a receiver would find something.
    pub(crate) fn has_any(&self, want: Want) -> bool {
        !self.pulses.is_empty() || want == Want::Anything && !self.messages.is_empty()
    }

    /// The message behind a receive id, and whether its client asked to be unblocked.
    ///
    /// # Errors
    /// `ESRCH` unless the client is REPLY-blocked.
    pub(crate) fn blocked(&self, id: Rcvid) -> Result<(&M, bool)> {
        let (message, unblock) = self.transactions.get(id)?;
        Ok((message, unblock != Unblock::NotAsked))
    }

    /// As [`blocked`](Self::blocked), for the shell's own notes on the message.
    pub(crate) fn blocked_mut(&mut self, id: Rcvid) -> Result<&mut M> {
        self.transactions.get_mut(id).map(|(message, _)| message)
    }

    /// The server answers: the client is no longer blocked, and an unblock pulse for it that nobody
    /// received is taken back (CHN-2).
    ///
    /// # Errors
    /// `ESRCH` unless the client is REPLY-blocked.
    pub(crate) fn answer(&mut self, id: Rcvid) -> Result<M> {
        self.answer_with(id, |message| *message)
    }

    /// As [`answer`](Self::answer), for who needs no more than a last look at the message.
    ///
    /// # Errors
    /// As [`answer`](Self::answer).
    #[inline]
    pub(crate) fn answer_with<R>(&mut self, id: Rcvid, last: impl FnOnce(&M) -> R) -> Result<R> {
        let (found, unblock) = self.transactions.end(id, last)?;
        if unblock == Unblock::Queued {
            let transactions = &self.transactions;
            self.pulses.leave(|queued| queued.stays(transactions));
        }
        Ok(found)
    }

    /// The message that stands at `index`, if there is one.
    pub(crate) fn message_at(&self, index: u32) -> Option<&M> {
        self.transactions.at(index).map(|(message, ..)| message)
    }

    /// The receive id of the message at `index`, if its client is REPLY-blocked.
    pub(crate) fn reply_blocked_at(&self, index: u32) -> Option<Rcvid> {
        let (_, id, is_received) = self.transactions.at(index)?;
        is_received.then_some(id)
    }

    /// The client of the message at `index` wants out, of the states in `wish`. An unblock pulse
    /// goes at `priority`, stamped `stamp_ns`, and carries `scoid`.
    pub(crate) fn cancel(
        &mut self,
        wish: Wish,
        priority: Priority,
        stamp_ns: u64,
        scoid: Scoid,
        index: u32,
    ) -> Cancelled<M> {
        let id = match self.transactions.at(index) {
            None => return Cancelled::Unknown,
            Some((_, _, false)) if wish == Wish::ReplyBlocked => return Cancelled::Ignored,
            Some((_, id, false)) => return Cancelled::Withdrawn(self.withdraw(id)),
            Some((_, id, true)) => id,
        };
        if wish == Wish::SendBlocked {
            return Cancelled::Ignored;
        }
        if !self.keeps_unblocking_clients {
            let gone = self.answer(id).expect("invariant: just found");
            return Cancelled::Abandoned(gone);
        }
        let (_, unblock) = self
            .transactions
            .get_mut(id)
            .expect("invariant: just found");
        if *unblock == Unblock::NotAsked {
            *unblock = Unblock::Queued;
            let code = PulseCode::UNBLOCK;
            let pulse = Pulse {
                code,
                value: id.0,
                priority,
                scoid,
            };
            self.queue_pulse(stamp_ns, pulse, None, Some(id));
        }
        Cancelled::Unblocking
    }

    /// The client of the message at `index` has gone: a message that waits vanishes, a receive id is dead, an unblock
    /// pulse for it is taken back. Answers the message, if there was one.
    pub(crate) fn forget(&mut self, index: u32) -> Option<M> {
        match self.transactions.at(index)? {
            (_, id, false) => Some(self.withdraw(id)),
            (_, id, true) => self.answer(id).ok(),
        }
    }

    /// All clients have gone.
    pub(crate) fn forget_all(&mut self) {
        self.transactions.clear();
        self.messages = Queue::new();
        self.pulses.retain(|queued| queued.unblocks.is_none());
    }

    /// Takes out the message of a SEND-blocked client.
    fn withdraw(&mut self, id: Rcvid) -> M {
        let message = self.transactions.withdraw(id);
        let transactions = &self.transactions;
        self.messages.leave(|id| transactions.is_send_blocked(*id));
        message
    }

    /// Pulses that wait.
    pub(crate) fn pulses_queued(&self) -> usize {
        self.pulses.len()
    }

    /// Messages whose clients are SEND-blocked, in no particular order.
    pub(crate) fn send_blocked(&self) -> impl Iterator<Item = &M> {
        self.transactions.send_blocked()
    }

    /// Messages whose clients are REPLY-blocked, with their receive ids.
    pub(crate) fn reply_blocked(&self) -> impl Iterator<Item = (Rcvid, &M)> {
        self.transactions.reply_blocked()
    }

    /// Messages whose clients are REPLY-blocked.
    pub(crate) fn reply_blocked_count(&self) -> usize {
        self.transactions.reply_blocked_count()
    }

    fn queue_pulse(
        &mut self,
        stamp_ns: u64,
        pulse: Pulse,
        source: Source,
        unblocks: Option<Rcvid>,
    ) {
        let rank = self.rank(pulse.priority, stamp_ns);
        let queued = QueuedPulse {
            pulse,
            source,
            unblocks,
        };
        self.pulses.push(rank, queued);
    }

    fn rank(&mut self, priority: Priority, stamp_ns: u64) -> Rank {
        self.order += 1;
        Rank {
            priority,
            stamp_ns,
            order: self.order,
        }
    }

    /// Messages and places in the queues that there is memory for.
    #[cfg(test)]
    pub(crate) fn capacity(&self) -> usize {
        self.transactions.capacity() + self.messages.capacity() + self.pulses.capacity()
    }
}

impl QueuedPulse {
    /// Whether it was not taken back.
    fn stays<M: Copy>(&self, transactions: &Transactions<M>) -> bool {
        let still_blocked = |id| transactions.get(id).is_ok();
        self.unblocks.is_none_or(still_blocked)
    }
}

/// Where the message of a receive id that was given stands.
fn index(id: Rcvid) -> u32 {
    id.place() as u32 - 1
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::abi::Errno;

    fn pulse(priority: u8, value: i64) -> Pulse {
        Pulse {
            code: PulseCode(1),
            value,
            priority,
            scoid: Scoid(0),
        }
    }

    fn received(table: &mut Table<&'static str>) -> Option<(Rcvid, &'static str)> {
        match table.receive(Want::Anything)? {
            Delivery::Message(id) => Some((id, *table.blocked(id).unwrap().0)),
            Delivery::Pulse(..) => None,
        }
    }

    // covers: RCV-1
    #[test]
    fn higher_priority_first_then_first_come_for_messages_and_pulses_alike() {
        let mut table = Table::new(false);
        table.arrive(10, 5, "second");
        table.arrive(10, 3, "first");
        table.arrive(20, 9, "urgent");
        table.arrive_pulse(4, pulse(10, 1), Some(3));
        assert_eq!(received(&mut table).unwrap().1, "urgent");
        assert_eq!(received(&mut table).unwrap().1, "first");
        assert_eq!(
            table.receive(Want::Anything),
            Some(Delivery::Pulse(pulse(10, 1), Some(3)))
        );
        assert_eq!(received(&mut table).unwrap().1, "second");
        assert_eq!(table.receive(Want::Anything), None);
    }

    // covers: RCV-4
    #[test]
    fn a_pulse_receiver_never_takes_a_message() {
        let mut table = Table::new(false);
        table.arrive(200, 0, "message");
        assert!(!table.has_any(Want::Pulse));
        assert_eq!(table.receive(Want::Pulse), None);
        table.arrive_pulse(0, pulse(1, 7), None);
        assert_eq!(
            table.receive(Want::Pulse),
            Some(Delivery::Pulse(pulse(1, 7), None))
        );
        assert!(table.has_any(Want::Anything));
    }

    // covers: RPL-1
    #[test]
    fn a_second_answer_is_esrch() {
        let mut table = Table::new(false);
        table.arrive(1, 0, "m");
        let (id, _) = received(&mut table).unwrap();
        assert_eq!(table.answer(id), Ok("m"));
        assert_eq!(table.answer(id), Err(Errno::ESRCH));
    }

    // covers: CHN-2
    #[test]
    fn the_matrix_of_states_and_wishes() {
        let wishes = [Wish::SendBlocked, Wish::ReplyBlocked, Wish::Both];
        let mut seen = String::new();
        for keeps in [false, true] {
            for reply_blocked in [false, true] {
                for wish in wishes {
                    let mut table = Table::new(keeps);
                    let index = table.arrive(1, 0, "m");
                    if reply_blocked {
                        received(&mut table).unwrap();
                    }
                    let became = table.cancel(wish, 1, 0, Scoid(1), index);
                    let pulses = table.pulses_queued();
                    seen += &format!("{keeps} {reply_blocked} {wish:?}: {became:?}, {pulses}\n");
                }
            }
        }
        let expected = "\
false false SendBlocked: Withdrawn(\"m\"), 0
false false ReplyBlocked: Ignored, 0
false false Both: Withdrawn(\"m\"), 0
false true SendBlocked: Ignored, 0
false true ReplyBlocked: Abandoned(\"m\"), 0
false true Both: Abandoned(\"m\"), 0
true false SendBlocked: Withdrawn(\"m\"), 0
true false ReplyBlocked: Ignored, 0
true false Both: Withdrawn(\"m\"), 0
true true SendBlocked: Ignored, 0
true true ReplyBlocked: Unblocking, 1
true true Both: Unblocking, 1
";
        assert_eq!(seen, expected);
    }

    // covers: CHN-2
    #[test]
    fn one_unblock_pulse_per_receive_id_and_none_after_the_answer() {
        let mut table = Table::new(true);
        let index = table.arrive(1, 0, "m");
        let (id, _) = received(&mut table).unwrap();
        for _ in 0..3 {
            assert_eq!(
                table.cancel(Wish::Both, 1, 0, Scoid(4), index),
                Cancelled::Unblocking
            );
        }
        assert_eq!(table.pulses_queued(), 1);
        assert!(table.blocked(id).unwrap().1);
        table.answer(id).unwrap();
        assert_eq!(table.pulses_queued(), 0);
        assert_eq!(
            table.cancel(Wish::Both, 1, 0, Scoid(4), index),
            Cancelled::Unknown
        );
    }

    // covers: DTH-2
    #[test]
    fn a_dead_clients_messages_are_forgotten_in_both_states() {
        let mut table = Table::new(true);
        let index = table.arrive(1, 0, "dead");
        let (id, _) = received(&mut table).unwrap();
        table.cancel(Wish::Both, 1, 0, Scoid(4), index);
        let queued = table.arrive(1, 0, "dead");
        table.arrive(1, 0, "alive");
        let gone = [index, queued].map(|index| table.forget(index));
        assert_eq!(gone, [Some("dead"); 2]);
        assert_eq!(table.forget(index), None);
        assert_eq!(table.pulses_queued(), 0);
        assert_eq!(table.answer(id), Err(Errno::ESRCH));
        assert_eq!(received(&mut table).unwrap().1, "alive");
        assert_eq!(table.receive(Want::Anything), None);
    }
}
