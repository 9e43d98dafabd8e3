//! The engine: sessions with other nodes, and the calls, pulses and names that travel through them.
//!
//! ```text
//! commands        -> local, server_side             tables: calls, connections
//! handle_frame    -> receive -> outbound, inbound   queue:  what waits to be sent
//! handle_timeout  -> timers -> acked                sent:   what is on its way
//! poll_transmit   <- transmit <- filler <- queue    names, handshake, teardown: peers come and go
//! poll_event      <- events
//! ```
//! One invariant holds everything together: what a packet carried is in exactly one place, the send
//! queue (to be sent), the log of sent packets (on its way), or the tables' record of what arrived.

mod absence;
mod acked;
mod calls;
mod chain;
mod config;
mod conns;
mod cookie;
mod datagram;
#[cfg(test)]
mod document;
mod doubt;
#[cfg(test)]
mod end_tests;
mod event;
mod filler;
mod foresee;
mod gaps;
mod grants;
mod handshake;
mod in_runs;
mod inbound;
mod least;
mod links;
mod local;
mod members;
mod mtu;
mod names;
mod numbers;
mod out_runs;
mod outbound;
mod output;
#[cfg(test)]
#[path = "../../tests/engine/pair.rs"]
#[expect(dead_code, reason = "the tests beside it use all of it")]
mod pair;
mod path;
mod peer;
mod policy;
mod queue;
mod random;
mod ranges;
mod receive;
mod received;
mod rtt;
mod seen;
mod select;
mod sent;
mod server_side;
mod session;
mod slab;
mod stats;
mod store;
mod stream;
mod tables;
mod teardown;
mod timers;
mod transmit;
mod window;

use std::collections::{HashMap, VecDeque};

pub use config::{Config, LinkConfig};
pub use event::{Cancel, ConnectInfo, DownReason, Event, Pulse};
pub use foresee::Foreseen;
pub use local::Outgoing;
pub use output::{Load, NodeInfo, NodeState, Transmit};
pub use path::{PathInfo, PathState, PathStats};
pub use policy::LinkPolicy;
pub use stats::{DropReason, Dropped, PeerStats};
pub use store::{Accept, Incoming, Store};

use self::cookie::Cookies;
use self::datagram::Datagram;
use self::names::Resolve;
use self::peer::{Peer, State};
use self::random::{IdHash, Random};
use self::sent::{Carried, Resolved};
use self::stats::Drops;
use self::tables::Tables;
use crate::limits::{RESET_INTERVAL_NS, RESETS_BURST, SEARCH_INTERVAL_NS, SEARCHES_BURST};
use crate::wire::{Frame, Hello};
use crate::{Allowance, Errno, LinkId, Mac, NodeName, PeerId, Time};

/// One node's end of the Qnet transport.
///
/// Push what happened (`handle_*`, commands), then pull until dry: [`Engine::poll_event`],
/// [`Engine::poll_transmit`], and last [`Engine::poll_timeout`] for when to come back at the latest.
pub struct Engine {
    config: Config,
    /// This life of the node.
    epoch: u64,
    /// Which links have a carrier.
    carriers: Vec<bool>,
    /// The link of the frame that is being taken.
    arriving_on: LinkId,
    /// Calls that `Replies` of the frame that is being taken may still answer.
    replies_left: u32,
    /// Bytes that the message or reply which got some last still lacks.
    coming_len: u32,
    random: Random,
    cookies: Cookies,
    /// By number - 1.
    peers: Vec<Option<Peer>>,
    names: HashMap<NodeName, PeerId>,
    /// Peers with a session or an attempt at one.
    active: Vec<PeerId>,
    /// Sessions, and attempts that know their number.
    sessions: HashMap<u64, PeerId, IdHash>,
    tables: Tables,
    /// Peers that may have something to send.
    ready: VecDeque<PeerId>,
    /// Frames outside sessions.
    datagrams: VecDeque<Datagram>,
    events: VecDeque<Event>,
    resolves: Vec<Resolve>,
    /// When it was last looked what is due.
    tended_at: Time,
    /// The last second bearer of a name that was told of.
    last_duplicate: Option<(NodeName, Mac)>,
    generations: u64,
    drops: Drops,
    /// Answers to frames of sessions that nobody knows.
    resets: Allowance,
    /// Questions who is at an address that a session's frame came from.
    searches: Allowance,
    /// Reused between frames.
    resolved: Vec<Resolved>,
    carried: Vec<Carried>,
}

impl Engine {
    /// Makes an engine that has announced itself to nobody yet.
    ///
    /// # Errors
    /// `EINVAL` as [`Config::check`].
    pub fn new(config: Config) -> Result<Engine, Errno> {
        config.check()?;
        let mut random = Random::new(config.entropy);
        Ok(Engine {
            epoch: random.nonzero(),
            carriers: vec![true; config.links.len()],
            arriving_on: LinkId(0),
            replies_left: 0,
            coming_len: 0,
            cookies: Cookies::new(&mut random),
            peers: Vec::new(),
            names: HashMap::new(),
            active: Vec::new(),
            sessions: HashMap::with_hasher(IdHash(random.next())),
            tables: Tables::new(),
            ready: VecDeque::new(),
            datagrams: VecDeque::new(),
            events: VecDeque::new(),
            resolves: Vec::new(),
            tended_at: Time(0),
            last_duplicate: None,
            generations: 0,
            drops: Drops::default(),
            resets: Allowance::new(RESETS_BURST, RESET_INTERVAL_NS),
            searches: Allowance::new(SEARCHES_BURST, SEARCH_INTERVAL_NS),
            resolved: Vec::new(),
            carried: Vec::new(),
            random,
            config,
        })
    }

