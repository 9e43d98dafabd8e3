//! One node of a simulation: an engine, its bytes, its clients and its servers.

use std::collections::BTreeMap;

use qnet_proto::{
    Cancel, Config, ConnectInfo, Engine, Errno, Event, InboundCall, InboundConn, LinkConfig,
    LinkId, LinkPolicy, Mac, NodeName, OutboundCall, OutboundConn, Outgoing, PeerId, Pulse, Time,
};

use super::faults::Plan;
use super::holder::{Holder, Sent};
use super::ledger::Ledger;
use super::pattern::{Body, Key, is_right};
use super::random::{Random, mix};

/// Of all calls of all runs: who they are their bytes say.
pub(crate) const TID_OF_RUNS: i32 = -1;

/// What a server's application gives when it fails a call.
const SERVER_ERROR: Errno = Errno(5);

/// Something that the applications of a node do at a time of their own.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Action {
    Call { server: usize },
    Answer { call: InboundCall },
    Cancel { call: OutboundCall },
    Grant { call: InboundCall },
    Detach { conn: OutboundConn },
    Close { conn: InboundConn },
}

/// An action of this node, after so many ns.
pub(crate) type Later = Vec<(u64, Action)>;

struct Client {
    conn: OutboundConn,
    server: usize,
    coid: i32,
    policy: LinkPolicy,
    pulses_sent: i64,
    pulses_taken: i64,
}

pub(crate) struct Node {
    pub(crate) index: usize,
    pub(crate) life: u32,
    pub(crate) engine: Engine,
    pub(crate) holder: Holder,
    /// By its own clock.
    pub(crate) wake_at: Option<Time>,
    /// How far its clock is ahead of the world's: no two nodes share one.
    pub(crate) ahead_ns: u64,
    pub(crate) paused_until: u64,
    clients: Vec<Client>,
    servers: BTreeMap<InboundConn, (i64, i64)>,
    answered: BTreeMap<InboundCall, ()>,
    peers: BTreeMap<usize, PeerId>,
    counter: i32,
    links: usize,
}

pub(crate) fn name_of(index: usize) -> NodeName {
    NodeName::new(&format!("n{index}")).expect("a legal name")
}

pub(crate) fn mac_of(index: usize, link: u8) -> Mac {
    Mac([2, 0, 0, 0, link, index as u8])
}

impl Node {
    pub(crate) fn new(index: usize, life: u32, seed: u64, plan: &Plan) -> Node {
        let mut entropy = [0; 32];
        for (at, byte) in entropy.iter_mut().enumerate() {
            *byte = mix(seed ^ mix((index as u64) << 40 | u64::from(life) << 8 | at as u64)) as u8;
        }
        let links = plan
            .links
            .iter()
            .enumerate()
            .map(|(link, &mtu)| LinkConfig {
                mac: mac_of(index, link as u8),
                mtu,
            });
        let mut config = Config::new(name_of(index), links.collect(), entropy);
        config.seals = plan.corruption > 0;
        Node {
            index,
            life,
            engine: Engine::new(config).expect("a sound configuration"),
            holder: Holder::default(),
            wake_at: None,
            ahead_ns: mix(seed ^ (index as u64) << 20 ^ u64::from(life)) >> 20,
            paused_until: 0,
            clients: Vec::new(),
            servers: BTreeMap::new(),
            answered: BTreeMap::new(),
            peers: BTreeMap::new(),
            counter: 0,
            links: plan.links.len(),
        }
    }

    pub(crate) fn act(
        &mut self,
        now: Time,
        action: Action,
        random: &mut Random,
        ledger: &mut Ledger,
    ) -> Later {
        let mut later = Later::new();
        match action {
            Action::Call { server } => self.call(now, server, random, ledger, &mut later),
            Action::Answer { call } => self.answer(now, call, random),
            Action::Grant { call } => drop(self.engine.grant(now, call)),
            Action::Cancel { call } => self.cancel(now, call, random, ledger),
            Action::Detach { conn } => self.detach(now, conn, ledger),
            Action::Close { conn } => {
                if self.servers.remove(&conn).is_some() {
                    self.engine
                        .close(now, conn, Errno::ESRCH)
                        .expect("a live connection");
                    let its = self
                        .holder
                        .arriving
                        .iter()
                        .filter(|(_, one)| one.conn == conn);
                    self.answered.extend(its.map(|(call, _)| (*call, ())));
                }
            }
        }
        later
    }

