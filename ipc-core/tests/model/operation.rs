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
    /// A thread sends a message and waits for the answer.
    Send {
        connection: usize,
        priority: u8,
        len: usize,
        room: usize,
        form: Form,
    },
    /// A client sends with a timeout that ends before anybody receives.
    SendInVain {
        connection: usize,
        len: usize,
        covers_reply: bool,
    },
    /// A client sends a pulse.
    Pulse { connection: usize, priority: u8 },
    /// The server sends a pulse to itself.
    OwnPulse { priority: u8 },
    /// The server takes what is first.
    Receive,
    /// The server takes the first pulse.
    ReceivePulse,
    /// A thread of the server waits for what comes next, or for the next pulse.
    Wait { pulses_only: bool },
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
    /// The server has the message sent again.
    Restart { message: usize },
    /// A connection is detached and another attached in its place.
    Reattach { connection: usize },
    /// The channel is destroyed, and everybody attaches to another.
    Destroy,
    /// A client of another process submits a message.
    OtherSubmits {
        priority: u8,
        len: usize,
        room: usize,
    },
    /// A client of another process sends a pulse.
    OtherPulses { priority: u8 },
    /// The other process is killed.
    KillOther,
}

/// How a thread sends and waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    Plain,
    Vectored,
    Loaned,
    /// Gives up as soon as its message is received.
    Impatient,
}

/// Lengths around the places where a message or reply moves from a line to the arena.
fn length() -> impl Strategy<Value = usize> {
    prop_oneof![0_usize..8, 76_usize..100, 500_usize..600]
}

fn priority() -> impl Strategy<Value = u8> {
    prop_oneof![Just(10_u8), Just(10), 0_u8..=255]
}

/// Any operation of one process; receiving and replying as often as submitting, so that queues stay short.
pub(crate) fn any_step() -> impl Strategy<Value = Operation> {
    prop_oneof![
        10 => client(),
        10 => receiver(),
        10 => holder(),
        1 => any_number().prop_map(|connection| Operation::Reattach { connection }),
    ]
}

/// Any operation, those that end a channel among them.
pub(crate) fn with_destruction() -> impl Strategy<Value = Operation> {
    prop_oneof![30 => any_step(), 1 => Just(Operation::Destroy)]
}

/// Any operation, and those of a client in a process of its own.
pub(crate) fn with_another_process() -> impl Strategy<Value = Operation> {
    prop_oneof![
        12 => any_step(),
        3 => (priority(), length(), length())
            .prop_map(|(priority, len, room)| Operation::OtherSubmits { priority, len, room }),
        1 => priority().prop_map(|priority| Operation::OtherPulses { priority }),
        1 => Just(Operation::KillOther),
    ]
}

/// What clients do.
fn client() -> impl Strategy<Value = Operation> {
    let n = any_number;
    let form = prop_oneof![
        Just(Form::Plain),
        Just(Form::Vectored),
        Just(Form::Loaned),
        Just(Form::Impatient),
    ];
    prop_oneof![
        6 => (n(), priority(), length(), length()).prop_map(|(connection, priority, len, room)| {
            Operation::Submit { connection, priority, len, room }
        }),
        3 => (n(), priority(), length(), length(), form).prop_map(
            |(connection, priority, len, room, form)| {
                Operation::Send { connection, priority, len, room, form }
            }
        ),
        1 => (n(), length(), any::<bool>()).prop_map(|(connection, len, covers_reply)| {
            Operation::SendInVain { connection, len, covers_reply }
        }),
        2 => (n(), priority()).prop_map(|(connection, priority)| {
            Operation::Pulse { connection, priority }
        }),
        1 => n().prop_map(|message| Operation::Unblock { message }),
    ]
}

/// What receives.
fn receiver() -> impl Strategy<Value = Operation> {
    prop_oneof![
        8 => Just(Operation::Receive),
        1 => Just(Operation::ReceivePulse),
        2 => prop_oneof![3 => Just(false), 1 => Just(true)]
            .prop_map(|pulses_only| Operation::Wait { pulses_only }),
        1 => priority().prop_map(|priority| Operation::OwnPulse { priority }),
    ]
}

/// What is done with messages that were received.
fn holder() -> impl Strategy<Value = Operation> {
    let n = any_number;
    prop_oneof![
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
        1 => n().prop_map(|message| Operation::Restart { message }),
        1 => n().prop_map(|message| Operation::Drop { message }),
        1 => n().prop_map(|which| Operation::StaleReply { which }),
    ]
}

fn any_number() -> impl Strategy<Value = usize> {
    0_usize..1000
}
