//! What the `session` target does with its input: a program of commands, losses, time, and hostile records in
//! frames that belong to an established session. The corpus goes through it in the tests of `qnet-proto`.
//!
//! The engines must keep to what [`Store`] and [`Event`] promise whatever the frames say: bytes only within
//! the lengths announced, one outcome for each call, no handle told of twice, and once the network is silent an
//! end for everything.

mod held;
mod node;
mod program;

use std::collections::VecDeque;

use node::{Node, pick};
use program::Program;
use qnet_proto::limits::RUN_MESSAGES_MAX;
use qnet_proto::wire::{Frame, Record};
use qnet_proto::{Errno, LinkId, Pulse, Time};

/// Bytes of Ethernet and Qnet header.
const HEADERS_LEN: usize = 46;
/// As configured unless it is configured otherwise.
const ETHERTYPE: u16 = 0x88b5;
/// Commands that one input is good for.
const COMMANDS_MAX: usize = 200;
/// Frames after which two engines that still answer each other do so without end.
const FRAMES_MAX: usize = 4000;
/// A choice of connection from here on sends several small messages that are alike, which may share a record. A choice of
/// call from here on answers messages of a run, or is a run to dissolve.
const RUNS_FROM: usize = 128;
/// A choice of connection from here on sends them as a run.
const SENT_RUNS_FROM: usize = 192;
const MS: u64 = 1_000_000;
/// Past every tolerance and timer.
const SILENCE_NS: u64 = 20_000 * MS;

/// What an input made the engines do with messages that are alike.
pub(crate) struct Seen {
    /// Records that carry several of them.
    pub(crate) records: usize,
    /// Runs that the clients' nodes took.
    pub(crate) sent: usize,
    /// Runs that the servers' nodes kept together.
    pub(crate) kept: usize,
}

/// Takes any bytes; panics if anything is wrong with the code under test.
pub(crate) fn check(bytes: &[u8]) -> Seen {
    let mut program = Program::new(bytes);
    let mut bed = Bed::connected();
    for _ in 0..COMMANDS_MAX {
        let Some(command) = program.byte() else {
            break;
        };
        bed.step(usize::from(command >> 7), command & 0x0f, &mut program);
    }
    bed.end();
    let held = || bed.nodes.iter().map(|node| &node.held);
    Seen {
        records: bed.records,
        sent: held().map(|held| held.runs_sent).sum(),
        kept: held().map(|held| held.runs_taken).sum(),
    }
}

/// Two nodes and the wire between them.
struct Bed {
    now: Time,
    nodes: [Node; 2],
    /// To whom, and the frame.
    wire: VecDeque<(usize, Vec<u8>)>,
    /// Records with several messages that went onto it.
    records: usize,
}

impl Bed {
    /// Two engines with a session, and a call in each direction on its way.
    fn connected() -> Bed {
        let mut bed = Bed {
            now: Time(1),
            nodes: [Node::new(0), Node::new(1)],
            wire: VecDeque::new(),
            records: 0,
        };
        for index in [0, 1] {
            bed.nodes[index].connect();
            bed.nodes[index].send(bed.now, 0, 5000, 3000);
            bed.exchange(FRAMES_MAX);
        }
        bed
    }

    fn step(&mut self, at: usize, command: u8, program: &mut Program<'_>) {
        let (now, node) = (self.now, &mut self.nodes[at]);
        match command {
            0 => {
                let (which, len, reply_len) =
                    (program.number(), program.number(), program.number() * 100);
                match which {
                    ..RUNS_FROM => node.send(now, which, len * 100, reply_len),
                    RUNS_FROM..SENT_RUNS_FROM => {
                        (0..2 + which % 16).for_each(|_| node.send(now, which, len, reply_len));
                    }
                    _ => node.send_run(now, which, len, 1 + which % RUN_MESSAGES_MAX),
                }
            }
            1 => node.send(
                now,
                program.number(),
                program.number() << 12,
                program.number() << 12,
            ),
            2 => {
                let (which, how) = (program.number(), program.number());
                match which.checked_sub(RUNS_FROM) {
                    None => node.answer(now, which, how << 8),
                    Some(which) => node.answer_run(now, which, how),
                }
            }
            3 => {
                let which = program.number();
                match which.checked_sub(RUNS_FROM) {
                    None => node.cancel(now, which),
                    Some(which) => node.dissolve(which),
                }
            }
            4 => node.detach(now, program.number()),
            5 => node.connect(),
            6 => {
                let pulse = Pulse {
                    code: 1,
                    priority: 10,
                    value: 2,
                };
                if let Some(&conn) = pick(&node.conns, program.number()) {
                    let _ = node.engine.pulse_server(now, conn, pulse);
                }
                if let Some(&conn) = node.attached.iter().next() {
                    let _ = node.engine.pulse_client(now, conn, pulse);
                }
            }
            7 => {
                let conn = node.attached.iter().nth(program.number()).copied();
                if let Some(conn) = conn {
                    node.attached.remove(&conn);
                    let done = node.engine.close(now, conn, Errno::ESRCH);
                    done.expect("a connection not told of as detached is alive");
                    // Each call of it that was not answered is answered now.
                    node.arrived.clear();
                }
            }
            8 => self.pass(program.number() as u64 * MS / 4),
            9 => self.pass(program.number() as u64 * 50 * MS),
            // The first of the frames on the wire is lost, comes twice, or is overtaken.
            10 => drop(self.wire.pop_front()),
            11 => self.wire.extend(self.wire.front().cloned()),
            12 => self.wire.rotate_left(usize::from(!self.wire.is_empty())),
            13 => {
                let (which, bits) = (program.number(), program.number());
                if let Some((_, frame)) = self.wire.front_mut() {
                    let which = 14 + which * 7 % (frame.len() - 14);
                    frame[which] ^= bits as u8;
                }
            }
            14 => self.exchange(program.number()),
            _ => self.inject(at, program),
        }
        self.hear();
    }

