//! Many short messages of one client that want nothing but a status: their node takes them together and answers them apart.

use std::collections::BTreeMap;

use ipc_core::{
    AttachOptions, Channel, Connection, Pipeline, PipelineOptions, Received, ReceivedMessage,
    abi::{ChannelFlags, Chid, Errno, Nd},
    set_runtime_dir,
};

use qnet::limits::CROWDS_MAX;

use crate::{
    lab::{Process, TestNode, attach, echo, resolve, role, start, two_nodes},
    support::in_namespace,
};

/// Messages that are under way before a crowd forms, and all of them.
const FIRST: u64 = 128;
const ALL: u64 = 448;

/// What the server is told: to answer as soon as it holds so many messages, or to answer all it holds below a number.
const AWAIT: u8 = 0;
const ANSWER: u8 = 1;

#[test]
fn messages_that_came_together_are_answered_apart() {
    in_namespace("crowds::inside_apart");
}

// covers: SND-1, RPL-3, CHN-2, NET-2
#[test]
#[ignore = "run by messages_that_came_together_are_answered_apart in its namespace"]
fn inside_apart() {
    let (_root, magenta, wintermute) = two_nodes(1500, &[]);
    set_runtime_dir(magenta.dir.clone());
    let nd = resolve(magenta.qnet.pid(), "wintermute").unwrap();
    for _ in 0..3 {
        round(nd, &wintermute);
    }
}

#[test]
fn a_client_with_more_crowds_than_it_may_keep_has_each_message_answered() {
    in_namespace("crowds::inside_many");
}

// covers: SND-1, CHN-2
#[test]
#[ignore = "run by a_client_with_more_crowds_than_it_may_keep_has_each_message_answered in its namespace"]
fn inside_many() {
    let (_root, magenta, wintermute) = two_nodes(1500, &[]);
    set_runtime_dir(magenta.dir.clone());
    let nd = resolve(magenta.qnet.pid(), "wintermute").unwrap();
    let holder = Holder::start(nd, &wintermute);
    let mut client = holder.client();
    submit(&mut client, 0..FIRST);
    holder.tell(AWAIT, FIRST);
    // One crowd after the other, and none is answered.
    let all = (FIRST..ALL).step_by(4).inspect(|number| {
        submit(&mut client, *number..*number + 4);
        holder.tell(AWAIT, *number + 4);
    });
    assert!(all.count() > CROWDS_MAX);
    client.unblock(ALL - 3).unwrap();
    for number in 0..ALL {
        if [0, ALL - 2].contains(&number) {
            holder.tell(ANSWER, if number == 0 { ALL - 3 } else { ALL });
        }
        let expected = match number {
            _ if number == ALL - 3 => Err(Errno::EINTR),
            _ if number % 5 == 0 => Err(Errno::ENOSPC),
            _ => Ok(number as i64),
        };
        assert_eq!(status(&mut client), expected, "{number}");
    }
}

/// A server that holds what it is sent, and who tells it what to do.
struct Holder {
    server: Process,
    control: Connection,
    nd: Nd,
}

impl Holder {
    fn start(nd: Nd, wintermute: &TestNode) -> Holder {
        let server = start(role("crowds::role_holder", &wintermute.dir));
        let control = Connection::attach(nd, server.pid(), Chid(1)).unwrap();
        Holder {
            server,
            control,
            nd,
        }
    }

    fn tell(&self, what: u8, number: u64) {
        let mut told = vec![what];
        told.extend(number.to_ne_bytes());
        let replied = self.control.send(&told, &mut []);
        assert_eq!(replied.map(|reply| reply.status), Ok(0));
    }

    fn client(&self) -> Pipeline {
        let slots = AttachOptions {
            slots: 512,
            ..AttachOptions::default()
        };
        let options = PipelineOptions {
            depth: 512,
            len_max: 8,
            reply_len_max: 0,
        };
        let connection =
            Connection::attach_with(self.nd, self.server.pid(), Chid(1), &slots).unwrap();
        Pipeline::new(connection, &options).unwrap()
    }
}

fn submit(client: &mut Pipeline, numbers: std::ops::Range<u64>) {
    for number in numbers {
        client.submit(&number.to_ne_bytes()).unwrap();
    }
    client.flush();
}

fn status(client: &mut Pipeline) -> Result<i64, Errno> {
    let answer = client.next(None).unwrap();
    answer.result.map(|reply| reply.reply().status)
}

/// With a server of its own.
fn round(nd: Nd, wintermute: &TestNode) {
    let holder = Holder::start(nd, wintermute);
    let mut client = holder.client();
    submit(&mut client, 0..FIRST);
    holder.tell(AWAIT, FIRST);
    submit(&mut client, FIRST..ALL);
    holder.tell(AWAIT, ALL);
    // Its server lets go of who wants out; all others have the answers that are theirs.
    let wanting = [200, 300];
    for number in wanting {
        client.unblock(number).unwrap();
    }
    for number in 0..ALL {
        if [0, 201, 301].contains(&number) {
            let next = wanting.iter().copied().find(|other| *other > number);
            holder.tell(ANSWER, next.unwrap_or(ALL));
        }
        let expected = match number {
            200 | 300 => Err(Errno::EINTR),
            _ if number % 5 == 0 => Err(Errno::ENOSPC),
            _ => Ok(number as i64),
        };
        assert_eq!(status(&mut client), expected, "{number}");
    }
    // What is under way when its client goes keeps nobody.
    submit(&mut client, 0..FIRST);
    holder.tell(AWAIT, FIRST);
    submit(&mut client, FIRST..ALL);
    drop(client);
    holder.tell(ANSWER, ALL);
    echo(&attach(nd), 100, 0);
}

/// Holds messages until it is told what becomes of them.
#[test]
#[ignore = "a role in the tests of two nodes"]
fn role_holder() {
    let channel = Channel::create(ChannelFlags::empty()).unwrap();
    println!("ready: holder");
    let mut held = BTreeMap::new();
    let mut awaited = None;
    loop {
        let Ok(Received::Message(message)) = channel.receive() else {
            continue;
        };
        let mut bytes = [0; 9];
        match (message.read(0, &mut bytes), bytes[0]) {
            (Ok(8), _) => drop(held.insert(number_of(&bytes[..8]), message)),
            (Ok(9), AWAIT) => awaited = Some((number_of(&bytes[1..]), message)),
            (Ok(9), ANSWER) => {
                let above = held.split_off(&number_of(&bytes[1..]));
                for (number, message) in std::mem::replace(&mut held, above).into_iter().rev() {
                    answer(number, message);
                }
                let _ = message.reply(0, &[]);
            }
            _ => drop(message),
        }
        if awaited
            .as_ref()
            .is_some_and(|(number, _)| held.len() as u64 >= *number)
            && let Some((_, message)) = awaited.take()
        {
            let _ = message.reply(0, &[]);
        }
    }
}

/// Who wanted out, or has gone, gets no answer.
fn answer(number: u64, message: ReceivedMessage) {
    let _ = match number % 5 {
        0 => message.error(Errno::ENOSPC),
        _ => message.reply(number as i64, &[]),
    };
}

fn number_of(bytes: &[u8]) -> u64 {
    u64::from_ne_bytes(bytes.try_into().unwrap())
}
