//! What the `session` target does with its input: a program of commands, losses, time, and hostile records in
//! frames that belong to an established session. The corpus goes through it in the tests of `qnet-proto`.
//!
//! The engines must keep to what [`Store`] and [`Event`] promise whatever the frames say: bytes only within
//! the lengths announced, one outcome for each call, no handle told of twice, and once the network is silent an
//! end for everything.

mod held;
mod program;

use std::collections::{BTreeSet, VecDeque};

use held::Held;
use program::Program;
use qnet_proto::wire::{Frame, Record};
use qnet_proto::{
    Cancel, Config, ConnectInfo, Engine, Errno, Event, InboundCall, InboundConn, InboundRun,
    LinkConfig, LinkId, Mac, NodeName, OutboundCall, OutboundConn, Outgoing, Pulse, Time,
};

/// Bytes of Ethernet and Qnet header.
const HEADERS_LEN: usize = 46;
/// As configured unless it is configured otherwise.
const ETHERTYPE: u16 = 0x88b5;
/// Commands that one input is good for.
const COMMANDS_MAX: usize = 200;
/// Frames after which two engines that still answer each other do so without end.
const FRAMES_MAX: usize = 4000;
/// A choice of connection from here on sends several small messages that are alike: a run, which shares a record. A choice of
/// call from here on answers messages of a run.
const RUNS_FROM: usize = 128;
const MS: u64 = 1_000_000;
/// Past every tolerance and timer.
const SILENCE_NS: u64 = 20_000 * MS;

/// Takes any bytes; panics if anything is wrong with the code under test. Answers how many records the engines wrote that
/// carry several messages, and how many times such messages were kept together.
pub(crate) fn check(bytes: &[u8]) -> (usize, usize) {
    let mut program = Program::new(bytes);
    let mut bed = Bed::connected();
    for _ in 0..COMMANDS_MAX {
        let Some(command) = program.byte() else {
            break;
        };
        bed.step(usize::from(command >> 7), command & 0x0f, &mut program);
    }
    bed.end();
    let kept = bed.nodes.iter().map(|node| node.held.runs_taken).sum();
    (bed.runs, kept)
}

/// One node: its engine, and what its holder was told.
struct Node {
    engine: Engine,
    held: Held,
    conns: Vec<OutboundConn>,
    attached: BTreeSet<InboundConn>,
    /// Messages that have arrived and were not answered.
    arrived: Vec<InboundCall>,
    /// The last frame of its session.
    last: Option<Vec<u8>>,
}

impl Node {
    fn new(index: u8) -> Node {
        let link = LinkConfig {
            mac: Mac([2, 0, 0, 0, 0, index]),
            mtu: 1500,
        };
        let name = NodeName::new(["left", "right"][usize::from(index)]).expect("legal");
        let config = Config::new(name, vec![link], [index + 1; 32]);
        Node {
            engine: Engine::new(config).expect("sound"),
            held: Held::default(),
            conns: Vec::new(),
            attached: BTreeSet::new(),
            arrived: Vec::new(),
            last: None,
        }
    }

    fn connect(&mut self) {
        let (name, other) = match self.engine.config().name.as_str() {
            "left" => ("right", 1),
            _ => ("left", 0),
        };
        let name = NodeName::new(name).expect("legal");
        let mac = Mac([2, 0, 0, 0, 0, other]);
        let peer = self.engine.add_host(name, LinkId(0), mac);
        let peer = peer.expect("there is room for one peer");
        let conn = self.engine.connect(peer, ConnectInfo::default());
        self.conns.extend(conn);
    }

    fn send(&mut self, now: Time, which: usize, len: usize, reply_len: usize) {
        let Some(&conn) = pick(&self.conns, which) else {
            return;
        };
        let outgoing = Outgoing {
            len: len as u32,
            reply_len: reply_len as u32,
            priority: 10,
            tid: 1,
            reports: len % 3 == 1,
        };
        if let Ok(call) = self.engine.send(now, conn, outgoing) {
            self.held.sent.insert(call, (len, reply_len));
        }
    }

    fn answer(&mut self, now: Time, which: usize, len: usize) {
        if self.arrived.is_empty() {
            return;
        }
        let call = self.arrived.swap_remove(which % self.arrived.len());
        let Some(held) = self.held.accepted.get_mut(&call) else {
            return;
        };
        held.2 = len.min(held.1);
        let len = held.2 as u32;
        let done = match which % 4 {
            0 => self.engine.error(now, call, Errno::EAGAIN),
            1 => self.engine.reply(now, call, 7, len),
            2 => {
                held.2 = 0;
                self.engine.reply(now, call, 0, 0)
            }
            _ => {
                let extents = [0..len / 3, len / 2..len];
                self.engine.reply_extents(now, call, 7, &extents)
            }
        };
        done.expect("the client waits: nothing told of its end");
    }

