//! PLS-5: events that clients handed over, delivered by servers.

use std::{
    sync::atomic::{AtomicU32, Ordering},
    thread,
    time::Duration,
};

use ipc_core::{
    Channel, Connection, Event, EventPort,
    abi::{
        ChannelFlags, Errno, EventHandle, PulseCode, Result,
        limits::{EVENTS_IN_FLIGHT_MAX, EVENTS_REGISTERED_MAX},
    },
};
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};

use crate::suite::{
    blocked::{until, until_reply_blocked, until_send_blocked},
    child::{self, say},
    echo::{channel, connect, message, pulse},
    place,
};

/// A pulse event on `inbox` whose value is `value`.
fn event(inbox: &Channel, value: i64) -> Event {
    Event::pulse(inbox, 10, PulseCode(3), value).expect("a code of an application")
}

/// Hands an event over: the client sends it, the server keeps where to deliver it and replies.
fn hand_over(server: &Channel, connection: &Connection, handle: EventHandle) -> EventPort {
    thread::scope(|scope| {
        let client = scope.spawn(|| connection.send(&handle.to_bytes(), &mut []));
        let message = message(server);
        let mut bytes = [0; 8];
        assert_eq!(message.read(0, &mut bytes), Ok(8));
        assert_eq!(EventHandle::from_bytes(bytes), handle);
        let port = message.event_port();
        message.reply(0, b"").expect("the client waits");
        client.join().expect("no panic").expect("it was answered");
        port
    })
}

/// Delivers as soon as there is room.
fn deliver(port: &EventPort, handle: EventHandle) {
    until(|| match port.deliver(handle) {
        Ok(()) => true,
        Err(error) => {
            assert_eq!(error, Errno::EAGAIN);
            false
        }
    });
}

// covers: PLS-5
#[test]
fn a_server_notifies_a_client_long_after_its_reply_and_as_often_as_it_likes() {
    let (server, inbox) = (channel(), channel());
    let connection = connect(server.chid());
    let event = Event::pulse(&inbox, 77, PulseCode(5), -6).expect("a code of an application");
    let handle = connection.register_event(event).expect("it is live");
    let port = hand_over(&server, &connection, handle);
    for _ in 0..3 * EVENTS_IN_FLIGHT_MAX {
        deliver(&port, handle);
        let told = pulse(&inbox);
        assert_eq!(
            (told.code, told.value, told.priority),
            (PulseCode(5), -6, 77)
        );
        assert_eq!(told.scoid, connection.server_info().scoid);
    }
    assert!(matches!(inbox.try_receive(), Ok(None)));
}

// covers: PLS-5
#[test]
fn a_server_notifies_a_client_that_still_waits_for_its_reply() {
    let (server, inbox) = (channel(), channel());
    let connection = connect(server.chid());
    let handle = connection
        .register_event(event(&inbox, 1))
        .expect("it is live");
    thread::scope(|scope| {
        let client = scope.spawn(|| connection.send(b"x", &mut []));
        let id = message(&server).into_rcvid();
        assert_eq!(server.deliver_event(id, handle), Ok(()));
        assert_eq!(pulse(&inbox).value, 1);
        assert!(!client.is_finished());
        server.reply(id, 0, b"").expect("the client waits");
        assert_eq!(server.deliver_event(id, handle), Err(Errno::ESRCH));
        assert!(client.join().expect("no panic").is_ok());
    });
}