    fn call(
        &mut self,
        now: Time,
        server: usize,
        random: &mut Random,
        ledger: &mut Ledger,
        later: &mut Later,
    ) {
        let Some(&peer) = self.peers.get(&server) else {
            self.engine
                .resolve(now, name_of(server))
                .expect("few names are looked up");
            return later.push((100_000_000, Action::Call { server }));
        };
        let at = self.client_of(server, peer, random);
        if random.chance(100) {
            let outgoing = Outgoing {
                len: 4 + random.below(200) as u32,
                reply_len: random.pick(&[0, 0, 16]),
                priority: 7,
                tid: TID_OF_RUNS,
                reports: false,
            };
            for _ in 0..2 + random.below(40) {
                self.send(now, at, outgoing, random, ledger, later);
            }
        } else {
            let outgoing = Outgoing {
                len: draw_len(random),
                reply_len: draw_len(random),
                priority: random.below(64) as u8,
                tid: self.counter + 1,
                reports: random.chance(200),
            };
            self.send(now, at, outgoing, random, ledger, later);
        }
    }

    /// One call of the client `at`.
    fn send(
        &mut self,
        now: Time,
        at: usize,
        outgoing: Outgoing,
        random: &mut Random,
        ledger: &mut Ledger,
        later: &mut Later,
    ) {
        let client = &mut self.clients[at];
        self.counter += 1;
        let key = Key {
            client: self.index,
            life: self.life,
            coid: client.coid,
            tid: self.counter,
        };
        let Outgoing { len, reply_len, .. } = outgoing;
        let call = self
            .engine
            .send(now, client.conn, outgoing)
            .expect("a live connection");
        let reply = vec![0; reply_len as usize];
        self.holder.sent.insert(
            call,
            Sent {
                key,
                len,
                reply,
                is_of_run: outgoing.tid == TID_OF_RUNS,
                exclusive: match client.policy {
                    LinkPolicy::Exclusive(link) => Some(link.0),
                    _ => None,
                },
                is_cancelled: false,
                reports: outgoing.reports,
                is_told: false,
            },
        );
        ledger.sent(key);
        if random.chance(80) {
            later.push((random.below(5_000_000), Action::Cancel { call }));
        }
        if random.chance(20) {
            later.push((
                random.below(5_000_000),
                Action::Detach { conn: client.conn },
            ));
        }
        if random.chance(200) {
            let pulse = Pulse {
                code: 1,
                priority: 9,
                value: client.pulses_sent,
            };
            client.pulses_sent += 1;
            self.engine
                .pulse_server(now, client.conn, pulse)
                .expect("few pulses are on their way");
        }
    }

    fn client_of(&mut self, server: usize, peer: PeerId, random: &mut Random) -> usize {
        let usable: Vec<usize> = (0..self.clients.len())
            .filter(|&at| self.clients[at].server == server)
            .collect();
        if !usable.is_empty() && random.chance(800) {
            return random.pick(&usable);
        }
        self.counter += 1;
        let coid = self.counter;
        let info = ConnectInfo {
            server_pid: 1,
            server_chid: 1,
            client_pid: self.life as i32,
            coid,
            uid: self.index as u32,
            gid: 0,
            srcnd: 0,
        };
        let link = LinkId(random.below(self.links as u64) as u8);
        let policy = match random.below(10) {
            0 | 1 if self.links > 1 => LinkPolicy::Preferred(link),
            2 | 3 if self.links > 1 => LinkPolicy::Exclusive(link),
            _ => LinkPolicy::LoadBalance,
        };
        let conn = (self.engine)
            .connect_through(peer, info, policy)
            .expect("the peer is known");
        self.clients.push(Client {
            conn,
            server,
            coid,
            policy,
            pulses_sent: 0,
            pulses_taken: 0,
        });
        self.clients.len() - 1
    }

