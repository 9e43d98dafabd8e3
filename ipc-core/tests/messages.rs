//! Send, receive, reply, read, write and pulses between threads of one process.

use std::{
    io::{IoSlice, IoSliceMut},
    sync::Arc,
    thread,
    time::Duration,
};

use ipc_core::{
    AttachOptions, Channel, CompletionQueue, Connection, Received, ReceivedMessage, Timeout,
    abi::{ChannelFlags, Chid, Errno, Nd, Pid, Pulse, PulseCode, Scoid},
    priority, set_priority,
};

fn channel(flags: ChannelFlags) -> (Arc<Channel>, Connection) {
    let channel = Arc::new(Channel::create(flags).unwrap());
    let connection = Connection::attach(Nd::LOCAL, Pid::SELF, channel.chid()).unwrap();
    (channel, connection)
}

fn message(received: Received) -> ReceivedMessage {
    match received {
        Received::Message(message) => message,
        Received::Pulse(pulse) => panic!("unexpected {pulse:?}"),
    }
}

fn pulse(received: Received) -> Pulse {
    match received {
        Received::Pulse(pulse) => pulse,
        Received::Message(message) => panic!("unexpected {:?}", message.info()),
    }
}

/// Answers every message with its own bytes until a pulse comes.
fn echo(channel: &Channel) {
    while let Received::Message(message) = channel.receive().unwrap() {
        let bytes = message.read_vec(0, message.len()).unwrap();
        message.reply(bytes.len() as i64, &bytes).unwrap();
    }
}

fn stop(channel: &Channel) {
    channel.send_pulse(0, PulseCode(0), 0).unwrap();
}

// covers: SND-1, SND-6, RPL-1
#[test]
fn every_size_comes_back_as_it_was_sent() {
    let (channel, connection) = channel(ChannelFlags::empty());
    thread::scope(|scope| {
        scope.spawn(|| echo(&channel));
        for len in [0, 1, 79, 80, 81, 96, 97, 4096, 100_000, 1 << 20, 16 << 20] {
            let sent: Vec<u8> = (0..len).map(|i| (i * 7 + len) as u8).collect();
            let mut reply = vec![0; len];
            let got = connection.send(&sent, &mut reply).unwrap();
            assert_eq!((got.status, got.len), (len as i64, len));
            assert!(reply == sent, "{len} bytes");
        }
        let mut short = [0; 3];
        assert_eq!(connection.send(b"abcdef", &mut short).unwrap().len, 3);
        assert_eq!(&short, b"abc");
        assert_eq!(
            connection.send(&vec![0; (16 << 20) + 1], &mut []),
            Err(Errno::EMSGSIZE)
        );
        stop(&channel);
    });
}

// covers: SND-3, RCV-2
#[test]
fn many_threads_share_a_connection_and_a_channel() {
    let (channel, connection) = channel(ChannelFlags::empty());
    thread::scope(|scope| {
        let servers: Vec<_> = (0..4).map(|_| scope.spawn(|| echo(&channel))).collect();
        let clients: Vec<_> = (0..50_u64)
            .map(|client| {
                let connection = &connection;
                scope.spawn(move || {
                    for round in 0..200_u64 {
                        let sent = [client.to_le_bytes(), round.to_le_bytes()].concat();
                        let mut reply = [0; 16];
                        connection.send(&sent, &mut reply).unwrap();
                        assert_eq!(reply[..], sent[..]);
                    }
                })
            })
            .collect();
        clients
            .into_iter()
            .for_each(|client| client.join().unwrap());
        servers.iter().for_each(|_| stop(&channel));
    });
}

// covers: SND-4
#[test]
fn parts_may_differ_in_number_on_the_two_sides_and_be_empty() {
    let (channel, connection) = channel(ChannelFlags::empty());
    thread::scope(|scope| {
        scope.spawn(|| echo(&channel));
        let parts = [
            IoSlice::new(b"ab"),
            IoSlice::new(b""),
            IoSlice::new(b"cdefgh"),
        ];
        let (mut one, mut two) = ([0; 5], [0; 9]);
        let mut reply = [
            IoSliceMut::new(&mut one),
            IoSliceMut::new(&mut []),
            IoSliceMut::new(&mut two),
        ];
        assert_eq!(connection.send_vectored(&parts, &mut reply).unwrap().len, 8);
        assert_eq!((&one, &two[..3]), (b"abcde", &b"fgh"[..]));
        stop(&channel);
    });
}

