use std::{sync::Arc, time::Duration};

use ipc_core::abi::{ChannelFlags, Errno, PulseCode};
use tokio::time::timeout;

use super::support::{channel, connect_narrow, echo, message, pulse, soon};

const SHORT: Duration = Duration::from_millis(1);

// covers: TMO-1, CHN-2
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_send_that_timed_out_is_withdrawn_and_its_place_comes_back() {
    let channel = channel(ChannelFlags::empty());
    let connection = connect_narrow(channel.chid(), 4).await;
    for len in [10, 1000] {
        for _ in 0..20 {
            let sent = timeout(SHORT, connection.send(&vec![1; len], &mut [])).await;
            assert!(sent.is_err(), "nobody received it");
        }
    }
    // A wish to leave travels through the server's monitor: the last four may still be on their way.
    let server = echo(Arc::clone(&channel));
    let mut reply = [0; 5];
    let got = soon(connection.send(b"alive", &mut reply)).await.unwrap();
    assert_eq!((got.len, &reply), (5, b"alive"));
    server.abort();
    assert!(channel.stats().messages <= 1 + 4, "forty were sent");
}

// covers: CHN-2
#[tokio::test]
async fn a_server_that_asked_for_it_is_told_that_a_future_was_dropped() {
    let channel = channel(ChannelFlags::UNBLOCK);
    let connection = connect_narrow(channel.chid(), 1).await;
    for status in 0..5 {
        let mut sending = Box::pin(connection.send(b"slow", &mut []));
        let received = tokio::select! {
            _ = &mut sending => panic!("nobody replied"),
            received = message(&channel) => received,
        };
        drop(sending);
        let wish = pulse(&channel).await;
        assert_eq!(wish.code, PulseCode::UNBLOCK);
        assert_eq!(wish.value, received.rcvid().0);
        assert!(received.info().unblock_requested);
        received.reply(status, b"late").unwrap();
    }
}

// covers: RPL-1
#[tokio::test]
async fn a_dropped_future_of_a_received_message_is_gone_for_the_server() {
    let channel = channel(ChannelFlags::empty());
    let connection = connect_narrow(channel.chid(), 1).await;
    for _ in 0..5 {
        let mut sending = Box::pin(connection.send(b"x", &mut []));
        let received = tokio::select! {
            _ = &mut sending => panic!("nobody replied"),
            received = message(&channel) => received,
        };
        drop(sending);
        // The wish travels through the server's monitor.
        soon(async {
            while received.read(0, &mut [0]).is_ok() {
                tokio::time::sleep(SHORT).await;
            }
        })
        .await;
        assert_eq!(received.reply(0, b""), Err(Errno::ESRCH));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn futures_dropped_at_any_moment_lose_no_place_and_no_answer() {
    let channel = channel(ChannelFlags::empty());
    let server = echo(Arc::clone(&channel));
    let connection = Arc::new(connect_narrow(channel.chid(), 2).await);
    let mut senders = tokio::task::JoinSet::new();
    for task in 0..8_u64 {
        let connection = Arc::clone(&connection);
        senders.spawn(async move {
            for round in 0..200_u64 {
                let value = task << 32 | round;
                let patience = Duration::from_micros((task * 7 + round * 13) % 150);
                if let Ok(sent) = timeout(patience, connection.send_typed::<_, u64>(&value)).await {
                    assert_eq!(sent.unwrap().value, value, "somebody else's answer");
                }
            }
        });
    }
    while let Some(sender) = soon(senders.join_next()).await {
        sender.unwrap();
    }
    for value in 0..10_u64 {
        let reply = soon(connection.send_typed::<_, u64>(&value)).await.unwrap();
        assert_eq!(reply.value, value);
    }
    server.abort();
}

#[tokio::test]
async fn a_panic_while_a_message_is_written_gives_its_place_to_who_waits() {
    use std::{
        cell::RefCell,
        future::Future,
        panic::{AssertUnwindSafe, catch_unwind},
        pin::pin,
        task::{Context, Waker},
    };

    let channel = channel(ChannelFlags::empty());
    let server = echo(Arc::clone(&channel));
    let connection = connect_narrow(channel.chid(), 1).await;
    let mut nobody = Context::from_waker(Waker::noop());
    let mut reply = [0; 4];
    let waiting = RefCell::new(Box::pin(connection.send(b"wait", &mut reply)));
    {
        let mut writing = pin!(connection.send_in_place(4, 4, |_| {
            // There is one place, and this message has it.
            let mut context = Context::from_waker(Waker::noop());
            assert!(
                waiting
                    .borrow_mut()
                    .as_mut()
                    .poll(&mut context)
                    .is_pending()
            );
            panic!("as a user's code may");
        }));
        let polled = catch_unwind(AssertUnwindSafe(|| writing.as_mut().poll(&mut nobody)));
        assert!(polled.is_err(), "it panicked");
    }
    let answer = soon(waiting.into_inner()).await;
    assert_eq!(answer.map(|answer| answer.len), Ok(4));
    server.abort();
}
