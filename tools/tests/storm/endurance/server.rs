//! The server of a long life: one thread receives, others answer what is long.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, mpsc};
use std::thread;

use ipc_core::abi::{ChannelFlags, Errno, Pulse, PulseCode, Rcvid, Result, Scoid};
use ipc_core::proc::{NameScope, name_attach};
use ipc_core::{Channel, Received, ReceivedMessage};
use qnet::daemon::notify_ready;

use super::message::{HEAD_LEN, Head, Kind};
use crate::load::until_ok;
use crate::support::setting;

/// Threads that answer long messages.
const WORKERS: u32 = 2;
const LONG_LEN: usize = 4096;
/// Status of an answer to a client that wanted out.
pub(super) const LET_GO: i64 = 77;

/// What is remembered of one client process.
#[derive(Default)]
struct Client {
    /// Pulses by their sender's number.
    pulses: BTreeMap<u32, u32>,
    kept: BTreeSet<i64>,
}

struct Server {
    channel: Arc<Channel>,
    clients: BTreeMap<Scoid, Client>,
    workers: mpsc::Sender<ReceivedMessage>,
}

#[test]
#[ignore = "run by the tests here as a daemon: answers, and checks what it gets"]
fn part_mixed() {
    let name = setting("NAME");
    let flags = ChannelFlags::UNBLOCK | ChannelFlags::DISCONNECT;
    let channel = Arc::new(Channel::create(flags).expect("a channel"));
    let _registration = until_ok(|| name_attach(&name, &channel, NameScope::Local));
    let (workers, work) = mpsc::channel();
    let work = Arc::new(Mutex::new(work));
    for _ in 0..WORKERS {
        let work: Arc<Mutex<mpsc::Receiver<ReceivedMessage>>> = Arc::clone(&work);
        thread::spawn(move || {
            loop {
                let next = work.lock().expect("nobody panics with it").recv();
                // A client may be gone at any moment.
                let _ = echo(next.expect("the server lives"));
            }
        });
    }
    notify_ready(&name);
    let mut server = Server {
        channel,
        clients: BTreeMap::new(),
        workers,
    };
    loop {
        match server.channel.receive().expect("it is our channel") {
            Received::Message(message) => {
                let _ = server.take(message);
            }
            Received::Pulse(pulse) => server.hear(pulse),
        }
    }
}

/// Answers with as many bytes as the message asks for.
fn echo(message: ReceivedMessage) -> Result<()> {
    let bytes = message.read_vec(0, message.len())?;
    let Some(head) = Head::of(&bytes) else {
        println!("violation: {} bytes are not what was sent", bytes.len());
        return message.error(Errno::EIO);
    };
    message.reply(0, &head.bytes(head.reply_len as usize))
}

impl Server {
    fn take(&mut self, message: ReceivedMessage) -> Result<()> {
        let mut bytes = [0; HEAD_LEN];
        let (len, scoid) = (message.read(0, &mut bytes)?, message.info().scoid);
        let Some(head) = Head::of(&bytes[..len]) else {
            println!("violation: a message of {len} bytes");
            return message.error(Errno::EIO);
        };
        let client = self.clients.entry(scoid).or_default();
        let value = match head.kind {
            kind if kind == Kind::Keep as u64 => {
                client.kept.insert(message.into_rcvid().0);
                return Ok(());
            }
            kind if kind == Kind::CountPulses as u64 => client
                .pulses
                .remove(&(head.sender as u32))
                .unwrap_or(0)
                .into(),
            kind if kind == Kind::WhatIsHeld as u64 => {
                // The one who asks is not counted.
                let kept = self
                    .clients
                    .values()
                    .map(|client| client.kept.len())
                    .sum::<usize>();
                (self.clients.len() - 1 + kept) as u64
            }
            _ if message.len() > LONG_LEN || head.reply_len as usize > LONG_LEN => {
                self.workers.send(message).expect("the workers live");
                return Ok(());
            }
            _ => return echo(message),
        };
        message.reply(0, &Head { value, ..head }.bytes(HEAD_LEN))
    }

    fn hear(&mut self, pulse: Pulse) {
        match pulse.code {
            PulseCode::UNBLOCK => {
                let mut clients = self.clients.values_mut();
                if clients.any(|client| client.kept.remove(&pulse.value)) {
                    let _ = self.channel.reply(Rcvid(pulse.value), LET_GO, &[]);
                }
            }
            PulseCode::DISCONNECT => {
                // Nothing is known of one that was gone before it said anything.
                self.clients.remove(&pulse.scoid);
                if let Err(errno) = self.channel.detach_client(pulse.scoid) {
                    println!("violation: {pulse:?} cannot be detached: {errno}");
                }
            }
            _ => {
                let (sender, number) = ((pulse.value >> 32) as u32, pulse.value as u32);
                let pulses = &mut self.clients.entry(pulse.scoid).or_default().pulses;
                let count = pulses.entry(sender).or_default();
                if *count != number {
                    println!("violation: {pulse:?} came after {count}");
                }
                *count = number + 1;
            }
        }
    }
}
