//! Pulses: small messages that never block their sender.

use crate::abi::Scoid;

/// A message priority, 0..=255; higher is received first.
pub type Priority = u8;

/// What a pulse is about: 0..=127 for applications, negative for the system (PLS-1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PulseCode(pub i8);

impl PulseCode {
    /// The lowest code of an application.
    pub const MIN_AVAIL: PulseCode = PulseCode(0);
    /// The highest code of an application.
    pub const MAX_AVAIL: PulseCode = PulseCode(127);
    /// A REPLY-blocked client wants out; the value is its receive id (PLS-4).
    pub const UNBLOCK: PulseCode = PulseCode(-32);
    /// The last connection of a client process went; `scoid` says whose.
    pub const DISCONNECT: PulseCode = PulseCode(-33);
    /// A thread of the process ended; the value is its tid.
    pub const THREAD_DEATH: PulseCode = PulseCode(-34);
    /// A connection's server is gone; the value is the coid.
    pub const COID_DEATH: PulseCode = PulseCode(-35);

    /// On a router's channel: one connection ended; the value is its
    /// [`connection_id`](crate::ReceivedMessage::connection_id).
    pub const DETACHED: PulseCode = PulseCode(-36);
    /// On a router's channel: a client took events that the router delivered to it; the value says how
    /// many.
    pub const EVENTS_TAKEN: PulseCode = PulseCode(-37);
    /// Between nodes only: the server's node found room for so many more pulses of the client.
    pub const PULSES_TAKEN: PulseCode = PulseCode(-38);
    /// Between nodes only: the server delivers an event to its client; the value is the handle.
    pub const EVENT: PulseCode = PulseCode(-39);

    /// On a router's channel: a client's time of SEND is over, and it wants its message back unless the server on
    /// the other node has received it; the value is the receive id (TMO-1).
    pub const WITHDRAW: PulseCode = PulseCode(-40);

    /// Whether an application may send this code.
    pub const fn is_application(self) -> bool {
        self.0 >= 0
    }
}

/// A received pulse.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pulse {
    /// What it is about.
    pub code: PulseCode,
    /// Its value; pointer-sized on every platform this runs on.
    pub value: i64,
    /// The priority it was sent at.
    pub priority: Priority,
    /// The server connection it came through; 0 for a pulse of the system or of the process itself.
    pub scoid: Scoid,
}
