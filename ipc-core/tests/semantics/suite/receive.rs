//! RCV: receiving.

use std::{sync::mpsc, thread, time::Duration};

use ipc_core::{
    Channel, Connection, Received,
    abi::{Errno, Pid, PulseCode},
    set_priority,
};

use crate::suite::{
    blocked::{until_pulses_queued, until_receive_blocked, until_send_blocked},
    echo::{channel, connect, introduce, message, pulse},
    place::{self, Difference, differs},
};

// covers: RCV-1, PRI-1
#[test]
fn the_highest_priority_is_received_first_and_equals_in_order_of_arrival() {
    let channel = channel();
    let chid = channel.chid();
    let connections = [connect(chid), connect(chid), connect(chid)];
    // Priority and name of each message, in the order sent, each over another connection.
    let sent = [
        (10, b'a'),
        (30, b'b'),
        (10, b'c'),
        (20, b'd'),
        (30, b'e'),
        (0, b'f'),
        (255, b'g'),
    ];
    thread::scope(|scope| {
        for (at, (priority, name)) in sent.into_iter().enumerate() {
            let connection = &connections[at % connections.len()];
            scope.spawn(move || {
                set_priority(priority);
                connection.send(&[name], &mut []).expect("it is answered");
            });
            until_send_blocked(chid, at + 1);
        }
        let received: Vec<(u8, u8)> = sent
            .iter()
            .map(|_| {
                let message = message(&channel);
                let name = message.read_vec(0, 1).expect("the client waits")[0];
                let priority = message.info().priority;
                message.reply(0, b"").expect("the client waits");
                (priority, name)
            })
            .collect();
        let expected = [
            (255, b'g'),
            (30, b'b'),
            (30, b'e'),
            (20, b'd'),
            (10, b'a'),
            (10, b'c'),
            (0, b'f'),
        ];
        assert_eq!(received, expected);
    });
}

// covers: RCV-1
#[test]
fn messages_and_pulses_share_one_queue() {
    let channel = channel();
    let chid = channel.chid();
    let (first, second) = (connect(chid), connect(chid));
    thread::scope(|scope| {
        first
            .send_pulse(Some(10), PulseCode(1), 1)
            .expect("there is room");
        until_pulses_queued(chid, 1);
        scope.spawn(|| {
            set_priority(10);
            second.send(b"x", &mut []).expect("it is answered");
        });
        until_send_blocked(chid, 1);
        first
            .send_pulse(Some(10), PulseCode(1), 2)
            .expect("there is room");
        second
            .send_pulse(Some(11), PulseCode(1), 3)
            .expect("there is room");
        until_pulses_queued(chid, 3);
        assert_eq!(pulse(&channel).value, 3);
        assert_eq!(pulse(&channel).value, 1);
        message(&channel).reply(0, b"").expect("the client waits");
        assert_eq!(pulse(&channel).value, 2);
    });
}

// covers: RCV-2
#[test]
fn the_last_thread_to_wait_is_served_first() {
    let channel = channel();
    let chid = channel.chid();
    let connection = connect(chid);
    introduce(&channel, &connection);
    let (sender, order) = mpsc::channel();
    thread::scope(|scope| {
        for number in 0..3_u8 {
            let (sender, channel) = (sender.clone(), &channel);
            scope.spawn(move || {
                let message = message(channel);
                sender.send(number).expect("somebody counts");
                message.reply(0, b"").expect("the client waits");
            });
            until_receive_blocked(chid, usize::from(number) + 1);
        }
        for expected in [2, 1, 0] {
            connection.send(b"x", &mut []).expect("it is answered");
            assert_eq!(order.recv(), Ok(expected));
        }
    });
}

// covers: RCV-3, RPL-4
#[test]
fn what_a_short_read_leaves_is_read_later() {
    let channel = channel();
    let connection = connect(channel.chid());
    thread::scope(|scope| {
        scope.spawn(|| connection.send(b"header, and then the rest", &mut []));
        let message = message(&channel);
        assert!(message.rcvid().0 > 0);
        let mut header = [0; 6];
        assert_eq!(message.read(0, &mut header), Ok(6));
        assert_eq!(&header, b"header");
        let id = message.into_rcvid();
        let mut rest = [0; 64];
        assert_eq!(channel.read(id, 6, &mut rest), Ok(19));
        assert_eq!(&rest[..19], b", and then the rest");
        channel.reply(id, 0, b"").expect("the client waits");
    });
}

