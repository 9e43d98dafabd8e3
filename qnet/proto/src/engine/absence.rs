//! The node's own absence: time in which it did not get to run is nobody else's silence.
//!
//! A process that was stopped or starved, or whose clock jumped, finds its deadlines long past when it runs again,
//! and has perhaps not looked yet at what its peers sent meanwhile. Whatever it would conclude from the hour, it did not
//! ask and did not listen. So by how much a deadline was missed is taken out of the time for which a peer was waited
//! for: everything is as it would be had the clock stood still, and who is silent then gets what was left of the
//! tolerance, and is asked in it.
//!
//! Waiting still has an end: of the time between two calls that part counts which lies before the deadline, and deadlines
//! of a peer that does not answer are ever further apart, up to a sixth of the tolerance.

use super::peer::State;
use super::{Config, Engine, peer_of};
use crate::{OutboundConn, PeerId, Time};

/// By how much of the tolerance a deadline may be missed with nobody being absent: a busy machine's timers are late.
pub(super) const LATE_SHARE: u64 = 10;

/// How long the node was away when it comes at `now` to what was due earlier and had not come to anything since
/// `tended_at`; 0 if that is no absence.
pub(super) fn absence_ns(config: &Config, now: Time, tended_at: Time, due: Time) -> u64 {
    let late_ns = now.since(due.max(tended_at));
    let usual_ns = config.tolerance.as_nanos() as u64 / LATE_SHARE;
    if late_ns > usual_ns { late_ns } else { 0 }
}

impl Engine {
    /// Takes an absence out of the time for which a peer with a session was waited for.
    pub(super) fn excuse(&mut self, now: Time, id: PeerId, absence_ns: u64) {
        let Some(peer) = peer_of(&mut self.peers, id) else {
            return;
        };
        let State::Up(session) = &mut peer.state else {
            return;
        };
        let shift = |at: &mut Time| *at = at.after(absence_ns).min(now);
        shift(&mut session.heard_at);
        session.busy_since.iter_mut().for_each(shift);
        session.doubted_since.iter_mut().for_each(shift);
        for path in &mut session.paths {
            shift(&mut path.heard_at);
            path.pinged_at.iter_mut().for_each(shift);
        }
        self.excuse_exclusive(now, id, absence_ns);
    }

    /// Takes an absence out of the time for which a peer was waited for that has not answered the handshake. To be called
    /// before what it was due for is put off.
    pub(super) fn excuse_connecting(&mut self, now: Time, id: PeerId) {
        let Some(State::Connecting(attempt)) =
            peer_of(&mut self.peers, id).map(|peer| &mut peer.state)
        else {
            return;
        };
        let away_ns = absence_ns(&self.config, now, self.tended_at, attempt.retry_at);
        if away_ns > 0 {
            attempt.started_at = attempt.started_at.after(away_ns);
            self.excuse_exclusive(now, id, away_ns);
        }
    }

    /// The same of connections that wait for one link, session or not.
    fn excuse_exclusive(&mut self, now: Time, id: PeerId, absence_ns: u64) {
        let peer = peer_of(&mut self.peers, id);
        let Some(due) = peer.and_then(|peer| peer.exclusive_due.as_mut()) else {
            return;
        };
        let shift = |at: &mut Time| *at = at.after(absence_ns).min(now);
        *due = due.after(absence_ns).min(now + self.config.tolerance);
        let conns: Vec<OutboundConn> = self.tables.out_conns_to(id).collect();
        for conn in conns {
            if let Some(conn) = self.tables.out_conn_mut(conn).filter(|conn| conn.uses > 0) {
                shift(&mut conn.busy_since);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{LinkConfig, Mac, NodeName};

    #[test]
    fn a_late_timer_is_no_absence_and_a_missed_one_is() {
        let link = LinkConfig {
            mac: Mac([2, 0, 0, 0, 0, 1]),
            mtu: 1500,
        };
        let name = NodeName::new("here").expect("a legal name");
        let config = Config::new(name, vec![link], [1; 32]);
        let (start, due) = (Time(0), Time(1_000_000_000));
        assert_eq!(absence_ns(&config, due, start, due), 0);
        assert_eq!(absence_ns(&config, Time(due.0 - 1), start, due), 0);
        assert_eq!(absence_ns(&config, due.after(150_000_000), start, due), 0);
        let missed = due.after(150_000_001);
        assert_eq!(absence_ns(&config, missed, start, due), 150_000_001);
        // What stays due is no absence of a node that looked at it a moment ago.
        assert_eq!(absence_ns(&config, missed, due.after(1_000_000), due), 0);
    }
}
