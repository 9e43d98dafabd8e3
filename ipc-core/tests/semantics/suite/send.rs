//! SND: sending.

use std::{
    io::{IoSlice, IoSliceMut},
    sync::{Arc, mpsc},
    thread,
    time::Duration,
};

use ipc_core::{
    AttachOptions, BlockedStates, Channel, Reply, Timeout,
    abi::{ChannelFlags, Errno, Pid, PulseCode, Rcvid, limits::MSG_LEN_MAX},
};

use nix::sys::{
    pthread::{pthread_kill, pthread_self},
    signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction},
};

use crate::suite::{
    blocked::{on, until_receive_blocked, until_send_blocked},
    echo::{Server, channel, connect, message, pulse},
    place,
};

// covers: SND-1
#[test]
fn a_send_answers_the_status_and_the_bytes_of_the_reply() {
    let server = Server::echo();
    let connection = connect(server.chid);
    let mut reply = [0; 8];
    let answer = connection.send(b"hello", &mut reply);
    assert_eq!(answer, Ok(Reply { status: 5, len: 5 }));
    assert_eq!(&reply, b"hello\0\0\0");
}

// covers: SND-1
#[test]
fn bytes_move_as_far_as_both_sides_take_them() {
    let server = Server::echo();
    let connection = connect(server.chid);
    let mut reply = [b'-'; 3];
    let answer = connection.send(b"longer than that", &mut reply);
    assert_eq!(answer, Ok(Reply { status: 16, len: 3 }));
    assert_eq!(&reply, b"lon");
}

// covers: SND-1
#[test]
fn nothing_can_be_sent_and_still_needs_a_reply() {
    let server = Server::start(ChannelFlags::empty(), |message| {
        assert_eq!(message.len(), 0);
        assert_eq!(message.read(0, &mut [0; 4]), Ok(0));
        message.reply(i64::MAX, b"").expect("the client waits");
    });
    let answer = connect(server.chid).send(b"", &mut []);
    assert_eq!(
        answer,
        Ok(Reply {
            status: i64::MAX,
            len: 0
        })
    );
}

// covers: SND-1, RMG-5
#[test]
fn messages_of_every_size_arrive_whole() {
    let server = Server::echo();
    let connection = connect(server.chid);
    let edges = [
        1,
        79,
        80,
        81,
        95,
        96,
        97,
        4095,
        4096,
        65_537,
        1 << 20,
        MSG_LEN_MAX,
    ];
    for len in edges {
        let message: Vec<u8> = (0..len).map(|at| (at * 7 + len) as u8).collect();
        let mut reply = vec![0; len];
        let answer = connection.send(&message, &mut reply);
        assert_eq!(
            answer,
            Ok(Reply {
                status: len as i64,
                len
            })
        );
        assert!(reply == message, "{len} bytes came back changed");
    }
}

// covers: SND-3
#[test]
fn threads_share_a_connection_and_get_their_own_replies_in_any_order() {
    const THREADS: usize = 12;
    let channel = channel();
    let connection = Arc::new(connect(channel.chid()));
    let clients: Vec<_> = (0..THREADS as u8)
        .map(|number| {
            let connection = Arc::clone(&connection);
            thread::spawn(move || {
                let mut reply = [0; 1];
                let answer = connection.send(&[number], &mut reply);
                assert_eq!(
                    answer,
                    Ok(Reply {
                        status: number.into(),
                        len: 1
                    })
                );
                assert_eq!(reply, [number]);
            })
        })
        .collect();
    let mut messages: Vec<_> = (0..THREADS).map(|_| message(&channel)).collect();
    messages.reverse();
    for message in messages {
        let number = message.read_vec(0, 1).expect("the client waits");
        message
            .reply(number[0].into(), &number)
            .expect("the client waits");
    }
    clients
        .into_iter()
        .for_each(|client| client.join().expect("the client's reply was its own"));
}

// covers: SND-3
#[test]
fn more_threads_than_slots_wait_for_their_turn() {
    let server = Server::echo();
    let connection = Arc::new(connect(server.chid));
    thread::scope(|scope| {
        for number in 0..64_u8 {
            let connection = Arc::clone(&connection);
            scope.spawn(move || {
                for round in 0..50_u8 {
                    let mut reply = [0; 200];
                    let sent = [number ^ round; 150];
                    let answer = connection.send(&sent, &mut reply);
                    assert_eq!(
                        answer,
                        Ok(Reply {
                            status: 150,
                            len: 150
                        })
                    );
                    assert_eq!(reply[..150], sent);
                }
            });
        }
    });
}

// covers: SND-4
#[test]
fn parts_may_be_empty_and_differ_in_number_on_the_two_sides() {
    let server = Server::echo();
    let connection = connect(server.chid);
    let parts = [b"".as_slice(), b"ab", b"", b"cdefg", b""].map(IoSlice::new);
    let (mut first, mut none, mut second, mut third) = ([0; 1], [0; 0], [0; 5], [b'-'; 4]);
    let mut reply = [
        IoSliceMut::new(&mut first),
        IoSliceMut::new(&mut none),
        IoSliceMut::new(&mut second),
        IoSliceMut::new(&mut third),
    ];
    let answer = connection.send_vectored(&parts, &mut reply);
    assert_eq!(answer, Ok(Reply { status: 7, len: 7 }));
    assert_eq!((&first, &second, &third), (b"a", b"bcdef", b"g---"));
}

