//! What goes over the wire: Ethernet frames of Qnet records.
//!
//! ```text
//! | Ethernet 14 | Qnet header 32 | record | record | ... | tag 16, if sealed | padding |
//! ```
//! Received bytes are looked at through views ([`Frame`], [`Record`]) that exist only for what passed
//! every check of its format; what is to be sent is written by [`FrameBuilder`]. All numbers are in
//! network byte order. Knows nothing of sessions, calls in progress or time.

mod ack;
mod builder;
mod control;
mod data;
mod frame;
mod names;
mod record;
mod seal;

use zerocopy::{FromBytes, Immutable, KnownLayout, Unaligned};

pub use ack::{AckRange, AckRanges};
pub use builder::FrameBuilder;
pub use control::{
    CancelRecord, DetachRecord, ErrorRecord, GrantRecord, PulseRecord, ReceivedRecord,
    RepliesRecord,
};
pub use data::{Connect, Fragment, MessageHead, ReplyHead, Side};
pub use frame::{Frame, Header, VERSION};
pub use names::{Handshake, Hello, Reset, ResetReason, WhoIs};
pub use record::{Record, RecordType, Records};

/// Why received bytes are not a Qnet frame, or not a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Malformed {
    /// Fewer bytes than the headers take.
    Short,
    /// The EtherType of another protocol.
    EtherType,
    /// A version this code does not speak.
    Version,
    /// The length field disagrees with the bytes that are there.
    Length,
    /// A reserved field or bit is not zero.
    Reserved,
    /// A field has a value outside its bounds.
    Value,
    /// The seal is missing or does not fit the bytes.
    Seal,
}

/// Splits a fixed part off `bytes`.
fn split<T: FromBytes + KnownLayout + Immutable + Unaligned>(
    bytes: &[u8],
) -> Result<(&T, &[u8]), Malformed> {
    T::ref_from_prefix(bytes).map_err(|_| Malformed::Short)
}

/// Takes `bytes` as exactly one fixed part.
fn whole<T: FromBytes + KnownLayout + Immutable + Unaligned>(
    bytes: &[u8],
) -> Result<&T, Malformed> {
    T::ref_from_bytes(bytes).map_err(|_| Malformed::Length)
}

/// Demands that a reserved field is zero.
fn zero<T: Into<u64>>(reserved: T) -> Result<(), Malformed> {
    if reserved.into() == 0 {
        Ok(())
    } else {
        Err(Malformed::Reserved)
    }
}