// covers: RCV-3, RCV-6, SND-7, RPL-4, RPL-5
#[test]
fn a_message_is_read_and_its_reply_written_at_any_offset_any_number_of_times() {
    let (channel, connection) = channel(ChannelFlags::empty());
    for len in [20, 5000] {
        thread::scope(|scope| {
            let connection = &connection;
            let client = scope.spawn(move || {
                let sent: Vec<u8> = (0..len).map(|i| i as u8).collect();
                let mut reply = vec![0xee; len];
                let got = connection.send(&sent, &mut reply).unwrap();
                (got, reply)
            });
            let message = message(channel.receive().unwrap());
            let info = message.info();
            assert_eq!((info.srcmsglen, info.dstmsglen), (len, len));
            assert_eq!((info.pid, info.chid), (Pid::current(), channel.chid()));
            assert_eq!((info.coid, info.priority), (connection.coid(), priority()));
            let id = message.into_rcvid();
            assert!(id.0 > 0);
            assert_eq!(channel.info(id).unwrap().tid, info.tid);
            let mut two = [0; 2];
            for _ in 0..2 {
                assert_eq!(channel.read(id, len - 1, &mut two), Ok(1));
                assert_eq!(two[0], (len - 1) as u8);
            }
            assert_eq!(channel.read(id, len, &mut two), Ok(0));
            assert_eq!(channel.write(id, 8, b"written"), Ok(7));
            assert_eq!(channel.write(id, len - 1, b"past"), Ok(1));
            assert_eq!(channel.write(id, len, b"past"), Ok(0));
            channel.reply(id, 3, b"").unwrap();
            assert_eq!(channel.info(id), Err(Errno::ESRCH));
            assert_eq!(channel.reply(id, 3, b""), Err(Errno::ESRCH));
            let (got, reply) = client.join().unwrap();
            assert_eq!((got.status, got.len), (3, len));
            assert_eq!(&reply[8..15], b"written");
            assert_eq!((reply[0], reply[len - 1]), (0xee, b'p'));
        });
    }
}

// covers: RPL-3, RPL-6
#[test]
fn errors_reach_the_sender_and_a_dropped_message_is_an_error() {
    let (channel, connection) = channel(ChannelFlags::empty());
    thread::scope(|scope| {
        scope.spawn(|| {
            message(channel.receive().unwrap())
                .error(Errno::ENOSPC)
                .unwrap();
            message(channel.receive().unwrap()).error(Errno(0)).unwrap();
            message(channel.receive().unwrap())
                .error(Errno::ERESTART)
                .unwrap();
            message(channel.receive().unwrap()).reply(9, b"").unwrap();
            drop(channel.receive().unwrap());
            assert_eq!(channel.stats().dropped_unanswered, 1);
        });
        assert_eq!(connection.send(b"", &mut []), Err(Errno::ENOSPC));
        assert_eq!(connection.send(b"", &mut []).unwrap().status, 0);
        assert_eq!(connection.send(b"", &mut []).unwrap().status, 9);
        assert_eq!(connection.send(b"", &mut []), Err(Errno::EIO));
    });
}

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

// covers: CHN-1
#[test]
fn destroying_a_channel_unblocks_everybody_with_esrch() {
    let (channel, connection) = channel(ChannelFlags::empty());
    thread::scope(|scope| {
        let received = scope.spawn(|| connection.send(b"received", &mut []));
        let held = message(channel.receive().unwrap());
        let queued = scope.spawn(|| connection.send(b"queued", &mut []));
        thread::sleep(Duration::from_millis(20));
        let id = held.into_rcvid();
        drop(Arc::into_inner(channel).unwrap());
        assert_eq!(received.join().unwrap(), Err(Errno::ESRCH));
        assert_eq!(queued.join().unwrap(), Err(Errno::ESRCH));
        assert!(id.0 > 0);
    });
    assert_eq!(connection.send(b"", &mut []), Err(Errno::EBADF));
}

// covers: CHN-3, CHN-6
#[test]
fn one_disconnect_pulse_when_the_last_connection_of_a_client_goes() {
    let (channel, first) = channel(ChannelFlags::DISCONNECT);
    let second = Connection::attach(Nd::LOCAL, Pid::SELF, channel.chid()).unwrap();
    let scoid = first.server_info().scoid;
    assert_eq!(second.server_info().scoid, scoid);
    drop(first);
    assert!(channel.receive_timeout(Duration::from_millis(30)).is_err());
    drop(second);
    let pulse = pulse(channel.receive().unwrap());
    assert_eq!((pulse.code, pulse.scoid), (PulseCode::DISCONNECT, scoid));
    let third = Connection::attach(Nd::LOCAL, Pid::SELF, channel.chid()).unwrap();
    assert_ne!(
        third.server_info().scoid,
        scoid,
        "not used again before it is detached"
    );
    channel.detach_client(scoid).unwrap();
    assert_eq!(channel.detach_client(scoid), Err(Errno::EINVAL));
    assert_eq!(channel.client_info(Scoid(99)).err(), Some(Errno::EINVAL));
}

