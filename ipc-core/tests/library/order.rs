//! One order for all that comes, through however many connections (RCV-1).

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

use ipc_core::{
    AttachOptions, Channel, CompletionQueue, Connection, MessageBatch, Received,
    abi::{ChannelFlags, Errno, Nd, Pid, PulseCode},
};

use super::support::{GIVE_UP, connect};

/// So many of them have to come in their order; each may be the one that is overtaken.
const MANY: i64 = 30_000;

/// Sends a pulse as soon as there is room.
fn pulse(connection: &Connection, code: i8, value: i64) {
    while let Err(error) = connection.send_pulse(Some(10), PulseCode(code), value) {
        assert_eq!(error, Errno::EAGAIN);
        thread::yield_now();
    }
}

/// Has one thread number the pulses that it sends through one connection and the other, while a connection that is looked
/// at in between is flooded, and `receive` take what comes until it answers false.
fn number_pulses(channel: &Channel, mut receive: impl FnMut(&mut dyn FnMut(Received))) {
    let first = connect(channel);
    let (flooded, second) = (connect(channel), connect(channel));
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                pulse(&flooded, 1, 0);
            }
        });
        scope.spawn(|| {
            for number in 0..MANY {
                pulse([&first, &second][number as usize % 2], 0, number);
            }
        });
        let (mut next, mut overtaken) = (0, 0);
        while next < MANY {
            receive(&mut |received| match received {
                Received::Pulse(pulse) if pulse.code == PulseCode(0) => {
                    overtaken += i64::from(pulse.value != next);
                    next += 1;
                }
                Received::Pulse(_) => {}
                Received::Message(message) => panic!("nobody sent it: {message:?}"),
            });
        }
        over.store(true, Ordering::Relaxed);
        // The flood may wait for room.
        while let Ok(Some(_)) = channel.try_receive() {}
        assert_eq!(overtaken, 0, "of {MANY} came before an older one");
    });
}

// covers: RCV-1
#[test]
fn what_one_thread_sends_through_two_connections_is_received_in_its_order() {
    let channel = Channel::create(ChannelFlags::empty()).unwrap();
    number_pulses(&channel, |each| {
        each(channel.receive_timeout(GIVE_UP).unwrap())
    });
}

// covers: RCV-1
#[test]
fn many_at_a_time_come_in_the_order_in_which_one_thread_sent_them() {
    let channel = Channel::create(ChannelFlags::empty()).unwrap();
    number_pulses(&channel, |each| {
        let mut many = Vec::new();
        if channel.try_receive_many(64, &mut many) == Ok(0) {
            thread::yield_now();
        }
        many.into_iter().for_each(each);
    });
}

// covers: RCV-1
#[test]
fn batches_come_in_the_order_in_which_one_thread_submitted_them() {
    let channel = Arc::new(Channel::create(ChannelFlags::empty()).unwrap());
    let queue = CompletionQueue::new().unwrap();
    let options = AttachOptions {
        queue: Some(&queue),
        ..AttachOptions::default()
    };
    let attach = || Connection::attach_with(Nd::LOCAL, Pid::SELF, channel.chid(), &options);
    let connections = [attach().unwrap(), attach().unwrap()];
    let serving = Arc::clone(&channel);
    let server = thread::spawn(move || {
        let mut batch = MessageBatch::with_capacity(32);
        let (mut next, mut overtaken) = (0, 0);
        while next < MANY {
            serving.receive_batch_timeout(&mut batch, GIVE_UP).unwrap();
            for message in batch.iter() {
                let bytes = message.short().unwrap().try_into().unwrap();
                overtaken += i64::from(i64::from_ne_bytes(bytes) != next);
                next += 1;
            }
            batch.reply_each(|_, _| Ok(0)).unwrap();
        }
        overtaken
    });
    let take_one = || queue.next(Some(GIVE_UP)).unwrap().result.map(drop);
    for number in 0..MANY {
        // Mostly through one: a batch is taken straight from its ring then.
        let connection = &connections[usize::from(number % 4 == 0)];
        let mut loan = loop {
            match connection.loan(8, 0) {
                Err(Errno::EAGAIN) => take_one().unwrap(),
                loan => break loan.unwrap(),
            }
        };
        loan.write(0, &number.to_ne_bytes());
        connection.submit(loan, 0).unwrap();
    }
    assert_eq!(
        server.join().unwrap(),
        0,
        "of {MANY} came before an older one"
    );
}
