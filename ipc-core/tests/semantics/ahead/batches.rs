//! Batches: the server's side of many messages in flight.

use std::thread;

use ipc_core::{
    AttachOptions, CompletionQueue, MessageBatch, Pipeline, PipelineOptions, Received,
    abi::{ChannelFlags, Errno, Pid, PulseCode, Rcvid},
    set_priority, snapshot,
};

use super::{LEN, echo, next, number, numbers, pipeline, pipeline_to, receive, submit, submit_all};
use crate::suite::{
    blocked::{on, until},
    echo::{channel, connect, message, pulse},
    place,
    priority::{become_real_time, kernel_priority},
};

// covers: RCV-1
#[test]
fn a_batch_is_in_order_of_priority_then_of_sending() {
    for max in [1, 2, 3, 5, 64] {
        let channel = channel();
        let mut pipeline = pipeline(channel.chid(), 8);
        for (number, priority) in [10, 10, 30, 10, 20, 30, 5].into_iter().enumerate() {
            set_priority(priority);
            submit(&mut pipeline, number as u64);
        }
        pipeline.flush();
        let mut received = Vec::new();
        while received.len() < 7 {
            let mut batch = receive(&channel, max);
            assert!(batch.len() <= max);
            received.extend(numbers(&batch));
            echo(&mut batch);
        }
        assert_eq!(received, [2, 5, 4, 0, 1, 3, 6], "at most {max} at a time");
        for expected in 0..7 {
            assert_eq!(next(&mut pipeline), Ok(expected));
        }
    }
}

// covers: RCV-1
#[test]
fn a_batch_takes_the_messages_of_a_more_urgent_client_first() {
    for max in [1, 3, 64] {
        let channel = channel();
        let (mut patient, mut urgent) = (pipeline(channel.chid(), 8), pipeline(channel.chid(), 8));
        let take = |received: &mut Vec<u64>| {
            let mut batch = receive(&channel, max);
            received.extend(numbers(&batch));
            echo(&mut batch);
        };
        set_priority(10);
        submit_all(&mut patient, 0..4);
        // The first batch finds one ring with something in it, the others two.
        let mut received = Vec::new();
        take(&mut received);
        submit_all(&mut patient, 4..6);
        set_priority(20);
        submit_all(&mut urgent, 10..12);
        let before = received.len();
        while received.len() < 8 {
            take(&mut received);
        }
        let first: Vec<_> = received.splice(before..before + 2, []).collect();
        assert_eq!(first, [10, 11], "{max} at a time");
        assert_eq!(received, [0, 1, 2, 3, 4, 5], "{max} at a time");
    }
}

// covers: PRI-1
#[test]
fn a_real_time_server_answers_each_message_of_a_batch_at_its_senders_priority() {
    let channel = channel();
    let mut pipeline = pipeline(channel.chid(), 8);
    for priority in [7, 30, 7, 30, 3] {
        set_priority(priority);
        submit(&mut pipeline, u64::from(priority));
    }
    pipeline.flush();
    pipeline
        .send_pulse(Some(2), PulseCode(1), 0)
        .expect("there is room");
    thread::scope(|scope| {
        scope.spawn(|| {
            if !become_real_time(5) {
                return;
            }
            let mut batch = receive(&channel, 8);
            assert_eq!(kernel_priority(), 30);
            let mut seen = Vec::new();
            let answered = batch.reply_each(|message, _| {
                seen.push((message.priority(), kernel_priority()));
                Ok(0)
            });
            assert_eq!(answered, Ok(5));
            assert_eq!(seen, [(30, 30), (30, 30), (7, 7), (7, 7), (3, 3)]);
            let pulse = channel.receive_batch(&mut batch).expect("it lives");
            assert!(pulse.is_some());
            assert_eq!(kernel_priority(), 2);
        });
    });
}

// covers: RCV-1, PLS-2
#[test]
fn a_pulse_comes_between_batches_where_its_turn_is() {
    let channel = channel();
    let mut pipeline = pipeline(channel.chid(), 8);
    set_priority(10);
    submit_all(&mut pipeline, 0..2);
    pipeline
        .send_pulse(None, PulseCode(1), 7)
        .expect("there is room");
    submit_all(&mut pipeline, 2..4);
    pipeline
        .send_pulse(Some(99), PulseCode(2), 8)
        .expect("there is room");
    let mut batch = MessageBatch::with_capacity(8);
    let urgent = channel
        .receive_batch(&mut batch)
        .unwrap()
        .expect("a pulse first");
    assert_eq!((urgent.code, urgent.value), (PulseCode(2), 8));
    assert_eq!(channel.receive_batch(&mut batch), Ok(None));
    assert_eq!(numbers(&batch), [0, 1]);
    echo(&mut batch);
    let second = channel
        .receive_batch(&mut batch)
        .unwrap()
        .expect("then the other");
    assert_eq!(second.value, 7);
    assert!(batch.is_empty());
    assert_eq!(channel.receive_batch(&mut batch), Ok(None));
    assert_eq!(numbers(&batch), [2, 3]);
}