// covers: CHN-4, PLS-4
#[test]
fn a_coid_death_pulse_tells_of_a_server_that_went() {
    let watcher = Channel::create(ChannelFlags::COID_DISCONNECT).unwrap();
    let (channel, connection) = channel(ChannelFlags::empty());
    drop(channel);
    loop {
        let pulse = watcher.receive_pulse().unwrap();
        if pulse.value == i64::from(connection.coid().0) {
            assert_eq!(pulse.code, PulseCode::COID_DEATH);
            break;
        }
    }
    assert_eq!(connection.send(b"", &mut []), Err(Errno::EBADF));
}

// covers: CHN-7
#[test]
fn detaching_gives_blocked_threads_ebadf() {
    let (channel, connection) = channel(ChannelFlags::empty());
    thread::scope(|scope| {
        let blocked = scope.spawn(|| connection.send(b"", &mut []));
        let held = message(channel.receive().unwrap());
        connection.detach();
        assert_eq!(blocked.join().unwrap(), Err(Errno::EBADF));
        while held.info().srcmsglen == 0 && channel.info(held.rcvid()).is_ok() {
            thread::yield_now();
        }
        assert_eq!(held.reply(0, b""), Err(Errno::ESRCH));
    });
}

// covers: CHN-6
#[test]
fn attaching_to_nobody_is_esrch() {
    assert_eq!(
        Connection::attach(Nd::LOCAL, Pid::SELF, Chid(999)).err(),
        Some(Errno::ESRCH)
    );
    assert_eq!(
        Connection::attach(Nd::LOCAL, Pid(0x7fff_fff0), Chid(1)).err(),
        Some(Errno::ESRCH)
    );
}

// covers: TMO-1, TMO-2
#[test]
fn a_timeout_withdraws_a_message_nobody_received() {
    let (channel, connection) = channel(ChannelFlags::UNBLOCK);
    let soon = Duration::from_millis(20);
    assert_eq!(
        connection.send_timeout(b"", &mut [], Timeout::all(soon)),
        Err(Errno::ETIMEDOUT)
    );
    assert_eq!(
        connection.send_timeout(b"", &mut [], Timeout::send(soon)),
        Err(Errno::ETIMEDOUT)
    );
    assert!(
        channel.try_receive().unwrap().is_none(),
        "no message and no pulse is left"
    );
}

// covers: CHN-2, TMO-1
#[test]
fn without_the_unblock_flag_a_reply_timeout_returns_at_once() {
    let (channel, connection) = channel(ChannelFlags::empty());
    let connection = &connection;
    thread::scope(|scope| {
        for timeout in [Timeout::all, Timeout::reply] {
            let timeout = timeout(Duration::from_millis(20));
            let client = scope.spawn(move || connection.send_timeout(b"", &mut [], timeout));
            let held = message(channel.receive().unwrap());
            assert_eq!(client.join().unwrap(), Err(Errno::ETIMEDOUT));
            assert_eq!(held.reply(0, b""), Err(Errno::ESRCH));
        }
    });
}

// covers: CHN-2, TMO-3
#[test]
fn with_the_unblock_flag_the_server_decides_even_after_the_timeout() {
    let (channel, connection) = channel(ChannelFlags::UNBLOCK);
    let connection = &connection;
    thread::scope(|scope| {
        let timeout = Timeout::all(Duration::from_millis(20));
        let client = scope.spawn(move || connection.send_timeout(b"", &mut [], timeout));
        let held = message(channel.receive().unwrap());
        assert!(!held.info().unblock_requested);
        let pulse = pulse(channel.receive().unwrap());
        assert_eq!(
            (pulse.code, pulse.value),
            (PulseCode::UNBLOCK, held.rcvid().0)
        );
        assert!(held.info().unblock_requested);
        held.reply(42, b"").unwrap();
        assert_eq!(client.join().unwrap().unwrap().status, 42);
    });
}

