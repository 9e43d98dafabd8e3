//! A user who may start no more threads: the library's own cannot start.

use ipc_core::{
    Channel, CompletionQueue, Connection,
    abi::{ChannelFlags, Chid, Errno, Nd},
    readiness::Pollable,
};
use nix::sys::resource::{Resource, getrlimit, setrlimit};

use crate::{
    child::{self, Child, argument, parent, say},
    server::{Server, must_echo, until},
};

#[test]
fn a_process_that_may_start_no_thread_gets_eagain_and_can_go_on_later() {
    let server = Server::start();
    // The kernel does not hold root to this limit.
    let test = "processes::inside_a_process_without_threads";
    let Some(mut child) = Child::start_as_nobody(test, server.chid().0) else {
        return;
    };
    assert_eq!(child.said(), "refused");
    // What the attach had built up until then is gone on this side, too.
    until(|| connections(&server) == 0);
    child.tell("lift");
    assert_eq!(child.said(), "served");
    child.end();
}

fn connections(server: &Server) -> usize {
    let said = ipc_core::snapshot(ipc_core::abi::Pid::current()).expect("it is our own");
    let mut channels = said.channels.iter();
    let ours = channels.find(|said| said.chid == server.chid());
    ours.expect("it lives").connections
}

#[test]
#[ignore = "run by a_process_that_may_start_no_thread_gets_eagain_and_can_go_on_later"]
fn inside_a_process_without_threads() {
    let server = Chid(argument().parse().expect("a number"));
    let (soft, hard) = getrlimit(Resource::RLIMIT_NPROC).expect("it can be read");
    setrlimit(Resource::RLIMIT_NPROC, 1, hard).expect("it is below the hard one");
    let queue = CompletionQueue::new().expect("it has no thread of its own");
    for _ in 0..3 {
        let pollable = Pollable::new(queue.clone());
        assert_eq!(pollable.map(drop), Err(Errno::EAGAIN));
        let channel = Channel::create(ChannelFlags::empty());
        assert_eq!(channel.map(drop), Err(Errno::EAGAIN));
        let connection = Connection::attach(Nd::LOCAL, parent(), server);
        assert_eq!(connection.map(drop), Err(Errno::EAGAIN));
    }
    say("refused");
    child::wait_for_parent();
    setrlimit(Resource::RLIMIT_NPROC, soft, hard).expect("it was so before");
    drop(Pollable::new(queue).expect("it may again"));
    drop(Channel::create(ChannelFlags::empty()).expect("it may again"));
    must_echo(&Connection::attach(Nd::LOCAL, parent(), server).expect("it may again"));
    say("served");
    child::wait_for_parent();
}
