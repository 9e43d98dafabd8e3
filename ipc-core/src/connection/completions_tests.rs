//! Completion queues with more than one thread, and what they tell besides answers.

use super::*;
use crate::{
    AttachOptions, Channel, Connection, Received, ShortMessage,
    abi::{ChannelFlags, Nd, Pid},
};

/// Longer than any machine needs: a test that would hang fails.
const PATIENT: Duration = Duration::from_secs(60);

/// A channel, and a connection to it whose messages are answered through the queue.
fn attached() -> (Channel, CompletionQueue, Connection) {
    let channel = Channel::create(ChannelFlags::empty()).unwrap();
    let queue = CompletionQueue::new().unwrap();
    let options = AttachOptions {
        queue: Some(&queue),
        ..AttachOptions::default()
    };
    let connection = Connection::attach_with(Nd::LOCAL, Pid::SELF, channel.chid(), &options);
    (channel, queue, connection.unwrap())
}

#[test]
fn what_one_thread_finds_for_two_wakes_the_other() {
    let (channel, queue, connection) = attached();
    for token in [1, 2] {
        let loan = connection.loan(0, 0).unwrap();
        connection.submit(loan, token).unwrap();
    }
    for _ in 0..2 {
        let Received::Message(message) = channel.receive().unwrap() else {
            panic!("not a message");
        };
        message.reply(0, b"").unwrap();
    }
    // One thread has taken the bits, so that the other finds none and sleeps, and only then says what it found.
    let mut found = VecDeque::new();
    queue.0.harvest(&mut found);
    assert_eq!(found.len(), 2);
    let (tell, told) = std::sync::mpsc::channel();
    let others = queue.clone();
    std::thread::spawn(move || tell.send(others.next(None)));
    while !*queue.0.turn_taken.lock().unwrap() {
        std::thread::yield_now();
    }
    std::thread::sleep(Duration::from_millis(50));
    let own = queue.0.share(found).unwrap();
    let others = told.recv_timeout(PATIENT).expect("it wakes").unwrap();
    assert_eq!((own.token, others.token), (1, 2));
}

// covers: TMO-1
#[test]
fn who_wants_to_know_is_told_when_its_message_is_received_and_of_which_answers_are_no_servers() {
    let (channel, queue, connection) = attached();
    let receive = || match channel.receive().unwrap() {
        Received::Message(message) => message,
        other => panic!("{other:?} is no message"),
    };
    let mut taken = Taken::default();
    for token in [1, 2, 3] {
        let loan = connection.loan(0, 0).unwrap();
        connection.enqueue_reporting(loan, token).unwrap();
    }
    connection.flush();
    assert!(!queue.arm(&mut Vec::new()));
    let first = receive();
    assert!(queue.arm(&mut Vec::new()), "it is woken");
    queue.take_apart(&mut taken);
    assert_eq!(
        (taken.completions.len(), taken.received.as_slice()),
        (0, [1].as_slice())
    );
    first.error(Errno::EINTR).unwrap();
    let answer = queue.next(Some(PATIENT)).unwrap();
    let said = (answer.token, answer.result.err(), answer.let_go);
    assert_eq!(said, (1, Some(Errno::EINTR), false));
    connection.withdraw(2).unwrap();
    let answer = queue.next(Some(PATIENT)).unwrap();
    let said = (answer.token, answer.result.err(), answer.let_go);
    assert_eq!(said, (2, Some(Errno::EINTR), true));
    // Both at one look: the answer says it.
    receive().reply(0, b"").unwrap();
    assert_eq!(queue.next(Some(PATIENT)).unwrap().token, 3);
    queue.take_apart(&mut taken);
    assert_eq!(
        taken.received,
        [1],
        "each once, and nothing of what is answered"
    );
}

#[test]
fn answers_that_are_no_more_than_a_status_are_taken_apart_and_give_their_places_back() {
    let (channel, queue, connection) = attached();
    let slots = AttachOptions::default().slots as usize;
    let mut taken = Taken::default();
    for round in 0..3 {
        let message = |token| ShortMessage {
            bytes: b"short",
            reply_len: 4,
            token,
        };
        let tokens = (0..slots as u64).map(|at| round * 1000 + at);
        assert_eq!(connection.enqueue_run(tokens.map(message)), Ok(slots));
        connection.flush();
        for at in 0..slots {
            let Received::Message(message) = channel.receive().unwrap() else {
                panic!("not a message");
            };
            match at % 4 {
                0 => message.reply(7, b"word").unwrap(),
                1 => message.error(Errno::EIO).unwrap(),
                _ => message.reply(at as i64, b"").unwrap(),
            }
        }
        queue.take_apart(&mut taken);
        // Noticed slot by slot, and slots are used again in another order.
        let statuses = taken.statuses.drain(..);
        let mut statuses: Vec<_> = statuses
            .map(|(token, status)| (token % 1000, status))
            .collect();
        statuses.sort_unstable();
        let expected = (0..slots as u64).filter(|at| at % 4 > 1);
        let expected: Vec<_> = expected.map(|at| (at, at as i64)).collect();
        assert_eq!(statuses, expected);
        let others = taken.completions.drain(..).map(|other| match other.result {
            Ok(reply) => (other.token % 4, reply.reply().len as i32),
            Err(errno) => (other.token % 4, errno.0),
        });
        let (replies, errors): (Vec<_>, Vec<_>) = others.partition(|(at, _)| *at == 0);
        assert_eq!(
            (replies.len(), errors.len()),
            (slots.div_ceil(4), (slots + 2) / 4)
        );
        assert!(replies.iter().all(|(_, len)| *len == 4));
        assert!(errors.iter().all(|(_, errno)| *errno == Errno::EIO.0));
    }
}
