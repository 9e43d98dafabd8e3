//! The full matrix of states and events, compared with the text that is checked in.
//!
//! A change of any cell is a change of what callers may rely on, and shows as a diff in review. After a
//! change that is meant: `SRR_MATRIX=write cargo test -p ipc-core srr::matrix`.

use std::fmt::Write;

use crate::{
    abi::{Pulse, PulseCode, Rcvid, Scoid},
    srr::{Delivery, Table, Want, Wish},
};

const CLIENT: &str = "m";
/// Where it stands: a table without any gives it its first place.
const CLIENT_AT: u32 = 0;

/// What there is before the event.
#[derive(Clone, Copy, Debug)]
enum State {
    /// Nothing was ever sent.
    Idle,
    /// A pulse waits.
    PulseQueued,
    /// A client is SEND-blocked.
    SendBlocked,
    /// A client is SEND-blocked, behind a pulse.
    SendBlockedBehindPulse,
    /// A client is REPLY-blocked.
    ReplyBlocked,
    /// It asked to be unblocked and the server was not told yet.
    UnblockQueued,
    /// It asked to be unblocked and the server knows.
    UnblockReceived,
    /// It was answered.
    Answered,
    /// It gave up or died, and the server may still use its receive id.
    Gone,
}

const STATES: [State; 9] = [
    State::Idle,
    State::PulseQueued,
    State::SendBlocked,
    State::SendBlockedBehindPulse,
    State::ReplyBlocked,
    State::UnblockQueued,
    State::UnblockReceived,
    State::Answered,
    State::Gone,
];

/// What happens.
#[derive(Clone, Copy, Debug)]
enum Event {
    Arrive,
    ArriveUrgent,
    ArrivePulse,
    Receive,
    ReceivePulse,
    Look,
    Answer,
    CancelSend,
    CancelReply,
    CancelBoth,
    ClientDies,
}

const EVENTS: [Event; 11] = [
    Event::Arrive,
    Event::ArriveUrgent,
    Event::ArrivePulse,
    Event::Receive,
    Event::ReceivePulse,
    Event::Look,
    Event::Answer,
    Event::CancelSend,
    Event::CancelReply,
    Event::CancelBoth,
    Event::ClientDies,
];

/// One table in one state, and the receive id that its server holds, if it ever got one.
struct Subject {
    table: Table<&'static str>,
    id: Option<Rcvid>,
}

impl Subject {
    /// `None` for a state that a table without UNBLOCK cannot be in.
    fn in_state(state: State, keeps: bool) -> Option<Subject> {
        let table = Table::new(keeps);
        let mut subject = Subject { table, id: None };
        match state {
            State::Idle => {}
            State::PulseQueued => subject.arrive_pulse(),
            State::SendBlocked => subject.arrive(),
            State::SendBlockedBehindPulse => {
                subject.arrive_pulse();
                subject.arrive();
            }
            State::ReplyBlocked => subject.receive_message(),
            State::UnblockQueued | State::UnblockReceived if !keeps => return None,
            State::UnblockQueued => {
                subject.receive_message();
                subject.cancel(Wish::Both);
            }
            State::UnblockReceived => {
                subject.receive_message();
                subject.cancel(Wish::Both);
                subject.table.receive(Want::Pulse).expect("it was queued");
            }
            State::Answered => {
                subject.receive_message();
                subject.answer();
            }
            State::Gone => {
                subject.receive_message();
                subject.table.forget(CLIENT_AT);
            }
        }
        Some(subject)
    }

    fn arrive(&mut self) {
        assert_eq!(self.table.arrive(10, 0, CLIENT), CLIENT_AT);
    }

    fn receive_message(&mut self) {
        self.arrive();
        match self.table.receive(Want::Anything) {
            Some(Delivery::Message(id)) => self.id = Some(id),
            other => panic!("not a message: {other:?}"),
        }
    }

    fn arrive_pulse(&mut self) {
        let (code, scoid) = (PulseCode(1), Scoid(3));
        let pulse = Pulse {
            code,
            value: 5,
            priority: 10,
            scoid,
        };
        self.table.arrive_pulse(0, pulse, Some(7));
    }

    fn cancel(&mut self, wish: Wish) -> String {
        let became = self.table.cancel(wish, 10, 0, Scoid(3), CLIENT_AT);
        format!("{became:?}")
    }

