//! What clients do: submit, send and wait, send pulses, want out, attach anew, collect.

use std::collections::BTreeMap;

use ipc_core::{abi::Errno, set_priority};

use super::{CODE, Subject, WAITING_MAX, attach, check, filled, until};
use crate::{
    operation::Form,
    oracle::{Message, Sender, Token},
    threads::PATIENCE,
};

impl Subject {
    pub(super) fn submit(&mut self, connection: usize, priority: u8, len: usize, room: usize) {
        if self.oracle.messages().count() >= WAITING_MAX {
            return;
        }
        let message = self.message(connection, Sender::Queue, priority, len, room);
        let mut loan = self.connections[connection]
            .loan(len, room)
            .expect("there is room");
        assert_eq!(loan.write(0, &message.bytes), len);
        set_priority(priority);
        self.connections[connection]
            .submit(loan, message.token)
            .expect("the connection lives");
        self.oracle.send(message);
    }

    pub(super) fn send(
        &mut self,
        connection: usize,
        (priority, form): (u8, Form),
        len: usize,
        room: usize,
    ) {
        if self.oracle.messages().count() >= WAITING_MAX {
            return;
        }
        let sender = match form {
            Form::Impatient => Sender::Impatient,
            _ => Sender::Thread,
        };
        let message = self.message(connection, sender, priority, len, room);
        let what = (message.token, priority, form);
        self.senders.start(
            &self.connections[connection],
            what,
            message.bytes.clone(),
            room,
        );
        self.oracle.send(message);
    }

    pub(super) fn message(
        &mut self,
        connection: usize,
        sender: Sender,
        priority: u8,
        len: usize,
        room: usize,
    ) -> Message {
        let token = self.number();
        Message {
            token,
            connection,
            sender,
            priority,
            bytes: filled(token, len),
            reply: vec![None; room],
            unblock_requested: false,
        }
    }

    pub(super) fn pulse(&mut self, connection: Option<usize>, priority: u8) {
        if self.oracle.pulse_count() >= WAITING_MAX {
            return;
        }
        let value = self.number().cast_signed();
        let sent = match connection {
            Some(at) => {
                let connection = &self.connections[at % self.connections.len()];
                connection.send_pulse(Some(priority), CODE, value)
            }
            None => self.channel.send_pulse(priority, CODE, value),
        };
        assert_eq!(sent, Ok(()));
        self.oracle.pulse(priority, value);
    }

    pub(super) fn unblock(&mut self, which: usize) {
        let waiting: Vec<_> = self
            .oracle
            .messages()
            .filter(|message| message.sender == Sender::Queue)
            .map(|message| (message.token, message.connection))
            .collect();
        let Some((token, connection)) = waiting.get(which % waiting.len().max(1)).copied() else {
            return;
        };
        self.connections[connection]
            .unblock(token)
            .expect("it is in flight");
        self.oracle.unblock(token);
        match self.held.get(&token) {
            // It stays, and the server can see the request once the monitor has passed it on.
            Some(message) if self.oracle.keeps_unblocking => {
                until(|| message.info().unblock_requested);
            }
            Some(_) => {
                let message = self.held.remove(&token).expect("just found");
                until(|| message.read(0, &mut []).is_err());
                self.stale.push(message.rcvid());
            }
            None => {}
        }
    }

    pub(super) fn reattach(&mut self, connection: usize) {
        // Who comes and goes wakes all of them, and whoever is awake may receive first.
        self.send_waiters_off();
        let gone = self.oracle.in_flight_on(connection);
        self.connections[connection].detach();
        self.oracle.detach(connection, self.connections.len() == 1);
        let others = usize::from(self.other.is_some());
        self.until_connections(self.connections.len() - 1 + others);
        self.forget(&gone);
        self.collect();
        self.connections[connection] = attach(&self.channel, &self.queue);
    }

    /// The clients of these messages have gone: what the server holds of them is dead.
    pub(super) fn forget(&mut self, gone: &[Token]) {
        for message in gone.iter().filter_map(|token| self.held.remove(token)) {
            let id = message.rcvid();
            assert_eq!(message.reply(0, b""), Err(Errno::ESRCH));
            self.stale.push(id);
        }
    }

    /// Takes every completion that the oracle expects, and finds no other.
    pub(super) fn collect(&mut self) {
        let expected = std::mem::take(&mut self.oracle.completions).into_iter();
        let (mut queued, by_threads): (BTreeMap<_, _>, BTreeMap<_, _>) =
            expected.partition(|(_, told)| told.0 == Sender::Queue);
        for (token, (_, expected)) in by_threads {
            let (outcome, reply) = self.senders.end(token);
            check(&expected, &outcome, &reply);
        }
        while !queued.is_empty() {
            let completion = self.queue.next(Some(PATIENCE)).expect("a completion");
            let expected = queued.remove(&completion.token);
            let (_, expected) = expected.expect("nobody expects this completion");
            let mut reply = Vec::new();
            let outcome = completion.result.map(|got| {
                reply.resize(got.reply().len, 0);
                assert_eq!(got.read(0, &mut reply), got.reply().len);
                got.reply()
            });
            check(&expected, &outcome, &reply);
        }
        let more = self.queue.try_next().map(|completion| completion.token);
        assert_eq!(more, None, "a completion that nobody expects");
        let more = self.senders.unexpected();
        assert_eq!(more, None, "an end of a send that nobody expects");
    }
}
