use std::{
    io::{BufRead, BufReader},
    process::{Child, Command, Stdio},
    sync::Arc,
};

use ipc_core::{
    AttachOptions, Channel, Received,
    abi::{ChannelFlags, Chid, Errno, Nd, Pid},
    tokio::AsyncConnection,
};
use tokio::{
    sync::{mpsc, watch},
    task::JoinSet,
};

use super::support::{channel, connect, connect_narrow, message, soon};

/// A server in a process of its own, which receives what it gets and never answers.
#[test]
#[ignore = "run by a_killed_server_ends_every_send"]
fn silent_server() {
    let channel = Channel::create(ChannelFlags::empty()).unwrap();
    println!("@{}", channel.chid().0);
    loop {
        if let Ok(Received::Message(message)) = channel.receive() {
            println!("@{}", message.into_rcvid().0);
        }
    }
}

/// A child process and the numbers it says.
struct Silent {
    child: Child,
    said: Box<dyn Iterator<Item = i64>>,
}

fn start_silent_server() -> Silent {
    let own = std::env::current_exe().unwrap();
    let mut child = Command::new(own)
        .args(["--exact", "ends::silent_server", "--ignored", "--nocapture"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let said = lines
        .map_while(Result::ok)
        .filter_map(|line| line.split_once('@').and_then(|(_, said)| said.parse().ok()));
    Silent {
        child,
        said: Box::new(said),
    }
}

// covers: DTH-2, SND-5
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_server_ends_every_send() {
    let Silent {
        mut child,
        mut said,
    } = start_silent_server();
    let chid = Chid(said.next().expect("the child says its channel") as i32);
    let pid = Pid::from(&child);
    let options = AttachOptions {
        slots: 4,
        ..AttachOptions::default()
    };
    let attached = AsyncConnection::attach_with(Nd::LOCAL, pid, chid, options).await;
    let connection = Arc::new(attached.unwrap());
    let mut senders = JoinSet::new();
    // Four are in flight, the others wait for their places.
    for _ in 0..20 {
        let connection = Arc::clone(&connection);
        senders.spawn(async move { connection.send(b"?", &mut []).await });
    }
    let received = tokio::task::block_in_place(|| said.take(4).count());
    assert_eq!(received, 4);
    child.kill().unwrap();
    child.wait().unwrap();
    let mut ended = Vec::new();
    while let Some(sent) = soon(senders.join_next()).await {
        ended.push(sent.unwrap().unwrap_err());
    }
    assert_eq!(ended.len(), 20);
    let is_expected = |errno: &Errno| matches!(*errno, Errno::ESRCH | Errno::EBADF);
    assert!(ended.iter().all(is_expected), "{ended:?}");
    assert!(ended.iter().filter(|errno| **errno == Errno::ESRCH).count() >= 4);
    assert!(!connection.is_alive());
    assert_eq!(connection.send(b"?", &mut []).await, Err(Errno::EBADF));
}

// covers: CHN-7
#[tokio::test]
async fn detaching_ends_the_sends_of_other_tasks() {
    let channel = channel(ChannelFlags::empty());
    let connection = connect(channel.chid()).await;
    let (sent, _kept) = tokio::join!(connection.send(b"", &mut []), async {
        let kept = message(&channel).await;
        connection.detach();
        kept
    });
    assert_eq!(sent, Err(Errno::EBADF));
}

// covers: CHN-1
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_graceful_end_answers_what_was_received_and_refuses_the_rest() {
    let channel = channel(ChannelFlags::empty());
    let connection = Arc::new(connect_narrow(channel.chid(), 16).await);
    let (stop, mut stopped) = watch::channel(false);
    let (go_on, may_go_on) = watch::channel(false);
    let (tell, mut told) = mpsc::unbounded_channel();
    let server = tokio::spawn(async move {
        let mut working = JoinSet::new();
        loop {
            let received = tokio::select! {
                received = channel.receive() => received.unwrap(),
                _ = stopped.changed() => break,
            };
            let Received::Message(message) = received else {
                continue;
            };
            tell.send("received").unwrap();
            let mut may_go_on = may_go_on.clone();
            working.spawn(async move {
                may_go_on.wait_for(|go_on| *go_on).await.unwrap();
                message.reply(1, b"done").unwrap();
            });
        }
        tell.send("receives no more").unwrap();
        let served = working.len();
        working.join_all().await;
        drop(channel);
        served
    });
    let mut senders = JoinSet::new();
    let send = |connection: Arc<AsyncConnection>| async move {
        let mut reply = [0; 4];
        connection.send(b"", &mut reply).await.map(|got| got.status)
    };
    for _ in 0..6 {
        senders.spawn(send(Arc::clone(&connection)));
    }
    for _ in 0..6 {
        assert_eq!(soon(told.recv()).await, Some("received"));
    }
    stop.send(true).unwrap();
    assert_eq!(soon(told.recv()).await, Some("receives no more"));
    senders.spawn(send(Arc::clone(&connection)));
    go_on.send(true).unwrap();
    let served = soon(server).await.unwrap();
    let mut answered = 0;
    while let Some(sent) = soon(senders.join_next()).await {
        match sent.unwrap() {
            Ok(status) => {
                assert_eq!(status, 1);
                answered += 1;
            }
            Err(errno) => assert!(matches!(errno, Errno::ESRCH | Errno::EBADF), "{errno}"),
        }
    }
    assert_eq!(
        (answered, served),
        (6, 6),
        "who was received was answered, and nobody else"
    );
}