    fn answer(&mut self, now: Time, call: InboundCall, random: &mut Random) {
        let Some(arriving) = self.holder.arriving.get(&call) else {
            return;
        };
        if self.answered.contains_key(&call) {
            return;
        }
        let (key, reply_len, conn) = (arriving.key, arriving.reply_len, arriving.conn);
        if arriving.is_quiet() {
            return self.answer_quiet(now, conn);
        }
        // Some say so only with the answer, some never.
        if random.chance(700) {
            self.engine.received(now, call);
        }
        self.answered.insert(call, ());
        if random.chance(50) {
            return self
                .engine
                .error(now, call, SERVER_ERROR)
                .expect("not answered yet");
        }
        let len = key.reply_len(reply_len);
        if len >= 4 && random.chance(100) {
            // Scattered writes that together make up the whole.
            let (a, b) = (len / 4, len / 2);
            let extents = [0..a, a..b, b..len];
            return self
                .engine
                .reply_extents(now, call, key.status(), &extents)
                .expect("not answered yet");
        }
        self.engine
            .reply(now, call, key.status(), len)
            .expect("not answered yet");
    }

    /// Answers all that a connection's client expects no bytes for and that have arrived, newest first.
    fn answer_quiet(&mut self, now: Time, conn: InboundConn) {
        let its = self.holder.arriving.iter().rev();
        let quiet: Vec<InboundCall> = its
            .filter(|(_, one)| one.conn == conn && one.is_quiet() && one.has_arrived)
            .map(|(call, _)| *call)
            .filter(|call| !self.answered.contains_key(call))
            .collect();
        for call in quiet {
            self.answered.insert(call, ());
            self.engine
                .reply(now, call, 0, 0)
                .expect("not answered yet");
        }
    }

    fn cancel(&mut self, now: Time, call: OutboundCall, random: &mut Random, ledger: &mut Ledger) {
        let Some(sent) = self.holder.sent.get_mut(&call) else {
            return;
        };
        sent.is_cancelled = true;
        let key = sent.key;
        let cancel = random.pick(&[
            Cancel::Unblock(Errno::EINTR),
            Cancel::Withdraw(Errno::ETIMEDOUT),
            Cancel::Abandon,
        ]);
        if self.engine.cancel(now, call, cancel).is_ok() && cancel == Cancel::Abandon {
            self.holder.sent.remove(&call);
            ledger.orphaned(key);
        }
    }

    pub(crate) fn detach(&mut self, now: Time, conn: OutboundConn, ledger: &mut Ledger) {
        let Some(at) = self.clients.iter().position(|client| client.conn == conn) else {
            return;
        };
        let client = self.clients.remove(at);
        self.engine.detach(now, conn).expect("a live connection");
        let dead: Vec<OutboundCall> = self
            .holder
            .sent
            .iter()
            .filter(|(_, sent)| sent.key.coid == client.coid)
            .map(|(call, _)| *call)
            .collect();
        for call in dead {
            ledger.orphaned(self.holder.sent.remove(&call).expect("listed").key);
        }
    }

    pub(crate) fn detach_all(&mut self, now: Time, ledger: &mut Ledger) {
        while let Some(client) = self.clients.first() {
            self.detach(now, client.conn, ledger);
        }
    }

