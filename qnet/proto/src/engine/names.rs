//! Who is there: announcements, lookups, and the table of nodes; frames outside sessions.

use super::peer::{Address, Peer, State};
use super::queue::Control;
use super::{DropReason, Engine, Event, Transmit, peer_of};
use crate::limits::{PEERS_MAX, RESOLVES_MAX};
use crate::wire::{
    Frame, FrameBuilder, Handshake, Header, Hello, Record, RecordType, Reset, ResetReason, WhoIs,
};
use crate::{Errno, LinkId, Mac, NodeName, PeerId, Time};

/// Frames outside sessions that wait to be sent: strangers cannot make it more.
const DATAGRAMS_MAX: usize = 256;
/// Time to the first repetition of a WhoIs; doubles with each.
const ASK_AGAIN_NS: u64 = 50_000_000;

/// A name that is being looked up.
pub(super) struct Resolve {
    name: NodeName,
    deadline: Time,
    pub(super) ask_at: Time,
    tries: u32,
}

/// A frame outside sessions, or one that begins or ends a session, complete but for its bytes.
#[derive(Clone, Copy)]
pub(super) struct Datagram {
    to: Address,
    session: u64,
    packet: u64,
    is_responder: bool,
    content: Content,
}

#[derive(Clone, Copy)]
enum Content {
    Hello(RecordType),
    WhoIs(NodeName),
    Handshake(RecordType, Handshake),
    Reset(Reset),
    Bye,
}

impl Datagram {
    fn new(to: Address, content: Content) -> Datagram {
        Datagram {
            to,
            session: 0,
            packet: 0,
            is_responder: false,
            content,
        }
    }

    pub(super) fn handshake(to: Address, kind: RecordType, handshake: Handshake) -> Datagram {
        Datagram::new(to, Content::Handshake(kind, handshake))
    }

    pub(super) fn confirm(to: Address, packet: u64, confirm: Handshake) -> Datagram {
        let content = Content::Handshake(RecordType::Confirm, confirm);
        Datagram {
            session: confirm.session(),
            packet,
            ..Datagram::new(to, content)
        }
    }

    /// The last frame of a session.
    pub(super) fn bye(to: Address, session: u64, packet: u64, is_responder: bool) -> Datagram {
        Datagram {
            session,
            packet,
            is_responder,
            ..Datagram::new(to, Content::Bye)
        }
    }

    pub(super) fn reset(to: Address, reset: Reset) -> Datagram {
        Datagram::new(to, Content::Reset(reset))
    }
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

    /// Makes a node known by hand (the hosts file). Its number stays as long as the engine.
    ///
    /// # Errors
    /// `EAGAIN` too many nodes, `EINVAL` this node's own name, not a station's address or no such link.
    pub fn add_host(&mut self, name: NodeName, link: LinkId, mac: Mac) -> Result<PeerId, Errno> {
        let has_link = usize::from(link.0) < self.config.links.len();
        if name == self.config.name || !mac.is_unicast() || !has_link {
            return Err(Errno::EINVAL);
        }
        let address = Address { link, mac };
        let id = self
            .find_or_insert(Time(0), name, address)
            .ok_or(Errno::EAGAIN)?;
        let peer = self.peer_mut(id).expect("inserted a moment ago");
        peer.is_static = true;
        peer.is_pinned = true;
        if peer.is_known_only() {
            peer.address = address;
        }
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

    fn broadcast(&mut self, content: Content) {
        for link in 0..self.config.links.len() {
            let to = Address {
                link: LinkId(link as u8),
                mac: Mac::BROADCAST,
            };
            self.push_datagram(Datagram::new(to, content));
        }
    }

    pub(super) fn push_datagram(&mut self, datagram: Datagram) {
        if self.datagrams.len() >= DATAGRAMS_MAX {
            return self.drops.count(DropReason::Full);
        }
        self.datagrams.push_back(datagram);
    }

    pub(super) fn write_datagram(&self, datagram: &Datagram, buffer: &mut [u8]) -> Transmit {
        let Address { link, mac } = datagram.to;
        let config = &self.config.links[usize::from(link.0)];
        let mut frame = FrameBuilder::new(buffer, config.mtu);
        let hello = self.hello(link);
        let written = match datagram.content {
            Content::Hello(kind) => hello.emit(&mut frame, kind),
            Content::WhoIs(name) => WhoIs { asker: hello, name }.emit(&mut frame),
            Content::Handshake(kind, handshake) => handshake.emit(&mut frame, kind),
            Content::Reset(reset) => reset.emit(&mut frame),
            Content::Bye => frame.mark(RecordType::Bye),
        };
        written.expect("the smallest frame takes any one of these records");
        let header = Header {
            is_sealed: self.config.seals,
            session: datagram.session,
            packet: datagram.packet,
            is_responder: datagram.is_responder,
            ..Header::default()
        };
        let len = frame.finish(config.mac, mac, self.config.ethertype, &header);
        Transmit {
            link,
            dst_mac: mac,
            len,
        }
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
            return self.tell_duplicate(hello.name, from);
        }
        self.note(now, from, hello);
        self.answer_hello(from);
    }

