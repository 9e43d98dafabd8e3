//! What the server does: take what is there or have threads wait for it, answer, destroy its channel.

use std::{sync::Arc, time::Duration};

use ipc_core::{
    Channel, Received, ReceivedMessage,
    abi::{Errno, Pid, PulseCode},
};

use super::{CODE, Subject, WAITERS_MAX, attach, filled, until};
use crate::oracle::{Delivery, Message, OTHER, Pulse, Sender, put};

impl Subject {
    pub(super) fn receive(&mut self, pulses_only: bool) {
        let received = match pulses_only {
            false => self.channel.try_receive().expect("the channel lives"),
            true => match self.channel.receive_pulse_timeout(Duration::ZERO) {
                Ok(pulse) => Some(Received::Pulse(pulse)),
                Err(error) => {
                    assert_eq!(error, Errno::ETIMEDOUT);
                    None
                }
            },
        };
        let expected = self.oracle.receive(pulses_only);
        self.compare(expected, received);
    }

    pub(super) fn wait(&mut self, pulses_only: bool) {
        if self.oracle.has_any(pulses_only) || self.oracle.waiting_count() == WAITERS_MAX {
            return;
        }
        let id = self.number();
        self.waiters.start(&self.channel, id, pulses_only);
        self.oracle.wait(id, pulses_only);
    }

    /// Gives every thread that waits a pulse.
    pub(super) fn send_waiters_off(&mut self) {
        while self.oracle.waiting_count() > 0 {
            let value = self.number().cast_signed();
            assert_eq!(self.channel.send_pulse(255, CODE, value), Ok(()));
            self.oracle.pulse(255, value);
            self.settle();
        }
        self.waiters.join();
    }

    pub(super) fn compare(&mut self, expected: Delivery, received: Option<Received>) {
        match (expected, received) {
            (Delivery::Nothing, None) => {}
            (Delivery::Pulse(Pulse::Sent { priority, value }), Some(Received::Pulse(pulse))) => {
                assert_eq!(
                    (pulse.code, pulse.value, pulse.priority),
                    (CODE, value, priority)
                );
            }
            (Delivery::Pulse(Pulse::Unblock { of, priority }), Some(Received::Pulse(pulse))) => {
                let id = self.held[&of].rcvid().0;
                assert_eq!((pulse.code, pulse.value), (PulseCode::UNBLOCK, id));
                assert_eq!(pulse.priority, priority);
            }
            (Delivery::Pulse(Pulse::Disconnect), Some(Received::Pulse(pulse))) => {
                assert_eq!(pulse.code, PulseCode::DISCONNECT);
                assert_eq!(self.channel.detach_client(pulse.scoid), Ok(()));
            }
            (Delivery::Message(expected), Some(Received::Message(message))) => {
                self.received(expected, message);
            }
            (expected, got) => panic!("expected {expected:?}, received {got:?}"),
        }
    }

    pub(super) fn received(&mut self, expected: Message, message: ReceivedMessage) {
        if expected.sender == Sender::Impatient {
            if !self.oracle.keeps_unblocking {
                until(|| message.read(0, &mut []) == Err(Errno::ESRCH));
                return self.stale.push(message.rcvid());
            }
            until(|| message.info().unblock_requested);
        }
        assert_eq!(message.read_vec(0, usize::MAX), Ok(expected.bytes.clone()));
        let info = message.info();
        assert_eq!(info.priority, expected.priority);
        assert_eq!(info.srcmsglen, expected.bytes.len());
        assert_eq!(info.dstmsglen, expected.reply.len());
        let (pid, coid) = match expected.connection {
            OTHER => (self.other.as_ref().expect("it lives").pid(), info.coid),
            own => (Pid::current(), self.connections[own].coid()),
        };
        assert_eq!((info.pid, info.coid), (pid, coid));
        self.held.insert(expected.token, message);
    }

    /// Destroys the channel and makes another, to which everybody attaches.
    pub(super) fn destroy(&mut self) {
        self.send_waiters_off();
        self.kill_other();
        self.settle();
        let another = Channel::create(self.flags).expect("a channel can be made");
        let destroyed = std::mem::replace(&mut self.channel, Arc::new(another));
        drop(Arc::into_inner(destroyed).expect("no thread receives on it"));
        self.oracle.destroy();
        for (_, message) in std::mem::take(&mut self.held) {
            assert_eq!(message.reply(0, b""), Err(Errno::ESRCH));
        }
        self.stale.clear();
        for connection in &self.connections {
            until(|| connection.send(b"", &mut []) == Err(Errno::EBADF));
        }
        // A connection that is dropped takes the completions that were not collected along.
        self.collect();
        for connection in &mut self.connections {
            *connection = attach(&self.channel, &self.queue);
        }
    }

    pub(super) fn read(&mut self, at: usize, offset: usize, len: usize) {
        let message = &self.oracle.received[at];
        let mut into = vec![0; len];
        let read = self.held[&message.token]
            .read(offset, &mut into)
            .expect("it waits");
        let expected = message.bytes.get(offset..).unwrap_or_default();
        let expected = &expected[..expected.len().min(len)];
        assert_eq!(&into[..read], expected);
    }

    pub(super) fn write(&mut self, at: usize, offset: usize, len: usize) {
        let bytes = filled(self.number(), len);
        let message = &mut self.oracle.received[at];
        let written = self.held[&message.token].write(offset, &bytes);
        assert_eq!(written, Ok(put(&mut message.reply, offset, &bytes)));
    }

    pub(super) fn reply(&mut self, at: usize, status: i64, len: usize) {
        let bytes = filled(self.number(), len);
        let message = self.take_held(at);
        assert_eq!(message.reply(status, &bytes), Ok(()));
        self.oracle.reply(at, status, &bytes);
    }

    pub(super) fn error(&mut self, at: usize, errno: Errno) {
        let message = self.take_held(at);
        assert_eq!(message.error(errno), Ok(()));
        self.oracle.fail(at, errno);
    }

    pub(super) fn drop_message(&mut self, at: usize) {
        drop(self.take_held(at));
        self.oracle.fail(at, Errno::EIO);
    }

    pub(super) fn stale_reply(&mut self, which: usize) {
        if !self.stale.is_empty() {
            let id = self.stale[which % self.stale.len()];
            assert_eq!(self.channel.reply(id, 1, b"stale"), Err(Errno::ESRCH));
            assert_eq!(self.channel.info(id), Err(Errno::ESRCH));
        }
    }

    pub(super) fn take_held(&mut self, at: usize) -> ReceivedMessage {
        let token = self.oracle.received[at].token;
        let message = self.held.remove(&token).expect("what was received is held");
        self.stale.push(message.rcvid());
        message
    }
}
