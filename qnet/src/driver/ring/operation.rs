//! The operations of the ring: how one is handed to the kernel, and how its completion names it.
//!
//! Knows no buffer, no socket and no state: who arms an operation keeps its memory and its state.

use std::io;

use io_uring::{IoUring, cqueue, squeue};

use crate::driver::{LinkError, link::wait_outcome};

/// What an entry and its completion are about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operation {
    /// The multishot receive of the port with this number; completes once for each frame.
    Receive(u8),
    /// The send from the send buffer with this number.
    Send(u16),
    /// The read of the poke's count.
    Poke,
    /// The wait on a doorbell's word with this number.
    Bell(u16),
    /// The cancellation of an [`Operation::Bell`].
    Cancel,
    /// The cancellation of an [`Operation::Receive`].
    CancelReceive,
    /// The timer with this number, which bounds sleeps.
    Alarm(u8),
    /// The receive of news of carriers.
    Carrier,
    /// A wake-up of somebody else. It completes only when nobody can be at its word.
    Wake,
}

/// The kind of an operation stands in the low bits of its user data; the rest is a buffer's number.
const KIND_BITS: u32 = 3;
const RECEIVE: u64 = 0;
const SEND: u64 = 1;
const POKE: u64 = 2;
const BELL: u64 = 3;
const CANCEL: u64 = 4;
const ALARM: u64 = 5;
const CARRIER: u64 = 6;
const WAKE: u64 = 7;

impl Operation {
    /// What the kernel carries from the entry to the completion.
    pub(super) fn user_data(self) -> u64 {
        match self {
            Operation::Receive(port) => RECEIVE | u64::from(port) << KIND_BITS,
            Operation::Send(slot) => SEND | u64::from(slot) << KIND_BITS,
            Operation::Poke => POKE,
            Operation::Bell(number) => BELL | u64::from(number) << KIND_BITS,
            Operation::Cancel => CANCEL,
            Operation::CancelReceive => CANCEL | 1 << KIND_BITS,
            Operation::Alarm(number) => ALARM | u64::from(number) << KIND_BITS,
            Operation::Carrier => CARRIER,
            Operation::Wake => WAKE,
        }
    }

    /// What a completion is about.
    pub(super) fn of(completion: &cqueue::Entry) -> Operation {
        Operation::from_user_data(completion.user_data())
    }

    /// Whether its completion may be news to the thread, or leaves something to be armed again before a sleep.
    pub(super) fn is_awaited(self) -> bool {
        !matches!(
            self,
            Operation::Send(_)
                | Operation::Alarm(_)
                | Operation::Cancel
                | Operation::CancelReceive
                | Operation::Wake
        )
    }

    fn from_user_data(user_data: u64) -> Operation {
        match user_data & ((1 << KIND_BITS) - 1) {
            RECEIVE => Operation::Receive((user_data >> KIND_BITS) as u8),
            SEND => Operation::Send((user_data >> KIND_BITS) as u16),
            POKE => Operation::Poke,
            BELL => Operation::Bell((user_data >> KIND_BITS) as u16),
            ALARM => Operation::Alarm((user_data >> KIND_BITS) as u8),
            CARRIER => Operation::Carrier,
            WAKE => Operation::Wake,
            // The one kind left: every user data was made above.
            _ if user_data >> KIND_BITS == 0 => Operation::Cancel,
            _ => Operation::CancelReceive,
        }
    }
}

/// Queues the entry of an operation, making room in the submission queue if need be. It goes to the kernel
/// with the next wait.
///
/// Inlined, so that an entry is made where it stays: read back from memory it would wait until the payload that was
/// copied before has reached the cache.
///
/// # Errors
/// The ring is broken; the entry was not queued.
///
/// # Safety
/// What the entry points to must stay valid and untouched until its completion was reaped.
#[inline(always)]
pub(super) unsafe fn push(
    ring: &mut IoUring,
    operation: Operation,
    entry: squeue::Entry,
) -> Result<(), LinkError> {
    if ring.submission().is_full() {
        make_room(ring)?;
    }
    let entry = entry.user_data(operation.user_data());
    // SAFETY: the queue copies the entry; for what it points to, the caller's promise holds until the completion, which
    // is as long as the kernel uses it.
    let pushed = unsafe { ring.submission().push(&entry) };
    pushed.map_err(|_| LinkError::Ring(io::ErrorKind::StorageFull.into()))
}

#[cold]
fn make_room(ring: &mut IoUring) -> Result<(), LinkError> {
    while ring.submission().is_full() {
        wait_outcome(ring.submit())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_completion_names_the_operation_that_was_queued() {
        for operation in [
            Operation::Receive(0),
            Operation::Receive(7),
            Operation::Send(0),
            Operation::Send(u16::MAX),
            Operation::Poke,
            Operation::Bell(0),
            Operation::Bell(u16::MAX),
            Operation::Cancel,
            Operation::CancelReceive,
            Operation::Alarm(0),
            Operation::Alarm(3),
            Operation::Carrier,
            Operation::Wake,
        ] {
            assert_eq!(Operation::from_user_data(operation.user_data()), operation);
        }
    }
}