    /// Takes one event; what follows from it later is answered.
    pub(crate) fn take(
        &mut self,
        now: Time,
        event: Event,
        plan: &Plan,
        random: &mut Random,
        ledger: &mut Ledger,
    ) -> Later {
        let mut later = Later::new();
        match event {
            Event::NodeSeen { peer, name } | Event::Resolved { peer, name } => {
                self.know(peer, name)
            }
            Event::NodeGone { peer, .. } => {
                self.peers.retain(|_, known| *known != peer);
                self.holder.node_of.remove(&peer);
            }
            Event::PeerUp { .. } | Event::PeerDown { .. } => {}
            Event::ResolveFailed { errno, .. } => assert_eq!(errno, Errno::ENOENT),
            Event::DuplicateName { name, .. } => panic!("nobody else is called {name}"),
            Event::Replied { call, status, len } => {
                let sent = self.holder.sent.remove(&call).expect("a call that waits");
                ledger.ended(sent.key, true);
                assert_eq!(status, sent.status(), "{:?} got another's status", sent.key);
                assert_eq!(len, sent.key.reply_len(sent.reply.len() as u32));
                assert!(
                    is_right(sent.key, Body::Reply, 0, &sent.reply[..len as usize]),
                    "{:?}",
                    sent.key
                );
            }
            Event::Received { call } => {
                let sent = self.holder.sent.get_mut(&call).expect("a call that waits");
                let was_told = std::mem::replace(&mut sent.is_told, true);
                assert!(sent.reports && !was_told, "told once, who asked");
            }
            Event::Failed { call, errno } => {
                let sent = self.holder.sent.remove(&call).expect("a call that waits");
                ledger.ended(sent.key, false);
                let is_expected = [SERVER_ERROR, Errno::EAGAIN, Errno::ESRCH].contains(&errno);
                assert!(
                    is_expected
                        || sent.is_cancelled
                        || plan.may_fail_calls()
                        || sent.exclusive.is_some_and(|link| plan.may_fail_on(link)),
                    "{:?}: {errno:?}",
                    sent.key
                );
            }
            Event::Closed { conn, .. } => self.clients.retain(|client| client.conn != conn),
            Event::ClientPulse { conn, pulse } => {
                let client = self
                    .clients
                    .iter_mut()
                    .find(|client| client.conn == conn)
                    .expect("a live client");
                assert_eq!(
                    pulse.value, client.pulses_taken,
                    "pulses to clients come in order and once"
                );
                client.pulses_taken += 1;
            }
            Event::Attach { conn, peer, info } => {
                assert_eq!(self.holder.node_of[&peer], info.uid as usize);
                self.servers.insert(conn, (0, 0));
                if random.chance(30) {
                    later.push((random.below(20_000_000), Action::Close { conn }));
                }
            }
            Event::Credentials { .. } => panic!("nobody changed credentials"),
            Event::MessageArrived { call, conn } => {
                self.arrived(now, call, conn, random, ledger, &mut later)
            }
            Event::CancelRequested { call, .. } => {
                if random.chance(500) && !self.answered.contains_key(&call) {
                    self.answered.insert(call, ());
                    self.engine
                        .error(now, call, Errno::EINTR)
                        .expect("not answered yet");
                }
            }
            Event::Abandoned { call } | Event::ReplyDone { call } => {
                self.holder
                    .arriving
                    .remove(&call)
                    .expect("a call that was accepted");
                self.answered.remove(&call);
            }
            Event::ServerPulse { conn, pulse } => {
                let taken = &mut self.servers.get_mut(&conn).expect("a live connection").1;
                assert_eq!(
                    pulse.value, *taken,
                    "pulses to servers come in order and once"
                );
                *taken += 1;
            }
            Event::Detached { conn } => {
                self.servers.remove(&conn);
            }
        }
        later
    }

    /// Calls that were accepted without a buffer, and when there will be one.
    pub(crate) fn take_ungranted(&mut self, random: &mut Random) -> Later {
        let ungranted = std::mem::take(&mut self.holder.ungranted);
        ungranted
            .into_iter()
            .map(|call| (random.below(3_000_000), Action::Grant { call }))
            .collect()
    }

    fn arrived(
        &mut self,
        now: Time,
        call: InboundCall,
        conn: InboundConn,
        random: &mut Random,
        ledger: &mut Ledger,
        later: &mut Later,
    ) {
        assert!(
            self.holder.message_is_right(call),
            "a message arrived with wrong bytes"
        );
        assert_eq!(self.holder.arriving[&call].conn, conn);
        ledger.delivered(self.holder.arriving[&call].key);
        self.holder.has_arrived(call);
        let delay = match random.below(100) {
            0 => 2_500_000_000,
            1..10 => random.below(100_000_000),
            10..30 => random.below(5_000_000),
            _ => random.below(300_000),
        };
        later.push((delay, Action::Answer { call }));
        if random.chance(100)
            && let Some((sent, _)) = self.servers.get_mut(&conn)
        {
            let pulse = Pulse {
                code: 2,
                priority: 9,
                value: *sent,
            };
            *sent += 1;
            self.engine
                .pulse_client(now, conn, pulse)
                .expect("few pulses are on their way");
        }
    }

    fn know(&mut self, peer: PeerId, name: NodeName) {
        let index = name.as_str()[1..].parse().expect("nodes are numbered");
        self.peers.insert(index, peer);
        self.holder.node_of.insert(peer, index);
    }
}

fn draw_len(random: &mut Random) -> u32 {
    match random.below(100) {
        0..5 => 0,
        5..60 => random.below(200) as u32,
        60..85 => random.below(5_000) as u32,
        85..97 => random.below(60_000) as u32,
        _ => random.below(400_000) as u32,
    }
}