// covers: PLS-5, PLS-2, RCV-1
#[test]
fn what_a_client_does_not_take_is_bounded_and_comes_once_in_order() {
    let (server, inbox) = (channel(), channel());
    let connection = connect(server.chid());
    let count = 4 * i64::from(EVENTS_IN_FLIGHT_MAX);
    let handles: Vec<_> = (0..count)
        .map(|value| connection.register_event(event(&inbox, value)))
        .collect::<Result<_>>()
        .expect("fewer than the limit");
    let port = hand_over(&server, &connection, handles[0]);
    let mut handles = handles.into_iter().peekable();
    while let Some(handle) = handles.peek() {
        match port.deliver(*handle) {
            Ok(()) => drop(handles.next()),
            Err(error) => {
                assert_eq!(error, Errno::EAGAIN);
                break;
            }
        }
    }
    let left = handles.len();
    assert!(left > 0, "nobody received, and all were accepted");
    // The messages of others are not held up by it.
    let other = connect(server.chid());
    thread::scope(|scope| {
        let client = scope.spawn(|| other.send(b"x", &mut []));
        message(&server).reply(0, b"").expect("the client waits");
        assert!(client.join().expect("no panic").is_ok());
        scope.spawn(|| handles.for_each(|handle| deliver(&port, handle)));
        for value in 0..count {
            assert_eq!(pulse(&inbox).value, value);
        }
    });
    assert!(matches!(inbox.try_receive(), Ok(None)));
}

// covers: PLS-5
#[test]
fn a_handle_is_good_on_the_connection_it_was_registered_on_until_it_is_taken_back() {
    let (server, inbox) = (channel(), channel());
    let (mine, other) = (connect(server.chid()), connect(server.chid()));
    let handle = mine.register_event(event(&inbox, 1)).expect("it is live");
    let (to_mine, to_other) = (
        hand_over(&server, &mine, handle),
        hand_over(&server, &other, handle),
    );
    // What was never registered there, a server cannot make happen.
    deliver(&to_other, handle);
    for forged in [0, 2, u64::MAX, handle.0 | 1 << 40] {
        deliver(&to_mine, EventHandle(forged));
    }
    deliver(&to_mine, handle);
    assert_eq!(pulse(&inbox).value, 1);
    assert_eq!(mine.unregister_event(handle), Ok(()));
    assert_eq!(mine.unregister_event(handle), Err(Errno::EINVAL));
    // The place is used again, and the old handle does not lead to what is there now.
    let next = mine.register_event(event(&inbox, 2)).expect("it is live");
    assert_ne!(next, handle);
    deliver(&to_mine, handle);
    deliver(&to_mine, next);
    assert_eq!(pulse(&inbox).value, 2);
    assert!(matches!(inbox.try_receive(), Ok(None)));
    assert!(mine.is_alive() && other.is_alive());
}

// covers: PLS-5
#[test]
fn registrations_are_bounded() {
    let (server, inbox) = (channel(), channel());
    let connection = connect(server.chid());
    let register = || connection.register_event(event(&inbox, 0));
    let handles: Vec<_> = (0..EVENTS_REGISTERED_MAX)
        .map(|_| register().expect("fewer than the limit"))
        .collect();
    assert_eq!(register(), Err(Errno::EAGAIN));
    connection
        .unregister_event(handles[7])
        .expect("it is registered");
    assert!(register().is_ok());
    connection.detach();
    assert_eq!(register(), Err(Errno::EBADF));
    let system = Event::pulse(&inbox, 1, PulseCode::UNBLOCK, 0);
    assert!(matches!(system, Err(Errno::EINVAL)));
    assert!(matches!(Event::signal(0), Err(Errno::EINVAL)));
}

// covers: PLS-5
#[test]
fn an_event_ends_with_its_connection_and_with_its_channel() {
    let server = channel();
    let inbox = channel();
    let connection = connect(server.chid());
    let handle = connection
        .register_event(event(&inbox, 1))
        .expect("it is live");
    let port = hand_over(&server, &connection, handle);
    drop(inbox);
    // Nobody is left to tell; the deliveries are taken all the same.
    for _ in 0..2 * EVENTS_IN_FLIGHT_MAX {
        deliver(&port, handle);
    }
    drop(connection);
    until(|| port.deliver(handle) == Err(Errno::ESRCH));
    let id = port.connection_id();
    until(|| matches!(server.event_port_of(id), Err(Errno::ESRCH)));
}

