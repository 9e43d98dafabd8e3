//! DTH: processes that are killed at any moment.

use std::{fs, thread, time::Duration};

use ipc_core::{
    Channel, Received,
    abi::{ChannelFlags, Chid, Errno, PulseCode},
};
use nix::{
    sys::{
        signal::{Signal, kill},
        wait::{WaitPidFlag, waitpid},
    },
    unistd::Pid as UnixPid,
};

use crate::suite::{
    blocked::{on, on_channel_of, until, until_send_blocked},
    child::{self, say},
    echo::{channel, connect, message, pulse},
    place,
};

// covers: DTH-2, SND-5
#[test]
fn a_server_that_is_killed_is_esrch_to_all_who_are_blocked_on_it() {
    let mut server = place::start("death::inside_a_server_that_never_replies", "");
    let (pid, chid) = (server.pid(), server.said_chid());
    let connection = place::attach(pid, chid).expect("it lives");
    thread::scope(|scope| {
        let clients: Vec<_> = (0..3)
            .map(|_| scope.spawn(|| connection.send(b"x", &mut [])))
            .collect();
        assert_eq!(server.said(), "received");
        // The other two are SEND-blocked.
        until(|| on_channel_of(pid, chid).send_blocked == 2);
        server.kill();
        for client in clients {
            assert_eq!(client.join().expect("no panic"), Err(Errno::ESRCH));
        }
    });
    assert_eq!(connection.send(b"x", &mut []), Err(Errno::EBADF));
    assert_eq!(place::refused(pid, chid), Errno::ESRCH);
}

#[test]
#[ignore = "run by a_server_that_is_killed_is_esrch_to_all_who_are_blocked_on_it"]
fn inside_a_server_that_never_replies() {
    let channel = channel();
    say(channel.chid());
    let _kept = message(&channel).into_rcvid();
    say("received");
    child::wait_for_parent();
}

// covers: CHN-6, DTH-1
#[test]
fn attaching_to_a_server_that_dies_before_it_answers_is_esrch() {
    let mut server = place::start("death::inside_a_server_that_never_replies", "");
    let (pid, chid) = (server.pid(), server.said_chid());
    let stopped = UnixPid::from_raw(pid.0);
    kill(stopped, Signal::SIGSTOP).expect("it lives");
    // Until all its threads have: on a busy machine that takes a moment.
    waitpid(stopped, Some(WaitPidFlag::WUNTRACED)).expect("it is our child");
    thread::scope(|scope| {
        let client = scope.spawn(|| place::refused(pid, chid));
        // Long enough to stand in the queue of its socket; if not, the errno is the same.
        thread::sleep(Duration::from_millis(50));
        server.kill();
        assert_eq!(client.join().expect("no panic"), Errno::ESRCH);
    });
}

// covers: DTH-1, DTH-2, CHN-3
#[test]
fn a_client_that_is_killed_reply_blocked_leaves_a_dead_receive_id() {
    let channel = place::create(ChannelFlags::DISCONNECT);
    let mut client = place::start("death::inside_a_client", channel.chid());
    let received = message(&channel);
    let (id, scoid) = (received.rcvid(), received.info().scoid);
    assert_eq!(received.client().pid, client.pid());
    client.kill();
    let told = pulse(&channel);
    assert_eq!((told.code, told.scoid), (PulseCode::DISCONNECT, scoid));
    assert_eq!(received.reply(0, b""), Err(Errno::ESRCH));
    assert_eq!(channel.write(id, 0, b"x"), Err(Errno::ESRCH));
    assert_eq!(channel.info(id), Err(Errno::ESRCH));
}

// covers: DTH-1, DTH-2
#[test]
fn a_client_that_is_killed_send_blocked_takes_its_message_along() {
    let channel = place::create(ChannelFlags::DISCONNECT);
    let mut client = place::start("death::inside_a_client", channel.chid());
    until_send_blocked(channel.chid(), 1);
    client.kill();
    until(|| on(channel.chid()).connections == 0);
    assert_eq!(on(channel.chid()).send_blocked, 0);
    assert_eq!(pulse(&channel).code, PulseCode::DISCONNECT);
    assert!(matches!(channel.try_receive(), Ok(None)));
}

#[test]
#[ignore = "run by tests that kill it"]
fn inside_a_client() {
    let chid = Chid(child::argument().parse().expect("a number"));
    let connection = place::attach(child::parent(), chid).expect("it lives");
    connection
        .send(&[0; 1000], &mut [0; 1000])
        .expect_err("nobody replies");
}

