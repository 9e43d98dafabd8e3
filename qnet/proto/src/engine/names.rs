//! Who is there: announcements, lookups, and the table of nodes; frames outside sessions.

use super::absence::absence_ns;
use super::datagram::{Content, Datagram};
use super::peer::{Address, Peer, State};
use super::{DropReason, Engine, Event, peer_of};
use crate::limits::{PEERS_MAX, RESOLVES_MAX};
use crate::wire::{Frame, Hello, Record, RecordType, Reset, ResetReason};
use crate::{Errno, LinkId, Mac, NodeName, PeerId, Time};

/// Time to the first repetition of a WhoIs; doubles with each.
pub(super) const ASK_AGAIN_NS: u64 = 50_000_000;

/// A name that is being looked up.
pub(super) struct Resolve {
    name: NodeName,
    deadline: Time,
    pub(super) ask_at: Time,
    tries: u32,
}

/// How much a place in the table of nodes is wanted, and so who has to go for it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Need {
    /// It was heard of: no more than others that nobody uses.
    Heard,
    /// It has gone through a handshake: more than who began a session once and does not use it.
    Session,
    /// Somebody here asks for it: more than all whom nobody here asked for.
    Wanted,
}

impl Engine {
    /// Tells the segment that this node is there; others answer and are then `NodeSeen`.
    pub fn announce(&mut self, _now: Time) {
        self.broadcast(Content::Hello(RecordType::Announce));
    }

    /// Says goodbye to everybody: frames to be pulled and sent before the program ends. Everything that
    /// is outstanding fails.
    pub fn bye(&mut self, now: Time) {
        for id in self.active.clone() {
            self.take_down(now, id, super::DownReason::Forgotten);
        }
        self.broadcast(Content::Hello(RecordType::Goodbye));
    }

    /// Makes a node known by hand (the hosts file), or one more address of it. Its number stays as long as
    /// the engine.
    ///
    /// # Errors
    /// `EAGAIN` too many nodes, `EINVAL` this node's own name, not a station's address or no such link.
    pub fn add_host(&mut self, name: NodeName, link: LinkId, mac: Mac) -> Result<PeerId, Errno> {
        let has_link = usize::from(link.0) < self.config.links.len();
        if name == self.config.name || !mac.is_unicast() || !has_link {
            return Err(Errno::EINVAL);
        }
        let address = Address { link, mac };
        let mtu = self.config.links[usize::from(link.0)].mtu;
        let id = self
            .find_or_insert(Time(0), name, address, Need::Wanted)
            .ok_or(Errno::EAGAIN)?;
        let peer = self.peer_mut(id).expect("inserted a moment ago");
        peer.is_static = true;
        peer.is_pinned = true;
        if peer.is_known_only() {
            peer.address = address;
        }
        peer.learn(address, mtu as u16);
        Ok(id)
    }

    /// Looks a name up; ends in `Resolved` or `ResolveFailed`, at once for a node that is known and was
    /// not found dead or gone since.
    ///
    /// # Errors
    /// `EINVAL` the node's own name, `EAGAIN` too many lookups at one time.
    pub fn resolve(&mut self, now: Time, name: NodeName) -> Result<(), Errno> {
        if name == self.config.name {
            return Err(Errno::EINVAL);
        }
        let known = self.names.get(&name).copied();
        if let Some((peer, entry)) = known.and_then(|id| Some((id, self.peer_mut(id)?)))
            && entry.is_believed_there()
        {
            entry.is_pinned = true;
            self.events.push_back(Event::Resolved { name, peer });
            return Ok(());
        }
        if self.resolves.iter().any(|resolve| resolve.name == name) {
            return Ok(());
        }
        if self.resolves.len() >= RESOLVES_MAX {
            return Err(Errno::EAGAIN);
        }
        let deadline = now + self.config.resolve_timeout;
        let ask_at = now.after(ASK_AGAIN_NS).min(deadline);
        self.resolves.push(Resolve {
            name,
            deadline,
            ask_at,
            tries: 0,
        });
        self.ask_who_is(name);
        Ok(())
    }

