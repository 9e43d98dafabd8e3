//! A client of a long life: threads that do each one kind of thing, again and again, until they are to rest.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::Duration;

use ipc_core::abi::{Errno, PulseCode, Result};
use ipc_core::proc::{NameScope, name_open};
use ipc_core::{Connection, Pipeline, PipelineOptions, Timeout, file};
use qnet::daemon::notify_ready;

use super::message::{HEAD_LEN, Head, Kind};
use super::server::LET_GO;
use crate::journal::{Entry, Message, Outcome, moment_ns};
use crate::load::fresh;
use crate::random::Random;
use crate::support::setting;

type Act = fn(&mut Client, &Connection) -> Result<()>;

/// What the threads of a client do on a connection, one thread for each of its targets.
const ACTS: [Act; THREADS_PER_TARGET as usize] = [small, stream, large, pulses_and_timeouts, files];
pub(super) const THREADS_PER_TARGET: u32 = 5;
/// Turns after which a connection is left for a new one, at most.
const TURNS_MAX: u64 = 8;
/// The longest pause between two turns.
const PAUSE_MAX_US: u64 = 20_000;
const REST_LOOK: Duration = Duration::from_millis(20);
const REFUSED_PAUSE: Duration = Duration::from_millis(10);

#[test]
#[ignore = "run by the tests here as a daemon: sends without end"]
fn part_client() {
    let (targets, rest) = (setting("TARGETS"), PathBuf::from(setting("REST")));
    let threads = targets
        .split(',')
        .flat_map(|target| ACTS.map(|act| (target, act)));
    let threads: Vec<_> = threads.collect();
    let (count, resting) = (threads.len() as u32, AtomicU32::new(0));
    thread::scope(|scope| {
        for (thread, (target, act)) in (0..).zip(threads) {
            let client = Client::new(thread, target, act);
            let (rest, resting) = (&rest, &resting);
            scope.spawn(move || client.run(rest, count, resting));
        }
        notify_ready("client");
    });
}

struct Client {
    thread: u32,
    /// The node.
    target: String,
    act: Act,
    random: Random,
    sender: u64,
    number: u64,
}

impl Client {
    fn new(thread: u32, target: &str, act: Act) -> Client {
        let sender = fresh();
        Client {
            thread,
            target: target.to_owned(),
            act,
            random: Random::new(sender),
            sender,
            number: 0,
        }
    }

    fn run(mut self, rest: &Path, count: u32, resting: &AtomicU32) {
        loop {
            while rest.exists() {
                // The last one says that all do.
                if resting.fetch_add(1, Ordering::AcqRel) + 1 == count {
                    std::fs::write(rest.with_extension("all"), "").expect("the folder is ours");
                }
                while rest.exists() {
                    thread::sleep(REST_LOOK);
                }
                resting.fetch_sub(1, Ordering::AcqRel);
            }
            let start_ns = moment_ns();
            match self.open() {
                Ok(connection) => self.use_up(&connection, rest),
                Err(errno) => {
                    self.log(Outcome::Refused(format!("{errno:?}")), start_ns);
                    thread::sleep(REFUSED_PAUSE);
                }
            }
        }
    }

    fn open(&self) -> Result<Connection> {
        let path = format!("/net/{}/dev/name/local/mixed", self.target);
        name_open(&path, NameScope::Local)
    }

    fn use_up(&mut self, connection: &Connection, rest: &Path) {
        for _ in 0..=self.random.below(TURNS_MAX) {
            let start_ns = moment_ns();
            match (self.act)(self, connection) {
                Ok(()) => self.log(Outcome::Ok, start_ns),
                Err(errno) => {
                    self.log(Outcome::Failed(format!("{errno:?}")), start_ns);
                    return;
                }
            }
            if rest.exists() {
                return;
            }
            thread::sleep(Duration::from_micros(self.random.below(PAUSE_MAX_US)));
        }
    }

    fn head(&mut self, kind: Kind, reply_len: usize) -> Head {
        self.number += 1;
        Head {
            kind: kind as u64,
            sender: self.sender,
            number: self.number,
            reply_len: reply_len as u64,
            value: 0,
        }
    }

    fn exchange(&mut self, connection: &Connection, len: usize, reply_len: usize) -> Result<()> {
        let head = self.head(Kind::Echo, reply_len);
        let mut reply = vec![0; reply_len.max(HEAD_LEN)];
        let replied = connection.send(&head.bytes(len), &mut reply)?;
        if replied.len != reply.len() || Head::of(&reply) != Some(head) {
            println!(
                "violation: {head:?} was answered by {} bytes: {:?}",
                replied.len,
                Head::of(&reply)
            );
        }
        Ok(())
    }

