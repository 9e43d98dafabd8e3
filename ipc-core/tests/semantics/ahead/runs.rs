//! Runs: messages that are received, answered or submitted by themselves, many at one look.

use std::{collections::VecDeque, time::Duration};

use ipc_core::{
    AttachOptions, Channel, CompletionQueue, Connection, Received, ReceivedMessage, ShortMessage,
    SpinPolicy,
    abi::{Chid, Errno, Pid, PulseCode},
};

use crate::suite::{echo::channel, place};

/// More than fit into what small messages keep in place.
const LENS: [usize; 4] = [0, 8, 80, 3000];
/// Of each connection.
const SLOTS: u32 = 64;

fn connect(chid: Chid, queue: &CompletionQueue) -> Connection {
    let options = AttachOptions {
        queue: Some(queue),
        slots: SLOTS,
        ..AttachOptions::default()
    };
    place::attach_with(Pid::SELF, chid, &options).expect("the channel lives")
}

/// Submits short messages with tokens from `first` on; answers how many found room.
fn submit(connection: &Connection, first: u64, messages: &[&[u8]]) -> Result<usize, Errno> {
    let numbered = messages.iter().zip(first..);
    connection.enqueue_run(numbered.map(|(bytes, token)| ShortMessage {
        bytes,
        reply_len: 8,
        token,
    }))
}

/// Receives until `count` messages are there; pulses are left out.
fn receive(channel: &Channel, count: usize) -> Vec<ReceivedMessage> {
    let mut received = Vec::new();
    let mut messages = Vec::new();
    while messages.len() < count {
        let came = channel
            .try_receive_many(count - messages.len(), &mut received)
            .expect("it lives");
        assert_eq!(came, received.len());
        if came == 0 {
            // Between nodes it takes a while.
            std::thread::sleep(Duration::from_millis(1));
        }
        messages.extend(received.drain(..).filter_map(|one| match one {
            Received::Message(message) => Some(message),
            Received::Pulse(_) => None,
        }));
    }
    messages
}

// covers: RCV-1, SND-3
#[test]
fn a_run_comes_in_order_and_every_message_has_its_own_answer() {
    let channel = channel();
    let queue = CompletionQueue::new().expect("a queue can be made");
    let connection = connect(channel.chid(), &queue);
    for token in 0..40_u64 {
        let message = vec![token as u8; LENS[token as usize % LENS.len()]];
        let mut loan = connection.loan(message.len(), 0).expect("there is room");
        loan.write(0, &message);
        connection.enqueue(loan, token).expect("its own loan");
    }
    connection.flush();
    let messages = receive(&channel, 40);
    for (token, message) in messages.iter().enumerate() {
        let bytes = message.read_vec(0, usize::MAX).expect("its sender waits");
        assert_eq!(bytes, vec![token as u8; LENS[token % LENS.len()]]);
    }
    let statuses = messages.into_iter().zip(100..);
    channel
        .reply_all(&mut statuses.collect())
        .expect("all are of this channel");
    let mut answers = VecDeque::new();
    while answers.len() < 40 {
        let first = queue.next(None).expect("forty were answered");
        answers.push_back(first);
        queue.take_all(&mut answers);
    }
    for answer in answers {
        let status = answer.result.expect("a reply").reply().status;
        assert_eq!(status, 100 + answer.token as i64);
    }
}

// covers: SND-3, RPL-4
#[test]
fn a_run_ends_where_there_is_no_room_and_goes_on_when_answers_are_taken() {
    let channel = channel();
    let queue = CompletionQueue::new().expect("a queue can be made");
    let connection = connect(channel.chid(), &queue);
    let bytes: Vec<[u8; 1]> = (0..100).map(|byte| [byte]).collect();
    let messages: Vec<&[u8]> = bytes.iter().map(|byte| &byte[..]).collect();
    let slots = SLOTS as usize;
    assert_eq!(submit(&connection, 0, &messages), Ok(slots));
    assert_eq!(submit(&connection, 0, &messages), Err(Errno::EAGAIN));
    connection.flush();
    for message in receive(&channel, slots) {
        let byte = message.read_vec(0, 2).expect("its sender waits");
        message.reply(5, &[byte[0], 7]).expect("its sender waits");
    }
    let mut answers = VecDeque::new();
    while answers.len() < slots {
        answers.push_back(queue.next(None).expect("all were answered"));
        queue.take_all(&mut answers);
    }
    assert_eq!(
        submit(&connection, 0, &messages),
        Ok(slots),
        "while the answers are held"
    );
    for answer in answers {
        let reply = answer.result.expect("a reply");
        assert_eq!((reply.reply().status, reply.reply().len), (5, 2));
        assert_eq!(
            (reply.extents(), reply.mapped(0, 1).is_none()),
            ((2, (0, 0)), true)
        );
        let mut bytes = [9; 4];
        assert_eq!(
            (reply.read(0, &mut bytes), bytes),
            (2, [answer.token as u8, 7, 9, 9])
        );
        assert_eq!((reply.read(1, &mut bytes), bytes[0]), (1, 7));
        assert_eq!(reply.read(3, &mut bytes), 0);
    }
}

// covers: SND-3
#[test]
fn one_that_is_too_long_ends_a_run_and_is_refused_by_itself() {
    let channel = channel();
    let queue = CompletionQueue::new().expect("a queue can be made");
    let connection = connect(channel.chid(), &queue);
    let long = [1; 81];
    assert_eq!(submit(&connection, 0, &[b"short", &long, b"behind"]), Ok(1));
    assert_eq!(submit(&connection, 1, &[&long]), Err(Errno::EMSGSIZE));
    connection.flush();
    assert_eq!(receive(&channel, 1)[0].len(), 5);
    let end = connection;
    end.detach();
    assert_eq!(submit(&end, 2, &[b"late"]), Err(Errno::EBADF));
}