    /// Answers some messages of a run that have no answer, or makes one of them a call by itself.
    fn answer_run(&mut self, now: Time, which: usize, how: usize) {
        let runs: Vec<InboundRun> = self.held.runs.keys().copied().collect();
        let Some(&run) = pick(&runs, which) else {
            return;
        };
        let its = self.held.runs.get_mut(&run).expect("listed a moment ago");
        let at = how as u32 / 4;
        match how % 4 {
            0 if its.waiting & 1 << at == 0 => {
                let found = self.engine.take_out(run, at);
                let is_known = |call| self.held.accepted.contains_key(&call);
                assert!(found.is_ok_and(is_known) || found == Err(Errno::ESRCH));
            }
            0 => {
                let call = self.engine.take_out(run, at).expect("it waits");
                self.held.take_out(run, at, call);
                self.arrived.push(call);
            }
            // Also those that are answered, and those that it does not have.
            pattern => {
                let some = [u64::MAX, 0x5555_5555_5555_5555, 1 << at][pattern - 1];
                its.waiting &= !some;
                let answered = some & !its.out;
                self.engine.reply_run(now, run, answered);
            }
        }
    }

    fn cancel(&mut self, now: Time, which: usize) {
        let calls: Vec<OutboundCall> = self.held.sent.keys().copied().collect();
        let Some(&call) = pick(&calls, which) else {
            return;
        };
        let cancel = [
            Cancel::Unblock(Errno::EINTR),
            Cancel::Withdraw(Errno::EINTR),
            Cancel::Abandon,
        ][which % 3];
        let done = self.engine.cancel(now, call, cancel);
        done.expect("a call without an outcome is alive");
        if cancel == Cancel::Abandon {
            self.held.sent.remove(&call);
        }
    }

    fn detach(&mut self, now: Time, which: usize) {
        if self.conns.is_empty() {
            return;
        }
        let conn = self.conns.swap_remove(which % self.conns.len());
        // The calls of a connection that is let go are dead at once; which they are is the engine's to know.
        let before = self.engine.load().outbound_calls;
        let done = self.engine.detach(now, conn);
        done.expect("a connection not told of as closed is alive");
        if self.engine.load().outbound_calls < before {
            let engine = &mut self.engine;
            let is_alive = |call: &OutboundCall| {
                engine
                    .cancel(now, *call, Cancel::Unblock(Errno::EINTR))
                    .is_ok()
            };
            let mut calls: Vec<OutboundCall> = self.held.sent.keys().copied().collect();
            calls.retain(is_alive);
            self.held.sent.retain(|call, _| calls.contains(call));
        }
    }

    /// Takes what the engine tells, and holds it to its promises.
    fn hear(&mut self, now: Time) {
        while let Some(event) = self.engine.poll_event() {
            match event {
                Event::Replied { call, len, .. } => {
                    let (_, reply_len) = self.held.sent.remove(&call).expect("one outcome");
                    assert!(len as usize <= reply_len);
                }
                // A call that ended while its connection was let go may have been dropped here before.
                Event::Failed { call, .. } => drop(self.held.sent.remove(&call)),
                Event::Closed { conn, .. } => self.conns.retain(|open| *open != conn),
                Event::Attach { conn, .. } => {
                    assert!(self.attached.insert(conn), "attached once");
                }
                Event::Detached { conn } => {
                    assert!(self.attached.remove(&conn), "detached once");
                }
                Event::MessageArrived { call, conn } => {
                    assert!(self.held.accepted.contains_key(&call), "accepted before");
                    assert!(self.attached.contains(&conn), "attached before");
                    assert!(!self.arrived.contains(&call), "arrived once");
                    self.arrived.push(call);
                }
                Event::RunArrived { run, conn } => {
                    assert_eq!(self.held.runs[&run].conn, conn);
                    assert!(self.attached.contains(&conn), "attached before");
                }
                Event::TakenOut { run, at, call } => {
                    let conn = self.held.take_out(run, at, call);
                    // With the end of its connection it is answered.
                    if self.attached.contains(&conn) {
                        self.arrived.push(call);
                    }
                }
                Event::RunDone { run } => {
                    let done = self.held.runs.remove(&run).expect("done once");
                    assert_eq!(done.waiting, 0, "all of its messages are over");
                }
                Event::Abandoned { call } | Event::ReplyDone { call } => {
                    let held = self.held.accepted.remove(&call);
                    assert!(held.is_some(), "{event:?}: told once, of what was accepted");
                    self.arrived.retain(|arrived| *arrived != call);
                }
                _ => {}
            }
        }
        // What was taken eagerly gets its buffer.
        let calls: Vec<InboundCall> = self.held.accepted.keys().copied().collect();
        for call in calls {
            if !self.arrived.contains(&call) {
                let _ = self.engine.grant(now, call);
            }
        }
    }
}

fn pick<T>(from: &[T], which: usize) -> Option<&T> {
    from.get(which % from.len().max(1))
}

/// Two nodes and the wire between them.
struct Bed {
    now: Time,
    nodes: [Node; 2],
    /// To whom, and the frame.
    wire: VecDeque<(usize, Vec<u8>)>,
    /// Records with several messages that went onto it.
    runs: usize,
}

impl Bed {
    /// Two engines with a session, and a call in each direction on its way.
    fn connected() -> Bed {
        let mut bed = Bed {
            now: Time(1),
            nodes: [Node::new(0), Node::new(1)],
            wire: VecDeque::new(),
            runs: 0,
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
                match which.checked_sub(RUNS_FROM) {
                    None => node.send(now, which, len * 100, reply_len),
                    Some(more) => {
                        (0..2 + more % 16).for_each(|_| node.send(now, which, len, reply_len));
                    }
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
            3 => node.cancel(now, program.number()),
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
                self.runs += parsed.records().filter(is_run).count();
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
            assert!(node.held.sent.is_empty(), "each was told of");
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
