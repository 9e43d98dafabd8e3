//! What is counted: frames and records dropped, by reason, and the traffic with each peer.

use crate::limits::LINKS_MAX;
use crate::{Histogram, LinkId, wire::Malformed};

macro_rules! drop_reasons {
    ($($(#[$doc:meta])* $name:ident = $text:literal)*) => {
        /// Why a frame, or a record of it, was dropped.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum DropReason {
            $($(#[$doc])* $name,)*
        }

        impl DropReason {
            /// Every reason.
            pub const ALL: &'static [DropReason] = &[$(DropReason::$name,)*];

            /// The reason in a few words.
            pub fn text(self) -> &'static str {
                match self {
                    $(DropReason::$name => $text,)*
                }
            }
        }
    };
}

drop_reasons! {
    /// Shorter than the headers.
    Short = "too short"
    /// Another protocol.
    EtherType = "foreign EtherType"
    /// Another version of this protocol.
    Version = "unknown version"
    /// A length that is not true.
    Length = "wrong length"
    /// A reserved field in use.
    Reserved = "reserved field not zero"
    /// A field out of bounds.
    Value = "value out of bounds"
    /// No seal, or a broken one.
    Seal = "seal missing or broken"
    /// Not addressed to this node.
    NotForUs = "addressed to another station"
    /// A record whose format is not sound.
    BadRecord = "malformed record"
    /// A record of a type that this version does not know.
    UnknownRecord = "unknown record type"
    /// A record that has no business where it stands.
    Misplaced = "record in the wrong kind of frame"
    /// No such session.
    UnknownSession = "unknown session"
    /// It claims this node's own part in the session.
    Direction = "wrong direction"
    /// Of a session, from an address that its peer was not heard from.
    Address = "from a stranger's address"
    /// The packet came before.
    Repeated = "repeated packet"
    /// It acknowledges what was never sent.
    FalseAck = "acknowledges what was not sent"
    /// It needs something that has not arrived yet; it will come again.
    Early = "ahead of what it depends on"
    /// It breaks a rule of the protocol.
    Violation = "breaks a rule of the protocol"
    /// A cookie that this node did not make, or long ago.
    Cookie = "bad or expired cookie"
    /// Another node bears the name.
    NameInUse = "name in use"
    /// A table is full.
    Full = "table full"
}

/// How often something was dropped, by reason.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Dropped([u64; DropReason::ALL.len()]);

impl Dropped {
    /// The reasons that occurred, each with how often.
    pub fn reasons(&self) -> impl Iterator<Item = (DropReason, u64)> + use<> {
        let counts = DropReason::ALL.iter().copied().zip(self.0);
        counts.filter(|(_, count)| *count > 0)
    }

    /// How often it was for `reason`.
    pub fn of(&self, reason: DropReason) -> u64 {
        self.0[reason as usize]
    }

    pub(super) fn count(&mut self, reason: DropReason) {
        self.0[reason as usize] += 1;
    }
}

/// What was dropped, by link.
#[derive(Clone, Debug, Default)]
pub(super) struct Drops {
    links: [Dropped; LINKS_MAX],
    /// That of the frame being taken.
    link: usize,
}

impl Drops {
    /// What is counted from here on came through this link.
    pub(super) fn begin(&mut self, link: LinkId) {
        self.link = usize::from(link.0);
    }

    pub(super) fn count(&mut self, reason: DropReason) {
        self.links[self.link].count(reason);
    }

    /// Something that was to go out through this link.
    pub(super) fn count_on(&mut self, link: LinkId, reason: DropReason) {
        self.links[usize::from(link.0)].count(reason);
    }

    pub(super) fn all(&self, reason: DropReason) -> u64 {
        self.links.iter().map(|link| link.of(reason)).sum()
    }

    pub(super) fn of(&self, link: LinkId) -> Dropped {
        self.links[usize::from(link.0)]
    }
}

impl From<Malformed> for DropReason {
    fn from(malformed: Malformed) -> DropReason {
        match malformed {
            Malformed::Short => DropReason::Short,
            Malformed::EtherType => DropReason::EtherType,
            Malformed::Version => DropReason::Version,
            Malformed::Length => DropReason::Length,
            Malformed::Reserved => DropReason::Reserved,
            Malformed::Value => DropReason::Value,
            Malformed::Seal => DropReason::Seal,
        }
    }
}

/// Traffic with one peer since it is known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PeerStats {
    /// Frames sent in sessions.
    pub frames_sent: u64,
    /// Of those, frames that carried nothing but an acknowledgement.
    pub acks_sent: u64,
    /// Bytes of frames sent.
    pub bytes_sent: u64,
    /// Frames taken in sessions.
    pub frames_received: u64,
    /// Bytes of frames taken.
    pub bytes_received: u64,
    /// Packets that counted as lost.
    pub packets_lost: u64,
    /// Probe timeouts.
    pub probe_timeouts: u64,
    /// Sessions established.
    pub sessions: u64,
    /// Messages that local clients sent.
    pub messages_sent: u64,
    /// Messages that arrived completely.
    pub messages_received: u64,
    /// Records that were lost with their packets: what still has a meaning is sent again.
    pub records_lost: u64,
    /// Records per packet sent, acknowledgements aside.
    pub bundles_sent: Histogram,
    /// Records per packet taken, acknowledgements aside.
    pub bundles_received: Histogram,
    /// Frames of its sessions, and records of them, that were dropped.
    pub dropped: Dropped,
}
