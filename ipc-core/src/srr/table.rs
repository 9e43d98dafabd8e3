//! The table of one channel: its receive queue and its unanswered messages.
//!
//! The queue knows messages by their index among the transactions, where they stay until they are
//! answered.

use crate::{
    abi::{Priority, Pulse, PulseCode, Rcvid, Result, Scoid},
    srr::{
        queue::{Queue, Rank},
        transactions::Transactions,
    },
};

/// All that one channel knows of its messages and pulses.
#[derive(Debug)]
pub(crate) struct Table<M> {
    messages: Queue<u32>,
    pulses: Queue<(Pulse, Source)>,
    transactions: Transactions<M>,
    order: u64,
    keeps_unblocking_clients: bool,
}

/// Which connection a pulse came through, by the shell's own numbering; none for the process itself
/// and the system.
type Source = Option<u32>;

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
        let index = self.transactions.insert(message);
        self.messages.push(rank, index);
        index
    }

    /// A pulse came in.
    pub(crate) fn arrive_pulse(&mut self, stamp_ns: u64, pulse: Pulse, source: Source) {
        let rank = self.rank(pulse.priority, stamp_ns);
        self.pulses.push(rank, (pulse, source));
    }

    /// The first of what waits for such a receiver.
    pub(crate) fn receive(&mut self, want: Want) -> Option<Delivery> {
        let pulse_first = match (self.messages.first_rank(), self.pulses.first_rank()) {
            (Some(message), Some(pulse)) => pulse < message,
            (message, pulse) => message.is_none() && pulse.is_some(),
        };
        if pulse_first || want == Want::Pulse {
            self.pulses
                .pop()
                .map(|(pulse, source)| Delivery::Pulse(pulse, source))
        } else {
            self.messages
                .pop()
                .map(|index| Delivery::Message(self.transactions.receive(index).0))
        }
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
        let index = self.messages.pop()?;
        Some(self.transactions.withdraw(index))
    }

    /// Gives a leased message a receive id.
    pub(crate) fn adopt(&mut self, message: M) -> Rcvid {
        let index = self.transactions.insert(message);
        self.transactions.receive(index).0
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
        self.transactions.get(id)
    }

    /// As [`blocked`](Self::blocked), for the shell's own notes on the message.
    pub(crate) fn blocked_mut(&mut self, id: Rcvid) -> Result<&mut M> {
        self.transactions.get_mut(id)
    }

    /// The server answers: the client is no longer blocked, and an unblock pulse for it that nobody
    /// received is taken back (CHN-2).
    ///
    /// # Errors
    /// `ESRCH` unless the client is REPLY-blocked.
    pub(crate) fn answer(&mut self, id: Rcvid) -> Result<M> {
        let (message, unblock_requested) = self.transactions.remove(id)?;
        if unblock_requested {
            self.pulses.take_one(|(pulse, _)| is_unblock_of(pulse, id));
        }
        Ok(*message)
    }

    /// The message that stands at `index`, if there is one.
    pub(crate) fn message_at(&self, index: u32) -> Option<&M> {
        self.transactions.at(index).map(|(message, _)| message)
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
            Some((_, None)) if wish == Wish::ReplyBlocked => return Cancelled::Ignored,
            Some((_, None)) => {
                self.messages.take_one(|other| *other == index);
                return Cancelled::Withdrawn(self.transactions.withdraw(index));
            }
            Some((_, Some(id))) => id,
        };
        if wish == Wish::SendBlocked {
            return Cancelled::Ignored;
        }
        if !self.keeps_unblocking_clients {
            let gone = self.answer(id).expect("invariant: just found");
            return Cancelled::Abandoned(gone);
        }
        let told = self.transactions.request_unblock(id);
        if told == Ok(false) {
            let code = PulseCode::UNBLOCK;
            self.arrive_pulse(
                stamp_ns,
                Pulse {
                    code,
                    value: id.0,
                    priority,
                    scoid,
                },
                None,
            );
        }
        Cancelled::Unblocking
    }

    /// The clients of all messages that `is` are gone: queued messages vanish, receive ids are dead,
    /// unblock pulses for them are taken back. Answers all of them.
    pub(crate) fn forget(&mut self, mut is: impl FnMut(&M) -> bool) -> Vec<M> {
        let transactions = &mut self.transactions;
        let is_at = |(index, message): (u32, &M)| is(message).then_some(index);
        let queued: Vec<u32> = transactions.send_blocked().filter_map(is_at).collect();
        if !queued.is_empty() {
            // In the order of the transactions, so sorted.
            let leaves = |index: &u32| queued.binary_search(index).is_ok();
            self.messages.take_if(leaves);
        }
        let withdrawn = queued.iter().map(|index| transactions.withdraw(*index));
        let mut gone: Vec<M> = withdrawn.collect();
        let ids: Vec<Rcvid> = transactions
            .reply_blocked()
            .filter(|(_, message)| is(message))
            .map(|(id, _)| id)
            .collect();
        gone.extend(ids.into_iter().filter_map(|id| self.answer(id).ok()));
        gone
    }

    /// Pulses that wait.
    pub(crate) fn pulses_queued(&self) -> usize {
        self.pulses.len()
    }

    /// Messages whose clients are SEND-blocked, in no particular order.
    pub(crate) fn send_blocked(&self) -> impl Iterator<Item = &M> {
        self.transactions.send_blocked().map(|(_, message)| message)
    }

    /// Messages whose clients are REPLY-blocked, with their receive ids.
    pub(crate) fn reply_blocked(&self) -> impl Iterator<Item = (Rcvid, &M)> {
        self.transactions.reply_blocked()
    }

    /// Messages whose clients are REPLY-blocked.
    pub(crate) fn reply_blocked_count(&self) -> usize {
        self.transactions.reply_blocked_count()
    }

    fn rank(&mut self, priority: Priority, stamp_ns: u64) -> Rank {
        self.order += 1;
        Rank {
            priority,
            stamp_ns,
            order: self.order,
        }
    }
}

fn is_unblock_of(pulse: &Pulse, id: Rcvid) -> bool {
    pulse.code == PulseCode::UNBLOCK && pulse.value == id.0
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
        table.arrive(1, 0, "dead");
        table.arrive(1, 0, "alive");
        assert_eq!(table.forget(|m| *m == "dead").len(), 2);
        assert_eq!(table.answer(id), Err(Errno::ESRCH));
        assert_eq!(received(&mut table).unwrap().1, "alive");
        assert_eq!(table.receive(Want::Anything), None);
    }
}
