//! One way to the peer: a link of this node and an address behind it, with numbers, acknowledgement, round-trip
//! time, window and state of its own.
//!
//! Packets are numbered for each path, so that what overtakes on another path is never taken for a loss
//! here; path and number together are unique in the session and direction. A path is never removed from
//! its session, because its numbers must not be used again.

use super::mtu::PathMtu;
use super::peer::Address;
use super::rtt::Rtt;
use super::sent::{Carried, Sent};
use super::window::{SMALL_RESERVE_LEN, Window};
use crate::{LinkId, Mac, Time};

/// Time from one try of a path that does not answer to the next; doubles with each.
pub(super) const TRY_NS: u64 = 20_000_000;
/// The longest time between tries.
pub(super) const TRY_MAX_NS: u64 = 200_000_000;
/// Tries that follow an event although nothing is outstanding; further ones wait for traffic.
pub(super) const TRIES_UNASKED: u32 = 4;

/// How far a path can be relied on, best first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PathState {
    /// What is sent through it arrives.
    Up,
    /// Not known to lead to the peer yet.
    Trying,
    /// Nothing that was sent through it arrived, several times in a row.
    Silent,
    /// Its link has no carrier.
    Down,
}

/// One path of a peer, as the statistics show it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PathInfo {
    /// This node's link.
    pub link: LinkId,
    /// The peer's address there.
    pub mac: Mac,
    /// Whether it can be relied on.
    pub state: PathState,
    /// Smoothed round-trip time, ns; 0 when not measured.
    pub rtt_ns: u64,
    /// Bytes of frames that may be on their way.
    pub window_len: u64,
    /// Bytes of frames that are.
    pub in_flight_len: u64,
    /// Bytes that frames carry behind their Ethernet header.
    pub mtu: usize,
    /// Probe timeouts since the last acknowledgement.
    pub unanswered: u32,
    /// Frames sent and received, and what was lost.
    pub stats: PathStats,
}

/// Traffic of one path since the begin of its session.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PathStats {
    /// Frames sent.
    pub frames_sent: u64,
    /// Their bytes.
    pub bytes_sent: u64,
    /// Frames taken.
    pub frames_received: u64,
    /// Their bytes.
    pub bytes_received: u64,
    /// Packets that counted as lost.
    pub packets_lost: u64,
    /// Probe timeouts.
    pub probe_timeouts: u64,
    /// How often it fell silent or lost its carrier.
    pub failures: u64,
}

pub(super) struct Path {
    pub(super) address: Address,
    pub(super) state: PathState,
    pub(super) mtu: PathMtu,
    pub(super) sent: Sent,
    pub(super) rtt: Rtt,
    pub(super) window: Window,
    /// Probe timeouts since the last new acknowledgement.
    pub(super) backoff: u32,
    /// Frames that may be sent beyond the flight window.
    pub(super) probes: u32,
    /// Whether the next frame must ask for an acknowledgement.
    pub(super) ping_wanted: bool,
    /// When the last frame came through it while its link had a carrier: one that comes without says nothing of what can be
    /// sent.
    pub(super) heard_at: Time,
    /// When the peer was last asked through it whether it lives.
    pub(super) pinged_at: Option<Time>,
    /// Whether anything sent through it ever arrived: whoever is there is the peer.
    pub(super) is_proven: bool,
    /// Who is there says that it knows no such session.
    is_refused: bool,
    /// When a path that does not answer was tried last, and how often in a row.
    tried_at: Time,
    tries: u32,
    pub(super) stats: PathStats,
}

/// What a new path is made of.
#[derive(Clone, Copy)]
pub(super) struct PathStart {
    pub(super) now: Time,
    pub(super) address: Address,
    pub(super) state: PathState,
    /// What both links take.
    pub(super) mtu: usize,
    pub(super) receive_window: u32,
    /// The number of the first packet not used by the handshake.
    pub(super) first_packet: u64,
    /// Bytes of a frame that stay empty where frames are not sealed.
    pub(super) spare: usize,
}

impl Path {
    pub(super) fn new(start: PathStart) -> Path {
        Path {
            address: start.address,
            state: start.state,
            mtu: PathMtu::new(start.mtu, start.spare),
            sent: Sent::new(start.first_packet),
            rtt: Rtt::new(),
            window: Window::new(start.mtu, start.receive_window),
            backoff: 0,
            probes: 0,
            ping_wanted: start.state == PathState::Trying,
            heard_at: start.now,
            pinged_at: None,
            is_proven: start.state == PathState::Up,
            is_refused: false,
            tried_at: start.now,
            tries: 0,
            stats: PathStats::default(),
        }
    }

    pub(super) fn info(&self) -> PathInfo {
        PathInfo {
            link: self.address.link,
            mac: self.address.mac,
            state: self.state,
            rtt_ns: self.rtt.smoothed_ns(),
            window_len: self.window.len(),
            in_flight_len: self.sent.in_flight(),
            mtu: self.frame_mtu(),
            unanswered: self.backoff,
            stats: self.stats,
        }
    }

    /// Bytes that the next frame may carry behind its Ethernet header.
    pub(super) fn frame_mtu(&self) -> usize {
        self.mtu.frame_mtu(self.backoff >= 2)
    }

    /// Whether small things may be sent.
    pub(super) fn may_send(&self) -> bool {
        self.probes > 0 || self.sent.in_flight() < self.window.len() + SMALL_RESERVE_LEN
    }

