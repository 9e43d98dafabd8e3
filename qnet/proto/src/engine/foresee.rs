//! Where the bytes of a frame will go, told before they are received.
//!
//! Changes nothing: what the frame means is decided by [`Engine::handle_frame`] alone, once it is there. A caller that
//! has put bytes where this says has put them where the same message wanted them, whatever is decided then.

use super::Engine;
use super::peer::State;
use crate::InboundCall;
use crate::wire::{Fragment, Frame, Record};

/// Bytes of a remote client's message in a frame, which a place in memory waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Foreseen {
    /// Whose message it is.
    pub call: InboundCall,
    /// Where in the message the bytes belong.
    pub offset: u32,
    /// Where in the frame they begin.
    pub at: usize,
    /// How many they are.
    pub len: usize,
}

impl Engine {
    /// Looks at a frame of which only the first `known` bytes are there yet. Answers where its first fragment of a
    /// message will go, if that is sure: the fragment begins within what is known, its message is expected, and
    /// no byte of it is in place.
    ///
    /// Sealed frames are never foreseen: their bytes are to be checked before they are placed.
    pub fn foresee(&self, frame: &[u8], known: usize) -> Option<Foreseen> {
        let parsed = Frame::parse(frame, self.config.ethertype, self.config.seals).ok()?;
        if parsed.header.is_sealed || self.is_own(parsed.src) {
            return None;
        }
        let header = &parsed.header;
        let id = *self.sessions.get(&header.session)?;
        let State::Up(session) = &self.peer(id)?.state else {
            return None;
        };
        let is_expected = header.is_responder != session.is_responder
            && !session.is_repeated(usize::from(header.path), header.packet);
        if !is_expected {
            return None;
        }
        let begins_at = |bytes: &[u8]| bytes.as_ptr().addr() - frame.as_ptr().addr();
        let mut records = parsed.records();
        let fragment: Fragment<'_> = loop {
            match records.next()?.ok()? {
                Record::MessageFragment(fragment) => break fragment,
                // Others may change what is expected; acknowledgements change nothing of messages that come in.
                Record::AckRanges(_) => {}
                _ => return None,
            }
        };
        let (at, len) = (begins_at(fragment.bytes), fragment.bytes.len());
        let call = session.in_calls.get(fragment.call)?;
        let inbound = self.tables.in_call(call)?;
        let range = fragment.offset..fragment.offset + len as u32;
        let is_wanted = inbound.is_accepted
            && !inbound.has_arrived
            && inbound.answer.is_none()
            && range.end <= inbound.limit
            && session.gaps.have_room_for(&inbound.placed, &range)
            && !inbound.placed.overlaps(&range);
        (is_wanted && at <= known).then_some(Foreseen {
            call,
            offset: fragment.offset,
            at,
            len,
        })
    }
}
