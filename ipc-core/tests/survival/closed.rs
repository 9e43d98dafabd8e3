//! A program that closes every descriptor it finds, as daemons do: the library's are among them.

use std::{
    os::unix::fs::MetadataExt,
    sync::{Arc, mpsc},
    time::Duration,
};

use ipc_core::{
    AttachOptions, Channel, CompletionQueue, Connection,
    abi::{ChannelFlags, Errno, Nd, Pid, PulseCode},
    readiness::Pollable,
};

use crate::{
    child::{self, Child, say},
    server::{Server, connect, must_echo, numbers_of, until, until_reply_blocked},
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
    let [epoll] = numbers_of("anon_inode:[eventpoll]")[..] else {
        panic!("the monitor has one");
    };
    // SAFETY: takes a number. That it is closed under its owner is what this is about.
    unsafe { libc::close(epoll) };
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

/// Files of the program's own, with nothing in them: they get the numbers that were closed.
fn own_files(dir: &tempfile::TempDir) -> Vec<std::fs::File> {
    let make = |number: usize| {
        let mut options = std::fs::File::options();
        let options = options.read(true).write(true).create_new(true);
        options
            .open(dir.path().join(number.to_string()))
            .expect("the folder is our own")
    };
    (0..64).map(make).collect()
}

#[test]
fn files_that_have_the_numbers_of_closed_descriptors_are_neither_closed_nor_passed_on() {
    let mut program = Child::start("closed::inside_a_program", "");
    let (pid, old) = (program.pid(), program.said_chid());
    // Its channels of before are found again through its new ones.
    must_echo(&connect(pid, old));
    program.tell("go on");
    program.end();
}

#[test]
#[ignore = "run by files_that_have_the_numbers_of_closed_descriptors_are_neither_closed_nor_passed_on"]
fn inside_a_program() {
    let server = Server::start();
    let queue = CompletionQueue::new().expect("it can be made");
    let options = AttachOptions {
        queue: Some(&queue),
        ..AttachOptions::default()
    };
    let pollable =
        || Pollable::new(Channel::create(ChannelFlags::empty()).expect("it can be made"));
    let polled = pollable().expect("it can be made");
    drop(connect(Pid::SELF, server.chid()));
    let dir = tempfile::tempdir().expect("a folder can be made");
    close_everything();
    let files = own_files(&dir);
    let inodes: Vec<u64> = files.iter().map(inode).collect();
    let again = Server::start();
    say(server.chid());
    child::wait_for_parent();
    // The queue's doorbell of before cannot be passed on any more, and another one is.
    let queued = Connection::attach_with(Nd::LOCAL, Pid::SELF, again.chid(), &options);
    let queued = queued.expect("it accepts");
    let loan = queued.loan(2, 2).expect("there is room");
    queued.submit(loan, 7).expect("it is live");
    let completion = queue.next(Some(GIVE_UP)).expect("it is answered");
    assert_eq!((completion.token, completion.result.map(drop)), (7, Ok(())));
    // Its helper pokes whoever has the number.
    polled
        .send_pulse(1, PulseCode(1), 1)
        .expect("there is room");
    assert!(polled.try_receive().expect("it lives").is_some());
    assert!(polled.try_receive().expect("it lives").is_none());
    drop((queued, queue, polled, server));
    let of_now: Vec<u64> = files.iter().map(inode).collect();
    assert_eq!(of_now, inodes, "nobody closed them");
    let lens = files
        .iter()
        .map(|file| file.metadata().expect("it is open").len());
    assert_eq!(lens.sum::<u64>(), 0, "nobody wrote to them");
}

fn inode(file: &std::fs::File) -> u64 {
    file.metadata().expect("nobody closed it").ino()
}
