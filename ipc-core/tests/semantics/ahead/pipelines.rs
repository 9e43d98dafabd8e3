//! Pipelines: the client's side of many messages in flight.

use std::{thread, time::Duration};

use ipc_core::{
    MessageBatch, Pipeline, PipelineOptions, SpinPolicy,
    abi::{Errno, Pid},
};

use super::{LEN, echo, next, numbers, pipeline, pipeline_to, receive, submit, submit_all};
use crate::suite::{
    blocked::{on, until},
    child::{self, say},
    echo::{channel, connect, message},
    place,
};

// covers: RCV-1, SND-3
#[test]
fn replies_come_in_the_order_of_sending_however_the_server_answers() {
    let channel = channel();
    let mut pipeline = pipeline(channel.chid(), 8);
    submit_all(&mut pipeline, 0..8);
    let messages = receive(&channel, 8).take_messages();
    for message in messages.into_iter().rev() {
        let bytes = message.read_vec(0, LEN).expect("its sender waits");
        message.reply(0, &bytes).expect("its sender waits");
    }
    for expected in 0..8 {
        assert_eq!(next(&mut pipeline), Ok(expected));
    }
    assert_eq!(pipeline.next(None).map(drop), Err(Errno::EINVAL));
}

// covers: SND-3
#[test]
fn whoever_only_looks_for_answers_has_handed_its_messages_over() {
    let channel = channel();
    let mut pipeline = pipeline(channel.chid(), 64);
    let mut sent = 0;
    for count in [1, 31, 32, 33, 64] {
        let numbers = sent..sent + count;
        numbers
            .clone()
            .for_each(|number| submit(&mut pipeline, number));
        // Nobody flushes and nobody waits: the server looks by itself.
        assert!(pipeline.try_next().is_none());
        assert_eq!(echo(&mut receive(&channel, 64)), count as usize);
        for number in numbers {
            assert!(pipeline.is_ready());
            assert_eq!(next(&mut pipeline), Ok(number));
        }
        sent += count;
    }
}

// covers: CHN-2
#[test]
fn a_message_that_was_not_handed_over_can_be_given_up() {
    let channel = channel();
    let mut pipeline = pipeline(channel.chid(), 4);
    (0..3).for_each(|number| submit(&mut pipeline, number));
    pipeline.unblock(1).expect("it is in flight");
    until(|| on(channel.chid()).send_blocked == 2);
    echo(&mut receive(&channel, 4));
    let all: Vec<_> = (0..3).map(|_| next(&mut pipeline)).collect();
    assert_eq!(all, [Ok(0), Err(Errno::EINTR), Ok(2)]);
}

// covers: RPL-4, RPL-1
#[test]
fn long_messages_and_replies_are_read_and_written_in_the_arena() {
    let channel = channel();
    let options = PipelineOptions {
        depth: 4,
        len_max: 5000,
        reply_len_max: 3000,
    };
    let mut pipeline = pipeline_to(Pid::SELF, channel.chid(), options);
    for round in 0..6_u8 {
        for at in 0..4 {
            let bytes = vec![round * 4 + at; 4000 + usize::from(at)];
            pipeline.submit(&bytes).expect("there is room");
        }
        pipeline.flush();
        let mut batch = receive(&channel, 4);
        batch
            .reply_each(|message, reply| {
                let mut bytes = vec![0; message.len()];
                assert_eq!(message.read(0, &mut bytes), Ok(bytes.len()));
                assert_eq!(message.reply_len_max(), 3000);
                assert_eq!(reply.append(&bytes), 3000);
                assert_eq!(reply.append(&bytes), 0);
                Ok(bytes.len() as i64)
            })
            .expect("nothing is negative");
        for at in 0..4 {
            let answer = pipeline.next(None).expect("it is in flight");
            assert_eq!(answer.number, u64::from(round * 4 + at));
            let reply = answer.result.expect("a reply");
            assert_eq!(reply.reply().status, 4000 + i64::from(at));
            let mut bytes = vec![0; 5000];
            assert_eq!(reply.read(0, &mut bytes), 3000);
            assert!(bytes[..3000].iter().all(|byte| *byte == round * 4 + at));
        }
    }
}

// covers: CHN-1
#[test]
fn destroying_the_channel_ends_what_is_in_flight_and_what_is_in_a_batch() {
    let channel = channel();
    let mut pipeline = pipeline(channel.chid(), 4);
    submit_all(&mut pipeline, 0..2);
    let mut batch = receive(&channel, 4);
    submit_all(&mut pipeline, 2..4);
    drop(channel);
    for _ in 0..4 {
        assert_eq!(next(&mut pipeline), Err(Errno::ESRCH));
    }
    assert_eq!(pipeline.submit(b"x"), Err(Errno::EBADF));
    assert_eq!(batch.reply_each(|_, _| Ok(0)), Ok(0));
}

