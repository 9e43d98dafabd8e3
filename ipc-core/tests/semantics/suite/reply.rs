//! RPL: replying, reading, writing.

use std::thread;

use ipc_core::{
    Reply,
    abi::{Errno, Rcvid},
};

use crate::suite::echo::{channel, connect, message};

// covers: RPL-1
#[test]
fn a_second_reply_is_esrch_and_never_reaches_another_message() {
    let channel = channel();
    let connection = connect(channel.chid());
    let mut stale: Vec<Rcvid> = Vec::new();
    for round in 0..100 {
        thread::scope(|scope| {
            let client = scope.spawn(|| connection.send(b"x", &mut [0; 1]));
            let id = message(&channel).into_rcvid();
            for stale in &stale {
                assert_ne!(*stale, id);
                assert_eq!(channel.reply(*stale, 666, b"!"), Err(Errno::ESRCH));
                assert_eq!(channel.error(*stale, Errno::EIO), Err(Errno::ESRCH));
                assert_eq!(channel.write(*stale, 0, b"!"), Err(Errno::ESRCH));
                assert_eq!(channel.read(*stale, 0, &mut [0]), Err(Errno::ESRCH));
                assert_eq!(channel.info(*stale), Err(Errno::ESRCH));
            }
            assert_eq!(channel.reply(id, round, b""), Ok(()));
            assert_eq!(channel.reply(id, 666, b"!"), Err(Errno::ESRCH));
            let answer = client.join().expect("no panic");
            assert_eq!(
                answer,
                Ok(Reply {
                    status: round,
                    len: 0
                })
            );
            stale.push(id);
        });
    }
}

// covers: RPL-1
#[test]
fn ids_that_nobody_got_are_esrch() {
    let channel = channel();
    for id in [0, 1, -1, i64::MAX, i64::MIN, 1 << 32] {
        assert_eq!(channel.reply(Rcvid(id), 0, b""), Err(Errno::ESRCH));
    }
}

// covers: RPL-1, RPL-6
#[test]
fn any_thread_may_reply_also_after_the_receiving_one_ended() {
    let channel = channel();
    let connection = connect(channel.chid());
    thread::scope(|scope| {
        let client = scope.spawn(|| connection.send(b"x", &mut []));
        let receiver = scope.spawn(|| message(&channel).into_rcvid());
        let id = receiver.join().expect("no panic");
        assert!(channel.info(id).is_ok());
        let replier = scope.spawn({
            let channel = &channel;
            move || channel.reply(id, 3, b"")
        });
        assert_eq!(replier.join().expect("no panic"), Ok(()));
        assert_eq!(
            client.join().expect("no panic"),
            Ok(Reply { status: 3, len: 0 })
        );
    });
}

// covers: RPL-3
#[test]
fn an_error_of_eok_makes_the_send_answer_zero() {
    let channel = channel();
    let connection = connect(channel.chid());
    thread::scope(|scope| {
        let client = scope.spawn(|| connection.send(b"x", &mut []));
        assert_eq!(message(&channel).error(Errno(0)), Ok(()));
        assert_eq!(
            client.join().expect("no panic"),
            Ok(Reply { status: 0, len: 0 })
        );
    });
}

// covers: RPL-3
#[test]
fn an_error_of_erestart_makes_the_library_send_again() {
    let channel = channel();
    let connection = connect(channel.chid());
    thread::scope(|scope| {
        let client = scope.spawn(|| connection.send(b"again", &mut []));
        for _ in 0..3 {
            let message = message(&channel);
            assert_eq!(message.read_vec(0, 9).as_deref(), Ok(b"again".as_slice()));
            assert_eq!(message.error(Errno::ERESTART), Ok(()));
        }
        assert_eq!(message(&channel).reply(5, b""), Ok(()));
        assert_eq!(
            client.join().expect("no panic").map(|reply| reply.status),
            Ok(5)
        );
    });
}

// covers: RPL-3
#[test]
fn a_loan_is_sent_again_after_an_error_of_erestart() {
    let channel = channel();
    let connection = connect(channel.chid());
    thread::scope(|scope| {
        for len in [5, 5000] {
            let connection = &connection;
            let client = scope.spawn(move || {
                let mut loan = connection.loan(len, len).expect("there is room");
                loan.write(0, &vec![7; len]);
                connection
                    .send_loan(loan)
                    .map(|answer| answer.reply().status)
            });
            for _ in 0..3 {
                let message = message(&channel);
                assert_eq!(message.read_vec(0, len), Ok(vec![7; len]));
                assert_eq!(message.error(Errno::ERESTART), Ok(()));
            }
            assert_eq!(message(&channel).reply(5, b""), Ok(()));
            assert_eq!(client.join().expect("no panic"), Ok(5));
        }
    });
}

// covers: RPL-4
#[test]
fn what_was_written_stays_when_the_reply_is_empty() {
    for room in [10, 300] {
        let channel = channel();
        let connection = connect(channel.chid());
        thread::scope(|scope| {
            let client = scope.spawn(|| {
                let mut reply = vec![b'-'; room];
                let answer = connection.send(b"x", &mut reply);
                (answer, reply)
            });
            let message = message(&channel);
            assert_eq!(message.write(2, b"cd"), Ok(2));
            assert_eq!(message.write(0, b"ab"), Ok(2));
            assert_eq!(message.write(room - 1, b"yz"), Ok(1));
            assert_eq!(message.write(room, b"zz"), Ok(0));
            assert_eq!(message.write(usize::MAX, b"zz"), Ok(0));
            message.reply(1, b"").expect("the client waits");
            let (answer, reply) = client.join().expect("no panic");
            assert_eq!(answer.map(|reply| reply.status), Ok(1));
            assert_eq!((&reply[..4], reply[room - 1]), (b"abcd".as_slice(), b'y'));
            assert!(answer.is_ok_and(|answer| answer.len >= 4));
        });
    }
}

// covers: RPL-4
#[test]
fn the_replys_own_bytes_go_over_what_was_written() {
    let channel = channel();
    let connection = connect(channel.chid());
    thread::scope(|scope| {
        let client = scope.spawn(|| {
            let mut reply = [b'-'; 6];
            (
                connection
                    .send(b"x", &mut reply)
                    .map(|answer| answer.status),
                reply,
            )
        });
        let message = message(&channel);
        assert_eq!(message.write(0, b"abcd"), Ok(4));
        message.reply(0, b"XY").expect("the client waits");
        let (status, reply) = client.join().expect("no panic");
        assert_eq!((status, &reply[..4]), (Ok(0), b"XYcd".as_slice()));
    });
}

// covers: RPL-5
#[test]
fn info_answers_while_the_client_is_reply_blocked_only() {
    let channel = channel();
    let connection = connect(channel.chid());
    thread::scope(|scope| {
        scope.spawn(|| connection.send(b"x", &mut [0; 3]));
        let id = message(&channel).into_rcvid();
        assert_eq!(channel.info(id).map(|info| info.dstmsglen), Ok(3));
        channel.reply(id, 0, b"").expect("the client waits");
        assert_eq!(channel.info(id), Err(Errno::ESRCH));
    });
}

// covers: RPL-6
#[test]
fn a_message_dropped_unanswered_is_answered_with_an_error_and_counted() {
    let channel = channel();
    let connection = connect(channel.chid());
    thread::scope(|scope| {
        let client = scope.spawn(|| connection.send(b"x", &mut []));
        drop(message(&channel));
        assert_eq!(client.join().expect("no panic"), Err(Errno::EIO));
    });
    assert_eq!(channel.stats().dropped_unanswered, 1);
}