// covers: SND-4
#[test]
fn a_message_and_a_reply_that_never_fit_together_are_an_error_and_not_a_wait() {
    let server = Server::echo();
    let options = AttachOptions {
        arena_len: 8192,
        ..AttachOptions::default()
    };
    let connection = place::attach_with(Pid::SELF, server.chid, &options)
        .expect("the channel can be attached to");
    let answer = connection.send(&[0; 5000], &mut [0; 5000]);
    assert_eq!(answer, Err(Errno::EMSGSIZE));
    assert!(connection.send(&[0; 5000], &mut [0; 3000]).is_ok());
}

// covers: SND-4
#[test]
fn a_total_that_no_number_holds_is_eoverflow_and_harms_nothing() {
    let server = Server::echo();
    let connection = connect(server.chid);
    // Address space without memory behind it: nobody is to look at these bytes.
    let mut options = memmap2::MmapOptions::new();
    let Ok(huge) = options.len(1 << 44).no_reserve_swap().map_anon() else {
        println!("skipped: the system does not give so much address space");
        return;
    };
    let parts = vec![IoSlice::new(&huge); 1 << 20];
    let answer = connection.send_vectored(&parts, &mut []);
    assert_eq!(answer, Err(Errno::EOVERFLOW));
    let answer = connection.send_vectored(&parts[1..], &mut []);
    assert_eq!(
        answer,
        Err(Errno::EMSGSIZE),
        "the largest total that is a number"
    );
    assert!(connection.send(b"x", &mut []).is_ok());
}

// covers: SND-4
#[test]
fn a_total_beyond_the_limit_is_an_error_and_harms_nothing() {
    let server = Server::echo();
    let connection = connect(server.chid);
    let half = vec![0; MSG_LEN_MAX];
    let answer = connection.send_vectored(&[IoSlice::new(&half), IoSlice::new(&half)], &mut []);
    assert_eq!(answer, Err(Errno::EMSGSIZE));
    assert_eq!(
        connection.send(b"x", &mut [0; 1]),
        Ok(Reply { status: 1, len: 1 })
    );
}

// covers: SND-5
#[test]
fn the_servers_error_is_the_senders() {
    let server = Server::start(ChannelFlags::empty(), |message| {
        let errno = Errno(message.len() as i32);
        message.error(errno).expect("the client waits");
    });
    let connection = connect(server.chid);
    // Also those that the library itself gives for a connection that has ended, or for a node: a server's word is its own.
    let known = (1..=libc::EHWPOISON).map(Errno);
    for errno in known.chain([Errno(4000)]) {
        if errno == Errno::ERESTART {
            continue; // It means to send again (RPL-3).
        }
        let message = vec![0; errno.0 as usize];
        assert_eq!(connection.send(&message, &mut []), Err(errno));
    }
    assert!(connection.is_alive());
}

// covers: SND-5, CHN-1
#[test]
fn a_channel_destroyed_under_its_clients_is_esrch_and_then_ebadf() {
    let channel = channel();
    let connection = Arc::new(connect(channel.chid()));
    let clients: Vec<_> = (0..2)
        .map(|_| {
            let connection = Arc::clone(&connection);
            thread::spawn(move || {
                let first = connection.send(b"x", &mut []);
                (first, connection.send(b"x", &mut []))
            })
        })
        .collect();
    until_send_blocked(channel.chid(), 2);
    // One of the two is REPLY-blocked now, the other stays SEND-blocked.
    let kept = message(&channel).into_rcvid();
    drop(channel);
    for client in clients {
        let (blocked, after) = client.join().expect("no panic");
        assert_eq!(
            (blocked, after),
            (Err(Errno::ESRCH), Err(Errno::EBADF)),
            "{kept}"
        );
    }
    assert!(!connection.is_alive());
}

// covers: SND-5, CHN-7
#[test]
fn a_connection_detached_under_its_senders_is_ebadf() {
    let channel = channel();
    let connection = Arc::new(connect(channel.chid()));
    let clients: Vec<_> = (0..2)
        .map(|_| {
            let connection = Arc::clone(&connection);
            thread::spawn(move || connection.send(b"x", &mut []))
        })
        .collect();
    until_send_blocked(channel.chid(), 2);
    let received = message(&channel);
    connection.detach();
    for client in clients {
        assert_eq!(client.join().expect("no panic"), Err(Errno::EBADF));
    }
    assert_eq!(connection.send(b"x", &mut []), Err(Errno::EBADF));
    crate::suite::blocked::until(|| received.read(0, &mut [0]).is_err());
    assert_eq!(received.reply(0, b""), Err(Errno::ESRCH));
}