    fn answer_hello(&mut self, to: Address) {
        self.push_datagram(Datagram::new(to, Content::Hello(RecordType::IAm)));
    }

    fn take_i_am(&mut self, now: Time, from: Address, hello: &Hello) {
        if hello.name == self.config.name {
            return self.tell_duplicate(hello.name, from);
        }
        let Some(peer) = self.note(now, from, hello) else {
            return self.drops.count(DropReason::Full);
        };
        let name = hello.name;
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
        let is_it = peer.epoch == hello.epoch && peer.address == from;
        if is_it && peer.is_known_only() && !peer.is_static {
            let (name, is_pinned) = (peer.name, peer.is_pinned);
            self.events.push_back(Event::NodeGone { peer: id, name });
            if !is_pinned {
                self.names.remove(&name);
                self.peers[id.0 as usize - 1] = None;
            } else if let Some(peer) = self.peer_mut(id) {
                peer.epoch = 0;
            }
        }
    }

    /// Notes what a node says of itself; `None` if there is no place for it.
    pub(super) fn note(&mut self, now: Time, from: Address, hello: &Hello) -> Option<PeerId> {
        let id = self.find_or_insert(now, hello.name, from)?;
        let peer = peer_of(&mut self.peers, id)?;
        peer.seen_at = now;
        match &mut peer.state {
            State::Up(session) => {
                // Perhaps a new life: a probe of the old session will tell.
                if session.epoch != hello.epoch && session.sent.in_flight() == 0 {
                    peer.queue.control.push_back(Control::Ping);
                    self.settle(now, id);
                }
            }
            State::Known | State::Connecting(_) => {
                if !peer.is_static {
                    peer.address = from;
                }
                if peer.epoch == 0 && peer.is_pinned && !peer.is_static {
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

    fn find_or_insert(&mut self, now: Time, name: NodeName, address: Address) -> Option<PeerId> {
        if let Some(&id) = self.names.get(&name) {
            return Some(id);
        }
        let index = self.free_place()?;
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

    /// A place in the table, if need be that of the node nobody uses that was silent longest.
    fn free_place(&mut self) -> Option<usize> {
        if let Some(free) = self.peers.iter().position(Option::is_none) {
            return Some(free);
        }
        if self.peers.len() < PEERS_MAX {
            return Some(self.peers.len());
        }
        let unused = self.peers.iter().enumerate().filter_map(|(index, peer)| {
            let peer = peer
                .as_ref()
                .filter(|peer| !peer.is_pinned && peer.is_known_only())?;
            Some((peer.seen_at, index))
        });
        let (_, index) = unused.min()?;
        let gone = self.peers[index].take()?;
        self.names.remove(&gone.name);
        self.events.push_back(Event::NodeGone {
            peer: PeerId(index as u32 + 1),
            name: gone.name,
        });
        Some(index)
    }
}

impl Resolve {
    pub(super) fn due(&self) -> Time {
        self.ask_at
    }
}