// covers: RCV-1, SND-3
#[test]
fn messages_of_several_connections_come_in_one_batch_in_the_order_of_sending() {
    let channel = channel();
    let mut pipelines: Vec<_> = (0..3).map(|_| pipeline(channel.chid(), 4)).collect();
    for number in 0..12 {
        submit(&mut pipelines[number as usize % 3], number);
    }
    pipelines.iter_mut().for_each(Pipeline::flush);
    let mut batch = receive(&channel, 64);
    assert_eq!(numbers(&batch), Vec::from_iter(0..12));
    assert_eq!(echo(&mut batch), 12);
    for number in 0..12 {
        assert_eq!(next(&mut pipelines[number as usize % 3]), Ok(number));
    }
}

// covers: SND-7
#[test]
fn a_short_message_of_a_batch_is_there_without_a_copy_and_a_longer_one_is_not() {
    let channel = channel();
    let options = PipelineOptions {
        depth: 3,
        len_max: 81,
        reply_len_max: 0,
    };
    for (len_max, lens) in [(80, [0, 16, 80]), (81, [0, 80, 81])] {
        let options = PipelineOptions { len_max, ..options };
        let mut pipeline = pipeline_to(Pid::SELF, channel.chid(), options);
        for len in lens {
            pipeline
                .submit(&vec![len as u8; len])
                .expect("there is room");
        }
        pipeline.flush();
        let mut batch = receive(&channel, 3);
        for (message, len) in batch.iter().zip(lens) {
            // The lanes of a pipeline are all alike: what may be longer travels outside of its entry.
            let expected = (len_max == 80).then(|| vec![len as u8; len]);
            assert_eq!(message.short(), expected.as_deref());
            let mut bytes = vec![0; 100];
            assert_eq!(message.read(0, &mut bytes), Ok(len));
            assert!(bytes[..len].iter().all(|byte| *byte == len as u8));
        }
        assert_eq!(batch.reply_each(|_, _| Ok(0)), Ok(3));
    }
}

// covers: RPL-3
#[test]
fn each_message_of_a_batch_may_fail_by_itself() {
    let channel = channel();
    let mut pipeline = pipeline(channel.chid(), 4);
    submit_all(&mut pipeline, 0..4);
    let mut batch = receive(&channel, 4);
    let answered = batch.reply_each(|message, _| match number(message)? {
        0 => Err(Errno::ENOSPC),
        1 => Err(Errno(0)),
        2 => Ok(-1),
        _ => Ok(3),
    });
    assert_eq!(answered, Err(Errno::EINVAL));
    let mut outcome = || {
        let answer = pipeline.next(None).expect("in flight");
        answer.result.map(|reply| reply.reply().status)
    };
    assert_eq!(outcome(), Err(Errno::ENOSPC));
    assert_eq!(outcome(), Ok(0));
    assert_eq!(outcome(), Err(Errno::EIO));
    assert_eq!(outcome(), Ok(3));
}

// covers: RPL-6
#[test]
fn a_batch_dropped_or_received_into_unanswered_fails_its_messages() {
    let channel = channel();
    let mut pipeline = pipeline(channel.chid(), 4);
    submit_all(&mut pipeline, 0..2);
    let mut batch = receive(&channel, 4);
    submit_all(&mut pipeline, 2..4);
    assert_eq!(channel.receive_batch(&mut batch), Ok(None));
    assert_eq!(numbers(&batch), [2, 3]);
    drop(batch);
    for _ in 0..4 {
        assert_eq!(next(&mut pipeline), Err(Errno::EIO));
    }
    assert_eq!(channel.stats().dropped_unanswered, 4);
}

