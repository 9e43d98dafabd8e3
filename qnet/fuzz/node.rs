//! One node of the `session` target: its engine, what its holder was told, and what its programs do.

use std::collections::BTreeSet;

use super::held::{Held, Sent};
use qnet_proto::{
    Cancel, Config, ConnectInfo, Engine, Errno, Event, InboundCall, InboundConn, InboundRun,
    LinkConfig, LinkId, Mac, NodeName, OutboundCall, OutboundConn, OutboundRun, Outgoing, Time,
};

/// One node: its engine, and what its holder was told.
pub(crate) struct Node {
    pub(crate) engine: Engine,
    pub(crate) held: Held,
    pub(crate) conns: Vec<OutboundConn>,
    pub(crate) attached: BTreeSet<InboundConn>,
    /// Messages that have arrived and were not answered.
    pub(crate) arrived: BTreeSet<InboundCall>,
    /// The last frame of its session.
    pub(crate) last: Option<Vec<u8>>,
}

impl Node {
    pub(crate) fn new(index: u8) -> Node {
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
            arrived: BTreeSet::new(),
            last: None,
        }
    }

    pub(crate) fn connect(&mut self) {
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

    pub(crate) fn send(&mut self, now: Time, which: usize, len: usize, reply_len: usize) {
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
            self.held.sent.insert(call, Sent { len, reply_len });
        }
    }

    /// Sends messages as a run, if the engine takes one.
    pub(crate) fn send_run(&mut self, now: Time, which: usize, len: usize, count: usize) {
        let Some(&conn) = pick(&self.conns, which) else {
            return;
        };
        let outgoing = Outgoing {
            len: len as u32,
            reply_len: 0,
            priority: 10,
            tid: 1,
            reports: false,
        };
        if let Some(run) = self.engine.send_run(now, conn, outgoing, count) {
            self.held.send_run(run, len, count);
        }
    }

    /// Makes the messages of a run that wait calls by themselves.
    pub(crate) fn dissolve(&mut self, which: usize) {
        let runs: Vec<OutboundRun> = self.held.sent_runs.keys().copied().collect();
        let Some(&run) = pick(&runs, which) else {
            return;
        };
        for (at, call) in self.engine.dissolve(run) {
            self.held.left_run(run, at, call);
        }
        let left = self.held.sent_runs.get(&run);
        assert!(left.is_none(), "all that wait leave it together");
    }

    pub(crate) fn answer(&mut self, now: Time, which: usize, len: usize) {
        let nth = which % self.arrived.len().max(1);
        let Some(call) = self.arrived.iter().copied().nth(nth) else {
            return;
        };
        self.arrived.remove(&call);
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
    pub(crate) fn answer_run(&mut self, now: Time, which: usize, how: usize) {
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
                self.arrived.insert(call);
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

    pub(crate) fn cancel(&mut self, now: Time, which: usize) {
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

    pub(crate) fn detach(&mut self, now: Time, which: usize) {
        if self.conns.is_empty() {
            return;
        }
        let conn = self.conns.swap_remove(which % self.conns.len());
        // The calls of a connection that is let go are dead at once; which they are is the engine's to know.
        let runs: Vec<OutboundRun> = self.engine.runs_of(conn).collect();
        let is_known = |run: OutboundRun| self.held.sent_runs.remove(&run).is_some();
        assert!(runs.into_iter().all(is_known), "sent, and not over");
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
    pub(crate) fn hear(&mut self, now: Time) {
        while let Some(event) = self.engine.poll_event() {
            match event {
                Event::Replied { call, len, .. } => {
                    let sent = self.held.sent.remove(&call).expect("one outcome");
                    assert!(len as usize <= sent.reply_len);
                }
                Event::RunReplied { run, members, .. } => self.held.replied(run, members),
                Event::LeftRun { run, at, call } => self.held.left_run(run, at, call),
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
                    assert!(self.arrived.insert(call), "arrived once");
                }
                Event::RunArrived { run, conn } => {
                    assert_eq!(self.held.runs[&run].conn, conn);
                    assert!(self.attached.contains(&conn), "attached before");
                }
                Event::TakenOut { run, at, call } => {
                    let conn = self.held.take_out(run, at, call);
                    // With the end of its connection it is answered.
                    if self.attached.contains(&conn) {
                        self.arrived.insert(call);
                    }
                }
                Event::RunDone { run } => {
                    let done = self.held.runs.remove(&run).expect("done once");
                    assert_eq!(done.waiting, 0, "all of its messages are over");
                }
                Event::Abandoned { call } | Event::ReplyDone { call } => {
                    let held = self.held.accepted.remove(&call);
                    assert!(held.is_some(), "{event:?}: told once, of what was accepted");
                    self.arrived.remove(&call);
                }
                _ => {}
            }
        }
        // What was taken eagerly gets its buffer, unless it is over or whole already.
        for call in std::mem::take(&mut self.held.eager) {
            if self.held.accepted.contains_key(&call) && !self.arrived.contains(&call) {
                let _ = self.engine.grant(now, call);
            }
        }
    }
}

pub(crate) fn pick<T>(from: &[T], which: usize) -> Option<&T> {
    from.get(which % from.len().max(1))
}