    /// Asks again for names that nobody answered to, and gives up those whose time is over.
    pub(super) fn retry_resolves(&mut self, now: Time) {
        let mut resolves = std::mem::take(&mut self.resolves);
        resolves.retain_mut(|resolve| {
            let away_ns = absence_ns(&self.config, now, self.tended_at, resolve.ask_at);
            resolve.deadline = resolve.deadline.after(away_ns);
            if now >= resolve.deadline {
                let failed = Event::ResolveFailed {
                    name: resolve.name,
                    errno: Errno::ENOENT,
                };
                self.events.push_back(failed);
                return false;
            }
            if now >= resolve.ask_at {
                resolve.tries += 1;
                resolve.ask_at = now
                    .after(ASK_AGAIN_NS << resolve.tries.min(8))
                    .min(resolve.deadline);
                self.ask_who_is(resolve.name);
            }
            true
        });
        self.resolves = resolves;
    }

    pub(super) fn ask_who_is(&mut self, name: NodeName) {
        self.broadcast(Content::WhoIs(name));
    }

    /// Takes a frame outside sessions.
    pub(super) fn take_datagram(&mut self, now: Time, link: LinkId, frame: &Frame<'_>) {
        let from = Address {
            link,
            mac: frame.src,
        };
        for record in frame.records() {
            match record {
                Err(_) => self.drops.count(DropReason::BadRecord),
                Ok(Record::Unknown(_)) => self.drops.count(DropReason::UnknownRecord),
                Ok(Record::Announce(hello)) => self.take_announce(now, from, &hello),
                Ok(Record::WhoIs(who)) if who.name == self.config.name => self.answer_hello(from),
                Ok(Record::WhoIs(_)) => {}
                Ok(Record::IAm(hello)) => self.take_i_am(now, from, &hello),
                Ok(Record::Goodbye(hello)) => self.take_goodbye(from, &hello),
                Ok(Record::Init(init)) => self.take_init(now, from, &init),
                Ok(Record::InitAck(ack)) => self.take_init_ack(now, from, &ack),
                Ok(Record::Reset(reset)) => self.take_reset(now, from, &reset),
                Ok(_) => self.drops.count(DropReason::Misplaced),
            }
        }
    }

    fn take_announce(&mut self, now: Time, from: Address, hello: &Hello) {
        if hello.name == self.config.name {
            let reset = Reset {
                session: 0,
                epoch: self.epoch,
                reason: ResetReason::NameInUse,
            };
            self.push_datagram(Datagram::reset(from, reset));
            return self.tell_duplicate(hello.name, from, false);
        }
        self.note(now, from, hello, Need::Heard);
        self.answer_hello(from);
    }

    fn answer_hello(&mut self, to: Address) {
        self.push_datagram(Datagram::new(to, Content::Hello(RecordType::IAm)));
    }

    fn take_i_am(&mut self, now: Time, from: Address, hello: &Hello) {
        if hello.name == self.config.name {
            return self.tell_duplicate(hello.name, from, false);
        }
        let name = hello.name;
        let is_wanted = self.resolves.iter().any(|resolve| resolve.name == name);
        let need = if is_wanted { Need::Wanted } else { Need::Heard };
        let Some(peer) = self.note(now, from, hello, need) else {
            return self.drops.count(DropReason::Full);
        };
        if let Some(at) = self
            .resolves
            .iter()
            .position(|resolve| resolve.name == name)
        {
            self.resolves.swap_remove(at);
            self.peer_mut(peer).expect("noted a moment ago").is_pinned = true;
            self.events.push_back(Event::Resolved { name, peer });
        }
    }

    fn take_goodbye(&mut self, from: Address, hello: &Hello) {
        let Some(&id) = self.names.get(&hello.name) else {
            return;
        };
        let Some(peer) = self.peer(id) else {
            return;
        };
        let is_it = peer.epoch == hello.epoch && peer.is_at(from);
        if is_it && peer.is_known_only() && !peer.is_static {
            let (name, keeps_number) = (peer.name, peer.keeps_number());
            self.events.push_back(Event::NodeGone { peer: id, name });
            if !keeps_number {
                self.names.remove(&name);
                self.peers[id.0 as usize - 1] = None;
            } else if let Some(peer) = self.peer_mut(id) {
                peer.epoch = 0;
            }
        }
    }