    /// The configuration it was made with.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// This life of the node: another number after each restart.
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Takes one received frame, Ethernet header included. Faulty ones are counted and dropped.
    pub fn handle_frame(&mut self, now: Time, link: LinkId, frame: &[u8], store: &mut impl Store) {
        let Some(config) = self.config.links.get(usize::from(link.0)) else {
            return;
        };
        let own_mac = config.mac;
        self.drops.begin(link);
        match Frame::parse(frame, self.config.ethertype, self.config.seals) {
            Err(malformed) => self.drops.count(malformed.into()),
            Ok(frame) if self.is_own(frame.src) => {}
            Ok(frame) if frame.dst.is_unicast() && frame.dst != own_mac => {
                self.drops.count(DropReason::NotForUs);
            }
            Ok(frame) if !frame.src.is_unicast() => self.drops.count(DropReason::Value),
            Ok(frame) if frame.header.session == 0 => self.take_datagram(now, link, &frame),
            Ok(frame) => self.take_frame(now, link, &frame, store),
        }
    }

    /// Whether a frame was sent by this node: two of its links may lead to one segment.
    fn is_own(&self, mac: Mac) -> bool {
        self.config.links.iter().any(|link| link.mac == mac)
    }

    /// The next event.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// How many frames or records were dropped for `reason`.
    pub fn dropped(&self, reason: DropReason) -> u64 {
        self.drops.all(reason)
    }

    /// How many frames, and records of them, that came through a link were dropped; `None` if there is no such link.
    /// Of frames that go out, those are counted which found no place to wait.
    pub fn dropped_on(&self, link: LinkId) -> Option<Dropped> {
        let is_there = usize::from(link.0) < self.config.links.len();
        is_there.then(|| self.drops.of(link))
    }

    /// Traffic with a node since it is known.
    pub fn peer_stats(&self, peer: PeerId) -> Option<PeerStats> {
        self.peer(peer).map(|peer| peer.stats)
    }

    /// What is in progress with all peers.
    pub fn load(&self) -> Load {
        self.tables.load()
    }

    /// Bytes that are still to come of the message or reply which got some last, as far as is known: a hint how
    /// much the next frames will bring, and no promise of the peer's.
    pub fn coming_len(&self) -> u32 {
        self.coming_len
    }

    /// The nodes known, in the order of their numbers.
    pub fn nodes(&self) -> impl Iterator<Item = NodeInfo> + '_ {
        self.peers.iter().enumerate().filter_map(|(index, peer)| {
            let peer = peer.as_ref()?;
            let path = peer
                .session()
                .map(|session| &session.paths[session.best_path()]);
            let address = path.map_or(peer.address, |path| path.address);
            Some(NodeInfo {
                peer: PeerId(index as u32 + 1),
                name: peer.name,
                state: peer.node_state(),
                link: address.link,
                mac: address.mac,
                rtt_ns: path.map_or(0, |path| path.rtt.smoothed_ns()),
            })
        })
    }

    /// Counts something of a session's frame that is dropped, for the link and for the peer.
    fn drop_of(&mut self, id: PeerId, reason: DropReason) {
        self.drops.count(reason);
        if let Some(peer) = self.peer_mut(id) {
            peer.stats.dropped.count(reason);
        }
    }

    fn peer(&self, id: PeerId) -> Option<&Peer> {
        self.peers.get((id.0 as usize).checked_sub(1)?)?.as_ref()
    }

    fn peer_mut(&mut self, id: PeerId) -> Option<&mut Peer> {
        peer_of(&mut self.peers, id)
    }

    /// What this node says of itself through `link`.
    fn hello(&self, link: LinkId) -> Hello {
        Hello {
            epoch: self.epoch,
            receive_window: self.config.receive_window_len,
            ack_delay_us: self.config.ack_delay.as_micros() as u32,
            mtu: self.config.links[usize::from(link.0)].mtu as u16,
            station: self.config.links[0].mac,
            name: self.config.name,
        }
    }

    /// As [`settle`](Self::settle), after something was put into the queue and nothing else changed.
    fn settle_queued(&mut self, id: PeerId) {
        if let Some(peer) = peer_of(&mut self.peers, id)
            && !peer.is_ready
            && matches!(peer.state, State::Up(_))
        {
            peer.is_ready = true;
            self.ready.push_back(id);
        }
    }

    /// Brings clocks and the list of peers with something to send up to date after a change.
    fn settle(&mut self, now: Time, id: PeerId) {
        let Some(peer) = peer_of(&mut self.peers, id) else {
            return;
        };
        let has_queue = !peer.queues.is_empty();
        let State::Up(session) = &mut peer.state else {
            return;
        };
        session.busy_since = session.is_busy().then(|| session.busy_since.unwrap_or(now));
        let ack_is_due = session.due_space().is_some_and(|(_, due)| due <= now);
        let wants_frame = session.paths.iter().any(|path| path.wants_frame());
        if (has_queue || ack_is_due || wants_frame) && !peer.is_ready {
            peer.is_ready = true;
            self.ready.push_back(id);
        }
    }
}

/// The peer of a number, borrowing nothing else of the engine.
fn peer_of(peers: &mut [Option<Peer>], id: PeerId) -> Option<&mut Peer> {
    peers.get_mut((id.0 as usize).checked_sub(1)?)?.as_mut()
}
