//! Servers that are killed while they listen, accept, receive, reply and close.

use std::{sync::mpsc, thread};

use ipc_core::{
    Channel, Connection, Received,
    abi::{ChannelFlags, Chid, Errno, Nd, Pid, PulseCode},
};

use crate::{
    child::{self, Child, say},
    kills,
    leftovers::{Holdings, names_of_the_dead},
    nursery::{fork_and_kill, monotonic_ns, say_whole},
    times::Times,
};

/// The first channel of a process.
const FIRST: Chid = Chid(1);

// covers: DTH-1, DTH-2, SND-5
#[test]
fn servers_killed_at_random_moments_are_esrch_and_leave_nothing() {
    let mut alone = Child::start("servers::inside_a_client", "");
    println!("{}", alone.said());
    alone.end();
}

#[test]
#[ignore = "run by servers_killed_at_random_moments_are_esrch_and_leave_nothing in a process of its own"]
fn inside_a_client() {
    // Processes of others die at any moment, too: here there are only ours.
    let dir = tempfile::tempdir().expect("there is room");
    // SAFETY: nothing else in this process reads or writes the environment yet: its only test has just begun.
    unsafe { std::env::set_var("QNET_RUNTIME_DIR", dir.path()) };
    // The monitor thread stays, and so does the place where this process is found.
    drop(Channel::create(ChannelFlags::empty()).expect("a channel can be made"));
    let mut nursery = Child::start("servers::inside_a_nursery", "");
    let before = Holdings::now();
    let mut times = Times::default();
    let mut killed = 0;
    loop {
        let line = nursery.said();
        let words: Vec<&str> = line.split(' ').collect();
        match words[..] {
            ["done"] => break,
            // Killed before it served.
            ["killed", ..] => {}
            ["serving", pid] => {
                let noticed_ns = use_until_it_dies(Pid(pid.parse().expect("a pid")));
                let line = nursery.said();
                let at_ns = line.rsplit(' ').next().and_then(|time| time.parse().ok());
                assert!(line.starts_with("killed "), "a server said: {line}");
                times.add(at_ns.expect("a time"), noticed_ns);
            }
            _ => panic!("a server said: {line}"),
        }
        killed += 1;
        if killed % 500 == 0 {
            before.must_come_back();
        }
        nursery.tell("go on");
    }
    assert_eq!(killed, kills());
    nursery.end();
    before.must_come_back();
    say(times.tell("killed servers, by ESRCH or EBADF"));
    // Every server cleaned up after those before it, and this one after the last.
    let mut next = Child::start("servers::inside_a_survivor", "");
    let chid = next.said_chid();
    Connection::attach(Nd::LOCAL, next.pid(), chid).expect("it is found");
    assert_eq!(names_of_the_dead(), [""; 0]);
    next.end();
    dir.close().expect("nobody puts anything there any more");
}

/// Attaches and sends, from several threads and with pulses, until each of them has noticed the server's death.
/// Answers when the last did.
fn use_until_it_dies(server: Pid) -> u64 {
    let connection = match Connection::attach(Nd::LOCAL, server, FIRST) {
        Ok(connection) => connection,
        Err(error) => {
            let noticed_ns = monotonic_ns();
            assert_eq!(error, Errno::ESRCH);
            return noticed_ns;
        }
    };
    let (tell, told) = mpsc::channel();
    thread::scope(|scope| {
        for len in [0, 70, 5000] {
            let (connection, tell) = (&connection, tell.clone());
            scope.spawn(move || {
                let (message, mut reply) = (vec![7; len], vec![0; len]);
                let error = loop {
                    match connection.send(&message, &mut reply) {
                        Ok(answer) => assert_eq!(answer.status, len as i64),
                        Err(error) => break error,
                    }
                    let _ = connection.send_pulse(None, PulseCode(5), 0);
                };
                tell.send(monotonic_ns()).expect("it is waited for");
                // A message that was posted is lost with the server; one that was not finds no connection.
                assert!([Errno::ESRCH, Errno::EBADF].contains(&error), "{error:?}");
            });
        }
        drop(tell);
        told.iter().max().expect("every thread tells")
    })
}

#[test]
#[ignore = "run by inside_a_client"]
fn inside_a_nursery() {
    fork_and_kill(kills(), 0x5e44e4, true, listen_and_serve);
}

/// Does all that a server does, until it is killed.
fn listen_and_serve() {
    let channel = Channel::create(ChannelFlags::empty()).expect("a channel can be made");
    assert_eq!(channel.chid(), FIRST);
    say_whole(&format!("serving {}", std::process::id()));
    loop {
        if let Received::Message(message) = channel.receive().expect("the channel lives") {
            let bytes = message.read_vec(0, message.len()).expect("it waits");
            message.write(0, &bytes).expect("it waits");
            message.reply(bytes.len() as i64, &bytes).expect("it waits");
        }
    }
}

#[test]
#[ignore = "run by inside_a_client"]
fn inside_a_survivor() {
    let channel = Channel::create(ChannelFlags::empty()).expect("a channel can be made");
    say(channel.chid());
    child::wait_for_parent();
}
