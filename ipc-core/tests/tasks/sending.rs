use std::sync::Arc;

use ipc_core::{
    AttachOptions, CompletionQueue,
    abi::{ChannelFlags, Errno, Nd, Pid},
    tokio::AsyncConnection,
};
use tokio::task::JoinSet;

use super::support::{channel, connect, connect_narrow, connect_small, echo, message, soon};

// covers: SND-1, SND-3
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_tasks_send_through_one_connection_at_once() {
    let channel = channel(ChannelFlags::empty());
    let server = echo(Arc::clone(&channel));
    let connection = Arc::new(connect_narrow(channel.chid(), 8).await);
    let mut senders = JoinSet::new();
    for task in 0..200_usize {
        let connection = Arc::clone(&connection);
        senders.spawn(async move {
            for round in 0..20 {
                let len = (task * 37 + round * 1009) % 5000;
                let sent: Vec<u8> = (0..len).map(|i| (i + task + round) as u8).collect();
                let mut reply = vec![0; len];
                let got = connection.send(&sent, &mut reply).await.unwrap();
                assert_eq!((got.status, got.len), (len as i64, len));
                assert!(sent == reply, "task {task}, round {round}");
            }
        });
    }
    while let Some(sender) = soon(senders.join_next()).await {
        sender.unwrap();
    }
    server.abort();
}

#[tokio::test]
async fn one_thread_is_enough_for_both_sides() {
    let channel = channel(ChannelFlags::empty());
    let server = echo(Arc::clone(&channel));
    let connection = connect(channel.chid()).await;
    for value in 0..500_u64 {
        let reply = soon(connection.send_typed::<_, u64>(&value)).await.unwrap();
        assert_eq!(reply.value, value);
    }
    let short = soon(connection.send_typed::<_, u64>(&1_u8)).await;
    assert_eq!(short, Err(Errno::EBADMSG));
    server.abort();
}

#[tokio::test]
async fn what_the_server_did_not_write_stays_as_it_was() {
    let channel = channel(ChannelFlags::empty());
    let connection = connect(channel.chid()).await;
    let mut reply = [b'-'; 8];
    let (sent, ()) = tokio::join!(connection.send(b"", &mut reply), async {
        let message = message(&channel).await;
        message.write(5, b"xy").unwrap();
        message.reply(0, b"ab").unwrap();
    });
    assert_eq!(sent.unwrap().len, 7);
    assert_eq!(&reply, b"ab---xy-");
}

// covers: RPL-3
#[tokio::test]
async fn a_server_may_ask_for_the_message_again() {
    let channel = channel(ChannelFlags::empty());
    let connection = connect(channel.chid()).await;
    let (sent, ()) = tokio::join!(connection.send(b"again", &mut []), async {
        message(&channel).await.error(Errno::ERESTART).unwrap();
        let again = message(&channel).await;
        assert_eq!(again.read_vec(0, 9).unwrap(), b"again");
        again.reply(2, b"").unwrap();
    });
    assert_eq!(sent.unwrap().status, 2);
}

#[tokio::test]
async fn messages_are_written_and_replies_read_in_place() {
    let channel = channel(ChannelFlags::empty());
    let server = echo(Arc::clone(&channel));
    // Room for one of them at a time.
    let connection = connect_small(channel.chid()).await;
    let len = 400_000;
    let send = |value: u64| {
        let connection = &connection;
        async move {
            let reply = connection
                .send_in_place(len, len, |loan| loan.write_typed(len - 8, &value).unwrap())
                .await
                .unwrap();
            assert_eq!(reply.reply().len, len);
            assert_eq!(reply.read_typed::<u64>(len - 8), Ok(value));
        }
    };
    soon(async { tokio::join!(send(1), send(2), send(3), send(4)) }).await;
    let too_long = connection.send_in_place(2 << 20, 0, |_| {}).await;
    assert_eq!(too_long.map(drop), Err(Errno::EMSGSIZE));
    server.abort();
}

#[tokio::test]
async fn attach_says_what_is_wrong() {
    let attached = AsyncConnection::attach(Nd::LOCAL, Pid::SELF, ipc_core::abi::Chid(9999)).await;
    assert_eq!(attached.map(drop), Err(Errno::ESRCH));
    let channel = channel(ChannelFlags::empty());
    let queue: &'static CompletionQueue = Box::leak(Box::new(CompletionQueue::new().unwrap()));
    let options = AttachOptions {
        queue: Some(queue),
        ..AttachOptions::default()
    };
    let attached =
        AsyncConnection::attach_with(Nd::LOCAL, Pid::SELF, channel.chid(), options).await;
    assert_eq!(attached.map(drop), Err(Errno::EINVAL));
}
