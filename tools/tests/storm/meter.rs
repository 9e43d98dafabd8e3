//! How fast a healthy client's calls go: a part that runs on a node and measures when it is told to.

use std::io::BufRead;
use std::process::Stdio;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use ipc_core::abi::ChannelFlags;
use ipc_core::proc::{NameScope, name_attach, name_open};
use ipc_core::{Channel, Connection, Received};
use qnet::daemon::notify_ready;
use tools::netlab::Lab;

use crate::figures::of_sorted;
use crate::load::{start, until_ok};
use crate::support::{Running, part, setting};

/// Receiving threads of the server.
const RECEIVERS: u32 = 2;

/// Starts a server of this name that takes whole messages and answers them with a few bytes.
pub(crate) fn start_sink(lab: &Lab, node: &str, name: &str) {
    start(lab, node, name, "meter::part_sink", &[("NAME", name)]);
}

#[test]
#[ignore = "run by the tests here as a daemon: takes messages"]
fn part_sink() {
    let name = setting("NAME");
    let channel = Arc::new(Channel::create(ChannelFlags::empty()).expect("a channel"));
    let _registration = until_ok(|| name_attach(&name, &channel, NameScope::Local));
    notify_ready(&name);
    for _ in 1..RECEIVERS {
        let channel = Arc::clone(&channel);
        thread::spawn(move || sink(&channel));
    }
    sink(&channel);
}

fn sink(channel: &Channel) {
    let mut bytes = Vec::new();
    loop {
        if let Received::Message(message) = channel.receive().expect("it is our channel") {
            bytes.resize(message.len(), 0);
            let taken = message.read(0, &mut bytes).map(|len| len.to_le_bytes());
            // The client may be gone.
            let _ = taken.and_then(|answer| message.reply(0, &answer));
        }
    }
}

/// A client that measures.
pub(crate) struct Meter(Running);

/// What it measured in one window.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Figures {
    pub(crate) calls_per_s: f64,
    pub(crate) p50_us: f64,
    pub(crate) p99_us: f64,
}

impl Meter {
    /// A client on a node with so many threads that send messages of `len` bytes to a path.
    pub(crate) fn start(lab: &Lab, node: &str, path: &str, threads: u32, len: usize) -> Meter {
        let mut command = part(lab, node, "meter::part_meter");
        command
            .env("TARGET", path)
            .env("THREADS", threads.to_string())
            .env("LEN", len.to_string())
            .stdin(Stdio::piped());
        let mut running = Running::start(command);
        running.next("ready to measure");
        Meter(running)
    }

    /// Measures for so long.
    pub(crate) fn measure(&mut self, span: Duration) -> Figures {
        self.0.say(&span.as_millis().to_string());
        let words = self.0.next("figures");
        let numbers: Vec<f64> = words
            .split_whitespace()
            .map(|word| word.parse().expect("a number"))
            .collect();
        Figures {
            calls_per_s: numbers[0],
            p50_us: numbers[1],
            p99_us: numbers[2],
        }
    }
}

impl Drop for Meter {
    fn drop(&mut self) {
        self.0.kill();
    }
}

#[test]
#[ignore = "run by the tests here as a part: measures calls"]
fn part_meter() {
    let (target, threads) = (setting("TARGET"), number("THREADS"));
    let message = vec![7; number("LEN")];
    let connections: Vec<Connection> = (0..threads)
        .map(|_| {
            until_ok(|| {
                let connection = name_open(&target, NameScope::Local)?;
                connection.send(&message, &mut [0; 8])?;
                Ok(connection)
            })
        })
        .collect();
    println!("ready to measure");
    for line in std::io::stdin().lock().lines() {
        let line = line.expect("text");
        let span = Duration::from_millis(line.trim().parse().expect("milliseconds"));
        let mut times_ns = measure(&connections, &message, span);
        times_ns.sort_unstable();
        let us = |rank: f64| of_sorted(&times_ns, rank) as f64 / 1e3;
        let rate = times_ns.len() as f64 / span.as_secs_f64();
        println!("figures {rate} {} {}", us(0.5), us(0.99));
    }
}

fn number(name: &str) -> usize {
    setting(name).parse().expect("a number")
}

/// How long each call took. The call under way when the time is over counts: there is at least one.
fn measure(connections: &[Connection], message: &[u8], span: Duration) -> Vec<u64> {
    let end = Instant::now() + span;
    thread::scope(|scope| {
        let threads = connections.iter().map(|connection| {
            scope.spawn(move || {
                let mut times_ns = Vec::new();
                loop {
                    let start = Instant::now();
                    let replied = connection.send(message, &mut [0; 8]);
                    replied.expect("a healthy server answers");
                    times_ns.push(start.elapsed().as_nanos() as u64);
                    if Instant::now() >= end {
                        return times_ns;
                    }
                }
            })
        });
        let threads: Vec<_> = threads.collect();
        let times = threads.into_iter().map(|thread| thread.join());
        times
            .flat_map(|times| times.expect("it measures"))
            .collect()
    })
}
