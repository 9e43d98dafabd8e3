//! Setting up a session in three messages: Init, InitAck, Confirm.
//!
//! The responder keeps nothing before the third: the second carries a cookie over everything it would
//! have to remember, bound to its clock and to the sessions it had with that name at that moment.

use super::cookie::COOKIE_LIFE_NS;
use super::datagram::Datagram;
use super::names::Need;
use super::path::PathState;
use super::peer::{Address, Confirm, Connecting, State};
use super::session::{Session, SessionStart};
use super::{DownReason, DropReason, Engine, Event, peer_of};
use crate::wire::{Frame, Handshake, Hello, Record, RecordType, Reset, ResetReason};
use crate::{LinkId, Mac, PeerId, Time};

/// Time to the first repetition of an Init or Confirm; doubles with each.
pub(super) const RETRY_NS: u64 = 20_000_000;
/// The longest time between repetitions.
pub(super) const RETRY_MAX_NS: u64 = 200_000_000;
/// How often a Confirm is repeated before the handshake begins anew.
pub(super) const CONFIRMS: u32 = 4;

impl Engine {
    pub(super) fn begin_connecting(&mut self, now: Time, id: PeerId) {
        let nonce = (self.random.next() as u32).max(1);
        let Some(peer) = self.peer_mut(id) else {
            return;
        };
        peer.is_pinned = true;
        peer.state = State::Connecting(Box::new(Connecting {
            nonce,
            started_at: now,
            retry_at: now.after(RETRY_NS),
            tries: 0,
            confirm: None,
            next_packet: 0,
        }));
        if !self.active.contains(&id) {
            self.active.push(id);
        }
        self.send_init(id, nonce);
    }

    fn send_init(&mut self, id: PeerId, nonce: u32) {
        for address in self.addresses_of(id) {
            let init = Handshake {
                hello: self.hello(address.link),
                initiator_nonce: nonce,
                responder_nonce: 0,
                other_epoch: 0,
                stamp: 0,
                cookie: [0; 16],
            };
            self.push_datagram(Datagram::handshake(address, RecordType::Init, init));
        }
    }

    /// Where a node may be reached: through every link that has a carrier, if there is one.
    fn addresses_of(&self, id: PeerId) -> Vec<Address> {
        let Some(peer) = self.peer(id) else {
            return Vec::new();
        };
        let mut addresses: Vec<Address> = vec![peer.address];
        let others = peer.addresses.iter().map(|known| known.address);
        addresses.extend(others.filter(|&address| address != peer.address));
        if addresses
            .iter()
            .any(|address| self.has_carrier(address.link))
        {
            addresses.retain(|address| self.has_carrier(address.link));
        }
        addresses
    }

    /// Repeats the message of the handshake that was not answered.
    pub(super) fn retry_connecting(&mut self, now: Time, id: PeerId) {
        self.excuse_connecting(now, id);
        let fresh_nonce = (self.random.next() as u32).max(1);
        let tolerance_ns = self.config.tolerance.as_nanos() as u64;
        let Some(peer) = peer_of(&mut self.peers, id) else {
            return;
        };
        let (name, is_static) = (peer.name, peer.is_static);
        let State::Connecting(attempt) = &mut peer.state else {
            return;
        };
        if now.since(attempt.started_at) >= tolerance_ns {
            return self.take_down(now, id, DownReason::Unreachable);
        }
        if now < attempt.retry_at {
            return;
        }
        attempt.tries += 1;
        attempt.retry_at = now.after((RETRY_NS << attempt.tries.min(8)).min(RETRY_MAX_NS));
        match attempt.confirm {
            Some(confirm) if attempt.tries <= CONFIRMS => {
                let packet = attempt.next_packet;
                attempt.next_packet += 1;
                self.push_datagram(Datagram::confirm(confirm.to, packet, confirm.message));
            }
            Some(confirm) => {
                attempt.confirm = None;
                attempt.nonce = fresh_nonce;
                attempt.next_packet = 0;
                self.sessions.remove(&confirm.message.session());
                self.send_init(id, fresh_nonce);
            }
            None => {
                let nonce = attempt.nonce;
                self.send_init(id, nonce);
                if !is_static {
                    self.ask_who_is(name);
                }
            }
        }
    }

    /// First message, on the responder's side: answered without keeping anything.
    pub(super) fn take_init(&mut self, now: Time, from: Address, init: &Handshake) {
        if self.refuse_name(now, from, init) {
            return;
        }
        let known = self.names.get(&init.hello.name).copied();
        let generation = known
            .and_then(|id| self.peer(id))
            .map_or(0, |peer| peer.generation);
        if let Some(peer) = known.and_then(|id| self.peer_mut(id))
            && matches!(peer.state, State::Connecting(_))
        {
            peer.address = if peer.is_static { peer.address } else { from };
            // Both sides began at once: the lower name stays the initiator.
            if self.config.name < init.hello.name {
                return;
            }
        }
        let (nonce, cookie) = self.cookies.make(init, from, self.epoch, now.0, generation);
        let ack = Handshake {
            hello: self.hello(from.link),
            initiator_nonce: init.initiator_nonce,
            responder_nonce: nonce,
            other_epoch: init.hello.epoch,
            stamp: now.0,
            cookie,
        };
        self.push_datagram(Datagram::handshake(from, RecordType::InitAck, ack));
    }

