//! A program that closes every descriptor it finds, as daemons do: the library's are among them.

use std::{
    sync::{Arc, mpsc},
    time::Duration,
};

use ipc_core::{
    AttachOptions, Channel, CompletionQueue, Connection,
    abi::{ChannelFlags, Errno, Nd, Pid},
};

use crate::{
    child::{self, Child, say},
    server::{Server, connect, must_echo, until, until_reply_blocked},
};

/// A test that would hang fails after this long.
const GIVE_UP: Duration = Duration::from_secs(60);

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

/// Closes the descriptors that are `what` in the words of the kernel; answers how many there were.
fn close_all(what: &str) -> usize {
    let open = std::fs::read_dir("/proc/self/fd").expect("it is mounted");
    let is_one = |path: &std::path::PathBuf| {
        let leads_to = std::fs::read_link(path).unwrap_or_default();
        leads_to.as_os_str() == what
    };
    let paths = open.flatten().map(|entry| entry.path());
    let numbers = paths.filter(is_one).map(|path| {
        let name = path.file_name().and_then(|name| name.to_str());
        name.and_then(|name| name.parse().ok()).expect("a number")
    });
    let numbers: Vec<libc::c_int> = numbers.collect();
    for number in &numbers {
        // SAFETY: takes a number. That it is closed under its owner is what this is about.
        unsafe { libc::close(*number) };
    }
    numbers.len()
}

#[test]
fn a_process_that_closes_only_the_epoll_still_learns_of_every_end() {
    child::run_alone("closed::without_epoll");
}

#[test]
#[ignore = "run by a_process_that_closes_only_the_epoll_still_learns_of_every_end"]
fn without_epoll() {
    let mut peer = Child::start("closed::inside_a_peer", "");
    let chid = peer.said_chid();
    let own = Server::start();
    let old = Arc::new(connect(peer.pid(), chid));
    peer.tell(&own.chid().to_string());
    assert_eq!(peer.said(), "attached");
    let (tell, ends) = mpsc::channel();
    let block = |connection: Arc<Connection>| {
        let tell = tell.clone();
        std::thread::spawn(move || tell.send(connection.send(b"x", &mut [])));
    };
    block(old);
    until_reply_blocked(peer.pid(), 1);
    assert_eq!(close_all("anon_inode:[eventpoll]"), 1);
    // The old connection is looked after by whoever looks after the new ones.
    block(Arc::new(connect(peer.pid(), chid)));
    until_reply_blocked(peer.pid(), 2);
    must_echo(&connect(Pid::SELF, own.chid()));
    peer.kill();
    for _ in 0..2 {
        let end = ends.recv_timeout(GIVE_UP);
        assert_eq!(end.expect("it is not forgotten"), Err(Errno::ESRCH));
    }
    // Its client has gone, too.
    until(|| {
        let said = ipc_core::snapshot(Pid::current()).expect("it is our own");
        said.channels.iter().all(|channel| channel.connections == 0)
    });
}

#[test]
#[ignore = "run by without_epoll"]
fn inside_a_peer() {
    let server = Server::start();
    say(server.chid());
    let mut line = String::new();
    std::io::stdin()
        .read_line(&mut line)
        .expect("the parent's pipe can be read");
    let chid = ipc_core::abi::Chid(line.trim().parse().expect("a number"));
    let _connection = connect(child::parent(), chid);
    say("attached");
    child::wait_for_parent();
}