// covers: DTH-2, SND-5
#[test]
fn a_server_killed_in_the_middle_of_a_batch_leaves_what_it_answered() {
    let mut server = place::start(
        "crate::ahead::pipelines::inside_a_server_that_answers_three",
        "",
    );
    let options = PipelineOptions {
        depth: 8,
        len_max: LEN,
        reply_len_max: LEN,
    };
    let mut pipeline = pipeline_to(server.pid(), server.said_chid(), options);
    submit_all(&mut pipeline, 0..8);
    assert_eq!(server.said(), "answered");
    server.kill();
    let all: Vec<_> = (0..8).map(|_| next(&mut pipeline)).collect();
    assert_eq!(all[..3], [Ok(0), Ok(1), Ok(2)]);
    assert_eq!(all[3..], [Err(Errno::ESRCH); 5]);
    assert_eq!(pipeline.submit(b"x"), Err(Errno::EBADF));
}

#[test]
#[ignore = "run by a_server_killed_in_the_middle_of_a_batch_leaves_what_it_answered"]
fn inside_a_server_that_answers_three() {
    let channel = channel();
    say(channel.chid());
    let mut received = Vec::new();
    while received.len() < 8 {
        received.extend(receive(&channel, 8).take_messages());
    }
    for message in received.drain(..3) {
        let bytes = message.read_vec(0, LEN).expect("its sender waits");
        message.reply(0, &bytes).expect("its sender waits");
    }
    say("answered");
    child::wait_for_parent();
}

// covers: SND-3, SND-1
#[test]
fn a_pipeline_becomes_a_connection_again_and_its_slots_come_back() {
    let channel = channel();
    let mut pipeline = pipeline(channel.chid(), 4);
    submit_all(&mut pipeline, 0..3);
    let late = receive(&channel, 2).take_messages();
    let connection = pipeline.into_connection();
    let server = thread::spawn(move || {
        let mut late = late.into_iter();
        for _ in 0..9 {
            let message = message(&channel);
            let bytes = message.read_vec(0, LEN).expect("its sender waits");
            message.reply(0, &bytes).expect("its sender waits");
            if let Some(late) = late.next() {
                late.reply(0, b"too late").expect("its slot is still taken");
            }
        }
        channel
    });
    for number in 0..8_u64 {
        let mut reply = [0; LEN];
        connection
            .send(&number.to_ne_bytes(), &mut reply)
            .expect("the server replies");
        assert_eq!(u64::from_ne_bytes(reply), number);
    }
    let _channel = server.join().expect("no panic");
    let options = PipelineOptions {
        depth: 4,
        ..PipelineOptions::default()
    };
    let again = Pipeline::new(connection, &options).expect("every slot came back");
    assert_eq!(again.depth(), 4);
}

// covers: TMO-1, TMO-2
#[test]
fn waiting_for_a_reply_or_a_batch_may_end_before_either_comes() {
    let channel = channel();
    let mut pipeline = pipeline(channel.chid(), 2);
    let mut batch = MessageBatch::with_capacity(2);
    let none = channel.receive_batch_timeout(&mut batch, Duration::ZERO);
    assert_eq!(none, Err(Errno::ETIMEDOUT));
    submit_all(&mut pipeline, 0..1);
    let soon = Duration::from_millis(1);
    assert_eq!(pipeline.next(Some(soon)).map(drop), Err(Errno::ETIMEDOUT));
    echo(&mut receive(&channel, 2));
    assert_eq!(next(&mut pipeline), Ok(0));
}

#[test]
fn what_a_pipeline_cannot_hold_is_refused() {
    let channel = channel();
    let options = |depth, len_max| PipelineOptions {
        depth,
        len_max,
        reply_len_max: 0,
    };
    let new = |options| Pipeline::new(connect(channel.chid()), &options).map(drop);
    assert_eq!(new(options(0, 8)), Err(Errno::EINVAL));
    assert_eq!(new(options(33, 8)), Err(Errno::EINVAL));
    assert_eq!(new(options(1, 1 << 30)), Err(Errno::EMSGSIZE));
    assert_eq!(new(options(32, 16 << 20)), Err(Errno::EAGAIN));
    let mut pipeline = pipeline(channel.chid(), 1);
    assert_eq!(pipeline.submit(&[0; LEN + 1]), Err(Errno::EMSGSIZE));
    assert_eq!(pipeline.submit(b"x"), Ok(0));
    assert_eq!(pipeline.submit(b"x"), Err(Errno::EAGAIN));
}

// covers: RCV-1
#[test]
fn sides_that_never_look_before_they_sleep_lose_no_wake_up() {
    const MESSAGES: u64 = 20_000;
    for (depth, max) in [(1, 1), (7, 3), (64, 64)] {
        let channel = channel();
        channel.set_spin(SpinPolicy::Never);
        let mut pipeline = pipeline(channel.chid(), depth);
        pipeline.set_spin(SpinPolicy::Never);
        let server = thread::spawn(move || {
            let (mut batch, mut expected) = (MessageBatch::with_capacity(max), 0);
            while expected < MESSAGES {
                assert_eq!(channel.receive_batch(&mut batch), Ok(None));
                for number in numbers(&batch) {
                    assert_eq!(number, expected);
                    expected += 1;
                }
                echo(&mut batch);
            }
        });
        let mut sent = 0;
        for expected in 0..MESSAGES {
            while sent < MESSAGES && pipeline.in_flight() < pipeline.depth() {
                submit(&mut pipeline, sent);
                sent += 1;
            }
            assert_eq!(next(&mut pipeline), Ok(expected));
        }
        server.join().expect("no panic");
    }
}
