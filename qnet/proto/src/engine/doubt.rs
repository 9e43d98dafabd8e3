//! Sessions that nobody used for long: asked before they are trusted with a new call.
//!
//! The peer of such a session may have gone or begun a new life, and a call that was sent in it would fail although its
//! server's node lives. Or it is there and has begun a call of its own a moment ago: then the session must not be dropped.
//! How long it was silent does not tell which, and the hour tells nothing at all where a clock jumped: only an answer does.

use super::peer::State;
use super::session::Session;
use super::{DownReason, Engine, peer_of};
use crate::{PeerId, Time};

/// A session that nothing uses and that was silent so long is asked before a new call goes through it.
pub(super) const STALE_NS: u64 = 10_000_000_000;
/// The share of the tolerance for which an answer is waited for; the rest is for the session that follows.
pub(super) const DOUBT_SHARE: u64 = 3;

impl Engine {
    /// Sees to it that there is a session with a peer, or an attempt at one.
    pub(super) fn be_connected(&mut self, now: Time, id: PeerId) {
        let Some(peer) = self.peer_mut(id) else {
            return;
        };
        match &mut peer.state {
            State::Known => self.begin_connecting(now, id),
            State::Up(session) if session.is_unused() && now.since(session.heard_at) > STALE_NS => {
                session.begin_doubt(now);
            }
            State::Connecting(_) | State::Up(_) => {}
        }
    }

    /// Nothing was heard in a session that was asked: a fresh one takes what waits, within what is left of the tolerance.
    pub(super) fn give_up_doubted(&mut self, now: Time, id: PeerId) {
        let session = self.peer(id).and_then(|peer| peer.session());
        let Some(since) = session.and_then(|session| session.doubted_since) else {
            return;
        };
        self.take_down(now, id, DownReason::SessionLost);
        if let Some(State::Connecting(attempt)) =
            peer_of(&mut self.peers, id).map(|peer| &mut peer.state)
        {
            attempt.started_at = since;
        }
    }
}

impl Session {
    /// Asks through every path in service; nothing else is sent until a frame is heard.
    fn begin_doubt(&mut self, now: Time) {
        if self.doubted_since.is_some() {
            return;
        }
        self.doubted_since = Some(now);
        for at in 0..self.paths.len() {
            self.paths[at].ping_wanted |= self.is_in_service(at);
        }
    }
}
