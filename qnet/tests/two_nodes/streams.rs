//! Streams of short messages, hundreds of them under way: each is received once, and has its own answer.

use std::collections::HashSet;

use ipc_core::{
    AttachOptions, Channel, Connection, Pipeline, PipelineOptions, Received,
    abi::{ChannelFlags, Chid, Errno, Nd},
    set_runtime_dir,
};

use crate::{
    lab::{TestNode, resolve, role, start, two_nodes},
    support::in_namespace,
};

/// Messages of a stream, and how many are under way at most.
const ALL: u64 = 20_000;
const DEPTH: u64 = 512;
/// One of so many is wanted back.
const WANTED_BACK: u64 = 1_009;

#[test]
fn a_stream_of_short_messages_is_answered_message_by_message() {
    in_namespace("streams::inside_good");
}

// covers: SND-1, RPL-1, NET-2
#[test]
#[ignore = "run by a_stream_of_short_messages_is_answered_message_by_message in its namespace"]
fn inside_good() {
    stream_between(&[]);
}

#[test]
fn a_bad_wire_takes_nothing_from_a_stream() {
    in_namespace("streams::inside_bad");
}

// covers: NET-2, NET-4
#[test]
#[ignore = "run by a_bad_wire_takes_nothing_from_a_stream in its namespace"]
fn inside_bad() {
    stream_between(&["--faults", "loss=0.02,dup=0.02,reorder=0.05,seed=11"]);
}

/// A stream to its end, and one whose server dies in the middle.
fn stream_between(more: &[&str]) {
    let (_root, magenta, wintermute) = two_nodes(1500, more);
    set_runtime_dir(magenta.dir.clone());
    let nd = resolve(magenta.qnet.pid(), "wintermute").unwrap();
    stream(nd, &wintermute, None);
    stream(nd, &wintermute, Some(ALL / 2));
}

/// Sends a stream; its server is killed when so many are answered.
fn stream(nd: Nd, wintermute: &TestNode, dies_at: Option<u64>) {
    let mut server = Some(start(role("streams::role_counting", &wintermute.dir)));
    let pid = server.as_ref().expect("it was just started").pid();
    let slots = AttachOptions {
        slots: DEPTH as u32,
        ..AttachOptions::default()
    };
    let options = PipelineOptions {
        depth: DEPTH as u32,
        len_max: 8,
        reply_len_max: 0,
    };
    let connection = Connection::attach_with(nd, pid, Chid(1), &slots).unwrap();
    let mut client = Pipeline::new(connection, &options).unwrap();
    let mut sent = 0;
    for number in 0..ALL {
        while sent < ALL && sent < number + DEPTH {
            if client.submit(&u64::to_ne_bytes(sent)).is_err() {
                assert!(server.is_none(), "{sent} cannot be sent");
                return;
            }
            sent += 1;
            if sent % WANTED_BACK == 0 {
                client.flush();
                // Not any more, if it is answered.
                let _ = client.unblock(sent - 1);
            }
        }
        client.flush();
        let answer = client.next(None).unwrap();
        let status = answer.result.map(|reply| reply.reply().status);
        let may_be_let_go = (number + 1) % WANTED_BACK == 0;
        match status {
            Err(Errno::ESRCH) if server.is_none() => return,
            Err(Errno::EINTR) if may_be_let_go => {}
            status => assert_eq!(status, answer_to(number), "{number}"),
        }
        if dies_at == Some(number) {
            drop(server.take());
        }
    }
    assert!(dies_at.is_none(), "a dead server has answered");
}

/// Most get no more than the end of the call; some a status, and some an error.
fn answer_to(number: u64) -> Result<i64, Errno> {
    match number {
        _ if number % 97 == 5 => Err(Errno::ENOSPC),
        _ if number % 31 == 7 => Ok(number as i64),
        _ => Ok(0),
    }
}

/// Answers each message once: they may overtake each other. What was taken back it does not see.
#[test]
#[ignore = "a role in the tests of two nodes"]
fn role_counting() {
    let channel = Channel::create(ChannelFlags::empty()).unwrap();
    println!("ready: counting");
    let mut seen = HashSet::new();
    loop {
        let Ok(Received::Message(message)) = channel.receive() else {
            continue;
        };
        let mut bytes = [0; 8];
        let _ = message.read(0, &mut bytes);
        let number = u64::from_ne_bytes(bytes);
        // Who wanted out, or has gone, gets no answer.
        let _ = match answer_to(number) {
            _ if !seen.insert(number) => message.error(Errno::EPROTO),
            Ok(status) => message.reply(status, &[]),
            Err(errno) => message.error(errno),
        };
    }
}