// covers: CHN-2, RPL-1, RPL-4
#[test]
fn a_message_given_up_in_a_batch_is_nobodys_and_the_others_are_answered() {
    let channel = channel();
    let mut pipeline = pipeline(channel.chid(), 4);
    submit_all(&mut pipeline, 0..4);
    let mut batch = receive(&channel, 4);
    pipeline.unblock(2).expect("it is in flight");
    until(|| {
        let third = batch.iter().nth(2).expect("it was received");
        number(&third) == Err(Errno::ESRCH)
    });
    let answered = batch.reply_each(|_, reply| {
        reply.append(&[1; LEN]);
        Ok(0)
    });
    assert_eq!(answered, Ok(3));
    let all: Vec<_> = (0..4).map(|_| next(&mut pipeline).map(drop)).collect();
    assert_eq!(all, [Ok(()), Ok(()), Err(Errno::EINTR), Ok(())]);
    // Its lane is good for the next round.
    submit_all(&mut pipeline, 4..8);
    echo(&mut receive(&channel, 4));
    for number in 4..8 {
        assert_eq!(next(&mut pipeline), Ok(number));
    }
    assert_eq!(pipeline.unblock(7), Err(Errno::ESRCH));
}

// covers: CHN-2
#[test]
fn a_message_withdrawn_before_it_is_received_is_in_no_batch() {
    let channel = channel();
    let mut pipeline = pipeline(channel.chid(), 4);
    submit_all(&mut pipeline, 0..3);
    pipeline.unblock(0).expect("it is in flight");
    assert_eq!(next(&mut pipeline), Err(Errno::EINTR));
    let mut batch = receive(&channel, 4);
    assert_eq!(numbers(&batch), [1, 2]);
    echo(&mut batch);
    assert_eq!((next(&mut pipeline), next(&mut pipeline)), (Ok(1), Ok(2)));
}

// covers: CHN-2
#[test]
fn with_unblock_a_message_in_a_batch_is_announced_and_its_answer_decides() {
    let channel = place::create(ChannelFlags::UNBLOCK);
    let mut pipeline = pipeline(channel.chid(), 4);
    submit_all(&mut pipeline, 0..4);
    let mut batch = receive(&channel, 4);
    pipeline.unblock(1).expect("it is in flight");
    pipeline.unblock(3).expect("it is in flight");
    let announced = [pulse(&channel), pulse(&channel)];
    assert!(
        announced
            .iter()
            .all(|pulse| pulse.code == PulseCode::UNBLOCK)
    );
    // One is answered by the id that the pulse carries, the other with the batch.
    let id = Rcvid(announced[0].value);
    assert!(channel.info(id).expect("it waits").unblock_requested);
    channel
        .reply(id, 0, &77_u64.to_ne_bytes())
        .expect("it waits");
    assert_eq!(echo(&mut batch), 3);
    assert_eq!(channel.reply(id, 0, &[]), Err(Errno::ESRCH));
    let all: Vec<_> = (0..4).map(|_| next(&mut pipeline)).collect();
    assert_eq!(all, [Ok(0), Ok(77), Ok(2), Ok(3)]);
}

// covers: DTH-2, CHN-7
#[test]
fn a_client_that_detaches_takes_its_part_of_a_batch_with_it() {
    let channel = place::create(ChannelFlags::DISCONNECT);
    let mut stays = pipeline(channel.chid(), 4);
    let mut goes = pipeline(channel.chid(), 4);
    for number in 0..4 {
        submit(&mut stays, number);
        submit(&mut goes, 10 + number);
    }
    stays.flush();
    goes.flush();
    let mut batch = receive(&channel, 16);
    assert_eq!(batch.len(), 8);
    drop(goes);
    until(|| {
        let last = batch.iter().last().expect("eight were received");
        number(&last) == Err(Errno::ESRCH)
    });
    let answered = batch.reply_each(|message, reply| {
        if let Ok(number) = number(message) {
            reply.append(&number.to_ne_bytes());
        }
        Ok(0)
    });
    assert_eq!(answered, Ok(4));
    for number in 0..4 {
        assert_eq!(next(&mut stays), Ok(number));
    }
}

