//! Links that come and go, and the paths of sessions through them.

use super::datagram::{Content, Datagram};
use super::path::{Path, PathInfo, PathStart, PathState};
use super::peer::Address;
use super::queue::{Bulk, Control};
use super::sent::Carried;
use super::session::Session;
use super::{Cancel, Engine, Event, LinkPolicy, peer_of};
use crate::limits::{PATHS_MAX, TAG_LEN};
use crate::wire::RecordType;
use crate::{Errno, LinkId, Mac, OutboundCall, OutboundConn, PeerId, Time};

/// Time from the first search behind a link to the second; doubles with each.
pub(super) const SEEK_NS: u64 = 50_000_000;
/// Searches after the begin of a session.
pub(super) const SEEKS: u32 = 4;

impl Engine {
    /// Says whether a link has a carrier. Every link counts as having one until this was called.
    ///
    /// Without one, what was on its way through it goes through others at once; with one again, its
    /// paths are tried, and peers with a session are told. Other nodes are found when they are asked for.
    pub fn set_carrier(&mut self, now: Time, link: LinkId, is_up: bool) {
        let Some(carrier) = self.carriers.get_mut(usize::from(link.0)) else {
            return;
        };
        if *carrier == is_up {
            return;
        }
        *carrier = is_up;
        for id in self.active.clone() {
            if is_up {
                self.on_carrier(now, id, link);
            } else {
                self.on_carrier_lost(now, id, link);
            }
        }
        if is_up && !self.active.is_empty() {
            self.announce_on(link);
        }
    }

