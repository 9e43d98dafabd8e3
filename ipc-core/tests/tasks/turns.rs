//! Whose turn it is: places of a connection, and receivers of a channel.

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Waker},
};

use ipc_core::abi::{ChannelFlags, Errno, PulseCode};

use super::support::{channel, connect, connect_narrow, connect_small, echo, message, pulse, soon};

/// Has the future go as far as it can now; it is not over by that.
fn begin<T>(what: &mut Pin<Box<impl Future<Output = T>>>) {
    let mut nobody = Context::from_waker(Waker::noop());
    assert!(what.as_mut().poll(&mut nobody).is_pending());
}

// covers: SND-3
#[tokio::test]
async fn who_sends_again_and_again_does_not_keep_the_only_place() {
    const PATIENCE: u32 = 1000;
    let channel = channel(ChannelFlags::empty());
    let server = echo(Arc::clone(&channel));
    let connection = Arc::new(connect_narrow(channel.chid(), 1).await);
    let greedy = tokio::spawn({
        let connection = Arc::clone(&connection);
        async move {
            let mut sent = 0;
            // Until the other has had its turn, which drops what it holds of the connection.
            while Arc::strong_count(&connection) > 1 && sent < PATIENCE {
                connection.send(b"again", &mut []).await.unwrap();
                sent += 1;
            }
            sent
        }
    });
    // Let it have the place.
    tokio::task::yield_now().await;
    let modest = async move {
        for _ in 0..3 {
            connection.send(b"please", &mut []).await.unwrap();
        }
    };
    soon(modest).await;
    let sent = soon(greedy).await.unwrap();
    assert!(sent < PATIENCE, "the other had no turn in {sent} messages");
    server.abort();
}

// covers: SND-3
#[tokio::test]
async fn places_go_to_those_who_wait_in_the_order_in_which_they_came() {
    let channel = channel(ChannelFlags::empty());
    let connection = connect_narrow(channel.chid(), 2).await;
    let mut sending: Vec<_> = (0..8_u8)
        .map(|number| {
            let connection = &connection;
            Box::pin(async move { connection.send(&[number], &mut []).await })
        })
        .collect();
    sending.iter_mut().for_each(begin);
    // One that gives up while it waits is passed over.
    drop(sending.remove(5));
    let order = async {
        let mut order = Vec::new();
        for _ in 0..7 {
            let message = message(&channel).await;
            order.push(message.read_vec(0, 1).unwrap()[0]);
            message.reply(0, b"").unwrap();
        }
        order
    };
    let all = async {
        for task in sending {
            task.await.unwrap();
        }
    };
    // All are looked at together, as tasks are.
    let (order, ()) = soon(async { tokio::join!(order, all) }).await;
    assert_eq!(order, [0, 1, 2, 3, 4, 6, 7]);
}

#[tokio::test]
async fn a_place_that_was_given_to_a_dropped_future_goes_to_the_next() {
    let channel = channel(ChannelFlags::empty());
    let connection = connect_narrow(channel.chid(), 1).await;
    for _ in 0..3 {
        let mut first = Box::pin(connection.send(b"1", &mut []));
        begin(&mut first);
        let mut second = Box::pin(connection.send(b"2", &mut []));
        begin(&mut second);
        let mut third = Box::pin(connection.send(b"3", &mut []));
        begin(&mut third);
        message(&channel).await.reply(0, b"").unwrap();
        // Its end gives the place to the second, which never looks again.
        soon(first).await.unwrap();
        drop(second);
        let answered = async {
            let message = message(&channel).await;
            assert_eq!(message.read_vec(0, 1).unwrap(), b"3");
            message.reply(0, b"").unwrap();
        };
        let (sent, ()) = soon(async { tokio::join!(third, answered) }).await;
        sent.unwrap();
    }
    assert_eq!(channel.stats().messages, 6);
}

#[tokio::test]
async fn who_needs_more_than_there_is_room_for_does_not_hold_up_the_others() {
    const LONG: usize = 600_000;
    let channel = channel(ChannelFlags::empty());
    let server = echo(Arc::clone(&channel));
    let connection = connect_small(channel.chid()).await;
    let held = soon(connection.send_in_place(LONG, 100, |_| {})).await;
    let mut long = Box::pin(connection.send_in_place(LONG, 100, |_| {}));
    begin(&mut long);
    // Who holds a reply sends: if it stood behind the long one, both would wait for each other.
    for _ in 0..3 {
        let sent = soon(connection.send(&[1; 1000], &mut [0; 1000])).await;
        assert_eq!(sent.map(|reply| reply.len), Ok(1000));
    }
    begin(&mut long);
    drop(held);
    assert_eq!(soon(long).await.unwrap().reply().len, 100);
    server.abort();
}

// covers: CHN-7
#[tokio::test]
async fn a_connection_that_ends_ends_the_waiting_for_a_place() {
    let channel = channel(ChannelFlags::empty());
    let connection = connect_narrow(channel.chid(), 1).await;
    let mut first = Box::pin(connection.send(b"1", &mut []));
    begin(&mut first);
    let mut waiting: Vec<_> = (0..5)
        .map(|_| Box::pin(async { connection.send(b"2", &mut []).await }))
        .collect();
    waiting.iter_mut().for_each(begin);
    connection.detach();
    assert_eq!(soon(first).await, Err(Errno::EBADF));
    for waiting in waiting {
        assert_eq!(soon(waiting).await, Err(Errno::EBADF));
    }
}

// covers: RCV-1
#[tokio::test]
async fn a_receiver_that_was_woken_and_dropped_leaves_what_came_to_the_next() {
    let channel = channel(ChannelFlags::empty());
    let connection = connect(channel.chid()).await;
    for round in 0..50 {
        let mut first = Box::pin(channel.receive());
        begin(&mut first);
        let second = tokio::spawn({
            let channel = Arc::clone(&channel);
            async move { pulse(&channel).await.value }
        });
        tokio::task::yield_now().await;
        connection.send_pulse(None, PulseCode(0), round).unwrap();
        if round % 2 == 0 {
            // Time for the helper to wake the first.
            tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        }
        drop(first);
        assert_eq!(soon(second).await.unwrap(), round);
    }
}
