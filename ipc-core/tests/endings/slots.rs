//! Slots whose senders no longer wait, and those who wait for them.

use std::{fs, thread, time::Duration};

use ipc_core::{
    AttachOptions, Channel, Connection, Received,
    abi::{ChannelFlags, Errno, Nd, Pid},
};
use nix::sys::signal::{Signal, kill};

use crate::{
    child::{self, Child, say},
    support::{GIVE_UP, until},
};

// covers: SND-3, TMO-1
#[test]
fn who_waits_for_a_slot_gets_one_that_another_gave_up_once_the_server_answers() {
    let mut server = Child::start("slots::a_server", "");
    let options = AttachOptions {
        slots: 1,
        ..AttachOptions::default()
    };
    let (pid, chid) = (server.pid(), server.said_chid());
    let attached = Connection::attach_with(Nd::LOCAL, pid, chid, &options);
    let connection = attached.expect("it accepts");
    let unix = nix::unistd::Pid::from_raw(pid.0);
    kill(unix, Signal::SIGSTOP).expect("it lives");
    until("the server stands still", || is_stopped(pid));
    thread::scope(|scope| {
        let (send, sent) = std::sync::mpsc::channel();
        let first =
            scope.spawn(|| connection.send_timeout(b"first", &mut [], Duration::from_millis(100)));
        // It has the slot by then, or it is the one that waits: the test holds for either.
        thread::sleep(Duration::from_millis(20));
        let connection = &connection;
        scope.spawn(move || send.send(connection.send(b"second", &mut [])));
        assert_eq!(first.join().expect("no panic"), Err(Errno::ETIMEDOUT));
        kill(unix, Signal::SIGCONT).expect("it lives");
        let answer = sent.recv_timeout(GIVE_UP);
        // Whoever waits in vain would keep the test from ending.
        connection.detach();
        let answer = answer.expect("the second gets its turn");
        assert_eq!(answer.map(|reply| reply.status), Ok(6));
    });
}

/// Whether all threads of a process stand still: it is told so a moment before they do.
fn is_stopped(pid: Pid) -> bool {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).expect("it lives");
    let mut states = threads
        .flatten()
        .map(|thread| fs::read_to_string(thread.path().join("stat")));
    states.all(|stat| stat.is_ok_and(|stat| stat.contains(") T ")))
}

#[test]
#[ignore = "run by who_waits_for_a_slot_gets_one_that_another_gave_up_once_the_server_answers"]
fn a_server() {
    let channel = Channel::create(ChannelFlags::empty()).expect("a channel can be made");
    say(channel.chid());
    thread::spawn(move || {
        while let Ok(received) = channel.receive() {
            if let Received::Message(message) = received {
                // A client that gave up is no longer blocked.
                let len = message.len() as i64;
                let _ = message.reply(len, b"");
            }
        }
    });
    child::wait_for_parent();
}