// covers: DTH-1
#[test]
fn clients_killed_at_any_instruction_leave_the_server_serving() {
    let channel = place::create(ChannelFlags::DISCONNECT);
    let chid = channel.chid();
    let server = thread::spawn(move || serve_until_stopped(&channel));
    let steady = connect(chid);
    for round in 0..25 {
        let mut client = place::start("death::inside_a_busy_client", chid);
        assert_eq!(client.said(), "busy");
        // Any moment will do; these are spread over the rounds.
        thread::sleep(Duration::from_micros(137 * round));
        client.kill();
        let mut reply = [0; 4];
        assert_eq!(
            steady.send(b"echo", &mut reply).map(|reply| reply.status),
            Ok(4)
        );
        assert_eq!(&reply, b"echo");
    }
    steady
        .send_pulse(Some(0), PulseCode(0), 0)
        .expect("there is room");
    let disconnects = server.join().expect("the server does not panic");
    assert!(disconnects <= 25);
}

/// What busy clients send beside their messages.
const BUSY: PulseCode = PulseCode(5);

/// Echoes until another pulse comes; answers how many clients went away.
fn serve_until_stopped(channel: &Channel) -> u32 {
    let mut disconnects = 0;
    loop {
        match channel.receive().expect("the channel lives") {
            Received::Message(message) => {
                // A client that was killed in between is no longer blocked.
                if let Ok(bytes) = message.read_vec(0, message.len()) {
                    let _ = message.reply(bytes.len() as i64, &bytes);
                }
            }
            Received::Pulse(pulse) if pulse.code == PulseCode::DISCONNECT => {
                channel
                    .detach_client(pulse.scoid)
                    .expect("it is gone and not detached yet");
                disconnects += 1;
            }
            Received::Pulse(pulse) if pulse.code == BUSY => {}
            Received::Pulse(_) => return disconnects,
        }
    }
}

#[test]
#[ignore = "run by clients_killed_at_any_instruction_leave_the_server_serving"]
fn inside_a_busy_client() {
    let chid = Chid(child::argument().parse().expect("a number"));
    let connection = place::attach(child::parent(), chid).expect("it lives");
    say("busy");
    thread::scope(|scope| {
        for len in [10, 3000, 100_000] {
            let connection = &connection;
            scope.spawn(move || {
                let (message, mut reply) = (vec![7; len], vec![0; len]);
                while connection.send(&message, &mut reply).is_ok() {
                    let _ = connection.send_pulse(Some(9), BUSY, 0);
                }
            });
        }
    });
}

// covers: RPL-2
#[test]
fn a_reply_to_a_stopped_client_does_not_block_the_server() {
    let channel = channel();
    let client = place::start("death::inside_a_stopped_client", channel.chid());
    let first = message(&channel);
    let pid = UnixPid::from_raw(client.pid().0);
    kill(pid, Signal::SIGSTOP).expect("it lives");
    assert_eq!(first.reply(0, b"answer"), Ok(()));
    // The server goes on with others.
    let connection = connect(channel.chid());
    thread::scope(|scope| {
        let other = scope.spawn(|| connection.send(b"x", &mut []));
        message(&channel).reply(2, b"").expect("the client waits");
        assert_eq!(
            other.join().expect("no panic").map(|reply| reply.status),
            Ok(2)
        );
    });
    kill(pid, Signal::SIGCONT).expect("it lives");
    client.end();
}

#[test]
#[ignore = "run by a_reply_to_a_stopped_client_does_not_block_the_server"]
fn inside_a_stopped_client() {
    let chid = Chid(child::argument().parse().expect("a number"));
    let connection = place::attach(child::parent(), chid).expect("it lives");
    let mut reply = [0; 6];
    connection.send(b"x", &mut reply).expect("it is answered");
    assert_eq!(&reply, b"answer");
}

// covers: DTH-1
#[test]
fn nothing_is_left_of_clients_that_came_and_went() {
    place::run_alone("death::inside_nothing_is_left");
}

#[test]
#[ignore = "run by nothing_is_left_of_clients_that_came_and_went in a process of its own"]
fn inside_nothing_is_left() {
    let channel = channel();
    let chid = channel.chid();
    let come_and_go = || {
        drop(connect(chid));
        let mut client = place::start("death::inside_a_client_elsewhere", format!("{chid}"));
        assert_eq!(client.said(), "attached");
        client.kill();
        until(|| on(chid).connections == 0);
    };
    come_and_go();
    let before = (descriptors(), mappings());
    for _ in 0..10 {
        come_and_go();
    }
    // A descriptor is closed a moment after its connection is no longer counted.
    until(|| descriptors() <= before.0);
    until(|| mappings() <= before.1);
    drop(channel);
}

#[test]
#[ignore = "run by inside_nothing_is_left"]
fn inside_a_client_elsewhere() {
    let chid = Chid(child::argument().parse().expect("a number"));
    let _connection = place::attach(child::parent(), chid).expect("it lives");
    say("attached");
    child::wait_for_parent();
}

fn descriptors() -> usize {
    fs::read_dir("/proc/self/fd")
        .expect("it is mounted")
        .count()
}

/// Shared mappings of this process: regions and doorbells.
fn mappings() -> usize {
    let maps = fs::read_to_string("/proc/self/maps").expect("it is mounted");
    maps.lines().filter(|line| line.contains("qnet-")).count()
}
