use std::{
    os::fd::AsFd,
    process::{Command, Stdio},
    sync::{Arc, mpsc},
    thread,
    time::Duration,
};

use ipc_core::{
    AttachOptions, Channel, CompletionQueue, Connection, Received, ReceivedMessage, Timeout,
    abi::{ChannelFlags, Chid, Errno, Nd, Pid, Pulse, PulseCode},
    readiness::Pollable,
};
use nix::{
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout},
};

use super::support::{GIVE_UP, connect, message, pair};

/// Tells a child process the channel.
const CHID: &str = "IPC_CORE_TEST_CHID";

fn pollable(flags: ChannelFlags) -> Pollable<Channel> {
    let channel = Channel::create(flags).expect("a channel can be made");
    Pollable::new(channel).expect("there is a descriptor and a thread for it")
}

/// Whether the descriptor is readable, within so long.
fn is_readable(source: &impl AsFd, patience: Duration) -> bool {
    let timeout = PollTimeout::try_from(patience).expect("it is short");
    let mut fds = [PollFd::new(source.as_fd(), PollFlags::POLLIN)];
    poll(&mut fds, timeout).expect("the descriptor is open") > 0
}

/// Takes by the descriptor alone: a wake-up that is lost fails the test.
fn next(channel: &Pollable<Channel>) -> Received {
    loop {
        if let Some(received) = channel.try_receive().expect("the channel lives") {
            return received;
        }
        assert!(is_readable(channel, GIVE_UP), "a wake-up was lost");
    }
}

fn next_message(channel: &Pollable<Channel>) -> ReceivedMessage {
    match next(channel) {
        Received::Message(message) => message,
        Received::Pulse(pulse) => panic!("not a message: {pulse:?}"),
    }
}

fn next_pulse(channel: &Pollable<Channel>) -> Pulse {
    match next(channel) {
        Received::Pulse(pulse) => pulse,
        Received::Message(message) => panic!("not a pulse: {:?}", message.info()),
    }
}

/// Takes until the descriptor stays quiet: readable without reason is allowed, for ever is not.
fn settle(channel: &Pollable<Channel>) {
    for _ in 0..1000 {
        assert!(channel.try_receive().expect("the channel lives").is_none());
        if !is_readable(channel, Duration::from_millis(50)) {
            return;
        }
    }
    panic!("the descriptor never gets quiet");
}

#[test]
fn a_message_makes_the_descriptor_readable_until_all_is_taken() {
    let channel = pollable(ChannelFlags::empty());
    let connection = connect(&channel);
    settle(&channel);
    thread::scope(|scope| {
        let client = scope.spawn(|| connection.send(b"hello", &mut []));
        assert!(is_readable(&channel, GIVE_UP));
        assert!(is_readable(&channel, GIVE_UP), "looking takes nothing");
        next_message(&channel).reply(7, b"").unwrap();
        assert_eq!(client.join().unwrap().unwrap().status, 7);
    });
    settle(&channel);
}

#[test]
fn pulses_of_clients_of_the_process_and_of_the_system_do_too() {
    let channel = pollable(ChannelFlags::DISCONNECT);
    let connection = connect(&channel);
    settle(&channel);
    connection.send_pulse(None, PulseCode(1), 10).unwrap();
    assert!(is_readable(&channel, GIVE_UP));
    assert_eq!(next_pulse(&channel).value, 10);
    settle(&channel);
    channel.send_pulse(5, PulseCode(2), 20).unwrap();
    assert!(is_readable(&channel, GIVE_UP));
    assert_eq!(next_pulse(&channel).value, 20);
    settle(&channel);
    drop(connection);
    assert!(is_readable(&channel, GIVE_UP));
    assert_eq!(next_pulse(&channel).code, PulseCode::DISCONNECT);
}

/// A client in a process of its own, which waits for an answer that never comes.
#[test]
#[ignore = "run by a_killed_client_wakes_the_loop"]
fn doomed_client() {
    let server = Pid::from(std::os::unix::process::parent_id());
    let chid = std::env::var(CHID).unwrap().parse().unwrap();
    let connection = Connection::attach(Nd::LOCAL, server, Chid(chid)).unwrap();
    let sent = connection.send(b"?", &mut []);
    panic!("nobody answered, and yet: {sent:?}");
}

// covers: CHN-3, DTH-2
#[test]
fn a_killed_client_wakes_the_loop() {
    let channel = pollable(ChannelFlags::DISCONNECT);
    let mut client = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "readiness::doomed_client", "--ignored"])
        .env(CHID, channel.chid().0.to_string())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let message = next_message(&channel);
    settle(&channel);
    client.kill().unwrap();
    client.wait().unwrap();
    assert!(is_readable(&channel, GIVE_UP));
    assert_eq!(next_pulse(&channel).code, PulseCode::DISCONNECT);
    assert_eq!(message.reply(0, b""), Err(Errno::ESRCH));
}

