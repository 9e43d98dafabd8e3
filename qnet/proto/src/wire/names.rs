//! Records outside sessions: who is there, and how a session is set up.

use zerocopy::byteorder::network_endian::{U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::{FrameBuilder, Malformed, RecordType, whole};
use crate::limits::{MTU_MAX, MTU_MIN, NODE_NAME_LEN_MAX};
use crate::{Mac, NodeName};

#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct RawName {
    len: u8,
    bytes: [u8; NODE_NAME_LEN_MAX],
}

#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct RawHello {
    epoch: U64,
    receive_window: U32,
    ack_delay_us: U32,
    mtu: U16,
    station: [u8; 6],
    name: RawName,
}

#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct RawWhoIs {
    asker: RawHello,
    name: RawName,
}

#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct RawHandshake {
    hello: RawHello,
    initiator_nonce: U32,
    responder_nonce: U32,
    other_epoch: U64,
    stamp: U64,
    cookie: [u8; 16],
}

#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct RawReset {
    session: U64,
    epoch: U64,
    reason: u8,
    reserved: [u8; 7],
}

const _: () = assert!(size_of::<RawHello>() == 88);
const _: () = assert!(size_of::<RawHandshake>() == 128);

/// What a node says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hello {
    /// Its life: another one after each restart.
    pub epoch: u64,
    /// Bytes of frames that it can take in one go.
    pub receive_window: u32,
    /// How long it may hold back an acknowledgement.
    pub ack_delay_us: u32,
    /// The MTU of the link the frame was sent through.
    pub mtu: u16,
    /// The address of its first link, through whichever link the frame was sent: tells one node with
    /// several links from several nodes of one name.
    pub station: Mac,
    /// Its name.
    pub name: NodeName,
}

/// Who bears this name?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WhoIs {
    /// Who asks.
    pub asker: Hello,
    /// The name that is looked for.
    pub name: NodeName,
}

/// One of the three messages that set up a session. Fields that a message does not use are zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Handshake {
    /// The sender of this message.
    pub hello: Hello,
    /// Upper half of the session's number, chosen by the initiator; not zero.
    pub initiator_nonce: u32,
    /// Lower half, chosen by the responder; zero in Init.
    pub responder_nonce: u32,
    /// The life of the other node, as the sender knows it; zero in Init.
    pub other_epoch: u64,
    /// The responder's clock when it made the cookie; zero in Init.
    pub stamp: u64,
    /// Proves to the responder, who keeps nothing, that this is an answer to its InitAck; zero in Init.
    pub cookie: [u8; 16],
}

/// Why a session is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResetReason {
    /// The sender knows no such session.
    Unknown,
    /// Another living node bears the name.
    NameInUse,
}

/// The sender knows no such session, or refuses it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reset {
    /// The session; with `NameInUse` its upper half only, or 0 in answer to an announcement.
    pub session: u64,
    /// The sender's life.
    pub epoch: u64,
    /// Why.
    pub reason: ResetReason,
}

impl RawName {
    fn of(name: &NodeName) -> RawName {
        let mut bytes = [0; NODE_NAME_LEN_MAX];
        bytes[..name.as_bytes().len()].copy_from_slice(name.as_bytes());
        RawName {
            len: name.as_bytes().len() as u8,
            bytes,
        }
    }

    fn name(&self) -> Result<NodeName, Malformed> {
        let len = usize::from(self.len);
        let name = self
            .bytes
            .get(..len)
            .and_then(NodeName::from_bytes)
            .ok_or(Malformed::Value)?;
        if self.bytes[len..].iter().any(|&b| b != 0) {
            return Err(Malformed::Reserved);
        }
        Ok(name)
    }
}

impl Hello {
    /// Writes a record of type `kind`; `None` if it does not fit.
    pub fn emit(&self, frame: &mut FrameBuilder<'_>, kind: RecordType) -> Option<()> {
        frame
            .push(kind, [self.raw().as_bytes(), &[]], 0)
            .map(|_| ())
    }

    fn raw(&self) -> RawHello {
        RawHello {
            epoch: self.epoch.into(),
            receive_window: self.receive_window.into(),
            ack_delay_us: self.ack_delay_us.into(),
            mtu: self.mtu.into(),
            station: self.station.0,
            name: RawName::of(&self.name),
        }
    }

