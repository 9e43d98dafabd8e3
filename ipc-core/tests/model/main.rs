//! Sequences of operations on one channel, against an oracle that is too simple to be wrong.
//!
//! One thread plays all clients and the server, so that every step has one right outcome: clients submit
//! messages and collect completions instead of blocking. What the monitor thread does in its own time
//! (detaching, unblocking) is waited for before the next step. The numbers of connections reach both ways
//! in which a receiver finds what was posted: looking at each connection, and the ready set.

mod operation;
mod oracle;
mod subject;

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
    fn one_connection_behaves_as_the_oracle(operations in vec(operation::any(), 1..120)) {
        run(ChannelFlags::empty(), 1, &operations);
    }

    #[test]
    fn a_few_connections_behave_as_the_oracle(operations in vec(operation::any(), 1..120)) {
        run(ChannelFlags::empty(), 4, &operations);
    }

    #[test]
    fn connections_around_the_change_of_modes_behave_as_the_oracle(
        operations in vec(operation::any(), 1..120),
        connections in 7_usize..12,
    ) {
        run(ChannelFlags::empty(), connections, &operations);
    }

    // covers: CHN-2, TMO-3
    #[test]
    fn a_channel_with_unblock_behaves_as_the_oracle(
        operations in vec(operation::any(), 1..120),
        connections in 1_usize..12,
    ) {
        run(ChannelFlags::UNBLOCK, connections, &operations);
    }
}