#[test]
fn an_unblock_request_wakes_the_loop() {
    let channel = pollable(ChannelFlags::UNBLOCK);
    let connection = connect(&channel);
    thread::scope(|scope| {
        let patience = Timeout::reply(Duration::from_millis(20));
        let client = scope.spawn(move || connection.send_timeout(b"", &mut [], patience));
        let message = next_message(&channel);
        assert_eq!(next_pulse(&channel).code, PulseCode::UNBLOCK);
        message.error(Errno::ETIMEDOUT).unwrap();
        assert_eq!(client.join().unwrap(), Err(Errno::ETIMEDOUT));
    });
}

#[test]
fn no_wake_up_is_lost_among_many_clients() {
    const CLIENTS: usize = 12; // more than are looked at one by one
    const SENDS: usize = 400;
    let channel = pollable(ChannelFlags::empty());
    thread::scope(|scope| {
        for client in 0..CLIENTS {
            let connection = connect(&channel);
            scope.spawn(move || {
                for index in 0..SENDS {
                    let value = (client * SENDS + index) as u64;
                    let reply = connection.send_typed::<_, u64>(&value).unwrap();
                    assert_eq!(reply.value, value + 1);
                }
            });
        }
        for _ in 0..CLIENTS * SENDS {
            let message = next_message(&channel);
            let value: u64 = message.read_typed().unwrap();
            message.reply_typed(0, &(value + 1)).unwrap();
        }
    });
}

#[test]
fn edge_triggered_loops_miss_nothing_either() {
    const SENDS: u64 = 3000;
    let channel = pollable(ChannelFlags::empty());
    let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC).unwrap();
    let interest = EpollFlags::EPOLLIN | EpollFlags::EPOLLET;
    epoll.add(&channel, EpollEvent::new(interest, 1)).unwrap();
    let connection = connect(&channel);
    thread::scope(|scope| {
        scope.spawn(move || {
            for value in 0..SENDS {
                connection.send_typed::<_, ()>(&value).unwrap();
            }
        });
        let mut served = 0;
        while served < SENDS {
            while let Some(received) = channel.try_receive().unwrap() {
                let Received::Message(message) = received else {
                    panic!("no pulse was sent")
                };
                message.reply_typed(0, &()).unwrap();
                served += 1;
            }
            if served < SENDS {
                let timeout = EpollTimeout::try_from(GIVE_UP).unwrap();
                let count = epoll.wait(&mut [EpollEvent::empty()], timeout).unwrap();
                assert_eq!(count, 1, "an edge was lost");
            }
        }
    });
}

fn queued(channel: &Channel) -> (Pollable<CompletionQueue>, Connection) {
    let queue = CompletionQueue::new().unwrap();
    let options = AttachOptions {
        queue: Some(&queue),
        ..AttachOptions::default()
    };
    let connection =
        Connection::attach_with(Nd::LOCAL, Pid::SELF, channel.chid(), &options).unwrap();
    (Pollable::new(queue).unwrap(), connection)
}

fn next_completion(queue: &Pollable<CompletionQueue>) -> ipc_core::Completion {
    loop {
        if let Some(completion) = queue.try_next() {
            return completion;
        }
        assert!(is_readable(queue, GIVE_UP), "a wake-up was lost");
    }
}

#[test]
fn a_completion_makes_its_queue_readable() {
    let channel = Arc::new(Channel::create(ChannelFlags::empty()).unwrap());
    let (queue, connection) = queued(&channel);
    let (answer, may_answer) = mpsc::channel();
    let server = thread::spawn({
        let channel = Arc::clone(&channel);
        move || {
            for status in 0..1000 {
                let message = message(&channel);
                may_answer.recv().unwrap();
                message.reply(status, b"").unwrap();
            }
        }
    });
    for token in 0..1000 {
        connection
            .submit(connection.loan(8, 0).unwrap(), token)
            .unwrap();
        assert!(queue.try_next().is_none(), "nothing was answered yet");
        answer.send(()).unwrap();
        let completion = next_completion(&queue);
        assert_eq!(completion.token, token);
        let status = completion.result.unwrap().reply().status;
        assert_eq!(status, token as i64);
    }
    server.join().unwrap();
}

// covers: DTH-2
#[test]
fn the_end_of_a_server_makes_the_queue_readable() {
    let (channel, _) = pair();
    let (queue, connection) = queued(&channel);
    connection
        .submit(connection.loan(8, 0).unwrap(), 1)
        .unwrap();
    connection
        .submit(connection.loan(8, 0).unwrap(), 2)
        .unwrap();
    let kept = message(&channel).into_rcvid();
    assert!(queue.try_next().is_none());
    drop(channel);
    for _ in 0..2 {
        let completion = next_completion(&queue);
        assert_eq!(completion.result.map(drop), Err(Errno::ESRCH));
    }
    assert!(kept.0 > 0);
}

#[test]
fn a_dropped_loop_destroys_its_channel() {
    let channel = pollable(ChannelFlags::empty());
    let connection = connect(&channel);
    thread::scope(|scope| {
        let client = scope.spawn(|| connection.send(b"", &mut []));
        assert!(is_readable(&channel, GIVE_UP));
        let kept = next_message(&channel).into_rcvid();
        drop(channel);
        assert_eq!(client.join().unwrap(), Err(Errno::ESRCH));
        assert!(kept.0 > 0);
    });
}
