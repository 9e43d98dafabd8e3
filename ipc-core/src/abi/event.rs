//! Events that a client hands to a server, so that the server can notify it later (PLS-5).

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// What a server holds of an event that a client registered: names the event on the connection it was
/// registered on and nowhere else, and says nothing of what will happen.
///
/// Travels in a message, in any form; as a field of a message structure or as its eight bytes.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    Hash,
    PartialOrd,
    Ord,
    FromBytes,
    IntoBytes,
    Immutable,
    KnownLayout,
)]
#[repr(transparent)]
#[doc(alias = "sigevent")]
pub struct EventHandle(pub u64);

impl EventHandle {
    /// The handle as it travels.
    pub fn to_bytes(self) -> [u8; 8] {
        self.0.to_ne_bytes()
    }

    /// The handle that a message carries; any bytes are one, good or not.
    pub fn from_bytes(bytes: [u8; 8]) -> EventHandle {
        EventHandle(u64::from_ne_bytes(bytes))
    }
}