// covers: RPL-1
#[test]
fn a_message_of_another_channel_or_a_negative_status_answers_nobody() {
    let (channel, other) = (channel(), channel());
    let queue = CompletionQueue::new().expect("a queue can be made");
    let connection = connect(channel.chid(), &queue);
    assert_eq!(submit(&connection, 0, &[b"m", b"m"]), Ok(2));
    connection.flush();
    let mut answers: Vec<_> = receive(&channel, 2).into_iter().zip([0, -1]).collect();
    assert_eq!(channel.reply_all(&mut answers), Err(Errno::EINVAL));
    answers[1].1 = 1;
    assert_eq!(other.reply_all(&mut answers), Err(Errno::EINVAL));
    assert_eq!((answers.len(), queue.try_next().is_none()), (2, true));
    assert_eq!(channel.reply_all(&mut answers), Ok(()));
    assert!(answers.is_empty());
    for _ in 0..2 {
        let answer = queue.next(None).expect("two were answered");
        assert_eq!(
            answer.result.expect("a reply").reply().status,
            answer.token as i64
        );
    }
}

// covers: RPL-1
#[test]
fn a_client_that_has_gone_is_passed_over_and_the_others_are_woken() {
    let channel = channel();
    std::thread::scope(|scope| {
        let send = |message: &'static [u8]| {
            let connection = place::attach(Pid::SELF, channel.chid()).expect("it lives");
            scope.spawn(move || connection.send(message, &mut []).map(|reply| reply.status))
        };
        let queue = CompletionQueue::new().expect("a queue can be made");
        let leaving = connect(channel.chid(), &queue);
        assert_eq!(submit(&leaving, 0, &[b"gone"]), Ok(1));
        leaving.flush();
        let mut messages = receive(&channel, 1);
        let clients = [send(b"stays"), send(b"stays too")];
        messages.extend(receive(&channel, 2));
        drop(leaving);
        while messages[0].read_vec(0, 4).is_ok() {
            std::thread::sleep(Duration::from_millis(1));
        }
        let mut answers = messages.into_iter().zip(7..).collect();
        assert_eq!(channel.reply_all(&mut answers), Ok(()));
        let mut statuses = clients.map(|client| client.join().expect("no panic").expect("a reply"));
        statuses.sort_unstable();
        assert_eq!(statuses, [8, 9]);
    });
}

// covers: RCV-1
#[test]
fn a_run_holds_pulses_where_they_stand_and_ends_at_its_bound() {
    let channel = channel();
    for value in 0..3 {
        channel.send_pulse(10, PulseCode(1), value).expect("room");
    }
    let mut received = Vec::new();
    assert_eq!(channel.try_receive_many(2, &mut received), Ok(2));
    assert_eq!(channel.try_receive_many(2, &mut received), Ok(1));
    assert_eq!(channel.try_receive_many(2, &mut received), Ok(0));
    let values = received.iter().map(|one| match one {
        Received::Pulse(pulse) => pulse.value,
        Received::Message(message) => panic!("nobody sent {message:?}"),
    });
    assert_eq!(Vec::from_iter(values), [0, 1, 2]);
}

// covers: RPL-1
#[test]
fn who_is_told_quietly_sleeps_until_it_is_woken_and_finds_everything() {
    let channel = channel();
    std::thread::scope(|scope| {
        let clients = [b"one", b"two"].map(|message| {
            let connection = place::attach(Pid::SELF, channel.chid()).expect("it lives");
            connection.set_spin(SpinPolicy::Never);
            scope.spawn(move || connection.send(message, &mut []).map(|reply| reply.status))
        });
        let messages = receive(&channel, 2);
        // Blocked for long enough to sleep, most likely; who does not is told by its own look.
        std::thread::sleep(Duration::from_millis(50));
        let mut answers = messages.into_iter().zip([3, 4]).collect();
        let mut wakes = Vec::new();
        assert_eq!(channel.reply_all_quietly(&mut answers, &mut wakes), Ok(()));
        assert!(answers.is_empty());
        assert!(wakes.len() <= 2, "at most one for each sleeper");
        for wake in wakes {
            wake.make();
        }
        let mut statuses = clients.map(|client| client.join().expect("no panic").expect("a reply"));
        statuses.sort_unstable();
        assert_eq!(statuses, [3, 4]);
    });
}

// covers: RCV-1
#[test]
fn a_server_that_is_told_quietly_sleeps_until_it_is_woken() {
    let channel = channel();
    channel.set_spin(SpinPolicy::Never);
    let queue = CompletionQueue::new().expect("a queue can be made");
    let connection = connect(channel.chid(), &queue);
    std::thread::scope(|scope| {
        let server = scope.spawn(|| match channel.receive() {
            Ok(Received::Message(message)) => message.reply(5, &[]),
            other => panic!("{other:?}"),
        });
        std::thread::sleep(Duration::from_millis(50));
        assert_eq!(submit(&connection, 0, &[b"m"]), Ok(1));
        if let Some(wake) = connection.flush_quietly() {
            wake.make();
        }
        let answer = queue.next(None).expect("one was answered");
        assert_eq!(answer.result.expect("a reply").reply().status, 5);
        server.join().expect("no panic").expect("its client waits");
    });
}
