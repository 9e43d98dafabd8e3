//! The load: a server that checks what it receives, and clients that never rest. Each is an ignored test that
//! the lab runs on a node as one of its daemons.
//!
//! A client learns the number of the server's life with its first message on a connection and states it in
//! every later one: a message that reaches another life is a violation, and so is one that comes twice, and a
//! reply that is not the one to the message.

use std::collections::{BTreeSet, HashMap};
use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::time::Duration;

use ipc_core::abi::{ChannelFlags, Errno, Rcvid, Result};
use ipc_core::proc::{NameScope, name_attach, name_open};
use ipc_core::{Channel, Connection, Received, ReceivedMessage};
use qnet::daemon::notify_ready;
use tools::netlab::Lab;

use crate::journal::{Entry, Message, Outcome, moment_ns};
use crate::random::Random;
use crate::support::setting;

/// Threads of a client for each of its targets: one of each kind of message.
pub(crate) const THREADS_PER_TARGET: u32 = 3;
const KINDS: [Kind; THREADS_PER_TARGET as usize] = [Kind::Small, Kind::Bulk, Kind::Held];
/// Receiving threads of a server.
const RECEIVERS: u32 = 3;
/// Messages after which a client attaches anew.
const MESSAGES_PER_CONNECTION: u64 = 40;
/// Messages of one sender that a server remembers.
const REMEMBERED: usize = 4096;
/// How long a held message waits for its answer.
const HELD_FOR: Duration = Duration::from_millis(60);
/// Successes are logged no more often than this.
const LOG_INTERVAL_NS: u128 = 20_000_000;
const RETRY_INTERVAL: Duration = Duration::from_millis(10);
const HEAD_LEN: usize = 32;
const BULK_LEN: u64 = 256 << 10;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Hello,
    /// A few bytes, answered at once.
    Small,
    /// Many frames each way.
    Bulk,
    /// Answered later, by another thread.
    Held,
}

/// What every message and every reply begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Head {
    life: u64,
    sender: u64,
    number: u64,
    kind: u64,
}

impl Head {
    fn message(self) -> Message {
        Message {
            sender: self.sender,
            number: self.number,
        }
    }

    fn bytes(self, len: usize) -> Vec<u8> {
        let words = [self.life, self.sender, self.number, self.kind];
        let mut bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        bytes.resize(len.max(HEAD_LEN), self.number as u8);
        bytes
    }

    /// The head, if every byte behind it is the right one.
    fn of(bytes: &[u8]) -> Option<Head> {
        let (head, rest) = bytes.split_at_checked(HEAD_LEN)?;
        let word = |at: usize| u64::from_le_bytes(head[at * 8..][..8].try_into().expect("eight"));
        let head = Head {
            life: word(0),
            sender: word(1),
            number: word(2),
            kind: word(3),
        };
        rest.iter()
            .all(|byte| *byte == head.number as u8)
            .then_some(head)
    }
}

/// A number that no other life has.
pub(crate) fn fresh() -> u64 {
    RandomState::new().hash_one(std::process::id())
}

/// Starts the server under a name on a node, as its daemon of that name.
pub(crate) fn start_server(lab: &Lab, node: &str, name: &str) {
    start(lab, node, name, "load::part_server", &[("NAME", name)]);
}

/// Starts a client of these paths on a node, as its daemon of that name.
pub(crate) fn start_client(lab: &Lab, node: &str, name: &str, targets: &[&str]) {
    let targets = targets.join(",");
    start(
        lab,
        node,
        name,
        "load::part_client",
        &[("TARGETS", &targets)],
    );
}

/// Starts an ignored test of this program as a daemon of a node.
pub(crate) fn start(lab: &Lab, node: &str, daemon: &str, part: &str, settings: &[(&str, &str)]) {
    let own = std::env::current_exe().expect("the kernel knows what it runs");
    let mut command = vec!["env".to_owned()];
    command.extend(
        settings
            .iter()
            .map(|(name, value)| format!("{name}={value}")),
    );
    command.push(own.display().to_string());
    let arguments = ["--exact", part, "--ignored", "--nocapture", "--quiet"];
    command.extend(arguments.map(str::to_owned));
    lab.serve(node, daemon, command)
        .unwrap_or_else(|error| panic!("{daemon} on {node}: {error}"));
}

#[test]
#[ignore = "run by the tests here as a daemon: answers, and checks what it gets"]
fn part_server() {
    let name = setting("NAME");
    let channel = Arc::new(Channel::create(ChannelFlags::empty()).expect("a channel"));
    let _registration = until_ok(|| name_attach(&name, &channel, NameScope::Local));
    let (keep, kept) = mpsc::channel();
    let server = Arc::new(Server {
        life: fresh(),
        seen: Mutex::default(),
        keep,
    });
    for _ in 1..RECEIVERS {
        let (server, channel) = (Arc::clone(&server), Arc::clone(&channel));
        thread::spawn(move || server.receive(&channel));
    }
    let late = Arc::clone(&channel);
    thread::spawn(move || answer_late(&late, &kept));
    notify_ready(&name);
    server.receive(&channel);
}

struct Server {
    life: u64,
    /// What each sender has sent.
    seen: Mutex<HashMap<u64, BTreeSet<u64>>>,
    keep: mpsc::Sender<(Rcvid, Vec<u8>)>,
}