// covers: PLS-5
#[test]
fn an_event_may_be_a_signal() {
    static SEEN: AtomicU32 = AtomicU32::new(0);
    extern "C" fn count(_: i32) {
        SEEN.fetch_add(1, Ordering::Relaxed);
    }
    let action = SigAction::new(
        SigHandler::Handler(count),
        SaFlags::SA_RESTART,
        SigSet::empty(),
    );
    // SAFETY: the handler adds to an atomic, which is safe at any moment; nothing else here uses the
    // signal.
    unsafe { sigaction(Signal::SIGUSR2, &action) }.expect("the signal can be handled");
    let server = channel();
    let connection = connect(server.chid());
    let event = Event::signal(Signal::SIGUSR2 as i32).expect("it is a signal");
    let handle = connection.register_event(event).expect("it is live");
    let port = hand_over(&server, &connection, handle);
    deliver(&port, handle);
    until(|| SEEN.load(Ordering::Relaxed) > 0);
}

// covers: PLS-5, CHN-2
#[test]
fn an_event_may_unblock_who_is_blocked_on_a_connection() {
    let server = channel();
    let stubborn = place::create(ChannelFlags::UNBLOCK);
    let connection = connect(server.chid());
    let (free, kept) = (connect(server.chid()), connect(stubborn.chid()));
    let events = [Event::unblock(&free), Event::unblock(&kept)];
    let handles = events.map(|event| connection.register_event(event).expect("it is live"));
    let port = hand_over(&server, &connection, handles[0]);
    thread::scope(|scope| {
        let clients = [(); 2].map(|()| scope.spawn(|| free.send(b"x", &mut [])));
        until_send_blocked(server.chid(), 2);
        let id = message(&server).into_rcvid();
        // Whether its wait began is not seen from here: what was not waited for yet is asked again.
        until(|| {
            let _ = port.deliver(handles[0]);
            thread::sleep(Duration::from_millis(1));
            clients.iter().all(|client| client.is_finished())
        });
        for client in clients {
            assert_eq!(client.join().expect("no panic"), Err(Errno::EINTR));
        }
        assert_eq!(server.reply(id, 0, b""), Err(Errno::ESRCH));
    });
    assert!(matches!(server.try_receive(), Ok(None)));
    thread::scope(|scope| {
        let client = scope.spawn(|| kept.send(b"x", &mut []));
        let id = message(&stubborn).into_rcvid();
        until_reply_blocked(stubborn.chid(), 1);
        deliver(&port, handles[1]);
        let told = pulse(&stubborn);
        assert_eq!((told.code, told.value), (PulseCode::UNBLOCK, id.0));
        stubborn.reply(id, 4, b"").expect("the client stays");
        let answer = client.join().expect("no panic");
        assert_eq!(answer.map(|reply| reply.status), Ok(4));
    });
}

// covers: PLS-5, DTH-2
#[test]
fn a_server_in_another_process_notifies_until_it_dies() {
    let mut server = place::start("events::inside_a_notifying_server", "");
    let (pid, chid) = (server.pid(), server.said_chid());
    let inbox = channel();
    let connection = place::attach(pid, chid).expect("it lives");
    let handle = connection
        .register_event(event(&inbox, 9))
        .expect("it is live");
    connection
        .send(&handle.to_bytes(), &mut [])
        .expect("it is answered");
    for _ in 0..200 {
        assert_eq!(pulse(&inbox).value, 9);
    }
    server.kill();
    until(|| !connection.is_alive());
    // What it delivered before is there; then nothing more comes.
    while matches!(inbox.try_receive(), Ok(Some(_))) {}
    assert_eq!(
        connection.register_event(event(&inbox, 9)),
        Err(Errno::EBADF)
    );
}

#[test]
#[ignore = "run by a_server_in_another_process_notifies_until_it_dies"]
fn inside_a_notifying_server() {
    let channel = channel();
    say(channel.chid());
    let message = message(&channel);
    let mut bytes = [0; 8];
    message.read(0, &mut bytes).expect("the client waits");
    let (port, handle) = (message.event_port(), EventHandle::from_bytes(bytes));
    message.reply(0, b"").expect("the client waits");
    thread::spawn(move || {
        loop {
            match port.deliver(handle) {
                Ok(()) => {}
                Err(Errno::EAGAIN) => thread::sleep(Duration::from_millis(1)),
                Err(error) => panic!("the client is there: {error}"),
            }
        }
    });
    child::wait_for_parent();
}
