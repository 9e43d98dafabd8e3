//! Messages that find no room in memory: they wait, for no longer than they have to, and hold up nobody else.

use std::{
    env, fs, thread,
    time::{Duration, Instant},
};

use ipc_core::{
    AttachOptions, CompletionQueue, Connection, Token,
    abi::{Chid, Errno, Nd, Pid},
    set_runtime_dir,
};
use qnet::limits::{LENT_OWN_LEN, lent_common_len};
use qnet_proto::limits::MESSAGE_LEN_MAX;

use crate::{
    lab::{GIVE_UP, Process, attach, echo, kept, resolve, role, start, two_nodes},
    neighbours::three_nodes,
    support::in_namespace,
};

/// Longest replies that a remote client's connection has room for.
const FULL: u64 = 3;

/// A connection with room for so many of the longest replies on its own node.
fn attach_wide(nd: Nd, queue: &CompletionQueue) -> Connection {
    let options = AttachOptions {
        arena_len: 128 << 20,
        queue: Some(queue),
        ..AttachOptions::default()
    };
    Connection::attach_with(nd, Pid::PROCMGR, Chid::PROCMGR, &options).unwrap()
}

/// Sends a message that is never answered and has room for the longest reply.
fn keep_one(connection: &Connection, token: Token) {
    let mut loan = connection.loan(5, MESSAGE_LEN_MAX).unwrap();
    loan.write(0, b"never");
    connection.submit(loan, token).unwrap();
}

