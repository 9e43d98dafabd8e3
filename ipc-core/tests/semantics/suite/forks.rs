//! What a forked child inherits: nothing that it could use, and nothing that it could break.

use ipc_core::{Channel, Connection, abi::Errno};
use nix::{
    sys::wait::{WaitStatus, waitpid},
    unistd::{ForkResult, fork},
};

use crate::suite::{
    echo::{Server, channel, connect, message},
    place,
};

// covers: DTH-1
#[test]
fn a_forked_child_can_neither_use_nor_break_its_parents_channels_and_connections() {
    place::run_alone("forks::inside_a_parent");
}

#[test]
#[ignore = "run by a_forked_child_can_neither_use_nor_break_its_parents_channels_and_connections"]
fn inside_a_parent() {
    let (channel, server) = (channel(), Server::echo());
    let (connection, to_own) = (connect(server.chid), connect(channel.chid()));
    std::thread::scope(|scope| {
        let sender = scope.spawn(|| to_own.send(b"x", &mut []));
        let received = message(&channel);
        // SAFETY: the child runs code of this test only, and the C library's allocator works in it.
        match unsafe { fork() }.expect("a child can be made") {
            ForkResult::Child => {
                let fine = is_of_no_use(channel, &connection) && received.reply(0, b"").is_err();
                // SAFETY: ends the process without running anything of its parent's.
                unsafe { libc::_exit(i32::from(!fine)) }
            }
            ForkResult::Parent { child } => {
                assert_eq!(waitpid(child, None), Ok(WaitStatus::Exited(child, 0)));
            }
        }
        received.reply(3, b"").expect("the client still waits");
        let answer = sender.join().expect("no panic");
        assert_eq!(answer.map(|reply| reply.status), Ok(3));
    });
    let mut reply = [0; 4];
    connection.send(b"here", &mut reply).expect("still served");
    assert_eq!(&reply, b"here");
}

fn is_of_no_use(channel: Channel, connection: &Connection) -> bool {
    let received = channel.try_receive().map(drop);
    let sent = connection.send(b"x", &mut []).map(drop);
    drop(channel);
    (received, sent) == (Err(Errno::ESRCH), Err(Errno::EBADF))
}
