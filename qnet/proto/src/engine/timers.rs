//! When something has to happen by itself: acknowledgements, probes, keepalives, death.

use super::absence::absence_ns;
use super::doubt::DOUBT_SHARE;
use super::path::PathState;
use super::peer::{Peer, State};
use super::sent::Carried;
use super::session::Session;
use super::{Config, DownReason, Engine, peer_of};
use crate::{PeerId, Time};

/// Probe timeouts in a row that mean that nothing gets through.
pub(super) const STALL_PROBES: u32 = 3;

impl Engine {
    /// When [`Engine::handle_timeout`] is due; `None` as long as nothing is outstanding.
    pub fn poll_timeout(&self) -> Option<Time> {
        // Asked in every round of a loop: plain loops, as most often there is one peer and nothing else.
        let mut first = None;
        for &id in &self.active {
            first = earlier(first, self.peer(id).and_then(|peer| self.deadline(peer)));
        }
        for resolve in &self.resolves {
            first = earlier(first, Some(resolve.due()));
        }
        first
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
        self.tended_at = now;
    }

    fn deadline(&self, peer: &Peer) -> Option<Time> {
        match &peer.state {
            State::Known => None,
            State::Connecting(attempt) => Some(
                attempt
                    .retry_at
                    .min(attempt.started_at + self.config.tolerance),
            ),
            State::Up(session) => Clocks::of(&self.config, peer, session).first(),
        }
    }

    fn clocks(&self, id: PeerId) -> Option<Clocks> {
        let peer = self.peer(id)?;
        Some(Clocks::of(&self.config, peer, peer.session()?))
    }

    fn tend(&mut self, now: Time, id: PeerId) {
        let Some(mut clocks) = self.clocks(id) else {
            return;
        };
        let away_ns =
            (clocks.first()).map_or(0, |due| absence_ns(&self.config, now, self.tended_at, due));
        if away_ns > 0 {
            self.excuse(now, id, away_ns);
            clocks = self.clocks(id).expect("an excuse ends no session");
        }
        let is_due = |at: Option<Time>| at.is_some_and(|at| at <= now);
        if is_due(clocks.death) {
            return self.take_down(now, id, DownReason::Silent);
        }
        if is_due(clocks.doubt) {
            return self.give_up_doubted(now, id);
        }
        if is_due(clocks.ping) {
            self.keep_alive(now, id);
        }
        if is_due(clocks.paths) {
            self.tend_paths(now, id);
        }
        if is_due(clocks.seek) {
            self.seek(now, id);
        }
        if is_due(clocks.exclusive) {
            self.end_exclusive(now, id);
        }
        self.relieve_runs(id);
        self.settle(now, id);
    }

    /// Asks through the best path whether the peer lives, and through every link that something waits for.
    fn keep_alive(&mut self, now: Time, id: PeerId) {
        let Some(peer) = peer_of(&mut self.peers, id) else {
            return;
        };
        let waits = peer.exclusive_due.is_some();
        let State::Up(session) = &mut peer.state else {
            return;
        };
        let best = session.best_path();
        for (at, path) in session.paths.iter_mut().enumerate() {
            if at == best || (waits && path.state == PathState::Up) {
                path.pinged_at = Some(now);
                path.ping_wanted = true;
            }
        }
    }

    fn tend_paths(&mut self, now: Time, id: PeerId) {
        let Some(session) = self.peer(id).and_then(|peer| peer.session()) else {
            return;
        };
        for at in 0..session.paths.len() {
            let Some(peer) = self.peer(id) else {
                return;
            };
            let Some(session) = peer.session() else {
                return;
            };
            let is_due = path_due(&self.config, peer, session, at).is_some_and(|due| due <= now);
            let is_in_service = session.is_in_service(at);
            let is_busy = is_waited_for(peer, session);
            if is_due && is_in_service {
                self.probe(now, id, at);
            } else if is_due {
                self.with_lost(id, |session, carried| {
                    session.paths[at].try_again(now, is_busy, carried);
                });
            }
        }
    }

    /// Gives up a path that passes less than every link must take: what it carried goes through others, and if there is
    /// none, nothing of any length can be promised to go.
    pub(super) fn leave_narrow(&mut self, now: Time, id: PeerId, at: usize) {
        let tolerance_ns = self.config.tolerance.as_nanos() as u64;
        let Some(session) = self.peer(id).and_then(|peer| peer.session()) else {
            return;
        };
        let path = session.paths.get(at);
        if !path.is_some_and(|path| path.mtu.is_too_narrow(now, tolerance_ns)) {
            return;
        }
        if !session.has_alternative(at) {
            return self.take_down(now, id, DownReason::TooNarrow);
        }
        self.with_lost(id, |session, carried| {
            let path = &mut session.paths[at];
            path.stats.failures += 1;
            path.mtu.reset();
            path.on_refused(carried);
        });
    }

