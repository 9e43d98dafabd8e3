//! Many messages in flight without a thread for each.

use std::{sync::Arc, thread, time::Duration};

use ipc_core::{
    AttachOptions, Channel, CompletionQueue, Connection, Pipeline, PipelineOptions,
    abi::{ChannelFlags, Errno, Nd, Pid},
};

use crate::support::{echo, message, stop};

/// A connection whose answers come out of a queue of its own.
fn with_queue(channel: &Channel) -> (CompletionQueue, Connection) {
    let queue = CompletionQueue::new().unwrap();
    let options = AttachOptions {
        queue: Some(&queue),
        ..AttachOptions::default()
    };
    let connection = Connection::attach_with(Nd::LOCAL, Pid::SELF, channel.chid(), &options);
    (queue, connection.unwrap())
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
fn several_threads_wait_on_one_completion_queue() {
    const MESSAGES: u64 = 2000;
    let channel = Arc::new(Channel::create(ChannelFlags::empty()).unwrap());
    let (queue, connection) = with_queue(&channel);
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

// covers: CHN-2
#[test]
fn a_wish_to_get_out_counts_also_before_the_ring_that_tells_of_the_message() {
    // Of one ring, and of so many that only those are looked at that rang.
    for others in [0, 20] {
        let channel = Channel::create(ChannelFlags::empty()).unwrap();
        let attach = || Connection::attach(Nd::LOCAL, Pid::SELF, channel.chid()).unwrap();
        let _others: Vec<_> = (0..others).map(|_| attach()).collect();
        let (queue, connection) = with_queue(&channel);
        connection
            .enqueue(connection.loan(1, 1).unwrap(), 7)
            .unwrap();
        connection.unblock(7).unwrap();
        let ended = queue.next(Some(Duration::from_secs(60))).unwrap();
        assert_eq!((ended.token, ended.result.err()), (7, Some(Errno::EINTR)));
        // A pipeline's message is there for the wish, too.
        let mut pipeline = Pipeline::new(attach(), &PipelineOptions::default()).unwrap();
        let number = pipeline.submit(b"?").unwrap();
        pipeline.unblock(number).unwrap();
        while !pipeline.is_ready() {
            thread::yield_now();
        }
        let ended = pipeline.try_next().unwrap();
        assert_eq!(ended.result.err(), Some(Errno::EINTR));
    }
}