    /// The paths of the session with a node, in the order of their numbers; none without a session.
    pub fn paths(&self, peer: PeerId) -> impl Iterator<Item = PathInfo> + '_ {
        let session = self.peer(peer).and_then(|peer| peer.session());
        let paths = session.map_or(&[][..], |session| &session.paths);
        paths.iter().map(Path::info)
    }

    pub(super) fn has_carrier(&self, link: LinkId) -> bool {
        self.carriers[usize::from(link.0)]
    }

    fn announce_on(&mut self, link: LinkId) {
        let mac = Mac::BROADCAST;
        let hello = Content::Hello(RecordType::Announce);
        self.push_datagram(Datagram::new(Address { link, mac }, hello));
    }

    fn on_carrier(&mut self, now: Time, id: PeerId, link: LinkId) {
        if let Some(session) = peer_of(&mut self.peers, id).and_then(|peer| peer.session_mut()) {
            session.paths_on(link).for_each(|path| path.on_carrier(now));
        }
        self.settle(now, id);
    }

    fn on_carrier_lost(&mut self, now: Time, id: PeerId, link: LinkId) {
        self.with_lost(id, |session, carried| {
            session
                .paths_on(link)
                .for_each(|path| path.fail(now, PathState::Down, carried));
        });
        self.settle(now, id);
    }

    /// Lets `change` take packets out of the session's logs, and queues again what they carried.
    pub(super) fn with_lost(
        &mut self,
        id: PeerId,
        change: impl FnOnce(&mut Session, &mut Vec<Carried>),
    ) {
        let mut carried = std::mem::take(&mut self.carried);
        if let Some(peer) = peer_of(&mut self.peers, id)
            && let Some(session) = peer.session_mut()
        {
            let lost = |session: &Session| -> u64 {
                session
                    .paths
                    .iter()
                    .map(|path| path.stats.packets_lost)
                    .sum()
            };
            let before = lost(session);
            change(session, &mut carried);
            let lost = lost(session) - before;
            peer.stats.packets_lost += lost;
        }
        self.on_lost(id, &mut carried);
        self.carried = carried;
    }

    /// What a path to `address` begins with, to a node whose link there takes `mtu`.
    pub(super) fn path_start(
        &self,
        now: Time,
        address: Address,
        mtu: usize,
        receive_window: u32,
    ) -> PathStart {
        let link = &self.config.links[usize::from(address.link.0)];
        let is_up = self.has_carrier(address.link);
        PathStart {
            now,
            address,
            state: if is_up {
                PathState::Trying
            } else {
                PathState::Down
            },
            mtu: link.mtu.min(mtu),
            receive_window,
            first_packet: 0,
            spare: if self.config.seals { 0 } else { TAG_LEN },
        }
    }

    /// Adds to the session with a peer the paths to the addresses that it is known under.
    pub(super) fn add_known_paths(&mut self, now: Time, id: PeerId) {
        let Some(peer) = self.peer(id) else {
            return;
        };
        for known in peer.addresses.clone() {
            self.add_path(now, id, known.address, usize::from(known.mtu));
        }
    }

    /// Adds a path to the session with a peer, unless it is there or there are too many.
    pub(super) fn add_path(&mut self, now: Time, id: PeerId, address: Address, mtu: usize) {
        let Some(session) = self.peer(id).and_then(|peer| peer.session()) else {
            return;
        };
        if session.path_to(address).is_some() || session.paths.len() >= PATHS_MAX {
            return;
        }
        let start = self.path_start(now, address, mtu, session.hello.receive_window);
        if let Some(session) = peer_of(&mut self.peers, id).and_then(|peer| peer.session_mut()) {
            session.paths.push(Path::new(start));
        }
        self.settle(now, id);
    }

    /// Whether a session's frame may come from an address that no path leads to: one that the peer's present
    /// life was heard from, or any, if the peer was given by hand. Else whoever is there is asked who it is;
    /// what was dropped comes again.
    pub(super) fn may_speak_from(&mut self, now: Time, id: PeerId, from: Address) -> bool {
        let Some(peer) = self.peer(id) else {
            return false;
        };
        if peer.is_static || peer.is_at(from) {
            return true;
        }
        let name = peer.name;
        if self.searches.take(now) {
            self.push_datagram(Datagram::new(from, Content::WhoIs(name)));
        }
        false
    }

    /// The path to an address that a frame of the session came from and that was not known. Where there are
    /// too many already, the frame counts as of the best.
    pub(super) fn learn_path(&mut self, now: Time, id: PeerId, from: Address) -> usize {
        let Some(peer) = self.peer(id) else {
            return 0;
        };
        let Some(session) = peer.session() else {
            return 0;
        };
        let known = peer.addresses.iter().find(|known| known.address == from);
        let mtu = known.map_or(session.hello.mtu, |known| known.mtu);
        self.add_path(now, id, from, usize::from(mtu));
        let session = self.peer(id).and_then(|peer| peer.session());
        session.map_or(0, |session| {
            session.path_to(from).unwrap_or_else(|| session.best_path())
        })
    }

    /// The links with a carrier through which no path to a peer leads; none for a peer given by hand.
    fn links_without_path(&self, id: PeerId) -> Vec<LinkId> {
        let Some(peer) = self.peer(id).filter(|peer| !peer.is_static) else {
            return Vec::new();
        };
        let links = (0..self.config.links.len()).map(|link| LinkId(link as u8));
        let has_path = |link: LinkId| {
            let paths = peer.session().map_or(&[][..], |session| &session.paths);
            paths.iter().any(|path| path.address.link == link)
        };
        links
            .filter(|&link| self.has_carrier(link) && !has_path(link))
            .collect()
    }

    /// Looks for a peer with a session behind the links that no path leads through: a few times after the
    /// session began, and further while something waits for one of them.
    pub(super) fn seek(&mut self, now: Time, id: PeerId) {
        let links = self.links_without_path(id);
        let Some(peer) = self.peer_mut(id) else {
            return;
        };
        let (name, is_waited_for) = (peer.name, peer.exclusive_due.is_some());
        let Some(session) = peer.session_mut() else {
            return;
        };
        session.seek_at = None;
        if links.is_empty() || (session.seeks >= SEEKS && !is_waited_for) {
            return;
        }
        session.seek_at = Some(now.after(SEEK_NS << session.seeks.min(SEEKS - 1)));
        session.seeks = session.seeks.saturating_add(1);
        for link in links {
            let mac = Mac::BROADCAST;
            self.push_datagram(Datagram::new(Address { link, mac }, Content::WhoIs(name)));
        }
    }

    /// Something waits that may take one link only: it must not wait for ever.
    pub(super) fn watch_link(&mut self, now: Time, id: PeerId, policy: LinkPolicy) {
        let due = now + self.config.tolerance;
        if let (LinkPolicy::Exclusive(_), Some(peer)) = (policy, self.peer_mut(id))
            && peer.exclusive_due.is_none()
        {
            peer.exclusive_due = Some(due);
            self.seek(now, id);
        }
    }

    /// Ends the connections that wait for a link through which nothing came for the tolerance.
    pub(super) fn end_exclusive(&mut self, now: Time, id: PeerId) {
        let tolerance = self.config.tolerance;
        let Some(session) = self.peer(id).and_then(|peer| peer.session()) else {
            return;
        };
        let mut next: Option<Time> = None;
        let mut ended = Vec::new();
        for conn in self.tables.out_conns_to(id) {
            let entry = self.tables.out_conn(conn).expect("it is in the list");
            let (LinkPolicy::Exclusive(link), 1..) = (entry.policy, entry.uses) else {
                continue;
            };
            let heard_at = session.heard_on(link).unwrap_or(entry.busy_since);
            let due = heard_at.max(entry.busy_since) + tolerance;
            if due <= now {
                ended.push(conn);
            } else {
                next = Some(next.map_or(due, |next| next.min(due)));
            }
        }
        if let Some(peer) = self.peer_mut(id) {
            peer.exclusive_due = next;
        }
        for conn in ended {
            self.end_conn(now, id, conn);
        }
    }

    /// Ends a connection whose server cannot be reached through the only link it may take.
    fn end_conn(&mut self, now: Time, id: PeerId, conn: OutboundConn) {
        let errno = Errno::EHOSTUNREACH;
        self.dissolve_all(conn);
        let calls: Vec<OutboundCall> = self.calls_of(conn).collect();
        for call in calls {
            let is_begun = self
                .tables
                .out_call(call)
                .is_some_and(|call| call.id.is_some());
            // It waits still: it was listed a moment ago.
            let cancel = if is_begun {
                Cancel::Abandon
            } else {
                Cancel::Withdraw(errno)
            };
            let _ = self.cancel(now, call, cancel);
            if is_begun {
                self.events.push_back(Event::Failed { call, errno });
            }
        }
        let Some(entry) = self.tables.out_conn_mut(conn) else {
            return;
        };
        if !entry.is_closing {
            self.events.push_back(Event::Closed { conn, errno });
        }
        entry.is_closing = true;
        entry.is_cut = true;
        let policy = entry.policy;
        if let Some(peer) = peer_of(&mut self.peers, id) {
            let queue = peer.queues.of(policy);
            let mut pulses = 0;
            queue.control.retain(|control| match control {
                Control::PulseServer { conn: its, .. } if *its == conn => {
                    pulses += 1;
                    false
                }
                Control::Cancel { conn: its, .. } => *its != conn,
                _ => true,
            });
            // What is left of its uses: cancels and pulses whose arrival is not known.
            peer.pulses -= pulses;
            entry.uses -= pulses as u32;
            entry.pulses_unacked -= pulses as u32;
        }
        entry.uses += 1;
        self.release_conn(conn);
        let tables = &self.tables;
        if let Some(peer) = peer_of(&mut self.peers, id) {
            let queue = peer.queues.of(policy);
            queue.drop_ended(tables);
            queue.begun.retain(|&call| tables.out_call(call).is_some());
            queue.bulk.retain(|bulk| match bulk {
                Bulk::Message(call) => tables.out_call(*call).is_some(),
                Bulk::Reply(_) => true,
            });
        }
        self.settle(now, id);
    }
}