    fn answer(&mut self) -> String {
        let id = self.id.unwrap_or(Rcvid(1));
        format!("{:?}", self.table.answer(id))
    }

    fn apply(&mut self, event: Event) -> String {
        match event {
            Event::Arrive => {
                self.table.arrive(10, 0, "n");
            }
            Event::ArriveUrgent => {
                self.table.arrive(20, 0, "u");
            }
            Event::ArrivePulse => self.arrive_pulse(),
            Event::Receive => return self.receive(Want::Anything),
            Event::ReceivePulse => return self.receive(Want::Pulse),
            Event::Look => return format!("{:?}", self.table.blocked(self.id.unwrap_or(Rcvid(1)))),
            Event::Answer => return self.answer(),
            Event::CancelSend => return self.cancel(Wish::SendBlocked),
            Event::CancelReply => return self.cancel(Wish::ReplyBlocked),
            Event::CancelBoth => return self.cancel(Wish::Both),
            Event::ClientDies => {
                let gone: Vec<_> = self.table.forget(CLIENT_AT).into_iter().collect();
                return format!("{gone:?}");
            }
        }
        String::from("queued")
    }

    fn receive(&mut self, want: Want) -> String {
        match self.table.receive(want) {
            None => String::from("nothing"),
            Some(Delivery::Message(id)) => {
                let (message, _) = self.table.blocked(id).expect("just received");
                format!("message {message}")
            }
            Some(Delivery::Pulse(pulse, source)) => {
                let of = source.map_or_else(|| "the system".to_owned(), |s| format!("{s}"));
                format!("pulse {} of {of}", pulse.code.0)
            }
        }
    }

    /// What there is now, and who would be woken for it.
    fn now(&self) -> String {
        let mut queued: Vec<_> = self.table.send_blocked().copied().collect();
        queued.sort_unstable();
        let mut blocked: Vec<String> = self
            .table
            .reply_blocked()
            .map(|(id, m)| {
                let wants_out = self.table.blocked(id).is_ok_and(|(_, wants)| wants);
                format!("{m}{}", if wants_out { "!" } else { "" })
            })
            .collect();
        blocked.sort_unstable();
        let wakes = match [Want::Anything, Want::Pulse].map(|want| self.table.has_any(want)) {
            [_, true] => "any receiver",
            [true, false] => "a message receiver",
            [false, false] => "nobody",
        };
        let pulses = self.table.pulses_queued();
        format!(
            "send [{}] reply [{}] pulses {pulses} wakes {wakes}",
            queued.join(" "),
            blocked.join(" ")
        )
    }
}

fn matrix() -> String {
    let mut text = String::from(
        "# state x event -> answer | what there is then, whom it wakes.  m! : m asked to be unblocked\n",
    );
    for keeps in [false, true] {
        writeln!(text, "\nUNBLOCK {keeps}").expect("strings take text");
        for state in STATES {
            for event in EVENTS {
                let Some(mut subject) = Subject::in_state(state, keeps) else {
                    continue;
                };
                let answer = subject.apply(event);
                let now = subject.now();
                let cell = format!("{state:?} x {event:?}");
                writeln!(text, "{cell:<40} {answer} | {now}").expect("strings take text");
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    use super::matrix;

    const FILE: &str = "src/srr/matrix.txt";

    // covers: SND-2, RCV-1, RCV-4, RPL-1, RPL-5, CHN-2, TMO-1, TMO-3, DTH-2
    #[test]
    fn the_matrix_of_states_and_events_is_the_one_checked_in() {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(FILE);
        let now = matrix();
        if std::env::var_os("SRR_MATRIX").is_some_and(|wish| wish == "write") {
            fs::write(&file, &now).expect("the sources can be written");
        }
        let expected = fs::read_to_string(&file).expect("the matrix is checked in");
        let mut lines = now.lines().zip(expected.lines());
        if let Some((is, was)) = lines.find(|(is, was)| is != was) {
            panic!(
                "a cell of the matrix changed:\n  was {was}\n  is  {is}\nif that is meant: \
                 SRR_MATRIX=write cargo test -p ipc-core srr::matrix, and the diff of {FILE} says what changed"
            );
        }
        assert_eq!(now.lines().count(), expected.lines().count());
    }
}