    /// Nothing was acknowledged on a path for too long: the oldest packets count as lost, and those without which the
    /// others cannot be taken. The third time in a row the path is silent, and what it carried goes through others.
    fn probe(&mut self, now: Time, id: PeerId, at: usize) {
        let heads = self.heads_on_their_way(id, at);
        self.with_lost(id, |session, carried| {
            let has_alternative = session.has_alternative(at);
            let path = &mut session.paths[at];
            path.sent.rearm(now);
            if path.backoff == 0 && path.is_len_probe_alone() {
                return path.give_up_all(carried);
            }
            path.stats.probe_timeouts += 1;
            path.backoff += 1;
            path.probes = 2;
            if path.backoff >= STALL_PROBES {
                path.window.on_stall();
                path.mtu.on_stall();
            }
            if path.backoff == STALL_PROBES && path.state != PathState::Silent {
                path.stats.failures += 1;
                path.state = PathState::Silent;
            }
            match path.backoff {
                // A path that answers no more must not keep what another would carry.
                2.. if has_alternative => path.give_up_all(carried),
                _ => {
                    path.give_up_oldest(carried);
                    path.give_up_oldest(carried);
                    heads.iter().for_each(|&head| path.give_up(head, carried));
                }
            }
        });
        if let Some(peer) = peer_of(&mut self.peers, id) {
            peer.stats.probe_timeouts += 1;
            let is_empty = peer.queues.is_empty();
            if let State::Up(session) = &mut peer.state {
                let path_count = session.paths.len();
                let is_doubted = session.doubted_since.is_some();
                let path = &mut session.paths[at];
                // What waits may go through another path, or not before the session is out of doubt: then this one must
                // ask for itself. And the second time in a row the peer is asked whether it lives, whatever it can make
                // of the rest.
                path.ping_wanted |= is_empty || is_doubted || path_count > 1 || path.backoff > 1;
            }
        }
    }

    /// The packets on their way through a path that carry the head of a message and not all of it. Until it arrives the
    /// other bytes are refused, and not acknowledged: many packets that are older can be on their way in vain.
    fn heads_on_their_way(&self, id: PeerId, at: usize) -> Vec<u64> {
        let Some(session) = self.peer(id).and_then(|peer| peer.session()) else {
            return Vec::new();
        };
        let is_head = |carried: &Carried| match carried {
            Carried::Message { call, head, range } => {
                let message = self.tables.out_call(*call);
                *head && message.is_some_and(|call| (range.len() as u32) < call.outgoing.len)
            }
            _ => false,
        };
        session.paths[at].sent.that_carry(is_head)
    }
}

/// The earlier of two moments that may not come.
fn earlier(one: Option<Time>, other: Option<Time>) -> Option<Time> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}

/// Whether anything is wanted of the paths that do not answer.
fn is_waited_for(peer: &Peer, session: &Session) -> bool {
    session.is_busy() || peer.exclusive_due.is_some()
}

/// When a path wants attention: a probe timeout while it is in service, else its next try.
fn path_due(config: &Config, peer: &Peer, session: &Session, at: usize) -> Option<Time> {
    let path = &session.paths[at];
    if !session.is_in_service(at) {
        return path.try_due(is_waited_for(peer, session));
    }
    let tolerance_ns = config.tolerance.as_nanos() as u64;
    let floor_ns = config.probe_timeout_min.as_nanos() as u64;
    let timeout_ns = path.rtt.probe_timeout_ns(floor_ns, session.ack_delay_ns);
    let timeout_ns = (timeout_ns << path.backoff.min(10)).min(tolerance_ns / 6);
    (path.sent.in_flight() > 0).then(|| path.sent.last_at().after(timeout_ns))
}

/// The moments at which a session wants attention.
struct Clocks {
    ack: Option<Time>,
    paths: Option<Time>,
    ping: Option<Time>,
    death: Option<Time>,
    doubt: Option<Time>,
    exclusive: Option<Time>,
    seek: Option<Time>,
}

impl Clocks {
    fn of(config: &Config, peer: &Peer, session: &Session) -> Clocks {
        let tolerance_ns = config.tolerance.as_nanos() as u64;
        let paths = 0..session.paths.len();
        let paths = paths
            .filter_map(|at| path_due(config, peer, session, at))
            .min();
        let quiet_since = session.busy_since.map(|busy| busy.max(session.heard_at));
        let has_conns = !session.out_conns.is_empty() || !session.in_conns.is_empty();
        let ping = match quiet_since {
            Some(quiet) => {
                let quiet = quiet_path(peer, session, quiet);
                Some(quiet.after(tolerance_ns / 3))
            }
            None if has_conns => {
                Some(quiet_path(peer, session, session.heard_at) + config.keepalive_idle)
            }
            None => None,
        };
        let death = quiet_since.map(|quiet| quiet.after(tolerance_ns));
        let doubted_since = session.doubted_since;
        let doubt = doubted_since.map(|since| since.after(tolerance_ns / DOUBT_SHARE));
        Clocks {
            ack: session.due_space().map(|(_, due)| due),
            paths,
            ping,
            death,
            doubt,
            exclusive: peer.exclusive_due,
            seek: session.seek_at,
        }
    }

    fn first(&self) -> Option<Time> {
        let Clocks {
            ack,
            paths,
            ping,
            death,
            doubt,
            exclusive,
            seek,
        } = *self;
        let clocks = [ack, paths, ping, death, doubt, exclusive, seek];
        clocks.into_iter().flatten().min()
    }
}

/// Since when the session is quiet and was not asked whether it lives; while something waits for one
/// link, since when any path that is up is.
fn quiet_path(peer: &Peer, session: &Session, quiet: Time) -> Time {
    let pinged_at = session.paths.iter().filter_map(|path| path.pinged_at).max();
    let whole = quiet.max(pinged_at.unwrap_or(quiet));
    if peer.exclusive_due.is_none() {
        return whole;
    }
    let up = session
        .paths
        .iter()
        .filter(|path| path.state == PathState::Up);
    up.map(|path| {
        path.pinged_at
            .map_or(path.heard_at, |pinged| path.heard_at.max(pinged))
    })
    .fold(whole, Time::min)
}
