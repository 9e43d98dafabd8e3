//! Hands out frames: those outside sessions first, then one of each peer in turn.

use zerocopy::byteorder::network_endian::U32;

use super::filler::Filler;
use super::peer::State;
use super::session::Session;
use super::{Engine, Store, Transmit, peer_of};
use crate::limits::{ACK_RANGES_PER_RECORD, GAPS_MAX};
use crate::wire::{AckRange, AckRanges, FrameBuilder, Header};
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

    fn fill(
        &mut self,
        now: Time,
        id: PeerId,
        buffer: &mut [u8],
        store: &impl Store,
    ) -> Option<Transmit> {
        let peer = peer_of(&mut self.peers, id)?;
        let State::Up(session) = &mut peer.state else {
            return None;
        };
        let ack_is_due = session.received.due().is_some_and(|due| due <= now);
        let may_send = session.may_send() && !peer.queue.is_empty();
        if !ack_is_due && !may_send {
            return None;
        }
        let mut frame = FrameBuilder::new(buffer, session.mtu);
        let gaps = write_ack_steps(session, &mut frame);
        let mut filler = Filler::new(frame, session, &mut self.tables, store);
        if may_send {
            filler.fill(&mut peer.queue);
        }
        if filler.carried == 0 && !ack_is_due {
            return None;
        }
        if filler.carried == 0 && gaps > GAPS_MAX && filler.session.sent.in_flight() == 0 {
            filler.ping();
        }
        let Filler {
            frame,
            session,
            carried,
            ..
        } = filler;
        let fields = session.received.fields(now);
        let header = Header {
            is_responder: session.is_responder,
            is_sealed: self.config.seals,
            packet: session.sent.next(),
            session: session.id,
            ack: fields.ack,
            ack_run: fields.run,
            ack_delay: fields.delay,
        };
        let link = peer.address.link;
        let src = self.config.links[usize::from(link.0)].mac;
        let len = frame.finish(src, peer.address.mac, self.config.ethertype, &header);
        session.sent.push(now, len, carried, fields.ack);
        session.received.on_ack_sent();
        session.busy_since = session.is_busy().then(|| session.busy_since.unwrap_or(now));
        if carried > 0 {
            session.probes = session.probes.saturating_sub(1);
        } else {
            peer.stats.acks_sent += 1;
        }
        peer.stats.frames_sent += 1;
        peer.stats.bytes_sent += len as u64;
        Some(Transmit {
            link,
            dst_mac: peer.address.mac,
            len,
        })
    }
}

fn write_ack_steps(session: &Session, frame: &mut FrameBuilder<'_>) -> usize {
    let mut steps = [AckRange {
        gap: U32::new(0),
        run: U32::new(0),
    }; ACK_RANGES_PER_RECORD];
    let count = session.received.steps(&mut steps);
    if count > 0 {
        AckRanges::emit(frame, &steps[..count]).expect("the smallest frame takes all steps");
    }
    count
}