    fn of(raw: &RawHello) -> Result<Hello, Malformed> {
        let hello = Hello {
            epoch: raw.epoch.get(),
            receive_window: raw.receive_window.get(),
            ack_delay_us: raw.ack_delay_us.get(),
            mtu: raw.mtu.get(),
            station: Mac(raw.station),
            name: raw.name.name()?,
        };
        let mtu = usize::from(hello.mtu);
        let sound = (MTU_MIN..=MTU_MAX).contains(&mtu)
            && hello.receive_window as usize >= 2 * mtu
            && hello.ack_delay_us <= 1_000_000
            && hello.epoch != 0
            && hello.station.is_unicast();
        if sound {
            Ok(hello)
        } else {
            Err(Malformed::Value)
        }
    }

    pub(super) fn parse(body: &[u8]) -> Result<Hello, Malformed> {
        Hello::of(whole::<RawHello>(body)?)
    }
}

impl WhoIs {
    /// Writes the record; `None` if it does not fit.
    pub fn emit(&self, frame: &mut FrameBuilder<'_>) -> Option<()> {
        let raw = RawWhoIs {
            asker: self.asker.raw(),
            name: RawName::of(&self.name),
        };
        frame
            .push(RecordType::WhoIs, [raw.as_bytes(), &[]], 0)
            .map(|_| ())
    }

    pub(super) fn parse(body: &[u8]) -> Result<WhoIs, Malformed> {
        let raw = whole::<RawWhoIs>(body)?;
        Ok(WhoIs {
            asker: Hello::of(&raw.asker)?,
            name: raw.name.name()?,
        })
    }
}

impl Handshake {
    /// The number of the session that the two nonces make.
    pub fn session(&self) -> u64 {
        u64::from(self.initiator_nonce) << 32 | u64::from(self.responder_nonce)
    }

    /// Writes a record of type `kind`; `None` if it does not fit.
    pub fn emit(&self, frame: &mut FrameBuilder<'_>, kind: RecordType) -> Option<()> {
        let raw = RawHandshake {
            hello: self.hello.raw(),
            initiator_nonce: self.initiator_nonce.into(),
            responder_nonce: self.responder_nonce.into(),
            other_epoch: self.other_epoch.into(),
            stamp: self.stamp.into(),
            cookie: self.cookie,
        };
        frame.push(kind, [raw.as_bytes(), &[]], 0).map(|_| ())
    }

    pub(super) fn parse(body: &[u8]) -> Result<Handshake, Malformed> {
        let raw = whole::<RawHandshake>(body)?;
        let handshake = Handshake {
            hello: Hello::of(&raw.hello)?,
            initiator_nonce: raw.initiator_nonce.get(),
            responder_nonce: raw.responder_nonce.get(),
            other_epoch: raw.other_epoch.get(),
            stamp: raw.stamp.get(),
            cookie: raw.cookie,
        };
        if handshake.initiator_nonce == 0 {
            Err(Malformed::Value)
        } else {
            Ok(handshake)
        }
    }
}

impl Reset {
    /// Writes the record; `None` if it does not fit.
    pub fn emit(&self, frame: &mut FrameBuilder<'_>) -> Option<()> {
        let reason = match self.reason {
            ResetReason::Unknown => 1,
            ResetReason::NameInUse => 2,
        };
        let raw = RawReset {
            session: self.session.into(),
            epoch: self.epoch.into(),
            reason,
            reserved: [0; 7],
        };
        frame
            .push(RecordType::Reset, [raw.as_bytes(), &[]], 0)
            .map(|_| ())
    }

    pub(super) fn parse(body: &[u8]) -> Result<Reset, Malformed> {
        let raw = whole::<RawReset>(body)?;
        if raw.reserved != [0; 7] {
            return Err(Malformed::Reserved);
        }
        let reason = match raw.reason {
            1 => ResetReason::Unknown,
            2 => ResetReason::NameInUse,
            _ => return Err(Malformed::Value),
        };
        Ok(Reset {
            session: raw.session.get(),
            epoch: raw.epoch.get(),
            reason,
        })
    }
}
