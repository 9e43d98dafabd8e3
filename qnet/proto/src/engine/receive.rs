//! Takes frames that belong to sessions.

use super::peer::{Address, State};
use super::{DownReason, DropReason, Engine, Store, peer_of};
use crate::limits::REPLIES_PER_FRAME_MAX;
use crate::wire::{AckRanges, Frame, Header, Record};
use crate::{LinkId, PeerId, Time};

/// What became of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Taken {
    /// It is dealt with.
    Yes,
    /// It is of no use to the receiver, now and later.
    Useless,
    /// It depends on something that has not arrived: the packet must not be acknowledged.
    Early,
    /// It ended the session.
    Ended,
}

/// What became of the records of a packet.
struct Look {
    /// Of the packet as a whole.
    taken: Taken,
    /// Whether it must be acknowledged.
    wants_ack: bool,
    /// Whether it asks if anybody hears.
    asks: bool,
}

impl Engine {
    pub(super) fn take_frame(
        &mut self,
        now: Time,
        link: LinkId,
        frame: &Frame<'_>,
        store: &mut impl Store,
    ) {
        let session = frame.header.session;
        let Some(&id) = self.sessions.get(&session) else {
            return self.take_unknown_session(now, link, frame);
        };
        self.be_confirmed(now, id, frame);
        let Some(session) = peer_of(&mut self.peers, id).and_then(|peer| peer.session_mut()) else {
            return self.drop_of(id, DropReason::Direction);
        };
        if frame.header.is_responder == session.is_responder {
            return self.drop_of(id, DropReason::Direction);
        }
        let from = Address {
            link,
            mac: frame.src,
        };
        let is_known = session.path_to(from).is_some();
        let header = &frame.header;
        let space = usize::from(header.path);
        if session.is_repeated(space, header.packet) {
            return self.drop_of(id, DropReason::Repeated);
        }
        let acked = session.paths.get(usize::from(header.ack_path));
        if header.ack > 0 && !acked.is_some_and(|path| path.sent.was_sent(header.ack - 1)) {
            return self.drop_of(id, DropReason::FalseAck);
        }
        if !is_known && !self.may_speak_from(now, id, from) {
            return self.drop_of(id, DropReason::Address);
        }
        let via = self.hear(now, id, from, frame.len);
        self.arriving_on = link;
        self.acknowledge_run(now, id, &frame.header);
        let Look {
            taken,
            wants_ack,
            asks,
        } = self.take_records(now, id, frame, store);
        if taken == Taken::Ended {
            return;
        }
        let acked = usize::from(frame.header.ack_path);
        self.find_losses(id, acked);
        self.leave_narrow(now, id, acked);
        let ack_delay_ns = self.config.ack_delay.as_nanos() as u64;
        let Some(peer) = peer_of(&mut self.peers, id) else {
            return;
        };
        peer.stats.frames_received += 1;
        peer.stats.bytes_received += frame.len as u64;
        if let State::Up(session) = &mut peer.state {
            let len = wants_ack.then_some(frame.len);
            let entry = session.space(space, via);
            entry.via = via;
            let received = &mut entry.received;
            match taken {
                Taken::Yes => received.insert(now, frame.header.packet, len, ack_delay_ns),
                // It is not acknowledged, but who asks hears that somebody lives here.
                _ if asks => received.hurry(now),
                _ => {}
            }
        }
        self.relieve_runs(id);
        self.settle(now, id);
    }

    /// A frame of the session came from `from`; answers the path that leads there.
    fn hear(&mut self, now: Time, id: PeerId, from: Address, frame_len: usize) -> usize {
        let session = peer_of(&mut self.peers, id).and_then(|peer| peer.session_mut());
        let Some(session) = session else {
            return 0;
        };
        session.heard_at = now;
        session.doubted_since = None;
        if let Some(via) = session.path_to(from) {
            session.paths[via].on_frame(now, frame_len);
            return via;
        }
        let via = self.learn_path(now, id, from);
        let session = peer_of(&mut self.peers, id).and_then(|peer| peer.session_mut());
        if let Some(session) = session {
            session.paths[via].on_frame(now, frame_len);
        }
        via
    }

    /// Deals with the records.
    fn take_records(
        &mut self,
        now: Time,
        id: PeerId,
        frame: &Frame<'_>,
        store: &mut impl Store,
    ) -> Look {
        let mut look = Look {
            taken: Taken::Yes,
            wants_ack: false,
            asks: false,
        };
        let mut count = 0;
        self.replies_left = REPLIES_PER_FRAME_MAX as u32;
        for record in frame.records() {
            let Ok(record) = record else {
                self.drop_of(id, DropReason::BadRecord);
                look.taken = Taken::Early;
                return look;
            };
            if let Record::AckRanges(ranges) = record {
                self.acknowledge_steps(id, &frame.header, ranges);
                continue;
            }
            look.wants_ack = true;
            look.asks |= matches!(record, Record::Ping);
            count += 1;
            match self.take_record(now, id, frame, record, store) {
                Taken::Yes => {}
                Taken::Useless => self.drop_of(id, DropReason::Violation),
                Taken::Early => {
                    self.drop_of(id, DropReason::Early);
                    look.taken = Taken::Early;
                }
                Taken::Ended => {
                    look.taken = Taken::Ended;
                    return look;
                }
            }
        }
        if let Some(peer) = peer_of(&mut self.peers, id) {
            peer.stats.bundles_received.count(count);
        }
        look
    }