fn until_kept(connection: &Connection, least: i64) {
    let started = Instant::now();
    while kept(connection) < least {
        assert!(
            started.elapsed() < GIVE_UP,
            "{} of {least}",
            kept(connection)
        );
        thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn what_stands_behind_a_message_without_room_passes_when_that_is_withdrawn() {
    in_namespace("memory::inside_line");
}

// covers: NET-6, CHN-2
#[test]
#[ignore = "run by what_stands_behind_a_message_without_room_passes_when_that_is_withdrawn in its namespace"]
fn inside_line() {
    let (_root, magenta, _wintermute) = two_nodes(1500, &[]);
    let nd = resolve(magenta.qnet.pid(), "wintermute").unwrap();
    let queue = CompletionQueue::new().unwrap();
    let (client, other) = (attach_wide(nd, &queue), attach(nd));
    (0..FULL).for_each(|token| keep_one(&client, token));
    until_kept(&other, FULL as i64);
    keep_one(&client, FULL);
    let question = b"how many are kept?";
    let mut loan = client.loan(question.len(), 0).unwrap();
    loan.write(0, question);
    client.submit(loan, FULL + 1).unwrap();
    // What came before this is there.
    assert_eq!(kept(&other), FULL as i64);
    client.unblock(FULL).unwrap();
    let mut ended: Vec<_> = (0..2)
        .map(|_| queue.next(Some(GIVE_UP)).expect("both end"))
        .map(|ended| (ended.token, ended.result.map(|reply| reply.reply().status)))
        .collect();
    ended.sort_by_key(|(token, _)| *token);
    let expected = [(FULL, Err(Errno::EINTR)), (FULL + 1, Ok(FULL as i64))];
    assert_eq!(ended, expected);
}

#[test]
fn a_node_whose_messages_nobody_answers_gets_a_part_of_the_memory_and_no_more() {
    in_namespace("memory::inside_hoarded");
}

/// So many messages of a node that keep the longest reply each may be unanswered at one time.
fn most() -> i64 {
    ((LENT_OWN_LEN + lent_common_len() / 2) / MESSAGE_LEN_MAX) as i64
}

// covers: NET-4
#[test]
#[ignore = "run by a_node_whose_messages_nobody_answers_gets_a_part_of_the_memory_and_no_more in its namespace"]
fn inside_hoarded() {
    let (_root, [_magenta, wintermute, neuromancer]) = three_nodes(&[]);
    let hoard = |least: i64| {
        let mut hoarder = role("memory::role_hoarder", &neuromancer.dir);
        hoarder
            .env("QNET_TEST_LEAST", least.to_string())
            .env("QNET_TEST_QNET", neuromancer.qnet.pid().0.to_string());
        start(hoarder)
    };
    let hoarder = hoard(most());
    set_runtime_dir(wintermute.dir.clone());
    let nd = resolve(wintermute.qnet.pid(), "magenta").unwrap();
    let other = attach(nd);
    // There are more, and none of them is taken.
    let watched = Instant::now();
    while watched.elapsed() < Duration::from_millis(50) {
        assert_eq!(kept(&other), most());
    }
    // Others have room as before, whatever the length.
    for salt in 0..4 {
        echo(&attach(nd), 100_000, salt);
        echo(&other, MESSAGE_LEN_MAX, salt);
    }
    // What its clients leave behind is nobody's any more.
    drop(hoarder);
    let _again = hoard(2 * most());
}

#[test]
fn who_waits_for_memory_sleeps_until_a_message_before_it_is_given_up() {
    in_namespace("memory::inside_given_up");
}

/// How long a node whose memory is full is watched, and how often a second its thread may sleep meanwhile: its peer asks now
/// and then whether it lives, and one that looked every few milliseconds whether there is room would sleep some hundred times.
const WATCHED: Duration = Duration::from_secs(1);
const SLEEPS_A_SECOND: f64 = 50.0;

// covers: NET-6
#[test]
#[ignore = "run by who_waits_for_memory_sleeps_until_a_message_before_it_is_given_up in its namespace"]
fn inside_given_up() {
    let (_root, magenta, wintermute) = two_nodes(1500, &[]);
    let nd = resolve(magenta.qnet.pid(), "wintermute").unwrap();
    let queue = CompletionQueue::new().unwrap();
    let other = attach(nd);
    let count = most() as u64 / FULL + 2;
    let connections: Vec<_> = (0..count).map(|_| attach_wide(nd, &queue)).collect();
    for (at, connection) in (0..).zip(&connections) {
        (0..FULL).for_each(|token| keep_one(connection, at * FULL + token));
        // Which of them have room is not left to chance.
        until_kept(&other, most().min(((at + 1) * FULL) as i64));
    }
    let (before, watched) = (sleeps(&wintermute.qnet), Instant::now());
    thread::sleep(WATCHED);
    let slept = sleeps(&wintermute.qnet) - before;
    let rate = slept as f64 / watched.elapsed().as_secs_f64();
    assert!(rate < SLEEPS_A_SECOND, "it woke and slept {slept} times");
    assert_eq!(kept(&other), most());
    // One after the other is given up, and for each of them one is taken that waited.
    let waiting = (count * FULL) as i64 - most();
    for token in 0..waiting {
        let (at, token) = (token as usize / FULL as usize, token as u64);
        connections[at].unblock(token).unwrap();
        let ended = queue.next(Some(GIVE_UP)).expect("it ends");
        assert_eq!(
            (ended.token, ended.result.err()),
            (token, Some(Errno::EINTR))
        );
        until_kept(&other, most() + 1 + token as i64);
    }
}

/// How often the network-handler thread of a qnet went to sleep since its start.
fn sleeps(qnet: &Process) -> u64 {
    let tasks = fs::read_dir(format!("/proc/{}/task", qnet.pid().0)).unwrap();
    // Threads that attach come and go.
    let status = |task: fs::DirEntry| fs::read_to_string(task.path().join("status"));
    let mut statuses = tasks.filter_map(|task| status(task.ok()?).ok());
    let its = statuses.find(|status| status.starts_with("Name:\tqnet-network\n"));
    let its = its.expect("the thread goes on");
    let mut lines = its.lines();
    let count = lines.find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
    count.expect("Linux says so").trim().parse().unwrap()
}

/// Has more messages kept than its node may, and says so when as many as may be are, in all.
#[test]
#[ignore = "a role in the tests of three nodes"]
fn role_hoarder() {
    let number = |name| env::var(name).unwrap().parse().unwrap();
    let nd = resolve(Pid(number("QNET_TEST_QNET")), "magenta").unwrap();
    let queue = CompletionQueue::new().unwrap();
    let connections: Vec<_> = (0..most() as u64 / FULL + 2)
        .map(|_| attach_wide(nd, &queue))
        .collect();
    for connection in &connections {
        (0..FULL).for_each(|token| keep_one(connection, token));
    }
    // Short ones with short answers pass.
    until_kept(&attach(nd), number("QNET_TEST_LEAST").into());
    println!("ready: hoarder");
    thread::park();
}