    /// Whether long messages may be sent.
    pub(super) fn may_send_bulk(&self) -> bool {
        self.probes > 0 || self.sent.in_flight() < self.window.len()
    }

    /// Whether a frame must go out that no queue asks for.
    pub(super) fn wants_frame(&self) -> bool {
        self.ping_wanted || self.len_probe().is_some()
    }

    /// The length of the frame that is to be sent to learn whether it arrives. A path that does not answer
    /// is not asked that.
    pub(super) fn len_probe(&self) -> Option<usize> {
        let answers = self.backoff == 0 && self.state == PathState::Up;
        self.mtu.wants_probe().filter(|_| answers)
    }

    /// How long a frame sent now is expected to take; what cannot be told counts as short.
    pub(super) fn cost(&self) -> u64 {
        let rtt = self.rtt.smoothed_ns().max(1);
        let waiting = rtt.saturating_mul(self.sent.in_flight()) / self.window.len().max(1);
        rtt.saturating_add(waiting)
    }

    /// When a path that does not answer is to be tried again.
    pub(super) fn try_due(&self, is_busy: bool) -> Option<Time> {
        let is_asked =
            is_busy || self.tries < TRIES_UNASKED || self.sent.in_flight() > 0 || self.ping_wanted;
        let can_be =
            !self.is_refused && self.state != PathState::Up && self.state != PathState::Down;
        let interval = (TRY_NS << self.tries.min(8)).min(TRY_MAX_NS);
        (can_be && is_asked).then(|| self.tried_at.after(interval))
    }

    /// A try is due: what was sent in vain comes into `carried`, and another ping is wanted if anybody
    /// needs to know.
    pub(super) fn try_again(&mut self, now: Time, is_busy: bool, carried: &mut Vec<Carried>) {
        self.give_up_all(carried);
        self.ping_wanted = is_busy || self.tries < TRIES_UNASKED;
        self.tries += u32::from(self.ping_wanted);
        self.tried_at = now;
    }

    /// A frame of the session came through it, which makes another try worth while.
    pub(super) fn on_frame(&mut self, now: Time, frame_len: usize) {
        if self.state != PathState::Down {
            self.heard_at = now;
        }
        self.stats.frames_received += 1;
        self.stats.bytes_received += frame_len as u64;
        self.tries = self.tries.min(TRIES_UNASKED - 1);
    }

    /// The peer said through it that it is there.
    pub(super) fn on_hello(&mut self) {
        if self.state == PathState::Trying || self.state == PathState::Silent {
            self.tries = 0;
            self.ping_wanted = true;
            self.is_refused = false;
        }
    }

    /// Who is there knows no such session and is not the peer: it is not tried again.
    pub(super) fn on_refused(&mut self, carried: &mut Vec<Carried>) {
        self.state = self.state.max(PathState::Silent);
        self.ping_wanted = false;
        self.is_refused = true;
        self.give_up_all(carried);
    }

    /// The carrier of its link is there again.
    pub(super) fn on_carrier(&mut self, now: Time) {
        if self.state == PathState::Down {
            self.state = PathState::Trying;
            self.backoff = 0;
            self.mtu.reset();
            self.tries = 0;
            self.tried_at = now;
            self.ping_wanted = true;
        }
    }

    /// A packet sent through it arrived.
    pub(super) fn on_answer(&mut self) {
        self.backoff = 0;
        if self.state != PathState::Down {
            if self.state != PathState::Up {
                self.window.forget_losses();
            }
            self.state = PathState::Up;
            self.is_proven = true;
            self.is_refused = false;
            self.tries = 0;
        }
    }

    /// Nothing gets through: what is on its way comes into `carried`.
    pub(super) fn fail(&mut self, now: Time, state: PathState, carried: &mut Vec<Carried>) {
        if self.state != state {
            self.stats.failures += 1;
        }
        self.state = state;
        self.ping_wanted = false;
        self.tries = 0;
        self.tried_at = now;
        self.give_up_all(carried);
    }

    pub(super) fn give_up_all(&mut self, carried: &mut Vec<Carried>) {
        while self.give_up_oldest(carried) {}
    }

    /// Counts the oldest packet on its way as lost; false if there is none.
    pub(super) fn give_up_oldest(&mut self, carried: &mut Vec<Carried>) -> bool {
        let Some(lost) = self.sent.give_up_oldest(carried) else {
            return false;
        };
        self.on_lost(lost.packet, lost.len);
        true
    }

    /// Counts a packet as lost, if it is on its way.
    pub(super) fn give_up(&mut self, packet: u64, carried: &mut Vec<Carried>) {
        if let Some(lost) = self.sent.give_up(packet, carried) {
            self.on_lost(lost.packet, lost.len);
        }
    }

    /// Whether all that is on its way is the question whether a long frame arrives.
    pub(super) fn is_len_probe_alone(&self) -> bool {
        let oldest = self.sent.oldest();
        oldest.is_some_and(|(packet, len)| {
            self.mtu.is_probe(packet) && self.sent.in_flight() == u64::from(len)
        })
    }

    /// A packet counts as lost.
    pub(super) fn on_lost(&mut self, packet: u64, len: u32) {
        if !self.mtu.is_probe(packet) {
            self.window.on_lost();
            self.stats.packets_lost += 1;
        }
        self.mtu.on_lost(packet, len as usize);
    }
}