    /// Notes what a node says of itself; `None` if there is no place for it.
    pub(super) fn note(
        &mut self,
        now: Time,
        from: Address,
        hello: &Hello,
        need: Need,
    ) -> Option<PeerId> {
        let id = self.find_or_insert(now, hello.name, from, need)?;
        let peer = peer_of(&mut self.peers, id)?;
        peer.seen_at = now;
        match &mut peer.state {
            State::Up(session) if session.epoch == hello.epoch => {
                if let Some(at) = session.path_to(from) {
                    let own_mtu = self.config.links[usize::from(from.link.0)].mtu;
                    let path = &mut session.paths[at];
                    path.mtu.set_max(own_mtu.min(usize::from(hello.mtu)));
                    path.on_hello();
                }
                peer.learn(from, hello.mtu);
                self.add_path(now, id, from, usize::from(hello.mtu));
                self.settle(now, id);
            }
            State::Up(session) => {
                // Perhaps a new life: a probe of the old session will tell.
                if session.is_quiet() {
                    let best = session.best_path();
                    session.paths[best].ping_wanted = true;
                    self.settle(now, id);
                }
            }
            State::Known | State::Connecting(_) => {
                if !peer.is_static {
                    peer.address = from;
                    if peer.epoch != hello.epoch {
                        peer.addresses.clear();
                    }
                    peer.learn(from, hello.mtu);
                }
                if peer.epoch == 0 && peer.keeps_number() && !peer.is_static {
                    self.events.push_back(Event::NodeSeen {
                        peer: id,
                        name: hello.name,
                    });
                }
                peer.epoch = hello.epoch;
            }
        }
        Some(id)
    }

    fn find_or_insert(
        &mut self,
        now: Time,
        name: NodeName,
        address: Address,
        need: Need,
    ) -> Option<PeerId> {
        if let Some(&id) = self.names.get(&name) {
            return Some(id);
        }
        let index = self.free_place(now, need)?;
        let id = PeerId(index as u32 + 1);
        let mut peer = Peer::new(name, address, now);
        self.generations += 1;
        peer.generation = self.generations;
        if index == self.peers.len() {
            self.peers.push(Some(peer));
        } else {
            self.peers[index] = Some(peer);
        }
        self.names.insert(name, id);
        self.events.push_back(Event::NodeSeen { peer: id, name });
        Some(id)
    }

    /// A place in the table, if need be that of the node that is used least and was silent longest.
    fn free_place(&mut self, now: Time, need: Need) -> Option<usize> {
        if let Some(free) = self.peers.iter().position(Option::is_none) {
            return Some(free);
        }
        if self.peers.len() < PEERS_MAX {
            return Some(self.peers.len());
        }
        let places = self.peers.iter().enumerate();
        let yielding = places.filter_map(|(index, peer)| Some((yields_to(peer.as_ref()?)?, index)));
        let (_, index) = yielding.filter(|((least, ..), _)| *least <= need).min()?;
        let id = PeerId(index as u32 + 1);
        self.take_down(now, id, super::DownReason::Forgotten);
        let gone = self.peers[index].take()?;
        self.names.remove(&gone.name);
        self.events.push_back(Event::NodeGone {
            peer: id,
            name: gone.name,
        });
        Some(index)
    }
}

/// The least need that a node yields its place to, and among those that yield to the same: whether it has a session, and
/// when it was heard last. `None`: to none.
fn yields_to(peer: &Peer) -> Option<(Need, bool, Time)> {
    if peer.is_pinned {
        return None;
    }
    match &peer.state {
        State::Known if !peer.has_called => Some((Need::Heard, false, peer.seen_at)),
        State::Known => Some((Need::Session, false, peer.seen_at)),
        State::Up(session) if session.is_unused() => Some((Need::Session, true, session.heard_at)),
        State::Up(session) => Some((Need::Wanted, true, session.heard_at)),
        State::Connecting(_) => None,
    }
}

impl Resolve {
    pub(super) fn due(&self) -> Time {
        self.ask_at
    }
}
