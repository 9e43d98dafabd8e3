//! The table against a list that is searched, with every sequence of events that chance finds.

use std::collections::BTreeSet;

use proptest::prelude::*;

use crate::{
    abi::{Errno, Pulse, PulseCode, Rcvid, Scoid},
    srr::{Cancelled, Delivery, Table, Want, Wish, queue::Rank},
};

const PULSE: PulseCode = PulseCode(1);

#[derive(Clone, Debug)]
enum Step {
    Arrive { priority: u8, stamp_ns: u64 },
    ArriveMany(u16),
    Pulse { priority: u8, stamp_ns: u64 },
    Receive(Want),
    ReceiveMany(u16),
    Take,
    Adopt,
    Answer(prop::sample::Index),
    AnswerAll,
    Cancel(prop::sample::Index, Wish),
    Forget(prop::sample::Index),
    ForgetAll,
}

/// A message as the model knows it.
#[derive(Clone, Debug)]
struct Known {
    number: u32,
    rank: Rank,
    at: u32,
    /// Its receive id, once it was received.
    id: Option<Rcvid>,
    wants_out: bool,
}

struct Model {
    table: Table<u32>,
    keeps: bool,
    messages: Vec<Known>,
    /// By rank; the value is that of a receive id for an unblock pulse.
    pulses: Vec<(Rank, Pulse)>,
    /// Receive ids that are dead.
    stale: BTreeSet<i64>,
    order: u64,
    numbers: u32,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let wish = prop_oneof![
        Just(Wish::SendBlocked),
        Just(Wish::ReplyBlocked),
        Just(Wish::Both)
    ];
    let index = any::<prop::sample::Index>;
    let (priority, stamp_ns) = (0_u8..3, 0_u64..4);
    let step = prop_oneof![
        6 => (priority.clone(), stamp_ns.clone())
            .prop_map(|(priority, stamp_ns)| Step::Arrive { priority, stamp_ns }),
        1 => (1_u16..300).prop_map(Step::ArriveMany),
        2 => (priority, stamp_ns).prop_map(|(priority, stamp_ns)| Step::Pulse { priority, stamp_ns }),
        4 => prop_oneof![Just(Want::Anything), Just(Want::Pulse)].prop_map(Step::Receive),
        1 => (1_u16..300).prop_map(Step::ReceiveMany),
        1 => Just(Step::Take),
        1 => Just(Step::Adopt),
        4 => index().prop_map(Step::Answer),
        1 => Just(Step::AnswerAll),
        4 => (index(), wish).prop_map(|(which, wish)| Step::Cancel(which, wish)),
        2 => index().prop_map(Step::Forget),
        1 => Just(Step::ForgetAll),
    ];
    prop::collection::vec(step, 0..120)
}

impl Model {
    fn new(keeps: bool) -> Model {
        Model {
            table: Table::new(keeps),
            keeps,
            messages: Vec::new(),
            pulses: Vec::new(),
            stale: BTreeSet::new(),
            order: 0,
            numbers: 0,
        }
    }

    fn take(&mut self, step: Step) {
        match step {
            Step::Arrive { priority, stamp_ns } => self.arrive(priority, stamp_ns),
            Step::ArriveMany(count) => (0..count).for_each(|_| self.arrive(1, 0)),
            Step::Pulse { priority, stamp_ns } => {
                let pulse = pulse(PULSE, self.numbers.into(), priority);
                self.table.arrive_pulse(stamp_ns, pulse, None);
                self.note_pulse(stamp_ns, pulse);
            }
            Step::Receive(want) => self.receive(want),
            Step::ReceiveMany(count) => (0..count).for_each(|_| self.receive(Want::Anything)),
            Step::Take => {
                let taken = self.table.take_message();
                let expected = self.next_message().map(|at| self.messages.remove(at));
                assert_eq!(taken, expected.map(|known| known.number));
            }
            Step::Adopt => {
                let number = self.number();
                let (id, at) = self.table.adopt(number);
                let rank = self.rank(0, 0);
                self.know(Known {
                    number,
                    rank,
                    at,
                    id: Some(id),
                    wants_out: false,
                });
            }
            Step::Answer(which) => {
                if let Some(at) = self.pick(which) {
                    self.answer(at);
                }
            }
            Step::AnswerAll => {
                for at in (0..self.messages.len()).rev() {
                    self.answer(at);
                }
            }
            Step::Cancel(which, wish) => {
                if let Some(at) = self.pick(which) {
                    self.cancel(at, wish);
                }
            }
            Step::Forget(which) => {
                if let Some(at) = self.pick(which) {
                    let known = self.messages.remove(at);
                    assert_eq!(self.table.forget(known.at), Some(known.number));
                    self.is_gone(&known);
                }
            }
            Step::ForgetAll => {
                self.table.forget_all();
                for known in std::mem::take(&mut self.messages) {
                    self.is_gone(&known);
                }
            }
        }
    }

    fn arrive(&mut self, priority: u8, stamp_ns: u64) {
        let number = self.number();
        let at = self.table.arrive(priority, stamp_ns, number);
        let rank = self.rank(priority, stamp_ns);
        self.know(Known {
            number,
            rank,
            at,
            id: None,
            wants_out: false,
        });
    }

    fn know(&mut self, new: Known) {
        assert!(
            self.messages.iter().all(|known| known.at != new.at),
            "two messages in one place"
        );
        if let Some(id) = new.id {
            assert!(!self.stale.contains(&id.0), "an id was given twice");
        }
        self.messages.push(new);
    }

