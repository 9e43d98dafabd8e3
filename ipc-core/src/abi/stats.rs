//! Counters of one channel: why it is slow, and who is to blame.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// What happened on a channel since it was created.
///
/// Its own process counts it ([`Channel::stats`](crate::Channel::stats)), a status record carries it to others
/// ([`snapshot`](crate::snapshot)), and the process manager lists it ([`CountersEntry`](super::proc::CountersEntry)),
/// all as these words one after the other.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct ChannelStats {
    /// Messages received.
    pub messages: u64,
    /// Pulses received.
    pub pulses: u64,
    /// Replies and errors handed over.
    pub replies: u64,
    /// Clients that slept and had to be woken by a system call.
    pub wakes_sent: u64,
    /// Clients that were still looking when their answer came.
    pub wakes_avoided: u64,
    /// Receives that found something while they looked, before they would have slept.
    pub spins_won: u64,
    /// Receives that looked in vain and slept.
    pub spins_lost: u64,
    /// Messages that were dropped unanswered and failed with `EIO` (RPL-6).
    pub dropped_unanswered: u64,
    /// Changes of a receiving thread's priority that the system refused (PRI-1).
    pub priorities_refused: u64,
    /// Malformed entries of clients; the connection is cut.
    pub faults: u64,
}

const _: () = assert!(size_of::<ChannelStats>() == 80);
const _: () = assert!(
    cfg!(target_endian = "little"),
    "tables of the process manager are little-endian"
);
