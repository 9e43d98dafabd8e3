//! Children forked while other threads of their parent are inside the library, with its locks in their hands: they
//! are refused what is their parent's and can use the library anew, and neither waits for anybody.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    thread,
};

use ipc_core::{
    Channel, Connection,
    abi::{ChannelFlags, Chid, Errno, Nd, Pid, Scoid},
};
use nix::{
    sys::wait::{WaitStatus, waitpid},
    unistd::{ForkResult, alarm, fork},
};

use crate::{
    child,
    server::{Server, connect, must_echo},
};

/// Children, one after the other. Each has its own chance to be forked while a lock is held.
const CHILDREN: u32 = 150;

/// A child that hangs ends by this signal, and the test fails.
const GIVE_UP_S: u32 = 60;

// covers: DTH-1
#[test]
fn a_child_forked_while_other_threads_hold_the_librarys_locks_waits_for_none() {
    child::run_alone("locks::inside_a_busy_parent");
}

#[test]
#[ignore = "run by a_child_forked_while_other_threads_hold_the_librarys_locks_waits_for_none"]
fn inside_a_busy_parent() {
    let server = Server::start();
    let connection = connect(Pid::SELF, server.chid());
    must_echo(&connection);
    let stop = AtomicBool::new(false);
    let again = |act: &dyn Fn()| {
        while !stop.load(Ordering::Relaxed) {
            act();
        }
    };
    thread::scope(|scope| {
        let (server, connection) = (&server, &connection);
        // The locks of the process, of the channel and of the connection.
        scope.spawn(move || again(&|| drop(Channel::create(ChannelFlags::empty()))));
        scope.spawn(move || again(&|| drop(connect(Pid::SELF, server.chid()))));
        scope.spawn(move || {
            again(&|| {
                let _ = server.channel.stats();
            })
        });
        scope.spawn(move || again(&|| must_echo(connection)));
        scope.spawn(move || again(&|| ipc_core::set_runtime_dir(ipc_core::runtime_dir())));
        let mut failed = None;
        for _ in 0..CHILDREN {
            let parent = Pid::current();
            // SAFETY: the child runs code of this test only, and the C library's allocator works in it.
            match unsafe { fork() }.expect("a child can be made") {
                ForkResult::Child => {
                    alarm::set(GIVE_UP_S);
                    let fine = is_refused_the_parents(&server.channel, connection)
                        && can_use_the_library(parent, server.chid());
                    // SAFETY: ends the process without running anything of its parent's.
                    unsafe { libc::_exit(i32::from(!fine)) }
                }
                ForkResult::Parent { child } => {
                    let ended = waitpid(child, None);
                    if ended != Ok(WaitStatus::Exited(child, 0)) {
                        failed = Some(ended);
                        break;
                    }
                }
            }
        }
        stop.store(true, Ordering::Relaxed);
        assert_eq!(
            failed, None,
            "a child hung, or was not refused or not served"
        );
    });
}

/// Child: whatever is asked of the parent's channel and connection has an answer, and it is no.
fn is_refused_the_parents(channel: &Channel, connection: &Connection) -> bool {
    let nobody = Scoid(1);
    channel.cut_connection(1);
    channel.routed_taken(1, 1);
    channel.try_receive().map(drop) == Err(Errno::ESRCH)
        && channel.client_info(nobody).map(drop) == Err(Errno::ESRCH)
        && channel.detach_client(nobody) == Err(Errno::ESRCH)
        && channel.stats() == Default::default()
        && connection.send(b"hello", &mut []).map(drop) == Err(Errno::EBADF)
        && connection.loan(1, 1).map(drop) == Err(Errno::EBADF)
        && !connection.is_alive()
}

/// Child: a channel of its own, and a connection of its own to the parent's.
fn can_use_the_library(parent: Pid, chid: Chid) -> bool {
    let Ok(own) = Channel::create(ChannelFlags::empty()) else {
        return false;
    };
    // The parent's channels stay the parent's: the first is the child's own.
    let mut reply = [0; 5];
    own.chid() == Chid(1)
        && Connection::attach(Nd::LOCAL, parent, chid)
            .and_then(|connection| connection.send(b"hello", &mut reply))
            .is_ok()
        && &reply == b"hello"
}