    fn take_record(
        &mut self,
        now: Time,
        id: PeerId,
        frame: &Frame<'_>,
        record: Record<'_>,
        store: &mut impl Store,
    ) -> Taken {
        match record {
            Record::Message {
                head,
                connect,
                bytes,
            } => self.take_message(id, &head, connect, bytes, store),
            Record::Messages { head, bytes } => self.take_messages(id, &head, bytes, store),
            Record::MessageFragment(fragment) => self.take_message_fragment(id, &fragment, store),
            Record::Reply { head, bytes } => self.take_reply(id, &head, bytes, store),
            Record::ReplyFragment(fragment) => self.take_reply_fragment(id, &fragment, store),
            Record::Error(error) => self.take_error(id, &error),
            Record::Replies(replies) => self.take_replies(id, &replies),
            Record::Pulse { pulse, connect } => self.take_pulse(id, &pulse, connect),
            Record::Cancel(cancel) => self.take_cancel(id, &cancel),
            Record::Detach(detach) => self.take_detach(id, &detach),
            Record::Grant(grant) => self.take_grant(id, &grant),
            Record::Received(received) => self.take_received(id, &received),
            Record::Ping | Record::Pad => Taken::Yes,
            Record::Confirm(_) => {
                // The initiator has heard nothing from here yet.
                if let Some(session) = self.peer_mut(id).and_then(|peer| peer.session_mut()) {
                    let space = usize::from(frame.header.path);
                    session.space(space, 0).received.hurry(now);
                }
                Taken::Yes
            }
            Record::Bye => {
                self.take_down(now, id, DownReason::Bye);
                Taken::Ended
            }
            Record::Unknown(_) => {
                self.drop_of(id, DropReason::UnknownRecord);
                Taken::Yes
            }
            Record::AckRanges(_) => Taken::Yes,
            Record::Announce(_)
            | Record::WhoIs(_)
            | Record::IAm(_)
            | Record::Goodbye(_)
            | Record::Init(_)
            | Record::InitAck(_)
            | Record::Reset(_) => {
                self.drop_of(id, DropReason::Misplaced);
                Taken::Yes
            }
        }
    }

    fn acknowledge_run(&mut self, now: Time, id: PeerId, header: &Header) {
        if header.ack == 0 {
            return;
        }
        let start = header.ack - u64::from(header.ack_run);
        let at = usize::from(header.ack_path);
        let sent_at = self.acknowledge(id, at, start, header.ack);
        let session = self.peer_mut(id).and_then(|peer| peer.session_mut());
        if let (Some(sent_at), Some(session)) = (sent_at, session) {
            session.paths[at]
                .rtt
                .sample(now.since(sent_at), u64::from(header.ack_delay) * 16_000);
        }
    }

    fn acknowledge_steps(&mut self, id: PeerId, header: &Header, ranges: AckRanges<'_>) {
        let mut below = header.ack - u64::from(header.ack_run);
        for range in ranges.iter() {
            let (gap, run) = (u64::from(range.gap.get()), u64::from(range.run.get()));
            let Some(start) = below.checked_sub(gap + run) else {
                return self.drop_of(id, DropReason::Violation);
            };
            let at = usize::from(header.ack_path);
            self.acknowledge(id, at, start, start + run);
            below = start;
        }
    }

    /// Packets `start..end` of a path arrived. Answers when the last of them was sent, if that is news.
    fn acknowledge(&mut self, id: PeerId, at: usize, start: u64, end: u64) -> Option<Time> {
        let mut resolved = std::mem::take(&mut self.resolved);
        let mut carried = std::mem::take(&mut self.carried);
        let session = peer_of(&mut self.peers, id)?.session_mut()?;
        let path = session.paths.get_mut(at)?;
        let is_news = path
            .sent
            .acknowledge(start..end, &mut resolved, &mut carried);
        let next = path.sent.next();
        let was_stalled = path.backoff >= 2;
        if is_news || !resolved.is_empty() {
            path.on_answer();
        }
        for packet in &resolved {
            path.window
                .on_acked(packet.packet, u64::from(packet.len), next);
            let (number, len) = (packet.packet, packet.len as usize);
            path.mtu.on_acked(number, packet.sent_at, len, was_stalled);
            let space = &mut session.spaces[usize::from(packet.ack.space)];
            space.received.forget_below(packet.ack.end);
        }
        let last = resolved
            .iter()
            .find(|packet| packet.packet + 1 == end)
            .map(|packet| packet.sent_at);
        resolved.clear();
        self.resolved = resolved;
        self.on_arrived(id, &mut carried);
        self.carried = carried;
        last
    }

    fn find_losses(&mut self, id: PeerId, at: usize) {
        let mut resolved = std::mem::take(&mut self.resolved);
        let mut carried = std::mem::take(&mut self.carried);
        if let Some(peer) = peer_of(&mut self.peers, id)
            && let State::Up(session) = &mut peer.state
        {
            let path = &mut session.paths[at];
            path.sent.detect_losses(&mut resolved, &mut carried);
            for packet in &resolved {
                path.on_lost(packet.packet, packet.len);
            }
            path.mtu.conclude(false);
            peer.stats.packets_lost += resolved.len() as u64;
        }
        resolved.clear();
        self.resolved = resolved;
        self.on_lost(id, &mut carried);
        self.carried = carried;
    }
}