    fn receive(&mut self, want: Want) {
        let message = self.next_message().filter(|_| want == Want::Anything);
        let message = message.map(|at| (self.messages[at].rank, at));
        let pulse = self.pulses.iter().map(|(rank, _)| *rank).min();
        let delivery = self.table.receive(want);
        match (message, pulse) {
            (None, None) => assert_eq!(delivery, None),
            (Some((rank, at)), pulse) if pulse.is_none_or(|pulse| rank < pulse) => {
                let Some(Delivery::Message(id)) = delivery else {
                    panic!("not a message: {delivery:?}");
                };
                assert!(!self.stale.contains(&id.0), "an id was given twice");
                assert_eq!(id.place(), self.messages[at].at as usize + 1);
                self.messages[at].id = Some(id);
            }
            (_, first) => {
                let at = self
                    .pulses
                    .iter()
                    .position(|(rank, _)| Some(*rank) == first);
                let (_, pulse) = self.pulses.remove(at.expect("it is the first of them"));
                assert_eq!(delivery, Some(Delivery::Pulse(pulse, None)));
            }
        }
    }

    fn answer(&mut self, at: usize) {
        match self.messages[at].id {
            Some(id) => {
                let known = self.messages.remove(at);
                assert_eq!(self.table.answer(id), Ok(known.number));
                self.is_gone(&known);
            }
            // Whatever a server makes up for it.
            None => {
                let made_up = Rcvid(i64::from(self.messages[at].at) + 1);
                if self.messages.iter().all(|known| known.id != Some(made_up)) {
                    assert_eq!(self.table.answer(made_up), Err(Errno::ESRCH));
                }
            }
        }
    }

    fn cancel(&mut self, at: usize, wish: Wish) {
        let Known { number, id, .. } = self.messages[at];
        let became = self
            .table
            .cancel(wish, 1, 0, Scoid(0), self.messages[at].at);
        match (id, wish) {
            (None, Wish::ReplyBlocked) | (Some(_), Wish::SendBlocked) => {
                assert_eq!(became, Cancelled::Ignored);
            }
            (None, _) => {
                assert_eq!(became, Cancelled::Withdrawn(number));
                self.messages.remove(at);
            }
            (Some(_), _) if !self.keeps => {
                assert_eq!(became, Cancelled::Abandoned(number));
                let known = self.messages.remove(at);
                self.is_gone(&known);
            }
            (Some(id), _) => {
                assert_eq!(became, Cancelled::Unblocking);
                if !std::mem::replace(&mut self.messages[at].wants_out, true) {
                    self.note_pulse(0, pulse(PulseCode::UNBLOCK, id.0, 1));
                }
            }
        }
    }

    fn is_gone(&mut self, known: &Known) {
        if let Some(id) = known.id {
            self.stale.insert(id.0);
            let unblocks = |pulse: &Pulse| pulse.code == PulseCode::UNBLOCK && pulse.value == id.0;
            self.pulses.retain(|(_, pulse)| !unblocks(pulse));
        }
    }

    fn note_pulse(&mut self, stamp_ns: u64, pulse: Pulse) {
        let rank = self.rank(pulse.priority, stamp_ns);
        self.pulses.push((rank, pulse));
    }

    fn rank(&mut self, priority: u8, stamp_ns: u64) -> Rank {
        self.order += 1;
        Rank {
            priority,
            stamp_ns,
            order: self.order,
        }
    }

    fn number(&mut self) -> u32 {
        self.numbers += 1;
        self.numbers
    }

    fn pick(&self, which: prop::sample::Index) -> Option<usize> {
        (!self.messages.is_empty()).then(|| which.index(self.messages.len()))
    }

    /// Which of the messages is received next.
    fn next_message(&self) -> Option<usize> {
        let messages = self.messages.iter().enumerate();
        let waiting = messages.filter(|(_, known)| known.id.is_none());
        waiting
            .min_by_key(|(_, known)| known.rank)
            .map(|(at, _)| at)
    }

    /// Everything that the table says of itself.
    fn compare(&self) {
        let waits = self.messages.iter().any(|known| known.id.is_none());
        let has_pulse = !self.pulses.is_empty();
        assert_eq!(self.table.has_any(Want::Anything), waits || has_pulse);
        assert_eq!(self.table.has_any(Want::Pulse), has_pulse);
        assert_eq!(self.table.pulses_queued(), self.pulses.len());
        for known in &self.messages {
            assert_eq!(self.table.message_at(known.at), Some(&known.number));
            if let Some(id) = known.id {
                let expected = Ok((&known.number, known.wants_out));
                assert_eq!(self.table.blocked(id), expected);
            }
        }
        for id in &self.stale {
            assert_eq!(self.table.blocked(Rcvid(*id)).err(), Some(Errno::ESRCH));
        }
        let numbers = |is_received: bool| -> BTreeSet<u32> {
            let messages = self.messages.iter();
            let such = messages.filter(|known| known.id.is_some() == is_received);
            such.map(|known| known.number).collect()
        };
        assert_eq!(
            self.table.send_blocked().copied().collect::<BTreeSet<_>>(),
            numbers(false)
        );
        let received = self.table.reply_blocked().map(|(_, number)| *number);
        assert_eq!(received.collect::<BTreeSet<_>>(), numbers(true));
        assert_eq!(self.table.reply_blocked_count(), numbers(true).len());
    }
}

fn pulse(code: PulseCode, value: i64, priority: u8) -> Pulse {
    Pulse {
        code,
        value,
        priority,
        scoid: Scoid(0),
    }
}

proptest! {
    // covers: RCV-1, RPL-1, CHN-2, DTH-2
    #[test]
    fn the_table_does_what_a_list_does_that_is_searched(keeps: bool, steps in steps()) {
        let mut model = Model::new(keeps);
        for step in steps {
            model.take(step);
            model.compare();
        }
    }
}