impl Server {
    fn receive(&self, channel: &Channel) {
        loop {
            if let Received::Message(message) = channel.receive().expect("it is our channel") {
                // A client may be gone at any moment.
                let _ = self.answer(message);
            }
        }
    }

    fn answer(&self, message: ReceivedMessage) -> Result<()> {
        let bytes = message.read_vec(0, message.len())?;
        let Some(head) = Head::of(&bytes) else {
            println!("violation: {} bytes are not what was sent", bytes.len());
            return message.error(Errno::EIO);
        };
        let is_hello = head.kind == Kind::Hello as u64;
        if head.life != self.life && !is_hello {
            println!(
                "violation: meant for another life than {}: {head:?}",
                self.life
            );
        }
        let mut seen = self.seen.lock().expect("nobody panics with it");
        let numbers = seen.entry(head.sender).or_default();
        if !numbers.insert(head.number) {
            println!("violation: it came before: {head:?}");
        }
        if numbers.len() > REMEMBERED {
            numbers.pop_first();
        }
        drop(seen);
        let reply = Head {
            life: self.life,
            ..head
        };
        let reply = reply.bytes(bytes.len());
        if head.kind == Kind::Held as u64 {
            head.message().print_held();
            let id = message.into_rcvid();
            self.keep.send((id, reply)).expect("the other thread lives");
            return Ok(());
        }
        message.reply(0, &reply)
    }
}

fn answer_late(channel: &Channel, kept: &mpsc::Receiver<(Rcvid, Vec<u8>)>) {
    while let Ok((id, reply)) = kept.recv() {
        thread::sleep(HELD_FOR);
        let _ = channel.reply(id, 0, &reply);
    }
}

pub(crate) fn until_ok<T>(mut attempt: impl FnMut() -> Result<T>) -> T {
    loop {
        match attempt() {
            Ok(value) => return value,
            Err(_) => thread::sleep(RETRY_INTERVAL),
        }
    }
}

#[test]
#[ignore = "run by the tests here as a daemon: sends without end"]
fn part_client() {
    let targets = setting("TARGETS");
    let threads = targets
        .split(',')
        .flat_map(|target| KINDS.map(|kind| (target, kind)));
    thread::scope(|scope| {
        for (index, (target, kind)) in threads.enumerate() {
            let client = Client {
                thread: index as u32,
                target,
                kind,
                sender: fresh(),
            };
            scope.spawn(move || client.run());
        }
        notify_ready("client");
    });
}

struct Client<'a> {
    thread: u32,
    target: &'a str,
    kind: Kind,
    sender: u64,
}

impl Client<'_> {
    fn run(&self) {
        let mut random = Random::new(self.sender);
        let (mut number, mut logged_ns, mut had_error) = (0, 0, true);
        loop {
            let start_ns = moment_ns();
            let opened = name_open(self.target, NameScope::Local);
            let greeted = opened.and_then(|connection| {
                let life = self.exchange(&connection, 0, Kind::Hello, &mut number, HEAD_LEN)?;
                Ok((connection, life))
            });
            let (connection, life) = match greeted {
                Ok(greeted) => greeted,
                Err(errno) => {
                    self.log(Outcome::Refused(format!("{errno:?}")), start_ns, number);
                    had_error = true;
                    thread::sleep(RETRY_INTERVAL);
                    continue;
                }
            };
            for _ in 0..MESSAGES_PER_CONNECTION {
                let len = match self.kind {
                    Kind::Bulk => random.below(BULK_LEN),
                    _ => random.below(200),
                };
                let start_ns = moment_ns();
                match self.exchange(&connection, life, self.kind, &mut number, len as usize) {
                    Ok(_) if had_error || moment_ns() - logged_ns > LOG_INTERVAL_NS => {
                        (had_error, logged_ns) = (false, moment_ns());
                        self.log(Outcome::Ok, start_ns, number);
                    }
                    Ok(_) => {}
                    Err(errno) => {
                        self.log(Outcome::Failed(format!("{errno:?}")), start_ns, number);
                        had_error = true;
                        break;
                    }
                }
            }
        }
    }

    /// One message and its reply; answers the life of the server.
    fn exchange(
        &self,
        connection: &Connection,
        life: u64,
        kind: Kind,
        number: &mut u64,
        len: usize,
    ) -> Result<u64> {
        *number += 1;
        let head = Head {
            life,
            sender: self.sender,
            number: *number,
            kind: kind as u64,
        };
        let message = head.bytes(len);
        let mut reply = vec![0; message.len()];
        let replied = connection.send(&message, &mut reply)?;
        reply.truncate(replied.len);
        let answer = Head::of(&reply);
        let expected = Head {
            life: answer.map_or(0, |answer| answer.life),
            ..head
        };
        let is_same_life = kind == Kind::Hello || answer.is_some_and(|answer| answer.life == life);
        if answer != Some(expected) || reply.len() != message.len() || !is_same_life {
            println!("violation: {head:?} was answered by {answer:?}");
        }
        Ok(expected.life)
    }

    fn log(&self, outcome: Outcome, start_ns: u128, number: u64) {
        let entry = Entry {
            thread: self.thread,
            outcome,
            start_ns,
            end_ns: moment_ns(),
            message: Message {
                sender: self.sender,
                number,
            },
        };
        entry.print();
    }
}
