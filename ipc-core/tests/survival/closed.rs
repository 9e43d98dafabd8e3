//! A program that closes every descriptor it finds, as daemons do: the library's are among them.

use ipc_core::{
    AttachOptions, Channel, CompletionQueue, Connection,
    abi::{ChannelFlags, Errno, Nd, Pid},
};

use crate::{
    child::{self, Child, say},
    server::{Server, connect, must_echo, until_reply_blocked},
};

/// Closes all descriptors but the standard ones.
fn close_everything() {
    // SAFETY: takes numbers. That descriptors are closed under their owners is what these tests are about.
    let closed = unsafe { libc::close_range(3, libc::c_uint::MAX, 0) };
    assert_eq!(closed, 0);
}

#[test]
fn a_server_that_closes_everything_is_gone_and_can_come_back() {
    let mut server = Child::start("closed::inside_a_server", "");
    let (pid, chid) = (server.pid(), server.said_chid());
    let connection = connect(pid, chid);
    must_echo(&connection);
    std::thread::scope(|scope| {
        let blocked = scope.spawn(|| connection.send(b"x", &mut []));
        until_reply_blocked(pid, 1);
        server.tell("close");
        assert_eq!(blocked.join().expect("no panic"), Err(Errno::ESRCH));
    });
    let chid = server.said_chid();
    must_echo(&connect(pid, chid));
    server.end();
}

#[test]
#[ignore = "run by a_server_that_closes_everything_is_gone_and_can_come_back"]
fn inside_a_server() {
    let server = Server::start();
    say(server.chid());
    child::wait_for_parent();
    close_everything();
    // A number of ours is somebody else's now, and must stay that.
    let theirs = std::fs::File::open("/dev/null").expect("it exists");
    let again = Server::start();
    assert_ne!(again.chid(), server.chid());
    say(again.chid());
    child::wait_for_parent();
    theirs.metadata().expect("nobody closed it");
}

#[test]
fn a_client_that_closes_everything_gets_errors_and_can_attach_again() {
    let server = Server::start();
    let mut client = Child::start("closed::inside_a_client", server.chid());
    assert_eq!(client.said(), "sending");
    until_reply_blocked(Pid::current(), 2);
    client.tell("close");
    client.end();
}

#[test]
#[ignore = "run by a_client_that_closes_everything_gets_errors_and_can_attach_again"]
fn inside_a_client() {
    let chid = ipc_core::abi::Chid(child::argument().parse().expect("a number"));
    let connection = connect(child::parent(), chid);
    let queue = CompletionQueue::new().expect("it can be made");
    let options = AttachOptions {
        queue: Some(&queue),
        ..AttachOptions::default()
    };
    let queued = Connection::attach_with(Nd::LOCAL, child::parent(), chid, &options);
    let queued = queued.expect("it accepts");
    std::thread::scope(|scope| {
        let blocked = scope.spawn(|| connection.send(b"x", &mut []));
        let loan = queued.loan(1, 0).expect("there is room");
        queued.submit(loan, 7).expect("it is live");
        say("sending");
        child::wait_for_parent();
        close_everything();
        let theirs = std::fs::File::open("/dev/null").expect("it exists");
        assert_eq!(blocked.join().expect("no panic"), Err(Errno::ESRCH));
        let completion = queue.next(None).expect("it ends");
        assert_eq!(completion.result.map(drop), Err(Errno::ESRCH));
        assert_eq!(connection.send(b"y", &mut []), Err(Errno::EBADF));
        theirs.metadata().expect("nobody closed it");
    });
    must_echo(&connect(child::parent(), chid));
    drop(Channel::create(ChannelFlags::empty()).expect("it can be made"));
}
