//! Small records: errors, pulses, cancels, detaches, grants.

use zerocopy::byteorder::network_endian::{I64, U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::{Connect, FrameBuilder, Malformed, Record, RecordType, Side, split, whole, zero};
use crate::limits::{MESSAGE_LEN_MAX, REPLIES_MAX};
use crate::{Cancel, Errno, Pulse};

/// Flag of pulse and detach records: meant for the client's end.
const FLAG_TO_CLIENT: u8 = 0x02;

#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct RawError {
    call: U64,
    errno: U16,
    reserved: U16,
}

#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct RawPulse {
    conn: U64,
    sequence: U64,
    value: I64,
    code: i8,
    priority: u8,
    flags: u8,
    reserved: u8,
}

#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct RawCancel {
    call: U64,
    kind: u8,
    reserved: u8,
    errno: U16,
}

#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct RawDetach {
    conn: U64,
    errno: U16,
    flags: u8,
    reserved: u8,
}

#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct RawGrant {
    call: U64,
    limit: U32,
}

#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct RawReplies {
    call: U64,
    count: U32,
}

#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct RawReceived {
    call: U64,
}

/// The server has received the message of a client that wanted to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReceivedRecord {
    /// The call.
    pub call: u64,
}

/// Neighbouring calls that are all answered with status 0 and no bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RepliesRecord {
    /// The first call.
    pub call: u64,
    /// How many there are, from 1 to [`REPLIES_MAX`]; the last one has a number that there is.
    pub count: u32,
}

/// An error in place of a reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ErrorRecord {
    /// The call.
    pub call: u64,
    /// The error; 0 is legal (RPL-3: `error` with EOK makes the send return 0).
    pub errno: Errno,
}

/// A pulse through a virtual connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PulseRecord {
    /// The connection.
    pub conn: u64,
    /// Counts the pulses of this connection and direction from 0, without gaps.
    pub sequence: u64,
    /// Which end it is meant for.
    pub to: Side,
    /// The pulse.
    pub pulse: Pulse,
}

/// The client wants out, or no longer waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CancelRecord {
    /// The call.
    pub call: u64,
    /// What is wanted.
    pub cancel: Cancel,
}

/// One end of a virtual connection is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DetachRecord {
    /// The connection.
    pub conn: u64,
    /// Which end is told: the other one is gone.
    pub to: Side,
    /// Why; 0 when a client detached.
    pub errno: Errno,
}

/// The receiver has room for a message up to `limit`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GrantRecord {
    /// The call.
    pub call: u64,
    /// Bytes of the message that may be sent.
    pub limit: u32,
}

impl RepliesRecord {
    /// Bytes of the record behind its header.
    pub const LEN: usize = size_of::<RawReplies>();

    /// The calls.
    pub fn calls(&self) -> std::ops::Range<u64> {
        self.call..self.call + u64::from(self.count)
    }

    /// Writes the record; `None` if it does not fit.
    pub fn emit(&self, frame: &mut FrameBuilder<'_>) -> Option<()> {
        let raw = RawReplies {
            call: self.call.into(),
            count: self.count.into(),
        };
        frame
            .push(RecordType::Replies, [raw.as_bytes(), &[]], 0)
            .map(|_| ())
    }

    pub(super) fn parse(body: &[u8]) -> Result<RepliesRecord, Malformed> {
        let raw = whole::<RawReplies>(body)?;
        let (call, count) = (raw.call.get(), raw.count.get());
        let is_bounded = (1..=REPLIES_MAX as u32).contains(&count);
        if !is_bounded || call.checked_add(u64::from(count)).is_none() {
            return Err(Malformed::Value);
        }
        Ok(RepliesRecord { call, count })
    }
}

impl ErrorRecord {
    /// Writes the record; `None` if it does not fit.
    pub fn emit(&self, frame: &mut FrameBuilder<'_>) -> Option<()> {
        let raw = RawError {
            call: self.call.into(),
            errno: self.errno.0.into(),
            reserved: 0.into(),
        };
        frame
            .push(RecordType::Error, [raw.as_bytes(), &[]], 0)
            .map(|_| ())
    }

    pub(super) fn parse(body: &[u8]) -> Result<ErrorRecord, Malformed> {
        let raw = whole::<RawError>(body)?;
        zero(raw.reserved)?;
        Ok(ErrorRecord {
            call: raw.call.get(),
            errno: Errno(raw.errno.get()),
        })
    }
}

impl PulseRecord {
    /// Writes the record; `None` if it does not fit.
    pub fn emit(&self, frame: &mut FrameBuilder<'_>, connect: Option<&Connect>) -> Option<()> {
        let to_client = if self.to == Side::Client {
            FLAG_TO_CLIENT
        } else {
            0
        };
        let with_connect = if connect.is_some() {
            super::data::FLAG_CONNECT
        } else {
            0
        };
        let raw = RawPulse {
            conn: self.conn.into(),
            sequence: self.sequence.into(),
            value: self.pulse.value.into(),
            code: self.pulse.code,
            priority: self.pulse.priority,
            flags: to_client | with_connect,
            reserved: 0,
        };
        let connect = connect.map(Connect::raw);
        let second = connect.as_ref().map_or(&[][..], |raw| raw.as_bytes());
        frame
            .push(RecordType::Pulse, [raw.as_bytes(), second], 0)
            .map(|_| ())
    }

