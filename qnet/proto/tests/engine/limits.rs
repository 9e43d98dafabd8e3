//! More than the limits allow at one time: it waits its turn, and all of it gets through.

use crate::pair::{MS, Pair};
use qnet_proto::limits::{CALLS_MAX, EAGER_LEN, MESSAGE_LEN_MAX, SEEN_WINDOW};
use qnet_proto::{Errno, Event, OutboundConn};

#[test]
fn more_calls_than_may_be_open_wait_their_turn() {
    let (mut pair, conn) = Pair::connected(1500);
    pair.loses = loses_some;
    let count = 2 * CALLS_MAX;
    let calls: Vec<_> = (0..count)
        .map(|_| pair.send(conn, b"one of many"))
        .collect();
    pair.run(20_000 * MS, |pair| {
        pair.nodes[0].engine.load().outbound_calls == 0
    });
    let replied = |event: &&Event| matches!(event, Event::Replied { .. });
    assert_eq!(
        pair.nodes[0].events.iter().filter(replied).count(),
        calls.len()
    );
    assert_eq!(pair.nodes[1].bytes.accepted, count + 1);
}

#[test]
fn more_connections_than_numbers_on_their_way_all_get_through() {
    let (mut pair, _) = Pair::connected(1500);
    pair.loses = loses_some;
    let conns: Vec<_> = (0..2 * SEEN_WINDOW).map(|_| pair.connect()).collect();
    for conn in &conns {
        pair.send(*conn, b"through a connection of its own");
    }
    pair.run(20_000 * MS, |pair| {
        pair.nodes[0].engine.load().outbound_calls == 0
    });
    assert_eq!(pair.nodes[1].engine.load().inbound_conns, conns.len() + 1);
    for conn in conns {
        pair.nodes[0].engine.detach(pair.now, conn).unwrap();
    }
    pair.settle();
    assert_eq!(pair.nodes[1].engine.load().inbound_conns, 1);
}

/// A packet with something for which there is no room yet is not acknowledged, but what else it carries counts:
/// a connection that it brings may be closed before anybody hears that it arrived.
#[test]
fn more_connections_closed_unacknowledged_than_numbers_on_their_way_hold_up_no_later_one() {
    let (mut pair, conn) = Pair::connected(65_535);
    for _ in 0..=SEEN_WINDOW {
        close_unacknowledged(&mut pair, conn);
    }
    assert_eq!(pair.nodes[1].engine.load().inbound_conns, 1);
    let last = pair.connect();
    let call = pair.call(last, b"served");
    assert!(matches!(pair.outcome(call), Some(Event::Replied { .. })));
}

/// A new connection comes in one packet with a long message for which there is no buffer, and is closed at once.
fn close_unacknowledged(pair: &mut Pair, open: OutboundConn) {
    for node in &mut pair.nodes {
        node.events.clear();
        node.bytes.arrived.clear();
    }
    pair.nodes[1].bytes.has_buffers = false;
    let long = pair.send(open, &[7; 2 * EAGER_LEN]);
    let new = pair.connect();
    pair.send(new, b"small");
    let attached = |pair: &Pair| {
        let mut events = pair.nodes[1].events.iter();
        events.find_map(|event| match event {
            Event::Attach { conn, .. } => Some(*conn),
            _ => None,
        })
    };
    pair.run(MS, |pair| attached(pair).is_some());
    let inbound = attached(pair).expect("nothing is lost");
    let right = &mut pair.nodes[1];
    right
        .engine
        .close(pair.now, inbound, Errno::ESRCH)
        .expect("it is live");
    let closed = Event::Closed {
        conn: new,
        errno: Errno::ESRCH,
    };
    pair.run(MS, |pair| pair.nodes[0].events.contains(&closed));
    assert!(pair.nodes[0].events.contains(&closed));
    // There is a buffer now.
    let right = &mut pair.nodes[1];
    right.bytes.has_buffers = true;
    let mut arrived = right.bytes.arrived.iter();
    let (waiting, _) = arrived
        .find(|(_, message)| message.len() == 2 * EAGER_LEN)
        .expect("it was offered");
    right.engine.grant(pair.now, *waiting).expect("it waits");
    pair.run(20_000 * MS, |pair| pair.outcome(long).is_some());
    assert!(matches!(pair.outcome(long), Some(Event::Replied { .. })));
}

#[test]
fn long_messages_beyond_the_granted_bytes_wait_their_turn_and_small_ones_do_not() {
    let (mut pair, conn) = Pair::connected(65_535);
    pair.loses = loses_some;
    let long = vec![9; MESSAGE_LEN_MAX];
    let calls: Vec<_> = (0..6).map(|_| pair.send(conn, &long)).collect();
    pair.run(MS, |_| false);
    let small = pair.call(conn, b"small");
    assert!(matches!(pair.outcome(small), Some(Event::Replied { .. })));
    assert!(
        calls.iter().all(|call| pair.outcome(*call).is_none()),
        "the small one was first"
    );
    pair.run(20_000 * MS, |pair| {
        pair.nodes[0].engine.load().outbound_calls == 0
    });
    for call in calls {
        assert!(pair.nodes[0].bytes.replies[&call] == long);
    }
}

/// Loses one frame in twenty, spread evenly.
fn loses_some(frame: u64) -> bool {
    frame.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40 < (1 << 24) / 20
}
