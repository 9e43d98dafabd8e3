//! Sequences of operations on one channel, against an oracle that is too simple to be wrong.
//!
//! One thread plays the server and most clients, one step after the other, so that every step has one right
//! outcome: clients submit messages and collect completions, or have a thread each that sends and waits; the
//! server takes what is there, or has threads that wait in a receive; another process submits and is killed.
//! What others do in their own time (sending, detaching, unblocking, dying) is waited for before the next
//! step. The numbers of connections reach both ways in which a receiver finds what was posted: looking at
//! each connection, and the ready set.

mod operation;
mod oracle;
mod other;
mod subject;
mod threads;

use ipc_core::abi::ChannelFlags;
use proptest::{collection::vec, prelude::*, test_runner::Config};

use operation::Operation;
use subject::Subject;

fn run(flags: ChannelFlags, connections: usize, operations: &[Operation]) {
    let mut subject = Subject::new(flags, connections);
    for operation in operations {
        subject.step(operation);
    }
    subject.finish();
}

proptest! {
    #![proptest_config(Config { cases: 150, failure_persistence: None, ..Config::default() })]

    // covers: RCV-1, RPL-1, RPL-4, PLS-2, CHN-2, DTH-2
    #[test]
    fn one_connection_behaves_as_the_oracle(operations in vec(operation::any_step(), 1..120)) {
        run(ChannelFlags::empty(), 1, &operations);
    }

    #[test]
    fn a_few_connections_behave_as_the_oracle(operations in vec(operation::any_step(), 1..120)) {
        run(ChannelFlags::empty(), 4, &operations);
    }

    #[test]
    fn connections_around_the_change_of_modes_behave_as_the_oracle(
        operations in vec(operation::any_step(), 1..120),
        connections in 7_usize..12,
    ) {
        run(ChannelFlags::empty(), connections, &operations);
    }

    // covers: CHN-2, TMO-3
    #[test]
    fn a_channel_with_unblock_behaves_as_the_oracle(
        operations in vec(operation::any_step(), 1..120),
        connections in 1_usize..12,
    ) {
        run(ChannelFlags::UNBLOCK, connections, &operations);
    }

    // covers: CHN-1, CHN-3, RCV-2, RCV-4, RPL-3, TMO-1
    #[test]
    fn channels_that_are_destroyed_behave_as_the_oracle(
        operations in vec(operation::with_destruction(), 1..120),
        connections in 1_usize..4,
        unblock in any::<bool>(),
    ) {
        let mut flags = ChannelFlags::DISCONNECT;
        flags.set(ChannelFlags::UNBLOCK, unblock);
        run(flags, connections, &operations);
    }
}

proptest! {
    #![proptest_config(Config { cases: 12, failure_persistence: None, ..Config::default() })]

    // covers: DTH-1, DTH-2, CHN-3
    #[test]
    fn another_process_behaves_as_the_oracle(
        operations in vec(operation::with_another_process(), 1..120),
        connections in 1_usize..10,
        unblock in any::<bool>(),
    ) {
        let mut flags = ChannelFlags::DISCONNECT;
        flags.set(ChannelFlags::UNBLOCK, unblock);
        run(flags, connections, &operations);
    }
}
