//! When something has to happen by itself: acknowledgements, probes, keepalives, death.

use super::peer::{Peer, State};
use super::queue::Control;
use super::session::Session;
use super::{Config, DownReason, Engine, peer_of};
use crate::{PeerId, Time};

/// Probe timeouts in a row that mean that nothing gets through.
const STALL_PROBES: u32 = 3;

impl Engine {
    /// When [`Engine::handle_timeout`] is due; `None` as long as nothing is outstanding.
    pub fn poll_timeout(&self) -> Option<Time> {
        let peers = self
            .active
            .iter()
            .filter_map(|&id| self.deadline(self.peer(id)?));
        peers
            .chain(self.resolves.iter().map(|resolve| resolve.due()))
            .min()
    }

    /// To be called when the time of [`Engine::poll_timeout`] has come; harmless earlier.
    pub fn handle_timeout(&mut self, now: Time) {
        self.retry_resolves(now);
        for at in (0..self.active.len()).rev() {
            let Some(&id) = self.active.get(at) else {
                continue;
            };
            match self.peer(id).map(|peer| &peer.state) {
                Some(State::Connecting(_)) => self.retry_connecting(now, id),
                Some(State::Up(_)) => self.tend(now, id),
                Some(State::Known) | None => {}
            }
        }
    }

    fn deadline(&self, peer: &Peer) -> Option<Time> {
        match &peer.state {
            State::Known => None,
            State::Connecting(attempt) => Some(
                attempt
                    .retry_at
                    .min(attempt.started_at + self.config.tolerance),
            ),
            State::Up(session) => Clocks::of(&self.config, session).first(),
        }
    }

    fn tend(&mut self, now: Time, id: PeerId) {
        let config = &self.config;
        let Some(peer) = peer_of(&mut self.peers, id) else {
            return;
        };
        let State::Up(session) = &mut peer.state else {
            return;
        };
        let clocks = Clocks::of(config, session);
        let is_due = |at: Option<Time>| at.is_some_and(|at| at <= now);
        if is_due(clocks.death) {
            return self.take_down(now, id, DownReason::Silent);
        }
        if is_due(clocks.ping) {
            session.pinged_at = now;
            session.probes = session.probes.max(1);
            peer.queue.control.push_front(Control::Ping);
        }
        if is_due(clocks.probe) {
            self.probe(now, id);
        }
        self.settle(now, id);
    }

    /// Nothing was acknowledged for too long: the oldest packets count as lost.
    fn probe(&mut self, now: Time, id: PeerId) {
        let mut carried = std::mem::take(&mut self.carried);
        if let Some(peer) = peer_of(&mut self.peers, id)
            && let State::Up(session) = &mut peer.state
        {
            peer.stats.probe_timeouts += 1;
            session.backoff += 1;
            session.probes = 2;
            session.sent.rearm(now);
            for _ in 0..2 {
                if session.sent.give_up_oldest(&mut carried) {
                    session.window.on_lost();
                    peer.stats.packets_lost += 1;
                }
            }
            if session.backoff >= STALL_PROBES {
                session.window.on_stall();
            }
        }
        self.on_lost(id, &mut carried);
        self.carried = carried;
        if let Some(peer) = peer_of(&mut self.peers, id)
            && peer.queue.is_empty()
        {
            peer.queue.control.push_back(Control::Ping);
        }
    }
}

/// The moments at which a session wants attention.
struct Clocks {
    ack: Option<Time>,
    probe: Option<Time>,
    ping: Option<Time>,
    death: Option<Time>,
}

impl Clocks {
    fn of(config: &Config, session: &Session) -> Clocks {
        let tolerance_ns = config.tolerance.as_nanos() as u64;
        let floor_ns = config.probe_timeout_min.as_nanos() as u64;
        let timeout_ns = session.rtt.probe_timeout_ns(floor_ns, session.ack_delay_ns);
        let timeout_ns = (timeout_ns << session.backoff.min(10)).min(tolerance_ns / 6);
        let probe =
            (session.sent.in_flight() > 0).then(|| session.sent.last_at().after(timeout_ns));
        let quiet_since = session.busy_since.map(|busy| busy.max(session.heard_at));
        let has_conns = !session.out_conns.is_empty() || !session.in_conns.is_empty();
        let ping = match quiet_since {
            Some(quiet) => Some(quiet.max(session.pinged_at).after(tolerance_ns / 3)),
            None if has_conns => {
                Some(session.heard_at.max(session.pinged_at) + config.keepalive_idle)
            }
            None => None,
        };
        let death = quiet_since.map(|quiet| quiet.after(tolerance_ns));
        Clocks {
            ack: session.received.due(),
            probe,
            ping,
            death,
        }
    }

    fn first(&self) -> Option<Time> {
        [self.ack, self.probe, self.ping, self.death]
            .into_iter()
            .flatten()
            .min()
    }
}