    fn hear(&mut self) {
        let now = self.now;
        self.nodes.iter_mut().for_each(|node| node.hear(now));
    }

    /// A frame of the session with any records, as if the other node had sent it.
    fn inject(&mut self, to: usize, program: &mut Program<'_>) {
        let (ahead, acks, len) = (program.number(), program.number(), program.number() * 4);
        let records = program.take(len);
        let Some(mut frame) = self.nodes[1 - to].last.clone() else {
            return;
        };
        frame.truncate(HEADERS_LEN);
        frame.extend_from_slice(records);
        let len = (frame.len() - 14) as u16;
        frame[16..18].copy_from_slice(&len.to_be_bytes());
        // Packet number and acknowledgement, 56 bits each, somewhere beside what they would be.
        let (packet, ack) = (number(&frame[19..26]), number(&frame[35..42]));
        set_number(&mut frame[19..26], packet + ahead as u64);
        set_number(&mut frame[35..42], (ack + acks as u64).saturating_sub(128));
        self.deliver(to, &frame);
    }

    fn deliver(&mut self, to: usize, frame: &[u8]) {
        let (now, node) = (self.now, &mut self.nodes[to]);
        node.engine
            .handle_frame(now, LinkId(0), frame, &mut node.held);
        node.hear(now);
    }

    /// What the engines have to send goes onto the wire.
    fn collect(&mut self) {
        let mut buffer = vec![0; 1514];
        for from in [0, 1] {
            let node = &mut self.nodes[from];
            for count in 0.. {
                assert!(count < FRAMES_MAX, "an engine sends without end");
                let sent = node.engine.poll_transmit(self.now, &mut buffer, &node.held);
                let Some(sent) = sent else {
                    break;
                };
                let frame = buffer[..sent.len].to_vec();
                let parsed = Frame::parse(&frame, ETHERTYPE, false).expect("the engine wrote it");
                let is_run = |record: &_| matches!(record, Ok(Record::Messages { .. }));
                self.records += parsed.records().filter(is_run).count();
                if frame[26..34] != [0; 8] {
                    node.last = Some(frame.clone());
                }
                self.wire.push_back((1 - from, frame));
            }
        }
    }

    /// Carries frames until nobody has any, at most so many.
    fn exchange(&mut self, count_max: usize) {
        for count in 0..=count_max {
            self.collect();
            let Some((to, frame)) = self.wire.pop_front() else {
                return;
            };
            assert!(
                count < FRAMES_MAX,
                "two engines answer each other without end"
            );
            self.deliver(to, &frame);
        }
    }

    /// Time passes, in the steps that the engines ask for, and nothing is carried.
    fn pass(&mut self, len_ns: u64) {
        let end = self.now.after(len_ns);
        for count in 0.. {
            assert!(count < FRAMES_MAX, "timers fire without end");
            self.collect();
            let timers = self
                .nodes
                .iter()
                .filter_map(|node| node.engine.poll_timeout());
            let next = timers.min().filter(|next| *next <= end);
            self.now = self.now.max(next.unwrap_or(end));
            for node in &mut self.nodes {
                node.engine.handle_timeout(self.now);
            }
            self.hear();
            if next.is_none() {
                return;
            }
        }
    }

    /// The wire is cut: every call ends. The peer is forgotten: nothing of it is left.
    fn end(&mut self) {
        self.wire.clear();
        self.pass(SILENCE_NS);
        for node in &mut self.nodes {
            assert_eq!(
                node.engine.load().outbound_calls,
                0,
                "silence ends every call"
            );
            let held = &node.held;
            let left = held.sent.len() + held.sent_runs.len();
            assert_eq!(left, 0, "each was told of");
            let peers: Vec<_> = node.engine.nodes().map(|info| info.peer).collect();
            for peer in peers {
                node.engine.forget(self.now, peer).expect("it is known");
            }
            node.hear(self.now);
            let load = node.engine.load();
            assert_eq!((load.inbound_calls, load.inbound_conns), (0, 0));
            assert!(node.held.accepted.is_empty() && node.attached.is_empty());
            assert!(node.held.runs.is_empty(), "each ended");
        }
    }
}

fn number(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .fold(0, |sum, &byte| sum << 8 | u64::from(byte))
}

fn set_number(bytes: &mut [u8], number: u64) {
    let len = bytes.len();
    bytes.copy_from_slice(&number.to_be_bytes()[8 - len..]);
}