    fn log(&self, outcome: Outcome, start_ns: u128) {
        let (sender, number) = (self.sender, self.number);
        let entry = Entry {
            thread: self.thread,
            outcome,
            start_ns,
            end_ns: moment_ns(),
            message: Message { sender, number },
        };
        entry.print();
    }
}

/// Short calls; the connection is left soon.
fn small(client: &mut Client, connection: &Connection) -> Result<()> {
    for _ in 0..=client.random.below(40) {
        let (len, reply_len) = (client.random.below(2000), client.random.below(2000));
        client.exchange(connection, len as usize, reply_len as usize)?;
    }
    Ok(())
}

/// Many short messages in flight, on a connection of their own.
fn stream(client: &mut Client, _connection: &Connection) -> Result<()> {
    let connection = client.open()?;
    let options = PipelineOptions::default();
    let mut pipeline = Pipeline::new(connection, &options)?;
    let count = client.random.below(4000) + 1;
    let heads: Vec<Head> = (0..count).map(|_| client.head(Kind::Echo, 64)).collect();
    let mut sent = heads.iter();
    let mut reply = [0; 64];
    for head in &heads {
        while pipeline.in_flight() < pipeline.depth() {
            let Some(next) = sent.next() else { break };
            pipeline.submit(&next.bytes(64))?;
        }
        let answer = pipeline.next(None)?;
        let len = answer.result?.read(0, &mut reply);
        if len != 64 || Head::of(&reply) != Some(*head) {
            println!(
                "violation: {head:?} of a stream was answered by {:?}",
                Head::of(&reply)
            );
        }
    }
    Ok(())
}

/// Long messages one way or both ways.
fn large(client: &mut Client, connection: &Connection) -> Result<()> {
    let lens = [HEAD_LEN as u64, 100_000, 1 << 20];
    let mut len = || match client.random.below(16) {
        0 => 16 << 20,
        some => lens[some as usize % lens.len()],
    };
    let (len, reply_len) = (len() as usize, len() as usize);
    client.exchange(connection, len, reply_len)
}

/// Pulses that are all to arrive, in order, and calls that nobody answers in time.
fn pulses_and_timeouts(client: &mut Client, connection: &Connection) -> Result<()> {
    client.sender = fresh() >> 32;
    let mut sent = 0_u32;
    for _ in 0..client.random.below(50) {
        let value = (client.sender as i64) << 32 | i64::from(sent);
        match connection.send_pulse(None, PulseCode(1), value) {
            Ok(()) => sent += 1,
            Err(Errno::EAGAIN) => break,
            Err(errno) => return Err(errno),
        }
    }
    let head = client.head(Kind::CountPulses, HEAD_LEN);
    let mut reply = [0; HEAD_LEN];
    connection.send(&head.bytes(HEAD_LEN), &mut reply)?;
    let counted = Head::of(&reply).map(|head| head.value);
    if counted != Some(sent.into()) {
        println!("violation: {sent} pulses were sent, {counted:?} arrived");
    }
    let patience = Duration::from_micros(client.random.below(30_000));
    let kept = client.head(Kind::Keep, 0).bytes(HEAD_LEN);
    match connection.send_timeout(&kept, &mut [], Timeout::all(patience)) {
        Ok(reply) if reply.status == LET_GO => Ok(()),
        Ok(reply) => {
            println!("violation: nobody answered, and yet: {reply:?}");
            Ok(())
        }
        Err(Errno::ETIMEDOUT) => Ok(()),
        Err(errno) => Err(errno),
    }
}

/// Files on the other node; now and then by a program that knows nothing of it.
fn files(client: &mut Client, _connection: &Connection) -> Result<()> {
    let folder = format!("/net/{}/home", client.target);
    let path = format!("{folder}/{:016x}-{}", client.sender, client.thread);
    let head = client.head(Kind::Echo, 0);
    let bytes = head.bytes(client.random.below(600_000) as usize);
    file::write(&path, &bytes)?;
    if client.random.below(8) == 0 {
        let mut run = Command::new("qn");
        let output = run
            .args(["run", "cat", &path])
            .output()
            .expect("qn is there");
        if output.status.success() && output.stdout != bytes {
            println!(
                "violation: cat reads {} of {} bytes",
                output.stdout.len(),
                bytes.len()
            );
        }
    }
    let read = file::read(&path)?;
    if read != bytes {
        println!(
            "violation: {} of {} bytes were read",
            read.len(),
            bytes.len()
        );
    }
    for entry in file::read_dir(&folder)?.take(3) {
        entry?;
    }
    file::unlink(&path)
}
