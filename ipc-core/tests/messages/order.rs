//! Which message or pulse comes next, and to whom.

use std::{thread, time::Duration};

use ipc_core::{
    Connection,
    abi::{ChannelFlags, Errno, Nd, Pid, PulseCode},
    set_priority,
};

use crate::support::{channel, message, pulse};

// covers: RCV-1, RCV-4, PLS-1, PLS-2
#[test]
fn order_is_priority_then_first_come_across_connections() {
    let (channel, first) = channel(ChannelFlags::empty());
    let second = Connection::attach(Nd::LOCAL, Pid::SELF, channel.chid()).unwrap();
    first.send_pulse(Some(10), PulseCode(1), 1).unwrap();
    second.send_pulse(Some(10), PulseCode(1), 2).unwrap();
    first.send_pulse(Some(20), PulseCode(1), 3).unwrap();
    channel.send_pulse(10, PulseCode(1), 4).unwrap();
    second.send_pulse(None, PulseCode(1), i64::MIN).unwrap();
    let values: Vec<i64> = (0..5)
        .map(|_| channel.receive_pulse().unwrap().value)
        .collect();
    assert_eq!(values, [3, 1, 2, 4, i64::MIN]);
    assert_eq!(first.send_pulse(None, PulseCode(-1), 0), Err(Errno::EINVAL));
    assert_eq!(
        channel.receive_timeout(Duration::ZERO).err(),
        Some(Errno::ETIMEDOUT),
        "nothing is left"
    );
}

// covers: PLS-2
#[test]
fn a_full_pulse_queue_is_eagain_and_loses_nothing() {
    let (channel, connection) = channel(ChannelFlags::empty());
    let mut sent = 0;
    while connection.send_pulse(None, PulseCode(0), sent).is_ok() {
        sent += 1;
    }
    assert!(sent > 0);
    for expected in 0..sent {
        assert_eq!(pulse(channel.receive().unwrap()).value, expected);
    }
    connection.send_pulse(None, PulseCode(0), 7).unwrap();
    assert_eq!(pulse(channel.receive().unwrap()).value, 7);
}

// covers: PRI-1
#[test]
fn messages_are_received_by_the_priority_of_their_senders() {
    let (channel, connection) = channel(ChannelFlags::empty());
    thread::scope(|scope| {
        for level in [5, 30, 10, 20] {
            let connection = &connection;
            scope.spawn(move || {
                set_priority(level);
                connection.send(&[level], &mut []).unwrap();
            });
        }
        let blocked = || ipc_core::snapshot(Pid::current()).unwrap();
        let here = |c: &ipc_core::ChannelSnapshot| c.chid == channel.chid() && c.send_blocked == 4;
        while !blocked().channels.iter().any(here) {
            thread::yield_now();
        }
        let mut order = Vec::new();
        for _ in 0..4 {
            let message = message(channel.receive().unwrap());
            order.push(message.info().priority);
            message.reply(0, b"").unwrap();
        }
        assert_eq!(order, [30, 20, 10, 5]);
    });
}

// covers: RCV-4
#[test]
fn a_message_finds_its_receiver_past_a_thread_that_waits_for_pulses() {
    let (channel, connection) = channel(ChannelFlags::empty());
    thread::scope(|scope| {
        let server = scope.spawn(|| message(channel.receive().unwrap()).reply(5, b"").unwrap());
        let sleepers = |count| {
            while !ipc_core::snapshot(Pid::current())
                .unwrap()
                .channels
                .iter()
                .any(|c| c.chid == channel.chid() && c.receivers == count)
            {
                thread::yield_now();
            }
        };
        sleepers(1);
        let pulses = scope.spawn(|| channel.receive_pulse().unwrap().value);
        sleepers(2);
        assert_eq!(connection.send(b"", &mut []).unwrap().status, 5);
        server.join().unwrap();
        channel.send_pulse(0, PulseCode(0), 8).unwrap();
        assert_eq!(pulses.join().unwrap(), 8);
    });
}