    pub(super) fn parse(body: &[u8]) -> Result<Record<'_>, Malformed> {
        let (raw, rest) = split::<RawPulse>(body)?;
        zero(raw.reserved)?;
        let to = side(raw.flags);
        let (connect, rest) = Connect::parse(raw.flags & !FLAG_TO_CLIENT, rest)?;
        if !rest.is_empty() {
            return Err(Malformed::Length);
        }
        if connect.is_some() && to == Side::Client {
            return Err(Malformed::Value);
        }
        let pulse = Pulse {
            code: raw.code,
            priority: raw.priority,
            value: raw.value.get(),
        };
        let pulse = PulseRecord {
            conn: raw.conn.get(),
            sequence: raw.sequence.get(),
            to,
            pulse,
        };
        Ok(Record::Pulse { pulse, connect })
    }
}

impl CancelRecord {
    /// Writes the record; `None` if it does not fit.
    pub fn emit(&self, frame: &mut FrameBuilder<'_>) -> Option<()> {
        let (kind, errno) = match self.cancel {
            Cancel::Unblock(errno) => (1, errno.0),
            Cancel::Withdraw(errno) => (2, errno.0),
            Cancel::Abandon => (3, 0),
        };
        let raw = RawCancel {
            call: self.call.into(),
            kind,
            reserved: 0,
            errno: errno.into(),
        };
        frame
            .push(RecordType::Cancel, [raw.as_bytes(), &[]], 0)
            .map(|_| ())
    }

    pub(super) fn parse(body: &[u8]) -> Result<CancelRecord, Malformed> {
        let raw = whole::<RawCancel>(body)?;
        zero(raw.reserved)?;
        let cancel = match (raw.kind, raw.errno.get()) {
            (1, errno) => Cancel::Unblock(Errno(errno)),
            (2, errno) => Cancel::Withdraw(Errno(errno)),
            (3, 0) => Cancel::Abandon,
            _ => return Err(Malformed::Value),
        };
        Ok(CancelRecord {
            call: raw.call.get(),
            cancel,
        })
    }
}

impl DetachRecord {
    /// Writes the record; `None` if it does not fit.
    pub fn emit(&self, frame: &mut FrameBuilder<'_>) -> Option<()> {
        let flags = if self.to == Side::Client {
            FLAG_TO_CLIENT
        } else {
            0
        };
        let raw = RawDetach {
            conn: self.conn.into(),
            errno: self.errno.0.into(),
            flags,
            reserved: 0,
        };
        frame
            .push(RecordType::Detach, [raw.as_bytes(), &[]], 0)
            .map(|_| ())
    }

    pub(super) fn parse(body: &[u8]) -> Result<DetachRecord, Malformed> {
        let raw = whole::<RawDetach>(body)?;
        zero(raw.reserved)?;
        zero(raw.flags & !FLAG_TO_CLIENT)?;
        Ok(DetachRecord {
            conn: raw.conn.get(),
            to: side(raw.flags),
            errno: Errno(raw.errno.get()),
        })
    }
}

impl GrantRecord {
    /// Writes the record; `None` if it does not fit.
    pub fn emit(&self, frame: &mut FrameBuilder<'_>) -> Option<()> {
        let raw = RawGrant {
            call: self.call.into(),
            limit: self.limit.into(),
        };
        frame
            .push(RecordType::Grant, [raw.as_bytes(), &[]], 0)
            .map(|_| ())
    }

    pub(super) fn parse(body: &[u8]) -> Result<GrantRecord, Malformed> {
        let raw = whole::<RawGrant>(body)?;
        let limit = raw.limit.get();
        if limit as usize > MESSAGE_LEN_MAX {
            return Err(Malformed::Value);
        }
        Ok(GrantRecord {
            call: raw.call.get(),
            limit,
        })
    }
}

impl ReceivedRecord {
    /// Writes the record; `None` if it does not fit.
    pub fn emit(&self, frame: &mut FrameBuilder<'_>) -> Option<()> {
        let raw = RawReceived {
            call: self.call.into(),
        };
        frame
            .push(RecordType::Received, [raw.as_bytes(), &[]], 0)
            .map(|_| ())
    }

    pub(super) fn parse(body: &[u8]) -> Result<ReceivedRecord, Malformed> {
        let call = whole::<RawReceived>(body)?.call.get();
        Ok(ReceivedRecord { call })
    }
}

fn side(flags: u8) -> Side {
    if flags & FLAG_TO_CLIENT != 0 {
        Side::Client
    } else {
        Side::Server
    }
}
