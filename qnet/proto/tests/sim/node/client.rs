//! The clients of a node: what they send, withdraw and give up.

use qnet_proto::{
    Cancel, ConnectInfo, Errno, LinkId, LinkPolicy, OutboundCall, OutboundConn, Outgoing, PeerId,
    Pulse, Time,
};

use super::{Action, Client, Later, Node, TID_OF_RUNS, name_of};
use crate::sim::holder::Sent;
use crate::sim::ledger::Ledger;
use crate::sim::pattern::Key;
use crate::sim::random::Random;

impl Node {
    pub(super) fn call(
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
            let count = 2 + random.below(40) as usize;
            if random.chance(600)
                && self.send_together(now, at, outgoing, count, random, ledger, later)
            {
                return;
            }
            for _ in 0..count {
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
    pub(super) fn send(
        &mut self,
        now: Time,
        at: usize,
        outgoing: Outgoing,
        random: &mut Random,
        ledger: &mut Ledger,
        later: &mut Later,
    ) {
        let conn = self.clients[at].conn;
        let call = self.engine.send(now, conn, outgoing);
        let call = call.expect("a live connection");
        let sent = self.compose(at, &outgoing);
        ledger.sent(sent.key);
        self.holder.sent.insert(call, sent);
        let client = &mut self.clients[at];
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

    /// The next message of the client `at`.
    pub(super) fn compose(&mut self, at: usize, outgoing: &Outgoing) -> Sent {
        let client = &self.clients[at];
        self.counter += 1;
        Sent {
            key: Key {
                client: self.index,
                life: self.life,
                coid: client.coid,
                tid: self.counter,
            },
            len: outgoing.len,
            reply: vec![0; outgoing.reply_len as usize],
            is_of_run: outgoing.tid == TID_OF_RUNS,
            exclusive: match client.policy {
                LinkPolicy::Exclusive(link) => Some(link.0),
                _ => None,
            },
            is_cancelled: false,
            reports: outgoing.reports,
            is_told: false,
        }
    }

    pub(super) fn client_of(&mut self, server: usize, peer: PeerId, random: &mut Random) -> usize {
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

    pub(super) fn cancel(
        &mut self,
        now: Time,
        call: OutboundCall,
        random: &mut Random,
        ledger: &mut Ledger,
    ) {
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
        for run in self.holder.sent_runs.values_mut() {
            for sent in run.iter_mut() {
                if let Some(sent) = sent.take_if(|sent| sent.key.coid == client.coid) {
                    ledger.orphaned(sent.key);
                }
            }
        }
        let is_over = |run: &Vec<Option<Sent>>| run.iter().all(Option::is_none);
        self.holder.sent_runs.retain(|_, run| !is_over(run));
    }

    pub(crate) fn detach_all(&mut self, now: Time, ledger: &mut Ledger) {
        while let Some(client) = self.clients.first() {
            self.detach(now, client.conn, ledger);
        }
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
