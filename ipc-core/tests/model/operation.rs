//! What can happen to a channel.

use proptest::prelude::*;

/// One step. Choices among what there is are numbers, taken modulo how many there are.
#[derive(Clone, Debug)]
pub(crate) enum Operation {
    /// A client submits a message of `len` bytes with room for `room` bytes of reply.
    Submit {
        connection: usize,
        priority: u8,
        len: usize,
        room: usize,
    },
    /// A client sends a pulse.
    Pulse { connection: usize, priority: u8 },
    /// The server sends a pulse to itself.
    OwnPulse { priority: u8 },
    /// The server takes what is first.
    Receive,
    /// The server reads from a message it received.
    Read {
        message: usize,
        offset: usize,
        len: usize,
    },
    /// The server writes to the reply buffer of a message it received.
    Write {
        message: usize,
        offset: usize,
        len: usize,
    },
    /// The server replies.
    Reply {
        message: usize,
        status: i64,
        len: usize,
    },
    /// The server fails the send.
    Error { message: usize, errno: i32 },
    /// The server drops the message.
    Drop { message: usize },
    /// The server replies to a receive id that is no longer good.
    StaleReply { which: usize },
    /// A client wants out of a message that it submitted.
    Unblock { message: usize },
    /// A connection is detached and another attached in its place.
    Reattach { connection: usize },
}

/// Lengths around the places where a message or reply moves from a line to the arena.
fn length() -> impl Strategy<Value = usize> {
    prop_oneof![0_usize..8, 76_usize..100, 500_usize..600]
}

fn priority() -> impl Strategy<Value = u8> {
    prop_oneof![Just(10_u8), Just(10), 0_u8..=255]
}

/// Any operation; receiving and replying as often as submitting, so that queues stay short.
pub(crate) fn any() -> impl Strategy<Value = Operation> {
    let n = any_number;
    prop_oneof![
        6 => (n(), priority(), length(), length()).prop_map(|(connection, priority, len, room)| {
            Operation::Submit { connection, priority, len, room }
        }),
        2 => (n(), priority()).prop_map(|(connection, priority)| {
            Operation::Pulse { connection, priority }
        }),
        1 => priority().prop_map(|priority| Operation::OwnPulse { priority }),
        7 => Just(Operation::Receive),
        2 => (n(), length(), length()).prop_map(|(message, offset, len)| {
            Operation::Read { message, offset, len }
        }),
        3 => (n(), length(), length()).prop_map(|(message, offset, len)| {
            Operation::Write { message, offset, len }
        }),
        3 => (n(), 0..i64::MAX, length()).prop_map(|(message, status, len)| {
            Operation::Reply { message, status, len }
        }),
        1 => (n(), 0_i32..200).prop_map(|(message, errno)| Operation::Error { message, errno }),
        1 => n().prop_map(|message| Operation::Drop { message }),
        1 => n().prop_map(|which| Operation::StaleReply { which }),
        1 => n().prop_map(|message| Operation::Unblock { message }),
        1 => n().prop_map(|connection| Operation::Reattach { connection }),
    ]
}

fn any_number() -> impl Strategy<Value = usize> {
    0_usize..1000
}
