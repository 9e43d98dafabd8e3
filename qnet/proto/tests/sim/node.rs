//! One node of a simulation: an engine, its bytes, its clients and its servers.

mod client;
mod event;
mod runs;
mod server;

use std::collections::BTreeMap;

use qnet_proto::{
    Config, Engine, Errno, InboundCall, InboundConn, InboundRun, LinkConfig, LinkPolicy, Mac,
    NodeName, OutboundCall, OutboundConn, OutboundRun, PeerId, Time,
};

use super::faults::Plan;
use super::holder::Holder;
use super::ledger::Ledger;
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
    AnswerRun { run: InboundRun, is_last: bool },
    Cancel { call: OutboundCall },
    CancelInRun { run: OutboundRun, at: usize },
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
            Action::AnswerRun { run, is_last } => self.answer_run(now, run, is_last, random),
            Action::Grant { call } => drop(self.engine.grant(now, call)),
            Action::Cancel { call } => self.cancel(now, call, random, ledger),
            Action::CancelInRun { run, at } => self.cancel_in_run(now, run, at, random, ledger),
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

    /// Calls that were accepted without a buffer, and when there will be one.
    pub(crate) fn take_ungranted(&mut self, random: &mut Random) -> Later {
        let ungranted = std::mem::take(&mut self.holder.ungranted);
        ungranted
            .into_iter()
            .map(|call| (random.below(3_000_000), Action::Grant { call }))
            .collect()
    }
}
