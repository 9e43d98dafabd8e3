//! What a node's engine says, checked against what it was told.

use qnet_proto::{Errno, Event, NodeName, PeerId, Time};

use super::{Action, Later, Node, SERVER_ERROR};
use crate::sim::faults::Plan;
use crate::sim::ledger::Ledger;
use crate::sim::pattern::{Body, is_right};
use crate::sim::random::Random;

impl Node {
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
            Event::RunReplied {
                run,
                members,
                status,
            } => self.run_replied(run, members, status, ledger),
            Event::LeftRun { run, at, call } => self.left_run(run, at, call),
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
            Event::RunArrived { run, conn } => {
                self.run_arrived(run, conn, random, ledger, &mut later);
            }
            Event::TakenOut { run, at, call } => {
                self.taken_out(run, at, call, random, &mut later);
            }
            Event::RunDone { run } => self.run_done(run),
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

    pub(super) fn know(&mut self, peer: PeerId, name: NodeName) {
        let index = name.as_str()[1..].parse().expect("nodes are numbered");
        self.peers.insert(index, peer);
        self.holder.node_of.insert(peer, index);
    }
}
