use std::{collections::BTreeSet, sync::Arc, time::Duration};

use ipc_core::{
    Connection, Received,
    abi::{ChannelFlags, Nd, Pid, PulseCode},
};
use tokio::{sync::mpsc, time::timeout};

use super::support::{channel, connect, message, pulse, soon};

// covers: RCV-1
#[tokio::test]
async fn messages_and_pulses_wake_a_task() {
    let channel = channel(ChannelFlags::DISCONNECT);
    let connection = connect(channel.chid()).await;
    let waiting = tokio::spawn({
        let channel = Arc::clone(&channel);
        async move { pulse(&channel).await }
    });
    tokio::task::yield_now().await;
    connection.send_pulse(None, PulseCode(3), 33).unwrap();
    assert_eq!(soon(waiting).await.unwrap().value, 33);
    drop(connection);
    assert_eq!(pulse(&channel).await.code, PulseCode::DISCONNECT);
}

#[tokio::test]
async fn clients_need_not_use_the_runtime() {
    let channel = channel(ChannelFlags::empty());
    let chid = channel.chid();
    let client = std::thread::spawn(move || {
        let connection = Connection::attach(Nd::LOCAL, Pid::SELF, chid).unwrap();
        for value in 0..2000_u64 {
            let reply = connection.send_typed::<_, u64>(&value).unwrap();
            assert_eq!(reply.value, value * 2);
        }
    });
    for _ in 0..2000 {
        let message = message(&channel).await;
        let value: u64 = message.read_typed().unwrap();
        message.reply_typed(0, &(value * 2)).unwrap();
    }
    client.join().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dropped_receive_took_nothing() {
    const PULSES: i64 = 300;
    let channel = channel(ChannelFlags::empty());
    let connection = connect(channel.chid()).await;
    let sender = tokio::spawn(async move {
        for value in 0..PULSES {
            let pulse = || connection.send_pulse(None, PulseCode(0), value);
            while pulse().is_err() {
                tokio::time::sleep(Duration::from_micros(100)).await;
            }
            if value % 7 == 0 {
                tokio::time::sleep(Duration::from_micros(300)).await;
            }
        }
        connection
    });
    let mut received = Vec::new();
    let patience = |count: usize| Duration::from_micros(count as u64 % 50 * 10);
    soon(async {
        for round in 0.. {
            match timeout(patience(round), channel.receive()).await {
                Ok(Ok(Received::Pulse(pulse))) => received.push(pulse.value),
                Ok(other) => panic!("not a pulse: {other:?}"),
                Err(_) => {}
            }
            if received.len() as i64 == PULSES {
                break;
            }
        }
    })
    .await;
    assert!(received.into_iter().eq(0..PULSES));
    drop(sender.await.unwrap());
}

#[tokio::test]
async fn a_task_that_is_busy_does_not_keep_messages_from_those_that_wait() {
    let channel = channel(ChannelFlags::empty());
    let connection = connect(channel.chid()).await;
    let (took, mut taken) = mpsc::unbounded_channel();
    for _ in 0..3 {
        let (channel, took) = (Arc::clone(&channel), took.clone());
        tokio::spawn(async move {
            let Ok(Received::Pulse(pulse)) = channel.receive().await else {
                panic!("not a pulse")
            };
            took.send(pulse.value).unwrap();
            // Never receives again, and never ends.
            std::future::pending::<()>().await;
        });
    }
    let mut values = BTreeSet::new();
    for value in 0..3 {
        connection.send_pulse(None, PulseCode(0), value).unwrap();
        if value > 0 {
            continue; // the last two come at once
        }
        values.insert(soon(taken.recv()).await.unwrap());
    }
    values.insert(soon(taken.recv()).await.unwrap());
    values.insert(soon(taken.recv()).await.unwrap());
    assert_eq!(values, BTreeSet::from([0, 1, 2]));
}