// covers: TMO-1
#[test]
fn a_send_timeout_does_not_cover_the_time_after_the_receive() {
    let (channel, connection) = channel(ChannelFlags::empty());
    let connection = &connection;
    thread::scope(|scope| {
        let timeout = Timeout::send(Duration::from_millis(20));
        let client = scope.spawn(move || connection.send_timeout(b"", &mut [], timeout));
        let held = message(channel.receive().unwrap());
        thread::sleep(Duration::from_millis(60));
        held.reply(1, b"").unwrap();
        assert_eq!(client.join().unwrap().unwrap().status, 1);
    });
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
            // The snapshot drains nothing by itself.
            assert!(!channel.outside().arm(&mut Vec::new()) || channel.outside().is_ready());
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

#[test]
fn many_messages_in_flight_come_back_through_one_queue() {
    let channel = Arc::new(Channel::create(ChannelFlags::empty()).unwrap());
    let queue = CompletionQueue::new().unwrap();
    let options = AttachOptions {
        queue: Some(&queue),
        ..AttachOptions::default()
    };
    let connections: Vec<_> = (0..3)
        .map(|_| Connection::attach_with(Nd::LOCAL, Pid::SELF, channel.chid(), &options).unwrap())
        .collect();
    thread::scope(|scope| {
        scope.spawn(|| echo(&channel));
        let mut outstanding = std::collections::BTreeSet::new();
        for round in 0..20_u64 {
            for (which, connection) in connections.iter().enumerate() {
                for len in [5, 500] {
                    let mut loan = connection.loan(len, len).unwrap();
                    assert_eq!(loan.write(0, &vec![round as u8; len]), len);
                    let token = round * 1000 + which as u64 * 2 + u64::from(len > 80);
                    connection.submit(loan, token).unwrap();
                    outstanding.insert(token);
                }
            }
            while outstanding.len() > 30 {
                let completion = queue.next(None).unwrap();
                assert!(outstanding.remove(&completion.token));
                let reply = completion.result.unwrap();
                let mut bytes = vec![0; reply.reply().len];
                reply.read(0, &mut bytes);
                assert!(
                    bytes
                        .iter()
                        .all(|b| u64::from(*b) == completion.token / 1000)
                );
            }
        }
        while !outstanding.is_empty() {
            assert!(outstanding.remove(&queue.next(None).unwrap().token));
        }
        stop(&channel);
    });
    let loan = connections[0].loan(1, 1).unwrap();
    connections[0].submit(loan, 1).unwrap();
    assert!(message(channel.receive().unwrap()).into_rcvid().0 > 0);
    drop(channel);
    let lost = queue.next(Some(Duration::from_secs(10))).unwrap();
    assert_eq!(lost.result.err(), Some(Errno::ESRCH));
}

#[test]
fn a_loan_is_sent_and_its_reply_read_in_place() {
    let (channel, connection) = channel(ChannelFlags::empty());
    thread::scope(|scope| {
        scope.spawn(|| echo(&channel));
        for len in [10, 10_000] {
            let mut loan = connection.loan(len, len).unwrap();
            loan.write(3, b"in place");
            let reply = connection.send_loan(loan).unwrap();
            let mut bytes = vec![0; len];
            assert_eq!(reply.read(0, &mut bytes), len.min(len));
            assert_eq!(&bytes[3..10], b"in plac");
        }
        stop(&channel);
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

#[test]
fn several_threads_wait_on_one_completion_queue() {
    const MESSAGES: u64 = 2000;
    let channel = Arc::new(Channel::create(ChannelFlags::empty()).unwrap());
    let queue = CompletionQueue::new().unwrap();
    let options = AttachOptions {
        queue: Some(&queue),
        ..AttachOptions::default()
    };
    let connection =
        Connection::attach_with(Nd::LOCAL, Pid::SELF, channel.chid(), &options).unwrap();
    thread::scope(|scope| {
        scope.spawn(|| echo(&channel));
        let waiters: Vec<_> = (0..4)
            .map(|_| {
                scope.spawn(|| {
                    (0..MESSAGES / 4)
                        .map(|_| queue.next(None).unwrap().token)
                        .collect::<Vec<_>>()
                })
            })
            .collect();
        for token in 0..MESSAGES {
            let loan = loop {
                match connection.loan(8, 8) {
                    Err(Errno::EAGAIN) => thread::yield_now(),
                    loan => break loan.unwrap(),
                }
            };
            connection.submit(loan, token).unwrap();
        }
        let mut tokens: Vec<u64> = waiters
            .into_iter()
            .flat_map(|w| w.join().unwrap())
            .collect();
        tokens.sort_unstable();
        assert_eq!(tokens, (0..MESSAGES).collect::<Vec<_>>());
        stop(&channel);
    });
}