// covers: SND-3
#[test]
fn batches_pipelines_and_single_messages_share_a_channel() {
    let channel = channel();
    let mut pipeline = pipeline(channel.chid(), 4);
    let single = connect(channel.chid());
    thread::scope(|scope| {
        submit_all(&mut pipeline, 0..2);
        let alone = message(&channel);
        assert_eq!(alone.read_vec(0, LEN), Ok(0_u64.to_ne_bytes().to_vec()));
        let sender = scope.spawn(|| {
            let mut reply = [0; LEN];
            single.send(&5_u64.to_ne_bytes(), &mut reply).map(|_| reply)
        });
        until(|| on(channel.chid()).send_blocked == 2);
        submit_all(&mut pipeline, 2..4);
        let mut batch = receive(&channel, 8);
        assert_eq!(numbers(&batch), [1, 5, 2, 3]);
        assert_eq!(echo(&mut batch), 4);
        alone.reply(0, &40_u64.to_ne_bytes()).expect("it waits");
        assert_eq!(sender.join().unwrap(), Ok(5_u64.to_ne_bytes()));
    });
    let all: Vec<_> = (0..4).map(|_| next(&mut pipeline)).collect();
    assert_eq!(all, [Ok(40), Ok(1), Ok(2), Ok(3)]);
}

// covers: RCV-6
#[test]
fn leased_messages_are_reply_blocked_to_whoever_asks_and_their_info_is_a_messages() {
    let channel = channel();
    let mut pipeline = pipeline(channel.chid(), 4);
    submit_all(&mut pipeline, 0..3);
    let mut batch = receive(&channel, 4);
    let info = batch.iter().next().expect("three came").info();
    assert_eq!(
        (info.pid, info.srcmsglen, info.dstmsglen),
        (Pid::current(), LEN, LEN)
    );
    assert_eq!(info.coid, pipeline.coid());
    let seen = snapshot(Pid::current()).expect("this process has channels");
    let own = seen.channels.iter().find(|c| c.chid == channel.chid());
    assert_eq!(own.map(|c| (c.send_blocked, c.reply_blocked)), Some((0, 3)));
    assert_eq!(echo(&mut batch), 3);
    assert_eq!(on(channel.chid()).reply_blocked, 0);
    for number in 0..3 {
        assert_eq!(next(&mut pipeline), Ok(number));
    }
}

// covers: RCV-2
#[test]
fn threads_that_take_batches_of_one_channel_get_every_message_once() {
    const MESSAGES: u64 = 20_000;
    let channel = channel();
    let mut pipeline = pipeline(channel.chid(), 64);
    thread::scope(|scope| {
        let workers: Vec<_> = (0..3)
            .map(|_| {
                scope.spawn(|| {
                    let (mut batch, mut sum) = (MessageBatch::with_capacity(16), 0);
                    while channel
                        .receive_batch(&mut batch)
                        .expect("it lives")
                        .is_none()
                    {
                        sum += numbers(&batch).iter().sum::<u64>();
                        echo(&mut batch);
                    }
                    sum
                })
            })
            .collect();
        let (mut sent, mut got) = (0, 0);
        while got < MESSAGES {
            while sent < MESSAGES && pipeline.in_flight() < pipeline.depth() {
                submit(&mut pipeline, sent);
                sent += 1;
            }
            assert_eq!(next(&mut pipeline), Ok(got));
            got += 1;
        }
        for _ in &workers {
            let sent = pipeline.send_pulse(Some(0), PulseCode(1), 0);
            sent.expect("there is room");
        }
        let sum: u64 = workers
            .into_iter()
            .map(|w| w.join().expect("no panic"))
            .sum();
        assert_eq!(sum, (0..MESSAGES).sum());
    });
}

// covers: SND-3
#[test]
fn a_batch_answers_submitted_messages_through_their_completion_queue() {
    let channel = channel();
    let queue = CompletionQueue::new().expect("a queue can be made");
    let options = AttachOptions {
        queue: Some(&queue),
        ..AttachOptions::default()
    };
    let connection =
        place::attach_with(Pid::SELF, channel.chid(), &options).expect("the channel lives");
    for token in 0..8_u64 {
        let mut loan = connection.loan(LEN, LEN).expect("there is room");
        loan.write(0, &token.to_ne_bytes());
        connection.submit(loan, token).expect("it lives");
    }
    let mut batch = receive(&channel, 8);
    assert_eq!(echo(&mut batch), 8);
    let mut tokens: Vec<_> = (0..8)
        .map(|_| {
            let completion = queue.next(None).expect("eight were answered");
            let mut bytes = [0; LEN];
            completion.result.expect("a reply").read(0, &mut bytes);
            assert_eq!(u64::from_ne_bytes(bytes), completion.token);
            completion.token
        })
        .collect();
    tokens.sort_unstable();
    assert_eq!(tokens, Vec::from_iter(0..8));
    assert!(matches!(channel.try_receive(), Ok(None::<Received>)));
}