    /// Whether the name of a stranger is taken; then the stranger and the caller are told.
    fn refuse_name(&mut self, now: Time, from: Address, theirs: &Handshake) -> bool {
        let name = theirs.hello.name;
        let is_own = name == self.config.name;
        let tolerance_ns = self.config.tolerance.as_nanos() as u64;
        let peer = self.names.get(&name).and_then(|&id| self.peer(id));
        let is_alive_elsewhere = peer.is_some_and(|peer| {
            peer.session().is_some_and(|session| {
                session.epoch != theirs.hello.epoch
                    && session.hello.station != theirs.hello.station
                    && now.since(session.heard_at) < tolerance_ns
            })
        });
        if !is_own && !is_alive_elsewhere {
            return false;
        }
        self.drops.count(DropReason::NameInUse);
        self.tell_duplicate(name, from, false);
        let session = u64::from(theirs.initiator_nonce) << 32;
        let reset = Reset {
            session,
            epoch: self.epoch,
            reason: ResetReason::NameInUse,
        };
        self.push_datagram(Datagram::reset(from, reset));
        true
    }

    /// Second message, on the initiator's side.
    pub(super) fn take_init_ack(&mut self, now: Time, from: Address, ack: &Handshake) {
        let is_mine = ack.other_epoch == self.epoch;
        let id = self.names.get(&ack.hello.name).copied().filter(|_| is_mine);
        let Some((id, peer)) = id.and_then(|id| Some((id, peer_of(&mut self.peers, id)?))) else {
            return self.drops.count(DropReason::Misplaced);
        };
        let State::Connecting(attempt) = &mut peer.state else {
            return;
        };
        if attempt.nonce != ack.initiator_nonce || attempt.confirm.is_some() {
            return;
        }
        let session = ack.session();
        if self.sessions.contains_key(&session) {
            return;
        }
        self.excuse_connecting(now, id);
        let Some(peer) = peer_of(&mut self.peers, id) else {
            return;
        };
        let State::Connecting(attempt) = &mut peer.state else {
            return;
        };
        let mut confirm = *ack;
        confirm.other_epoch = ack.hello.epoch;
        confirm.hello = Hello {
            epoch: self.epoch,
            receive_window: self.config.receive_window_len,
            ack_delay_us: self.config.ack_delay.as_micros() as u32,
            mtu: self.config.links[usize::from(from.link.0)].mtu as u16,
            station: self.config.links[0].mac,
            name: self.config.name,
        };
        attempt.confirm = Some(Confirm {
            message: confirm,
            hello: ack.hello,
            to: from,
        });
        attempt.tries = 0;
        attempt.retry_at = now.after(RETRY_NS);
        attempt.next_packet = 1;
        peer.address = from;
        peer.learn(from, ack.hello.mtu);
        self.sessions.insert(session, id);
        self.push_datagram(Datagram::confirm(from, 0, confirm));
    }

    /// A frame of a session that is not known: its begin, or a remainder of a former life.
    pub(super) fn take_unknown_session(&mut self, now: Time, link: LinkId, frame: &Frame<'_>) {
        let from = Address {
            link,
            mac: frame.src,
        };
        if let Some(Ok(Record::Confirm(confirm))) = frame.records().next() {
            return self.take_confirm(now, from, frame, &confirm);
        }
        self.drops.count(DropReason::UnknownSession);
        // A flood is not worth an answer for each of its frames, and would be sent back to who knows whom.
        if !self.resets.take(now) {
            return;
        }
        let reset = Reset {
            session: frame.header.session,
            epoch: self.epoch,
            reason: ResetReason::Unknown,
        };
        self.push_datagram(Datagram::reset(from, reset));
    }

    /// Third message, on the responder's side: from here on there is a session.
    fn take_confirm(&mut self, now: Time, from: Address, frame: &Frame<'_>, confirm: &Handshake) {
        let name = confirm.hello.name;
        let known = self.names.get(&name).copied();
        let generation = known
            .and_then(|id| self.peer(id))
            .map_or(0, |peer| peer.generation);
        let (nonce, cookie) =
            self.cookies
                .make(confirm, from, self.epoch, confirm.stamp, generation);
        let is_fresh = confirm.stamp <= now.0 && now.0 - confirm.stamp <= COOKIE_LIFE_NS;
        let is_ours = (nonce, cookie) == (confirm.responder_nonce, confirm.cookie)
            && confirm.other_epoch == self.epoch
            && frame.header.session == confirm.session()
            && !frame.header.is_responder;
        if !is_fresh || !is_ours {
            return self.drops.count(DropReason::Cookie);
        }
        if self.refuse_name(now, from, confirm) {
            return;
        }
        let Some(id) = self.note(now, from, &confirm.hello, Need::Session) else {
            return self.drops.count(DropReason::Full);
        };
        let peer = self.peer(id).expect("noted a moment ago");
        match &peer.state {
            State::Up(session) if session.epoch == confirm.hello.epoch => {
                self.take_down(now, id, DownReason::SessionLost);
            }
            State::Up(_) => self.take_down(now, id, DownReason::Restarted),
            State::Connecting(attempt) if attempt.confirm.is_some() && self.config.name < name => {
                return;
            }
            State::Connecting(_) | State::Known => {}
        }
        self.establish(now, id, from, frame.header.session, true, &confirm.hello, 0);
        let ack_delay_ns = self.config.ack_delay.as_nanos() as u64;
        if let Some(session) = self.peer_mut(id).and_then(|peer| peer.session_mut()) {
            let space = session.space(usize::from(frame.header.path), 0);
            space
                .received
                .insert(now, frame.header.packet, Some(frame.len), ack_delay_ns);
            space.received.hurry(now);
        }
        self.settle(now, id);
    }

