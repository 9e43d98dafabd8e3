//! TMO: timeouts.

use std::{thread, time::Duration};

use ipc_core::{
    AttachOptions, Timeout,
    abi::{ChannelFlags, Errno, PulseCode},
};
use nix::{
    sys::{
        signal::{Signal, kill},
        wait::{WaitPidFlag, WaitStatus, waitpid},
    },
    unistd::Pid as UnixPid,
};

use crate::suite::{
    blocked::{until, until_send_blocked},
    child::{self, say},
    echo::{channel, connect, message, pulse},
    in_time::received_in_time,
    place,
};

const SHORT: Duration = Duration::from_millis(20);

// covers: TMO-1
#[test]
fn a_timeout_of_send_does_not_end_a_reply_blocked_client() {
    let channel = channel();
    let connection = connect(channel.chid());
    thread::scope(|scope| {
        let (client, received, time) =
            received_in_time(scope, &connection, &channel, Timeout::send);
        thread::sleep(time + SHORT);
        assert_eq!(received.reply(4, b""), Ok(()));
        assert_eq!(
            client.join().expect("no panic").map(|reply| reply.status),
            Ok(4)
        );
    });
}

// covers: TMO-1, CHN-2
#[test]
fn a_timeout_of_send_takes_back_a_message_that_nobody_receives() {
    for flags in [ChannelFlags::empty(), ChannelFlags::UNBLOCK] {
        let channel = place::create(flags);
        let connection = connect(channel.chid());
        for _ in 0..3 {
            let timeout = Timeout::send(SHORT);
            let sent = connection.send_timeout(b"x", &mut [], timeout);
            assert_eq!(sent, Err(Errno::ETIMEDOUT));
        }
        assert!(matches!(channel.try_receive(), Ok(None)));
    }
}

// covers: TMO-1, NET-4
#[test]
fn a_timeout_of_send_that_crosses_the_receipt_ends_a_message_that_nobody_saw_or_none() {
    let channel = channel();
    let connection = connect(channel.chid());
    thread::scope(|scope| {
        let server = scope.spawn(|| {
            let mut received = 0;
            loop {
                let message = message(&channel);
                if message.len() == 0 {
                    message.reply(0, b"").expect("the client waits");
                    return received;
                }
                received += 1;
                // The next one comes while nobody receives.
                thread::sleep(Duration::from_micros(700));
                assert_eq!(message.reply(1, b""), Ok(()), "its time of SEND is over");
                thread::sleep(Duration::from_micros(800));
            }
        });
        let mut answered = 0;
        for _ in 0..200 {
            let timeout = Timeout::send(Duration::from_micros(800));
            match connection.send_timeout(b"x", &mut [], timeout) {
                Ok(_) => answered += 1,
                Err(error) => assert_eq!(error, Errno::ETIMEDOUT),
            }
        }
        connection.send(b"", &mut []).expect("it still serves");
        assert_eq!(server.join().expect("no panic"), answered);
    });
}

// covers: TMO-1
#[test]
fn a_timeout_of_reply_does_not_end_a_send_blocked_client() {
    let channel = channel();
    let connection = connect(channel.chid());
    thread::scope(|scope| {
        let timeout = Timeout::reply(SHORT);
        let client = scope.spawn(move || connection.send_timeout(b"x", &mut [], timeout));
        until_send_blocked(channel.chid(), 1);
        thread::sleep(3 * SHORT);
        let id = message(&channel).into_rcvid();
        // From now on it counts.
        assert_eq!(client.join().expect("no panic"), Err(Errno::ETIMEDOUT));
        assert_eq!(channel.reply(id, 0, b""), Err(Errno::ESRCH));
    });
}

// covers: TMO-1
#[test]
fn a_timeout_covers_the_next_send_only() {
    let channel = channel();
    let connection = connect(channel.chid());
    assert_eq!(
        connection.send_timeout(b"x", &mut [], Timeout::all(SHORT)),
        Err(Errno::ETIMEDOUT)
    );
    thread::scope(|scope| {
        let client = scope.spawn(|| connection.send(b"y", &mut []));
        until_send_blocked(channel.chid(), 1);
        thread::sleep(3 * SHORT);
        let received = message(&channel);
        assert_eq!(received.read_vec(0, 9).as_deref(), Ok(b"y".as_slice()));
        assert_eq!(received.reply(0, b""), Ok(()));
        assert!(client.join().expect("no panic").is_ok());
    });
}

