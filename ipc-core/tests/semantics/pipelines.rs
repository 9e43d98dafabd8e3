//! Pipelines and batches: what holds for one message holds for each of many.

use std::{thread, time::Duration};

use ipc_core::{
    AttachOptions, Channel, CompletionQueue, MessageBatch, Pipeline, PipelineOptions, Received,
    SpinPolicy,
    abi::{ChannelFlags, Chid, Errno, Pid, PulseCode, Rcvid},
    set_priority, snapshot,
};

use crate::suite::{
    blocked::{on, until},
    child::{self, Child, say},
    echo::{channel, connect, message, pulse},
    place,
};

const LEN: usize = 8;

fn pipeline_to(pid: Pid, chid: Chid, options: PipelineOptions) -> Pipeline {
    let attach = AttachOptions {
        slots: options.depth.next_power_of_two(),
        ..AttachOptions::default()
    };
    let connection = place::attach_with(pid, chid, &attach).expect("it lives");
    Pipeline::new(connection, &options).expect("the slots are there")
}

fn pipeline(chid: Chid, depth: u32) -> Pipeline {
    let options = PipelineOptions {
        depth,
        len_max: LEN,
        reply_len_max: LEN,
    };
    pipeline_to(Pid::SELF, chid, options)
}

fn submit(pipeline: &mut Pipeline, number: u64) {
    pipeline
        .submit(&number.to_ne_bytes())
        .expect("there is room");
}

fn submit_all(pipeline: &mut Pipeline, numbers: impl IntoIterator<Item = u64>) {
    numbers
        .into_iter()
        .for_each(|number| submit(pipeline, number));
    pipeline.flush();
}

/// The next reply as a number, or its error.
fn next(pipeline: &mut Pipeline) -> Result<u64, Errno> {
    let answer = pipeline.next(None).expect("something is in flight");
    let mut bytes = [0; LEN];
    let reply = answer.result?;
    assert_eq!(reply.read(0, &mut bytes), reply.reply().len);
    Ok(u64::from_ne_bytes(bytes))
}

fn number(message: &ipc_core::BatchedMessage<'_>) -> Result<u64, Errno> {
    let mut bytes = [0; LEN];
    message.read(0, &mut bytes)?;
    Ok(u64::from_ne_bytes(bytes))
}

fn numbers(batch: &MessageBatch) -> Vec<u64> {
    let all = batch.iter();
    all.map(|message| number(&message).expect("its sender waits"))
        .collect()
}

/// Receives messages, at most `max`; a pulse is a mistake.
fn receive(channel: &Channel, max: usize) -> MessageBatch {
    let mut batch = MessageBatch::with_capacity(max);
    assert_eq!(channel.receive_batch(&mut batch), Ok(None));
    batch
}

/// Answers each message with its own number.
fn echo(batch: &mut MessageBatch) -> usize {
    let answered = batch.reply_each(|message, reply| {
        reply.append(&number(message)?.to_ne_bytes());
        Ok(0)
    });
    answered.expect("nothing is negative")
}

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
    let mut server = Child::start("crate::pipelines::inside_a_server_that_answers_three", "");
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
