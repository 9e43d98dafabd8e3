//! Hands out frames: those outside sessions first, then one of each peer in turn.

use super::filler::Filler;
use super::peer::{Address, State};
use super::select::Order;
use super::sent::Acked;
use super::timers::STALL_PROBES;
use super::{Engine, Store, Transmit, peer_of};
use crate::limits::GAPS_MAX;
use crate::wire::{FrameBuilder, Header};
use crate::{PeerId, Time};

impl Engine {
    /// Writes the next frame, if there is one, into `frame`, which must take the largest frame of any
    /// link (MTU + 14). The frame counts as sent.
    ///
    /// # Panics
    /// If `frame` is shorter than 62 bytes.
    pub fn poll_transmit(
        &mut self,
        now: Time,
        frame: &mut [u8],
        store: &impl Store,
    ) -> Option<Transmit> {
        if let Some(datagram) = self.datagrams.pop_front() {
            return Some(self.write_datagram(&datagram, frame));
        }
        while let Some(&id) = self.ready.front() {
            self.ready.pop_front();
            if let Some(transmit) = self.fill(now, id, frame, store) {
                self.ready.push_back(id);
                return Some(transmit);
            }
            if let Some(peer) = self.peer_mut(id) {
                peer.is_ready = false;
            }
        }
        None
    }

    /// Writes the next frame of a session: through the first path, best first, that takes something of what
    /// waits; else an acknowledgement that is due.
    fn fill(
        &mut self,
        now: Time,
        id: PeerId,
        buffer: &mut [u8],
        store: &impl Store,
    ) -> Option<Transmit> {
        let peer = self.peer(id)?;
        let session = peer.session()?;
        // The usual end of a batch: the frame before took all there was.
        let has_more =
            !peer.queues.is_empty() || session.paths.iter().any(|path| path.wants_frame());
        let order = has_more.then(|| session.order());
        for at in order.into_iter().flat_map(Order::iter) {
            let peer = self.peer(id)?;
            let session = peer.session()?;
            let path = &session.paths[at];
            let goes = if path.ping_wanted {
                Goes::Ping
            } else if let Some(len) = path.len_probe() {
                Goes::LenProbe(len)
            } else if session.may_carry(&peer.queues, at) {
                Goes::Queued
            } else {
                continue;
            };
            if let Some(len) = self.write_frame(now, id, at, goes, buffer, store) {
                return self.transmit(id, at, len);
            }
        }
        let session = self.peer(id)?.session()?;
        let (space, due) = session.due_space()?;
        if due > now {
            return None;
        }
        let way_back = session.way_back(space);
        let len = self.write_frame(now, id, way_back, Goes::Ack, buffer, store)?;
        self.transmit(id, way_back, len)
    }

    /// A frame of `len` bytes that was written for a path. Inlined: put together in memory and copied from there, the
    /// answer would wait until the payload of the frame has reached the cache.
    #[inline(always)]
    fn transmit(&self, id: PeerId, at: usize, len: usize) -> Option<Transmit> {
        let Address { link, mac } = self.peer(id)?.session()?.paths[at].address;
        let dst_mac = mac;
        Some(Transmit { link, dst_mac, len })
    }

    /// Writes a frame for one path and answers its length; `None`, and nothing changed, if nothing would be in it.
    fn write_frame(
        &mut self,
        now: Time,
        id: PeerId,
        at: usize,
        goes: Goes,
        buffer: &mut [u8],
        store: &impl Store,
    ) -> Option<usize> {
        let peer = peer_of(&mut self.peers, id)?;
        let State::Up(session) = &mut peer.state else {
            return None;
        };
        let space = session.acked_space(now, at);
        let path = &session.paths[at];
        let mtu = match goes {
            Goes::LenProbe(len) => len,
            _ => path.frame_mtu(),
        };
        let frame = FrameBuilder::new(buffer, mtu);
        let mut filler = Filler::new(frame, session, at, &mut self.tables, store);
        let gaps = filler.acknowledge(space);
        match goes {
            Goes::Ping => filler.ping(),
            Goes::LenProbe(_) => {
                filler.ping();
                filler.frame.pad();
            }
            Goes::Queued | Goes::Ack => {}
        }
        let takes_more = match goes {
            Goes::Queued => true,
            // In the end by itself: perhaps it is the length of what waits that does not pass.
            Goes::Ping if filler.session.paths[at].backoff >= STALL_PROBES => false,
            Goes::Ping => filler.session.may_carry(&peer.queues, at),
            Goes::LenProbe(_) | Goes::Ack => false,
        };
        if takes_more {
            peer.queues.in_turn(|policy, queue| {
                if !queue.is_empty() && filler.session.admits(policy, at) {
                    filler.fill(policy, queue);
                }
            });
        }
        let in_flight = filler.session.paths[at].sent.in_flight();
        if goes == Goes::Ack && gaps > GAPS_MAX && in_flight == 0 {
            filler.ping();
        }
        let Filler {
            frame,
            session,
            carried,
            ..
        } = filler;
        if carried == 0 && goes != Goes::Ack {
            return None;
        }
        let records = frame.records() - usize::from(gaps > 0);
        let fields = session.spaces[space].received.fields(now);
        let path = &mut session.paths[at];
        let packet = path.sent.next();
        let header = Header {
            is_responder: session.is_responder,
            is_sealed: self.config.seals,
            path: at as u8,
            packet,
            session: session.id,
            ack_path: if fields.ack > 0 { space as u8 } else { 0 },
            ack: fields.ack,
            ack_run: fields.run,
            ack_delay: fields.delay,
        };
        let Address { link, mac } = path.address;
        let src = self.config.links[usize::from(link.0)].mac;
        let len = frame.finish(src, mac, self.config.ethertype, &header);
        let ack = Acked {
            space: space as u8,
            end: fields.ack,
        };
        path.sent.push(now, len, carried, ack);
        if let Goes::LenProbe(len) = goes {
            path.mtu.on_probe_sent(now, packet, len);
        }
        if carried > 0 {
            path.ping_wanted = false;
            path.probes = path.probes.saturating_sub(1);
        } else {
            peer.stats.acks_sent += 1;
        }
        path.stats.frames_sent += 1;
        path.stats.bytes_sent += len as u64;
        if goes == Goes::Queued {
            session.last_path = at;
        }
        session.spaces[space].received.on_ack_sent();
        session.busy_since = session.is_busy().then(|| session.busy_since.unwrap_or(now));
        peer.stats.bundles_sent.count(records);
        peer.stats.frames_sent += 1;
        peer.stats.bytes_sent += len as u64;
        Some(len)
    }
}

/// Why a frame is written.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Goes {
    /// To learn whether the path leads to the peer.
    Ping,
    /// To learn whether a frame of this length arrives.
    LenProbe(usize),
    /// Something waits that may take the path.
    Queued,
    /// An acknowledgement is due.
    Ack,
}