// covers: RCV-4
#[test]
fn messages_pass_over_threads_that_wait_for_pulses() {
    let channel = channel();
    let chid = channel.chid();
    let connection = connect(chid);
    thread::scope(|scope| {
        // The pulse receiver waits last: were it served like the others, it would be served first.
        let receiver = scope.spawn(|| message(&channel).reply(7, b""));
        until_receive_blocked(chid, 1);
        let pulses = scope.spawn(|| channel.receive_pulse());
        until_receive_blocked(chid, 2);
        let answer = connection.send(b"x", &mut []).map(|reply| reply.status);
        assert_eq!(answer, Ok(7));
        assert_eq!(receiver.join().expect("no panic"), Ok(()));
        connection
            .send_pulse(Some(1), PulseCode(5), 9)
            .expect("there is room");
        assert_eq!(
            pulses.join().expect("no panic").map(|pulse| pulse.value),
            Ok(9)
        );
    });
}

// covers: RCV-4
#[test]
fn a_pulse_receiver_leaves_queued_messages_alone() {
    let channel = channel();
    let connection = connect(channel.chid());
    thread::scope(|scope| {
        scope.spawn(|| {
            set_priority(200);
            connection.send(b"x", &mut [])
        });
        until_send_blocked(channel.chid(), 1);
        connection
            .send_pulse(Some(1), PulseCode(5), 9)
            .expect("there is room");
        assert_eq!(channel.receive_pulse().map(|pulse| pulse.value), Ok(9));
        message(&channel).reply(0, b"").expect("the client waits");
    });
}

// covers: RCV-5, TMO-2
#[test]
fn an_empty_channel_times_out_and_polls() {
    let channel = channel();
    let timed_out =
        |result: ipc_core::abi::Result<Received>| matches!(result, Err(Errno::ETIMEDOUT));
    assert!(timed_out(channel.receive_timeout(Duration::ZERO)));
    assert!(timed_out(
        channel.receive_timeout(Duration::from_millis(20))
    ));
    channel
        .send_pulse(1, PulseCode(3), 4)
        .expect("there is room");
    let polled = channel.receive_timeout(Duration::ZERO);
    assert!(matches!(polled, Ok(Received::Pulse(pulse)) if pulse.value == 4));
    assert!(timed_out(channel.receive_timeout(Duration::ZERO)));
}

// covers: RCV-6
#[test]
fn the_info_structure_says_who_sent_what() {
    let channel = channel();
    let connection = connect(channel.chid());
    // What travels with its announcement, and what is brought in parts.
    for (len, reply_len) in [(7, 11), (0, 0), (5000, 0), (300_000, 70_000)] {
        info_is_right(&channel, &connection, len, reply_len);
    }
}

fn info_is_right(channel: &Channel, connection: &Connection, len: usize, reply_len: usize) {
    thread::scope(|scope| {
        let client = scope.spawn(|| {
            set_priority(42);
            connection
                .send(&vec![7; len], &mut vec![0; reply_len])
                .expect("it is answered");
            nix::unistd::gettid().as_raw()
        });
        let message = message(channel);
        let (info, who) = (message.info(), message.client());
        assert_eq!(info.nd, place::client_nd());
        assert_eq!(info.srcnd, place::server_nd());
        assert_eq!((info.pid, info.chid), (Pid::current(), channel.chid()));
        if !differs(Difference::ScoidOfQnet) {
            assert_eq!(info.scoid, connection.server_info().scoid);
        }
        assert_eq!(info.coid, connection.coid());
        assert_eq!((info.priority, info.unblock_requested), (42, false));
        let lens = (info.msglen, info.srcmsglen, info.dstmsglen);
        assert_eq!(lens, (len, len, reply_len));
        assert_eq!(who.pid, Pid::current());
        assert_eq!(who.credentials.uid, nix::unistd::geteuid().as_raw());
        assert_eq!(channel.info(message.rcvid()), Ok(info));
        message.reply(0, b"").expect("the client waits");
        assert_eq!(info.tid.0, client.join().expect("no panic"));
    });
}
