//! One exchange between a client and its server: who sends, the reply's bytes, the ways to end it early.

use crate::pair::{CABLE_NS, MS, Pair};
use qnet_proto::{Cancel, Errno, Event, Load, OutboundConn};

#[test]
fn changed_credentials_reach_the_server_with_the_next_message() {
    let (mut pair, conn) = Pair::connected(1500);
    pair.nodes[0]
        .engine
        .set_credentials(conn, 1000, 100)
        .unwrap();
    pair.call(conn, b"as somebody else");
    let told = |event: &Event| matches!(event, Event::Credentials { info, .. } if (info.uid, info.gid) == (1000, 100));
    assert_eq!(
        pair.nodes[1]
            .events
            .iter()
            .filter(|event| told(event))
            .count(),
        1
    );
}

#[test]
fn a_reply_of_scattered_extents_leaves_the_rest_alone() {
    let (mut pair, conn) = Pair::connected(1500);
    pair.echoes = false;
    let call = pair.send(conn, &[7; 5000]);
    pair.nodes[0].bytes.replies.insert(call, vec![0xee; 5000]);
    pair.run(10 * MS, |_| false);
    let inbound = *pair.nodes[1]
        .bytes
        .arrived
        .last_key_value()
        .expect("arrived")
        .0;
    pair.nodes[1].bytes.answers.insert(inbound, vec![1; 5000]);
    let extents = [0..10, 2000..4500];
    pair.nodes[1]
        .engine
        .reply_extents(pair.now, inbound, 42, &extents)
        .unwrap();
    pair.run(10 * MS, |_| false);
    assert_eq!(
        pair.outcome(call),
        Some(Event::Replied {
            call,
            status: 42,
            len: 4500
        })
    );
    let reply = &pair.nodes[0].bytes.replies[&call];
    let expected = |at: usize| {
        if at < 10 || (2000..4500).contains(&at) {
            1
        } else {
            0xee
        }
    };
    assert!(
        reply
            .iter()
            .enumerate()
            .all(|(at, byte)| *byte == expected(at))
    );
}

// covers: NET-6, CHN-2
#[test]
fn an_unblock_request_reaches_the_server_and_its_answer_decides() {
    let (mut pair, conn) = Pair::connected(1500);
    pair.echoes = false;
    let call = pair.send(conn, b"wait");
    pair.run(10 * MS, |_| false);
    pair.nodes[0]
        .engine
        .cancel(pair.now, call, Cancel::Unblock(Errno::EINTR))
        .unwrap();
    pair.run(10 * MS, |_| false);
    assert_eq!(pair.outcome(call), None, "the client stays blocked");
    let requested = |event: &Event| match event {
        Event::CancelRequested {
            call,
            cancel: Cancel::Unblock(Errno::EINTR),
        } => Some(*call),
        _ => None,
    };
    let inbound = pair.nodes[1]
        .events
        .iter()
        .find_map(requested)
        .expect("the server is asked");
    pair.nodes[1]
        .engine
        .error(pair.now, inbound, Errno::EINTR)
        .unwrap();
    pair.run(10 * MS, |_| false);
    assert_eq!(
        pair.outcome(call),
        Some(Event::Failed {
            call,
            errno: Errno::EINTR
        })
    );
    assert_eq!(
        pair.nodes[1].engine.error(pair.now, inbound, Errno::EINTR),
        Err(Errno::ESRCH)
    );
}

// covers: NET-6, CHN-7
#[test]
fn a_detach_abandons_what_is_outstanding_and_tells_the_server() {
    let (mut pair, conn) = Pair::connected(1500);
    pair.echoes = false;
    pair.send(conn, &[3; 100_000]);
    pair.run(10 * MS, |_| false);
    pair.nodes[0].engine.detach(pair.now, conn).unwrap();
    assert_eq!(
        pair.nodes[0].engine.detach(pair.now, conn),
        Err(Errno::EBADF)
    );
    pair.settle();
    let position = |wanted: &dyn Fn(&Event) -> bool| {
        pair.nodes[1].events.iter().position(wanted).expect("told")
    };
    let abandoned = position(&|event| matches!(event, Event::Abandoned { .. }));
    let detached = position(&|event| matches!(event, Event::Detached { .. }));
    assert!(abandoned < detached);
    assert!(
        pair.nodes
            .iter()
            .all(|node| node.engine.load() == Load::default())
    );
}

/// Simulated time that a call takes, in trips through the cable.
fn trips(pair: &mut Pair, conn: OutboundConn, len: usize) -> u64 {
    let begun = pair.now;
    let message: Vec<u8> = (0..len).map(|at| at as u8).collect();
    let call = pair.call(conn, &message);
    assert_eq!(pair.nodes[0].bytes.replies[&call], message);
    pair.now.since(begun) / CABLE_NS
}

#[test]
fn a_long_message_crosses_in_one_flight_when_its_server_has_answered_before() {
    let (mut pair, conn) = Pair::connected(1500);
    for len in [17 << 10, 128 << 10, 240 << 10] {
        assert_eq!(trips(&mut pair, conn, len), 2, "{len} bytes");
    }
    let other = pair.connect();
    assert_eq!(
        trips(&mut pair, other, 128 << 10),
        4,
        "nobody knows whether its server has a buffer"
    );
    assert_eq!(trips(&mut pair, other, 128 << 10), 2);
}

#[test]
fn what_came_unasked_without_a_buffer_comes_again_with_the_grant() {
    let (mut pair, conn) = Pair::connected(1500);
    pair.nodes[1].bytes.has_buffers = false;
    let message = [7; 200 << 10];
    let call = pair.send(conn, &message);
    pair.run(100 * MS, |_| false);
    assert_eq!(pair.outcome(call), None);
    let (&inbound, _) = pair.nodes[1].bytes.arrived.last_key_value().expect("begun");
    pair.sent.clear();
    pair.run(100 * MS, |_| false);
    let waste: usize = pair.sent.iter().map(|(_, frame)| frame.len()).sum();
    assert!(waste < 16 << 10, "{waste} bytes sent in vain while waiting");
    pair.nodes[1]
        .engine
        .grant(pair.now, inbound)
        .expect("it waits");
    pair.run(1_000 * MS, |pair| pair.outcome(call).is_some());
    assert_eq!(pair.nodes[0].bytes.replies[&call], message);
    pair.nodes[1].bytes.has_buffers = true;
    assert_eq!(trips(&mut pair, conn, 128 << 10), 2);
}
