//! How long a session lives, and what ends it.

use std::cell::Cell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use crate::client::{Outcome, cancel};
use crate::node::{Node, PATIENCE};
use crate::record::{CancelKind, Record};
use crate::session::Ended;
use crate::support::{Running, TOLERANCE_MS, part};
use crate::talk::{PEER, begin, connect_to_clerk, echo, end, lab_with_a_stranger, run, stranger};

const EINTR: u16 = 4;
const NAME_IN_USE: u8 = 2;

// covers: NET-5
#[test]
fn an_idle_session_lasts_and_a_dead_one_ends() {
    let Some(lab) = lab_with_a_stranger(&[]) else {
        return;
    };
    run(&lab, "living::part_idle");
}

#[test]
#[ignore = "run by the tests here as the stranger"]
fn part_idle() {
    let mut node = stranger();
    node.connect(PEER);
    let clerk = connect_to_clerk(&mut node);
    echo(&mut node, clerk, 1);
    let session = node.session().number;
    let pings = Rc::new(Cell::new(0));
    let counted = Rc::clone(&pings);
    node.lose_received = Box::new(move |frame| {
        counted.set(counted.get() + u32::from(frame.records.contains(&Record::Ping)));
        false
    });
    println!("idle for longer than the slow keepalive");
    node.idle(Duration::from_millis(5200));
    idle_until(&mut node, "a Ping", || pings.get() > 0);
    echo(&mut node, clerk, 1);

    println!("busy for longer than the tolerance");
    let held = begin(&mut node, clerk, b"hold", 0);
    let before = pings.get();
    node.idle(Duration::from_millis(TOLERANCE_MS + 100));
    idle_until(
        &mut node,
        "a Ping after each third of the tolerance",
        || pings.get() >= before + 3,
    );
    assert_eq!(node.session().number, session);
    node.session()
        .push(cancel(held, CancelKind::Unblock, EINTR));
    assert_eq!(end(&mut node, held), Outcome::Error(EINTR));

    println!("dead for longer than the tolerance, with a call open");
    begin(&mut node, clerk, b"hold", 0);
    node.idle(Duration::from_millis(50));
    node.lose_sent = Box::new(|_| true);
    node.until("the Bye to the dead", |node| node.session().ended);
    node.lose_sent = Box::new(|_| false);
    println!("what remains of the session is reset");
    node.session().push(Record::Ping);
    node.session().ended = None;
    node.until("a Reset", |node| node.session().ended);
    node.connect(PEER);
    let clerk = connect_to_clerk(&mut node);
    echo(&mut node, clerk, 1);
    node.leave();
}

/// Goes on without wanting anything.
fn idle_until(node: &mut Node, what: &str, done: impl Fn() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !done() {
        assert!(Instant::now() < end, "waited {PATIENCE:?} for {what}");
        node.idle(Duration::from_millis(50));
    }
}

// covers: NET-4, NET-5
#[test]
fn a_peer_that_lives_again_or_leaves_ends_the_session() {
    let Some(lab) = lab_with_a_stranger(&[]) else {
        return;
    };
    let mut stranger = Running::start(part(&lab, "stranger", "living::part_outlives"));
    stranger.next("kill it");
    lab.kill(PEER, "qnet", Signal::SIGKILL).expect("it runs");
    lab.restart(PEER, "qnet").expect("nothing is in its way");
    stranger.next("stop it");
    lab.kill(PEER, "qnet", Signal::SIGTERM).expect("it runs");
    assert!(stranger.wait().success());
}

#[test]
#[ignore = "run by the tests here as the stranger"]
fn part_outlives() {
    let mut node = stranger();
    node.connect(PEER);
    let clerk = connect_to_clerk(&mut node);
    echo(&mut node, clerk, 1);
    println!("kill it");
    begin(&mut node, clerk, b"hold", 0);
    assert_eq!(
        node.until("a Reset", |node| node.session().ended),
        Ended::Restarted
    );
    node.heard.clear();
    node.connect(PEER);
    let clerk = connect_to_clerk(&mut node);
    echo(&mut node, clerk, 1);
    println!("stop it");
    assert_eq!(node.until("a Bye", |node| node.session().ended), Ended::Bye);
    node.until("a Goodbye", |node| {
        let goodbye = |told: &Record| matches!(told, Record::Goodbye(hello) if hello.name == PEER);
        node.told.iter().any(goodbye).then_some(())
    });
}

// covers: NET-4
#[test]
fn a_second_bearer_of_a_name_is_refused() {
    let Some(lab) = lab_with_a_stranger(&[]) else {
        return;
    };
    let mut impostor = part(&lab, "stranger", "living::part_impostor");
    assert!(
        impostor
            .env("NAME", PEER)
            .status()
            .expect("netlab runs")
            .success()
    );
}

#[test]
#[ignore = "run by the tests here as the stranger, under the name of wintermute"]
fn part_impostor() {
    let mut node = stranger();
    let refused = |node: &mut Node| {
        node.told.drain(..).find_map(|told| match told {
            Record::Reset {
                session,
                reason: NAME_IN_USE,
                ..
            } => Some(session),
            _ => None,
        })
    };
    node.announce();
    assert_eq!(node.until("a Reset of the announcement", refused), 0);
    // It is not answered by its own name, so that it is asked by another.
    node.name = "mask".to_owned();
    node.ask_who_is(PEER);
    node.until("a hello", |node| node.heard.get(PEER).map(|_| ()));
    node.name = PEER.to_owned();
    node.begin_session(PEER);
    let nonce = node
        .attempt
        .as_ref()
        .map(|attempt| u64::from(attempt.nonce));
    let refused = node.until("a Reset of the Init", refused);
    assert_eq!(Some(refused >> 32), nonce);
    assert_eq!(refused as u32, 0);
    assert!(node.session.is_none());
}