// covers: SND-7, RPL-4
#[test]
fn a_message_is_read_at_any_offset_any_number_of_times() {
    for len in [40, 5000] {
        let channel = channel();
        let connection = connect(channel.chid());
        let sent: Vec<u8> = (0..len).map(|at| at as u8).collect();
        let (sender, done) = mpsc::channel();
        thread::scope(|scope| {
            scope.spawn(|| {
                sender
                    .send(connection.send(&sent, &mut []))
                    .expect("somebody waits")
            });
            let message = message(&channel);
            for (offset, want) in [
                (0, 4),
                (len - 2, 2),
                (3, 4),
                (0, 4),
                (len, 0),
                (usize::MAX, 0),
            ] {
                let mut part = [0; 4];
                assert_eq!(message.read(offset, &mut part), Ok(want));
                assert!(want == 0 || part[..want] == sent[offset..offset + want]);
            }
            message.reply(0, b"").expect("the client waits");
        });
        assert_eq!(
            done.recv().expect("it was sent"),
            Ok(Reply { status: 0, len: 0 })
        );
    }
}

// covers: SND-2
#[test]
fn a_receiver_that_waits_takes_the_message_at_once() {
    let channel = channel();
    let connection = connect(channel.chid());
    thread::scope(|scope| {
        let receiver = scope.spawn(|| message(&channel).into_rcvid());
        until_receive_blocked(channel.chid(), 1);
        let client = scope.spawn(|| connection.send(b"x", &mut []));
        let id = receiver.join().expect("no panic");
        let now = on(channel.chid());
        assert_eq!((now.send_blocked, now.reply_blocked), (0, 1));
        assert_eq!(now.blocked[0].rcvid, Some(id));
        channel.reply(id, 0, b"").expect("the client waits");
        assert!(client.join().expect("no panic").is_ok());
    });
}

/// Runs `client` in a thread that gets signals, once `until` says so, until it has ended.
fn interrupted<T: Send>(client: impl FnOnce() -> T + Send, until: impl FnOnce()) -> T {
    extern "C" fn ignore(_: i32) {}
    let action = SigAction::new(
        SigHandler::Handler(ignore),
        SaFlags::empty(),
        SigSet::empty(),
    );
    // SAFETY: the handler does nothing, so it is safe at any moment; nothing else here uses the signal.
    unsafe { sigaction(Signal::SIGUSR1, &action) }.expect("the signal can be handled");
    thread::scope(|scope| {
        let (sender, started) = mpsc::channel();
        let client = scope.spawn(move || {
            sender.send(pthread_self()).expect("somebody waits");
            client()
        });
        let thread = started.recv().expect("it was sent");
        until();
        // Until it sleeps a signal has nothing to interrupt.
        while !client.is_finished() {
            pthread_kill(thread, Signal::SIGUSR1).expect("it runs or has run");
            thread::sleep(Duration::from_millis(1));
        }
        client.join().expect("no panic")
    })
}

// covers: SND-5, CHN-2
#[test]
fn a_signal_ends_a_send_in_either_state_with_eintr() {
    let channel = channel();
    let connection = connect(channel.chid());
    for received in [false, true] {
        let mut id = None;
        let sent = interrupted(
            || connection.send(b"x", &mut []),
            || {
                until_send_blocked(channel.chid(), 1);
                id = received.then(|| message(&channel).into_rcvid());
            },
        );
        assert_eq!(sent, Err(Errno::EINTR));
        if let Some(id) = id {
            assert_eq!(channel.reply(id, 0, b""), Err(Errno::ESRCH));
        }
    }
    assert!(matches!(channel.try_receive(), Ok(None)));
}

// covers: SND-5, CHN-2, TMO-1
#[test]
fn a_signal_asks_a_server_that_keeps_its_clients_and_what_it_says_counts() {
    let timeouts = [BlockedStates::SEND, BlockedStates::REPLY].map(|states| Timeout {
        states,
        duration: Duration::from_secs(3600),
    });
    for timeout in [None, Some(timeouts[0]), Some(timeouts[1])] {
        let answers = [Ok(7), Err(Errno::EINTR), Err(Errno::ECANCELED)];
        for answer in answers {
            let channel = place::create(ChannelFlags::UNBLOCK);
            let connection = connect(channel.chid());
            let send = || match timeout {
                None => connection.send(b"x", &mut []),
                Some(timeout) => connection.send_timeout(b"x", &mut [], timeout),
            };
            let sent = thread::scope(|scope| {
                interrupted(send, || {
                    let id = message(&channel).into_rcvid();
                    let channel = &channel;
                    scope.spawn(move || keep_until_asked(channel, id, answer));
                })
            });
            assert_eq!(sent.map(|reply| reply.status), answer);
        }
    }
}

/// Answers a client when that wants out.
fn keep_until_asked(channel: &Channel, id: Rcvid, answer: Result<i64, Errno>) {
    let asked = pulse(channel);
    assert_eq!((asked.code, asked.value), (PulseCode::UNBLOCK, id.0));
    let answered = match answer {
        Ok(status) => channel.reply(id, status, b""),
        Err(errno) => channel.error(id, errno),
    };
    answered.expect("the client waits");
}
