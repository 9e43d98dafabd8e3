//! The clock of the network-handler thread.

use std::time::Duration;

use nix::time::{ClockId, clock_gettime};
use qnet_proto::Time;

/// The machine's monotonic clock, as the engine counts time.
pub fn now() -> Time {
    let now = clock_gettime(ClockId::CLOCK_MONOTONIC).map(Duration::from);
    // The clock exists on every Linux.
    Time(now.map_or(0, |now| now.as_nanos() as u64))
}
