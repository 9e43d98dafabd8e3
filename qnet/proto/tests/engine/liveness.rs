//! Peers that fall silent, are slow, begin anew or were never there, and what callers are told of it.

use std::time::Duration;

use crate::pair::{MS, Pair, mac};
use qnet_proto::{
    ConnectInfo, DownReason, Errno, Event, LinkId, NodeName, OutboundCall, OutboundConn, Outgoing,
};

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

/// Two nodes with a session that nothing has used since long ago, and a fresh connection of the left one's.
fn met_long_ago() -> (Pair, OutboundConn) {
    let (mut pair, conn) = Pair::connected(1500);
    pair.nodes[0].engine.detach(pair.now, conn).expect("live");
    pair.run(11_000 * MS, |_| false);
    pair.sent.clear();
    let conn = pair.connect();
    (pair, conn)
}

// covers: NET-5
#[test]
fn a_clock_that_jumps_fails_no_call_that_is_on_its_way() {
    let (mut pair, conn) = Pair::connected(1500);
    pair.nodes[0].engine.detach(pair.now, conn).expect("live");
    pair.settle();
    let theirs = call_left(&mut pair);
    // The call is on its way, and in no time an hour has passed in which nothing was heard.
    pair.now = pair.now.after(3_600_000 * MS);
    let conn = pair.connect();
    let ours = pair.send(conn, b"after an hour");
    let is_over = |pair: &Pair, node: usize, its: OutboundCall| {
        let events = &pair.nodes[node].events;
        let is_reply = |event: &Event| matches!(event, Event::Replied { call, .. } if *call == its);
        events.iter().any(is_reply)
    };
    pair.run(2_000 * MS, |pair| {
        is_over(pair, 0, ours) && is_over(pair, 1, theirs)
    });
    let [left, right] = &pair.nodes;
    assert!(is_over(&pair, 0, ours), "{:?}", left.events);
    assert!(is_over(&pair, 1, theirs), "{:?}", right.events);
}

/// A call of the right node's, whose first frame is on its way.
fn call_left(pair: &mut Pair) -> OutboundCall {
    let node = &mut pair.nodes[1];
    let left = NodeName::new("left").expect("legal");
    let peer = node.engine.add_host(left, LinkId(0), mac(0)).expect("room");
    let conn = node.engine.connect(peer, ConnectInfo::default());
    let message = b"on its way".to_vec();
    let outgoing = Outgoing {
        len: message.len() as u32,
        reply_len: message.len() as u32,
        priority: 10,
        tid: 1,
        reports: false,
    };
    let call = node
        .engine
        .send(pair.now, conn.expect("a known peer"), outgoing)
        .expect("live");
    node.bytes.messages.insert(call, message);
    pair.pump(1);
    call
}

#[test]
fn a_session_that_was_not_used_for_long_is_asked_until_it_answers_and_then_used() {
    let (mut pair, conn) = met_long_ago();
    // Two questions are lost, and the answer to the third comes.
    pair.loses = |frame| frame <= 2;
    let call = pair.call(conn, b"is anybody there?");
    assert!(matches!(pair.outcome(call), Some(Event::Replied { .. })));
    let message_len = pair.sent[3..].iter().map(|(_, frame)| frame.len()).max();
    assert!(
        pair.sent[..3]
            .iter()
            .all(|(_, frame)| Some(frame.len()) < message_len)
    );
    let peer = pair.peer();
    let stats = pair.nodes[0].engine.peer_stats(peer).expect("known");
    assert_eq!(stats.sessions, 1);
}

// covers: NET-5
#[test]
fn a_peer_that_began_anew_unheard_gets_the_first_call_after_a_long_time() {
    let (mut pair, conn) = met_long_ago();
    pair.restart(1, 2);
    let call = pair.call(conn, b"to whoever you are now");
    assert!(matches!(pair.outcome(call), Some(Event::Replied { .. })));
}

// covers: NET-5
#[test]
fn a_peer_that_has_gone_unheard_is_ehostunreach_within_the_tolerance_after_a_long_time() {
    let (mut pair, conn) = met_long_ago();
    pair.loses = |_| true;
    let begun = pair.now;
    let call = pair.call(conn, b"hello?");
    let errno = Errno::EHOSTUNREACH;
    assert_eq!(pair.outcome(call), Some(Event::Failed { call, errno }));
    let took = pair.now - begun;
    assert!(
        took <= Duration::from_millis(1501),
        "{took:?} of simulated time"
    );
    assert_eq!(pair.nodes[0].engine.poll_timeout(), None);
}
