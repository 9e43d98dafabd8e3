//! A server whose process is stopped altogether: what its clients want to tell it waits until it runs again.

use std::time::{Duration, Instant};

use ipc_core::{
    AttachOptions, Channel, CompletionQueue, Connection, Event, Received,
    abi::{
        ChannelFlags, Errno, EventHandle, Nd, Pid, PulseCode, Rcvid, limits::EVENTS_IN_FLIGHT_MAX,
    },
};
use nix::{
    sys::{
        signal::{Signal, kill},
        wait::{WaitPidFlag, WaitStatus, waitpid},
    },
    unistd,
};

use crate::{
    child::{Child, say},
    server::until,
};

/// More wishes than a control socket has room for.
const MESSAGES: u64 = 600;

/// A test whose other side died early fails after this long instead of waiting for ever.
const GIVE_UP: Duration = Duration::from_secs(60);

const TOLD: i64 = 17;

/// Stops a child, and waits until it has stopped.
fn stop(child: &Child) -> unistd::Pid {
    let pid = unistd::Pid::from_raw(child.pid().0);
    kill(pid, Signal::SIGSTOP).expect("it lives");
    let stopped = waitpid(pid, Some(WaitPidFlag::WUNTRACED));
    assert_eq!(stopped, Ok(WaitStatus::Stopped(pid, Signal::SIGSTOP)));
    pid
}

// covers: CHN-2, PLS-5
#[test]
fn a_server_that_was_stopped_learns_of_every_wish_to_leave_and_of_the_events_that_were_taken() {
    let mut server = Child::start("stopped::inside_a_server", "");
    let (queue, inbox) = (
        CompletionQueue::new(),
        Channel::create(ChannelFlags::empty()),
    );
    let (queue, inbox) = (
        queue.expect("it can be made"),
        inbox.expect("it can be made"),
    );
    let options = AttachOptions {
        slots: 1024,
        queue: Some(&queue),
        ..AttachOptions::default()
    };
    let chid = server.said_chid();
    let connection = Connection::attach_with(Nd::LOCAL, server.pid(), chid, &options);
    let connection = connection.expect("it accepts");
    let event = Event::pulse(&inbox, 10, PulseCode(1), 1).expect("a code of an application");
    let handle = connection.register_event(event).expect("it is live");
    for token in 0..MESSAGES {
        let mut loan = connection.loan(8, 0).expect("there is room");
        loan.write(0, &handle.to_bytes());
        connection.submit(loan, token).expect("it is live");
    }
    assert_eq!(server.said(), "blocked");
    // Its window is shut, as nothing was taken.
    until(|| {
        let said = ipc_core::snapshot(Pid::current()).expect("it is our own");
        let mut channels = said.channels.iter();
        let waiting = channels.find(|channel| channel.chid == inbox.chid());
        waiting.expect("it lives").pulses == EVENTS_IN_FLIGHT_MAX as usize
    });
    let pid = stop(&server);
    for token in 0..MESSAGES {
        let asked = connection.unblock(token);
        assert_eq!(asked, Ok(()), "message {token} is in flight");
    }
    for _ in 0..EVENTS_IN_FLIGHT_MAX {
        inbox.receive_pulse().expect("it waits");
    }
    kill(pid, Signal::SIGCONT).expect("it lives");
    for _ in 0..MESSAGES {
        let answered = queue.next(Some(GIVE_UP)).expect("it was announced");
        let reply = answered.result.expect("a reply").reply();
        assert_eq!(reply.status, TOLD);
    }
    let one_more = inbox.receive_pulse_timeout(GIVE_UP);
    assert_eq!(one_more.map(|pulse| pulse.value), Ok(1));
    server.end();
}

#[test]
#[ignore = "run by a_server_that_was_stopped_learns_of_every_wish_to_leave_and_of_the_events_that_were_taken"]
fn inside_a_server() {
    let channel = Channel::create(ChannelFlags::UNBLOCK).expect("it can be made");
    say(channel.chid());
    let message = || match channel.receive_timeout(GIVE_UP) {
        Ok(Received::Message(message)) => message,
        other => panic!("not a message: {other:?}"),
    };
    let first = message();
    let mut bytes = [0; 8];
    first.read(0, &mut bytes).expect("its sender waits");
    let (port, handle) = (first.event_port(), EventHandle::from_bytes(bytes));
    first.into_rcvid();
    for _ in 1..MESSAGES {
        message().into_rcvid();
    }
    for _ in 0..EVENTS_IN_FLIGHT_MAX {
        port.deliver(handle).expect("the window is open");
    }
    assert_eq!(port.deliver(handle), Err(Errno::EAGAIN));
    say("blocked");
    for _ in 0..MESSAGES {
        let pulse = channel.receive_pulse_timeout(GIVE_UP);
        let pulse = pulse.expect("one for each message");
        assert_eq!(pulse.code, PulseCode::UNBLOCK);
        let answered = channel.reply(Rcvid(pulse.value), TOLD, b"");
        answered.expect("its sender waits");
    }
    let end = Instant::now() + GIVE_UP;
    until(|| {
        assert!(Instant::now() < end, "the window stays shut");
        port.deliver(handle).is_ok()
    });
}