    /// The first frame of the responder, on the initiator's side: from here on there is a session.
    pub(super) fn be_confirmed(&mut self, now: Time, id: PeerId, frame: &Frame<'_>) {
        let Some(peer) = self.peer(id) else {
            return;
        };
        let State::Connecting(attempt) = &peer.state else {
            return;
        };
        if let Some(confirm) = attempt.confirm
            && frame.header.is_responder
            && confirm.message.session() == frame.header.session
        {
            let (hello, next_packet) = (confirm.hello, attempt.next_packet);
            self.establish(
                now,
                id,
                confirm.to,
                frame.header.session,
                false,
                &hello,
                next_packet,
            );
        }
    }

    #[expect(
        clippy::too_many_arguments,
        reason = "one for each thing that the two sides know differently"
    )]
    fn establish(
        &mut self,
        now: Time,
        id: PeerId,
        address: Address,
        session: u64,
        is_responder: bool,
        hello: &Hello,
        first_packet: u64,
    ) {
        let mtu = usize::from(hello.mtu);
        let mut path = self.path_start(now, address, mtu, hello.receive_window);
        path.state = PathState::Up;
        path.first_packet = first_packet;
        let start = SessionStart {
            id: session,
            is_responder,
            hello,
            path,
            hash: self.random.next(),
        };
        let fresh = Box::new(Session::new(start));
        self.drop_session(id);
        let Some(peer) = peer_of(&mut self.peers, id) else {
            return;
        };
        peer.state = State::Up(fresh);
        peer.address = address;
        peer.epoch = hello.epoch;
        peer.is_pinned |= !is_responder;
        peer.has_called |= is_responder;
        peer.stats.sessions += 1;
        if !self.active.contains(&id) {
            self.active.push(id);
        }
        self.sessions.insert(session, id);
        self.events.push_back(Event::PeerUp { peer: id });
        self.add_known_paths(now, id);
        self.seek(now, id);
        self.settle(now, id);
    }

    /// Tells the caller of a second bearer of a name, once.
    pub(super) fn tell_duplicate(&mut self, name: crate::NodeName, at: Address, is_late: bool) {
        let duplicate: (crate::NodeName, Mac) = (name, at.mac);
        if self.last_duplicate != Some(duplicate) {
            self.last_duplicate = Some(duplicate);
            self.events.push_back(Event::DuplicateName {
                name,
                link: at.link,
                mac: at.mac,
                is_late,
            });
        }
    }

    /// The peer knows no such session, or refuses one.
    pub(super) fn take_reset(&mut self, now: Time, from: Address, reset: &Reset) {
        if reset.reason == ResetReason::NameInUse {
            return self.take_refusal(now, from, reset);
        }
        let Some(&id) = self.sessions.get(&reset.session) else {
            return;
        };
        let Some(peer) = peer_of(&mut self.peers, id) else {
            return;
        };
        match &mut peer.state {
            State::Up(session) => {
                let Some(at) = session.path_to(from) else {
                    return;
                };
                // Not the peer, perhaps, but somebody at an address that was taken for one of its.
                if !session.paths[at].is_proven {
                    return self.with_lost(id, |session, carried| {
                        session.paths[at].on_refused(carried);
                    });
                }
                let reason = if session.epoch == reset.epoch {
                    DownReason::SessionLost
                } else {
                    DownReason::Restarted
                };
                self.take_down(now, id, reason);
            }
            State::Connecting(attempt) if attempt.confirm.is_some_and(|it| it.to == from) => {
                attempt.tries = CONFIRMS;
                attempt.retry_at = now;
            }
            State::Connecting(_) | State::Known => {}
        }
    }

    fn take_refusal(&mut self, now: Time, from: Address, reset: &Reset) {
        let own = self.config.name;
        if reset.session == 0 {
            return self.tell_duplicate(own, from, true);
        }
        let is_refused = |id: &PeerId| {
            self.peer(*id).is_some_and(|peer| match &peer.state {
                State::Connecting(attempt) => u64::from(attempt.nonce) << 32 == reset.session,
                _ => false,
            })
        };
        if let Some(id) = self.active.iter().copied().find(is_refused) {
            self.tell_duplicate(own, from, false);
            self.take_down(now, id, DownReason::NameRefused);
        }
    }
}
