//! What the programs of a load log, read while they write it.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::Read;
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tools::netlab::Lab;

/// A load that says nothing of the kind that is waited for during this time hangs.
const WATCHDOG: Duration = Duration::from_secs(90);
const LOOK_INTERVAL: Duration = Duration::from_millis(5);

/// What became of one attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Ok,
    /// A message on an open connection ended in this error.
    Failed(String),
    /// The server could not be found or attached to.
    Refused(String),
}

/// One attempt of one thread of a client.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) thread: u32,
    pub(crate) outcome: Outcome,
    pub(crate) start_ns: u128,
    pub(crate) end_ns: u128,
    /// Of its last message.
    pub(crate) message: Message,
}

/// Who sent a message, and which of its own it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Message {
    pub(crate) sender: u64,
    pub(crate) number: u64,
}

impl Message {
    /// Says that a server has it and does not answer yet: who sent it is blocked.
    pub(crate) fn print_held(self) {
        println!("held {} {}", self.sender, self.number);
    }

    fn parse<'a>(mut words: impl Iterator<Item = &'a str>) -> Option<Message> {
        Some(Message {
            sender: words.next()?.parse().ok()?,
            number: words.next()?.parse().ok()?,
        })
    }
}

impl Entry {
    /// What it failed with.
    pub(crate) fn errno(&self) -> Option<&str> {
        match &self.outcome {
            Outcome::Ok => None,
            Outcome::Failed(errno) | Outcome::Refused(errno) => Some(errno),
        }
    }

    /// As [`Entry::parse`] reads it.
    pub(crate) fn print(&self) {
        let (word, errno) = match &self.outcome {
            Outcome::Ok => ("ok", "-"),
            Outcome::Failed(errno) => ("failed", errno.as_str()),
            Outcome::Refused(errno) => ("refused", errno.as_str()),
        };
        let (thread, start, end) = (self.thread, self.start_ns, self.end_ns);
        let Message { sender, number } = self.message;
        println!("{word} {errno} {thread} {start} {end} {sender} {number}");
    }

    fn parse(line: &str) -> Option<Entry> {
        let mut words = line.split_whitespace();
        let (word, errno) = (words.next()?, words.next()?);
        let outcome = match word {
            "ok" => Outcome::Ok,
            "failed" => Outcome::Failed(errno.to_owned()),
            "refused" => Outcome::Refused(errno.to_owned()),
            _ => return None,
        };
        Some(Entry {
            outcome,
            thread: words.next()?.parse().ok()?,
            start_ns: words.next()?.parse().ok()?,
            end_ns: words.next()?.parse().ok()?,
            message: Message::parse(words)?,
        })
    }
}

/// The log of one daemon, over all of its lives.
pub(crate) struct Journal {
    name: String,
    file: File,
    /// The begin of a line whose rest is not written yet.
    begun: String,
    pub(crate) entries: Vec<Entry>,
    /// What a server has held.
    held: BTreeSet<Message>,
}

impl Journal {
    pub(crate) fn open(lab: &Lab, node: &str, daemon: &str) -> Journal {
        let file = lab.open(node, format!("log/{daemon}.log"));
        Journal {
            name: format!("{daemon} on {node}"),
            file: file.expect("a daemon has a log"),
            begun: String::new(),
            entries: Vec::new(),
            held: BTreeSet::new(),
        }
    }

    /// Reads what is new.
    ///
    /// # Panics
    /// The daemon complains: a test has failed there.
    pub(crate) fn read(&mut self) {
        self.file.read_to_string(&mut self.begun).expect("text");
        let end = self.begun.rfind('\n').map_or(0, |at| at + 1);
        let rest = self.begun.split_off(end);
        let lines = std::mem::replace(&mut self.begun, rest);
        for line in lines.lines() {
            let is_complaint = line.contains("violation") || line.contains("panicked");
            assert!(!is_complaint, "{}: {line}", self.name);
            self.entries.extend(Entry::parse(line));
            let held = line.strip_prefix("held ");
            let held = held.and_then(|rest| Message::parse(rest.split_whitespace()));
            self.held.extend(held);
        }
    }

    /// Whether this server has held a message.
    pub(crate) fn has_held(&self, message: Message) -> bool {
        self.held.contains(&message)
    }

    /// Waits until each of so many threads had a success that began after `start_ns`.
    ///
    /// # Panics
    /// That does not happen: the load hangs, or does not come back.
    pub(crate) fn wait_for_success(&mut self, threads: u32, start_ns: u128) {
        let deadline = Instant::now() + WATCHDOG;
        loop {
            self.read();
            let is_back = |thread: u32| {
                self.entries.iter().rev().any(|entry| {
                    entry.thread == thread
                        && entry.start_ns > start_ns
                        && entry.outcome == Outcome::Ok
                })
            };
            let missing: Vec<u32> = (0..threads).filter(|thread| !is_back(*thread)).collect();
            if missing.is_empty() {
                return;
            }
            let last: Vec<&Entry> = missing
                .iter()
                .filter_map(|thread| self.entries.iter().rfind(|entry| entry.thread == *thread))
                .collect();
            assert!(
                Instant::now() < deadline,
                "{}: threads {missing:?} of {threads} do not come back; their last words: {last:?}",
                self.name
            );
            thread::sleep(LOOK_INTERVAL);
        }
    }

    /// Those that were not successes since the last call.
    pub(crate) fn take_errors(&mut self) -> Vec<Entry> {
        self.read();
        let mut entries = std::mem::take(&mut self.entries);
        entries.retain(|entry| entry.outcome != Outcome::Ok);
        entries
    }
}

/// Whether a call found its connection closed (SND-5): that is said only of what was not sent, so that no server can have
/// it. What was sent before its client knew of the end ends with the reason, as the tests of two nodes hold: here nobody can
/// tell it apart by the clock, as a thread may lose its processor between reading that and the look of the library.
pub(crate) fn found_closed(servers: &[Journal], entry: &Entry) -> bool {
    let has_it = servers.iter().any(|server| server.has_held(entry.message));
    entry.outcome == Outcome::Failed("EBADF".to_owned()) && !has_it
}

/// The same for all processes of the machine.
pub(crate) fn moment_ns() -> u128 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.expect("the clock is past 1970").as_nanos()
}
