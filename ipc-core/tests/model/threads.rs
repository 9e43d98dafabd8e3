//! Threads of the model: those that send and wait for the answer, and those that wait in a receive.

use std::{
    collections::BTreeMap,
    io::{IoSlice, IoSliceMut},
    sync::{Arc, mpsc},
    thread::{self, JoinHandle},
    time::Duration,
};

use ipc_core::{
    Channel, Connection, Received, Reply, Timeout,
    abi::{Errno, Result},
    set_priority,
};

use crate::{operation::Form, oracle::Token};

/// After so long, what was to happen is taken for forgotten.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// How a blocking send ended: what it answered, and the reply buffer.
pub(crate) type Ended = (Result<Reply>, Vec<u8>);

/// Threads that send.
pub(crate) struct Senders {
    sender: mpsc::Sender<(Token, Ended)>,
    ended: mpsc::Receiver<(Token, Ended)>,
    /// What was heard before it was asked for.
    early: BTreeMap<Token, Ended>,
}

impl Senders {
    pub(crate) fn new() -> Senders {
        let (sender, ended) = mpsc::channel();
        let early = BTreeMap::new();
        Senders {
            sender,
            ended,
            early,
        }
    }

    /// Sends from a thread of its own.
    pub(crate) fn start(
        &self,
        connection: &Arc<Connection>,
        (token, priority, form): (Token, u8, Form),
        bytes: Vec<u8>,
        room: usize,
    ) {
        let (connection, ended) = (Arc::clone(connection), self.sender.clone());
        thread::spawn(move || {
            set_priority(priority);
            let mut reply = vec![0; room];
            let outcome = send(&connection, form, &bytes, &mut reply);
            // A model that has failed no longer listens.
            let _ = ended.send((token, (outcome, reply)));
        });
    }

    /// How a message's send ended, once it has.
    pub(crate) fn end(&mut self, token: Token) -> Ended {
        loop {
            if let Some(ended) = self.early.remove(&token) {
                return ended;
            }
            let heard = self.ended.recv_timeout(PATIENCE);
            let (by, ended) = heard.unwrap_or_else(|_| panic!("the send of {token} does not end"));
            self.early.insert(by, ended);
        }
    }

    /// A send that ended although nobody expects it.
    pub(crate) fn unexpected(&mut self) -> Option<(Token, Ended)> {
        self.early
            .pop_first()
            .or_else(|| self.ended.try_recv().ok())
    }
}

fn send(connection: &Connection, form: Form, bytes: &[u8], reply: &mut [u8]) -> Result<Reply> {
    match form {
        Form::Plain => connection.send(bytes, reply),
        Form::Impatient => connection.send_timeout(bytes, reply, Timeout::reply(Duration::ZERO)),
        Form::Vectored => {
            let (first, second) = bytes.split_at(bytes.len() / 3);
            let (head, tail) = reply.split_at_mut(reply.len() / 2);
            let parts = [IoSlice::new(first), IoSlice::new(&[]), IoSlice::new(second)];
            connection.send_vectored(&parts, &mut [IoSliceMut::new(head), IoSliceMut::new(tail)])
        }
        Form::Loaned => {
            let mut loan = connection.loan(bytes.len(), reply.len())?;
            loan.write(0, bytes);
            let answer = connection.send_loan(loan)?;
            answer.read(0, reply);
            Ok(answer.reply())
        }
    }
}

/// Threads that wait in a receive.
pub(crate) struct Waiters {
    sender: mpsc::Sender<(u64, Result<Received>)>,
    received: mpsc::Receiver<(u64, Result<Received>)>,
    /// What was heard before it was asked for.
    early: BTreeMap<u64, Result<Received>>,
    threads: Vec<JoinHandle<()>>,
}

impl Waiters {
    pub(crate) fn new() -> Waiters {
        let (sender, received) = mpsc::channel();
        let (early, threads) = (BTreeMap::new(), Vec::new());
        Waiters {
            sender,
            received,
            early,
            threads,
        }
    }

    pub(crate) fn start(&mut self, channel: &Arc<Channel>, id: u64, pulses_only: bool) {
        let (channel, received) = (Arc::clone(channel), self.sender.clone());
        self.threads.push(thread::spawn(move || {
            let what = match pulses_only {
                true => channel.receive_pulse().map(Received::Pulse),
                false => channel.receive(),
            };
            drop(channel);
            // A model that has failed no longer listens.
            let _ = received.send((id, what));
        }));
    }

    /// What a thread received, once it has.
    pub(crate) fn end(&mut self, id: u64) -> Result<Received> {
        loop {
            if let Some(received) = self.early.remove(&id) {
                return received;
            }
            let heard = self.received.recv_timeout(PATIENCE);
            let others = self.early.keys();
            let (by, received) = heard
                .unwrap_or_else(|_| panic!("thread {id} received nothing, but {others:?} did"));
            self.early.insert(by, received);
        }
    }

    /// A thread that received something although nobody expects it.
    pub(crate) fn unexpected(&mut self) -> Option<u64> {
        self.early.extend(self.received.try_iter());
        self.early.first_key_value().map(|(id, _)| *id)
    }

    /// Waits until all threads have gone: each has received something.
    pub(crate) fn join(&mut self) {
        for thread in self.threads.drain(..) {
            thread.join().expect("no panic");
        }
    }
}

/// How a send that nobody receives ends.
pub(crate) fn send_in_vain(connection: &Connection, bytes: &[u8], covers_reply: bool) {
    let timeout = match covers_reply {
        true => Timeout::all(Duration::ZERO),
        false => Timeout::send(Duration::ZERO),
    };
    let mut reply = [0; 8];
    let outcome = connection.send_timeout(bytes, &mut reply, timeout);
    assert_eq!((outcome, reply), (Err(Errno::ETIMEDOUT), [0; 8]));
}