// covers: TMO-1, CHN-2
#[test]
fn a_client_that_gave_up_can_send_again_at_once_however_often() {
    let channel = channel();
    let connection = connect(channel.chid());
    thread::scope(|scope| {
        let server = scope.spawn(|| {
            let mut kept = Vec::new();
            loop {
                let message = message(&channel);
                match message.len() {
                    0 => break message.reply(7, b""),
                    _ => kept.push(message.into_rcvid()),
                }
            }
        });
        // More often than the connection has slots: what was given up must not stay taken.
        for _ in 0..100 {
            let timeout = Timeout::all(Duration::from_millis(2));
            assert_eq!(
                connection.send_timeout(b"x", &mut [], timeout),
                Err(Errno::ETIMEDOUT)
            );
        }
        assert_eq!(
            connection.send(b"", &mut []).map(|reply| reply.status),
            Ok(7)
        );
        assert_eq!(server.join().expect("no panic"), Ok(()));
    });
}

// covers: TMO-2
#[test]
fn an_immediate_timeout_of_a_send_takes_no_answer_from_a_server_that_is_not_there() {
    let channel = channel();
    let connection = connect(channel.chid());
    let timeout = Timeout::all(Duration::ZERO);
    assert_eq!(
        connection.send_timeout(b"x", &mut [], timeout),
        Err(Errno::ETIMEDOUT)
    );
    assert!(matches!(channel.try_receive(), Ok(None)));
}

// covers: TMO-1, DTH-1
#[test]
fn a_sender_that_waits_for_the_slot_of_an_abandoned_message_gets_it_once_that_is_answered() {
    let mut server = place::start("timeouts::inside_a_server_that_serves", "");
    let (pid, chid) = (server.pid(), server.said_chid());
    let options = AttachOptions {
        slots: 1,
        ..AttachOptions::default()
    };
    let connection = place::attach_with(pid, chid, &options).expect("it lives");
    let process = UnixPid::from_raw(pid.0);
    kill(process, Signal::SIGSTOP).expect("it lives");
    let stopped = WaitStatus::Stopped(process, Signal::SIGSTOP);
    assert_eq!(waitpid(process, Some(WaitPidFlag::WUNTRACED)), Ok(stopped));
    // Nobody in the server's process acknowledges that the client gives up: its slot stays taken.
    let given_up = connection.send_timeout(b"x", &mut [], Timeout::all(SHORT));
    assert_eq!(given_up, Err(Errno::ETIMEDOUT));
    thread::scope(|scope| {
        let client = scope.spawn(|| connection.send(b"y", &mut []));
        thread::sleep(SHORT);
        kill(process, Signal::SIGCONT).expect("it lives");
        assert!(client.join().expect("no panic").is_ok());
    });
}

#[test]
#[ignore = "run by a_sender_that_waits_for_the_slot_of_an_abandoned_message_gets_it_once_that_is_answered"]
fn inside_a_server_that_serves() {
    let server = crate::suite::echo::Server::start(ChannelFlags::empty(), |message| {
        // A message that was given up is refused: nobody waits for it.
        let _ = message.reply(0, b"");
    });
    say(server.chid);
    child::wait_for_parent();
}

// covers: TMO-3, CHN-2
#[test]
fn a_timeout_of_reply_becomes_an_unblock_request() {
    let channel = place::create(ChannelFlags::UNBLOCK);
    let connection = connect(channel.chid());
    thread::scope(|scope| {
        let timeout = Timeout::reply(SHORT);
        let client = scope.spawn(move || connection.send_timeout(b"x", &mut [], timeout));
        let id = message(&channel).into_rcvid();
        let told = pulse(&channel);
        assert_eq!((told.code, told.value), (PulseCode::UNBLOCK, id.0));
        assert_eq!(channel.error(id, Errno::EINTR), Ok(()));
        assert_eq!(client.join().expect("no panic"), Err(Errno::EINTR));
    });
}

// covers: TMO-1
#[test]
fn answers_that_cross_a_timeout_are_taken_or_lost_whole() {
    let channel = channel();
    let connection = connect(channel.chid());
    thread::scope(|scope| {
        let server = scope.spawn(|| {
            let mut delivered = 0;
            loop {
                let message = message(&channel);
                if message.len() == 0 {
                    message.reply(0, b"").expect("the client waits");
                    return delivered;
                }
                let number = message.read_vec(0, 4);
                thread::sleep(Duration::from_micros(900));
                let Ok(number) = number else { continue };
                delivered += i32::from(message.reply(1, &number).is_ok());
            }
        });
        let mut answered = 0;
        for number in 0..300_u32 {
            let sent = number.to_le_bytes();
            let mut reply = [0; 4];
            let timeout = Timeout::all(Duration::from_millis(1));
            match connection.send_timeout(&sent, &mut reply, timeout) {
                Ok(_) => {
                    assert_eq!(reply, sent, "another message's answer");
                    answered += 1;
                }
                Err(error) => assert_eq!(error, Errno::ETIMEDOUT),
            }
        }
        connection
            .send(b"", &mut [])
            .expect("the server still serves");
        assert_eq!(server.join().expect("no panic"), answered);
    });
    until(|| {
        channel
            .try_receive()
            .is_ok_and(|received| received.is_none())
    });
}
