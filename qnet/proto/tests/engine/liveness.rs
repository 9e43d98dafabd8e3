//! Peers that fall silent, are slow, begin anew or were never there, and what callers are told of it.

use std::time::Duration;

use crate::pair::{MS, Pair};
use qnet_proto::{DownReason, Errno, Event};

// covers: NET-5
#[test]
fn a_peer_that_falls_silent_is_down_within_the_tolerance() {
    let (mut pair, conn) = Pair::connected(1500);
    pair.echoes = false;
    let call = pair.send(conn, b"never answered");
    pair.run(100 * MS, |_| false);
    assert_eq!(pair.outcome(call), None);
    let begun = pair.now;
    pair.loses = |_| true;
    pair.run(10_000 * MS, |pair| pair.outcome(call).is_some());
    assert_eq!(
        pair.outcome(call),
        Some(Event::Failed {
            call,
            errno: Errno::EHOSTDOWN
        })
    );
    assert!(
        pair.now - begun <= Duration::from_millis(1501),
        "{:?}",
        pair.now - begun
    );
    let events = &pair.nodes[0].events;
    assert!(events.contains(&Event::Closed {
        conn,
        errno: Errno::EHOSTDOWN
    }));
    pair.run(2_000 * MS, |_| false);
    let silent = |event: &Event| {
        matches!(
            event,
            Event::PeerDown {
                reason: DownReason::Silent,
                ..
            }
        )
    };
    assert!(pair.nodes.iter().all(|node| node.events.iter().any(silent)));
    let left_behind =
        |event: &Event| matches!(event, Event::Abandoned { .. } | Event::Detached { .. });
    assert_eq!(
        pair.nodes[1]
            .events
            .iter()
            .filter(|event| left_behind(event))
            .count(),
        2
    );
    assert!(
        pair.nodes
            .iter()
            .all(|node| node.engine.poll_timeout().is_none())
    );
}

// covers: NET-5
#[test]
fn time_in_which_a_node_did_not_run_is_no_silence_of_its_peer() {
    let (mut pair, conn) = Pair::connected(1500);
    pair.echoes = false;
    let call = pair.send(conn, b"answered late");
    pair.run(400 * MS, |_| false);
    for _ in 0..5 {
        // Both stand still, past every deadline, with and without frames on their way.
        pair.now = pair.now.after(3_000 * MS);
        pair.run(700 * MS, |_| false);
        assert_eq!(pair.outcome(call), None);
    }
    let arrived = pair.nodes[1].events.iter().find_map(|event| match event {
        Event::MessageArrived { call, .. } => Some(*call),
        _ => None,
    });
    pair.echo(1, arrived.expect("it arrived"));
    pair.run(100 * MS, |pair| pair.outcome(call).is_some());
    assert!(matches!(pair.outcome(call), Some(Event::Replied { .. })));
}

// covers: NET-5
#[test]
fn a_node_that_hardly_ever_runs_still_gives_up_a_dead_peer() {
    let (mut pair, conn) = Pair::connected(1500);
    pair.loses = |_| true;
    let call = pair.send(conn, b"to nobody");
    let mut turns = 0;
    while pair.outcome(call).is_none() {
        pair.now = pair.now.after(2_000 * MS);
        pair.run(0, |_| false);
        turns += 1;
        assert!(turns < 100, "it waits for ever");
    }
    let errno = Errno::EHOSTDOWN;
    assert_eq!(pair.outcome(call), Some(Event::Failed { call, errno }));
    assert!(turns > 5, "it gave up after {turns} looks");
}

#[test]
fn a_call_that_takes_long_is_waited_for_as_long_as_its_node_lives() {
    let (mut pair, conn) = Pair::connected(1500);
    pair.echoes = false;
    let call = pair.send(conn, b"slow");
    pair.run(60_000 * MS, |_| false);
    assert_eq!(pair.outcome(call), None);
    assert!(
        pair.sent.len() < 1000,
        "{} frames in a minute of waiting",
        pair.sent.len()
    );
    let arrived = |event: &Event| match event {
        Event::MessageArrived { call, .. } => Some(*call),
        _ => None,
    };
    let inbound = pair.nodes[1]
        .events
        .iter()
        .find_map(arrived)
        .expect("it arrived");
    pair.echo(1, inbound);
    pair.run(100 * MS, |pair| pair.outcome(call).is_some());
    assert!(matches!(pair.outcome(call), Some(Event::Replied { .. })));
}

// covers: NET-4, NET-5
#[test]
fn a_restarted_peer_fails_what_was_outstanding_and_takes_new_calls() {
    let (mut pair, conn) = Pair::connected(1500);
    pair.echoes = false;
    let old = pair.send(conn, b"to the old life");
    pair.run(10 * MS, |_| false);
    let of_the_old_life = pair.sent.clone();
    pair.restart(1, 2);
    pair.echoes = true;
    pair.run(2_000 * MS, |pair| pair.outcome(old).is_some());
    assert_eq!(
        pair.outcome(old),
        Some(Event::Failed {
            call: old,
            errno: Errno::ESRCH
        })
    );
    for (from, frame) in of_the_old_life {
        pair.deliver(1 - from, &frame);
    }
    assert_eq!(
        pair.nodes[1].bytes.accepted, 0,
        "nothing of the former life is accepted"
    );
    let conn = pair.connect();
    let call = pair.call(conn, b"to the new life");
    assert!(matches!(pair.outcome(call), Some(Event::Replied { .. })));
}

#[test]
fn nobody_there_is_ehostunreach_within_the_tolerance() {
    let mut pair = Pair::new(1500);
    pair.loses = |_| true;
    let conn = pair.connect();
    let begun = pair.now;
    let call = pair.call(conn, b"hello?");
    assert_eq!(
        pair.outcome(call),
        Some(Event::Failed {
            call,
            errno: Errno::EHOSTUNREACH
        })
    );
    assert!(pair.now - begun <= Duration::from_millis(1501));
    assert_eq!(pair.nodes[0].engine.poll_timeout(), None);
}
