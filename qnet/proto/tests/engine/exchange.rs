//! One exchange between a client and its server: who sends, the reply's bytes, the ways to end it early.

use crate::pair::{CABLE_NS, MS, Pair, config};
use qnet_proto::limits::UNASKED_LEN;
use qnet_proto::wire::{Frame, Record};
use qnet_proto::{Cancel, Config, Errno, Event, Load, OutboundConn};

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
fn of_a_long_message_as_much_as_may_goes_unasked_and_no_more() {
    let roomy = |index| Config {
        receive_window_len: 4 << 20,
        ..config(index, 1500, 1)
    };
    let mut pair = Pair::with(roomy(0), roomy(1));
    let conn = pair.connect();
    // The flight window grows to where more than it may be on its way.
    for _ in 0..8 {
        trips(&mut pair, conn, UNASKED_LEN);
    }
    assert_eq!(trips(&mut pair, conn, UNASKED_LEN), 2);

    pair.nodes[1].bytes.has_buffers = false;
    pair.sent.clear();
    let call = pair.send(conn, &vec![7; 2 * UNASKED_LEN]);
    // None of it arrives that soon.
    pair.run(CABLE_NS / 2, |_| false);
    let fragment_end = |record| match record {
        Record::MessageFragment(fragment) => Some(fragment.offset as usize + fragment.bytes.len()),
        _ => None,
    };
    let ends = pair.sent.iter().flat_map(|(_, frame)| {
        let frame = Frame::parse(frame, 0x88b5, false).expect("sound");
        let records = frame.records().map(|record| record.expect("sound"));
        records.filter_map(fragment_end).collect::<Vec<_>>()
    });
    assert_eq!(ends.max(), Some(UNASKED_LEN));
    assert_eq!(pair.outcome(call), None);
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

/// How many records of each kind left a node: runs of replies, and replies one by one.
fn answers_sent(pair: &Pair, by: usize) -> (usize, usize) {
    let (mut runs, mut single) = (0, 0);
    for (from, frame) in &pair.sent {
        let frame = Frame::parse(frame, 0x88b5, false).expect("sound");
        for record in frame.records().filter(|_| *from == by) {
            match record.expect("sound") {
                Record::Replies(_) => runs += 1,
                Record::Reply { .. } | Record::Error(_) => single += 1,
                _ => {}
            }
        }
    }
    (runs, single)
}

#[test]
fn neighbours_that_are_answered_with_nothing_share_a_record() {
    let (mut pair, conn) = Pair::connected(1500);
    let calls: Vec<_> = (0..300).map(|_| pair.send(conn, &[])).collect();
    pair.run(100 * MS, |pair| {
        calls.iter().all(|call| pair.outcome(*call).is_some())
    });
    for call in calls {
        let (status, len) = (0, 0);
        let replied = Event::Replied { call, status, len };
        assert_eq!(pair.outcome(call), Some(replied));
    }
    let (runs, single) = answers_sent(&pair, 1);
    assert!((1..=30).contains(&runs), "{runs} for 300 calls");
    assert_eq!(single, 0);
    pair.settle();
    assert_eq!(pair.nodes[1].engine.load().inbound_calls, 0);
}

/// How many records with messages left node 0, and how many messages were in those with more than one.
fn messages_sent(pair: &Pair) -> (usize, usize) {
    let (mut records, mut of_runs) = (0, 0);
    for (_, frame) in pair.sent.iter().filter(|(from, _)| *from == 0) {
        let frame = Frame::parse(frame, 0x88b5, false).expect("sound");
        for record in frame.records() {
            match record.expect("sound") {
                Record::Messages { head, bytes } => {
                    records += 1;
                    of_runs += bytes.len() / head.len as usize;
                }
                Record::Message { .. } => records += 1,
                _ => {}
            }
        }
    }
    (records, of_runs)
}

#[test]
fn neighbours_that_are_alike_share_a_record_and_each_has_its_own_answer() {
    let (mut pair, conn) = Pair::connected(1500);
    pair.call(conn, b"the connect is known to have arrived");
    pair.sent.clear();
    let calls: Vec<_> = (0..100)
        .map(|byte| (byte, pair.send(conn, &[byte; 64])))
        .collect();
    pair.run(100 * MS, |pair| {
        calls.iter().all(|(_, call)| pair.outcome(*call).is_some())
    });
    for (byte, call) in calls {
        assert_eq!(pair.nodes[0].bytes.replies[&call], [byte; 64]);
    }
    let frames = pair.sent.iter().filter(|(from, _)| *from == 0).count();
    assert_eq!(messages_sent(&pair), (5, 100), "22 of 64 bytes fit a frame");
    assert!(frames <= 10, "{frames}");
}

#[test]
fn a_run_of_messages_ends_where_one_is_not_alike_or_does_not_fit() {
    let (mut pair, conn) = Pair::connected(1500);
    let other = pair.connect();
    for conn in [conn, other] {
        pair.call(conn, b"the connect is known to have arrived");
    }
    pair.sent.clear();
    let lens = [8, 8, 8, 9, 9, 0, 0, 8, 700, 700, 700, 2000, 2000];
    let mut calls: Vec<_> = lens
        .iter()
        .map(|len| pair.send(conn, &vec![1; *len]))
        .collect();
    calls.extend([other, other, conn].map(|conn| pair.send(conn, &[1; 5])));
    pair.run(100 * MS, |pair| {
        calls.iter().all(|call| pair.outcome(*call).is_some())
    });
    // Three of 8 bytes, two of 9, and two of the other connection; two of 700 fit one frame, or none does.
    let (_, of_runs) = messages_sent(&pair);
    assert!([7, 9].contains(&of_runs), "{of_runs}");
}

#[test]
fn what_is_lost_of_a_run_comes_again_and_what_was_taken_is_not_taken_twice() {
    let (mut pair, conn) = Pair::connected(1500);
    pair.call(conn, b"the connect is known to have arrived");
    pair.sent.clear();
    pair.loses = |nth| nth == 2;
    let calls: Vec<_> = (0..60)
        .map(|byte| (byte, pair.send(conn, &[byte; 64])))
        .collect();
    pair.run(1_000 * MS, |pair| {
        calls.iter().all(|(_, call)| pair.outcome(*call).is_some())
    });
    for (byte, call) in calls {
        assert_eq!(pair.nodes[0].bytes.replies[&call], [byte; 64]);
    }
    let arrived = pair.nodes[1].events.iter();
    let arrived = arrived.filter(|event| matches!(event, Event::MessageArrived { .. }));
    assert_eq!(arrived.count(), 1 + 60);
}

#[test]
fn a_run_of_replies_ends_where_a_status_bytes_or_an_error_say_more() {
    let (mut pair, conn) = Pair::connected(1500);
    pair.echoes = false;
    let calls: Vec<_> = (0..6).map(|_| pair.send(conn, b"m")).collect();
    pair.run(10 * MS, |_| false);
    let arrived = |event: &Event| match event {
        Event::MessageArrived { call, .. } => Some(*call),
        _ => None,
    };
    let inbound: Vec<_> = pair.nodes[1].events.iter().filter_map(arrived).collect();
    for call in &inbound {
        pair.nodes[1].bytes.answers.insert(*call, vec![1]);
    }
    let (now, engine) = (pair.now, &mut pair.nodes[1].engine);
    for (call, (status, len)) in inbound.iter().zip([(0, 0), (0, 0), (5, 0), (0, 0), (0, 1)]) {
        engine.reply(now, *call, status, len).expect("it waits");
    }
    engine
        .error(now, inbound[5], Errno::EINTR)
        .expect("it waits");
    pair.run(10 * MS, |_| false);
    let statuses: Vec<_> = calls.iter().map(|call| pair.outcome(*call)).collect();
    let replied = |at: usize, status, len| {
        let call = calls[at];
        Some(Event::Replied { call, status, len })
    };
    let failed = Some(Event::Failed {
        call: calls[5],
        errno: Errno::EINTR,
    });
    let expected = [
        replied(0, 0, 0),
        replied(1, 0, 0),
        replied(2, 5, 0),
        replied(3, 0, 0),
        replied(4, 0, 1),
        failed,
    ];
    assert_eq!(statuses, expected);
    assert_eq!(answers_sent(&pair, 1), (2, 3));
}

#[test]
fn lost_runs_of_replies_come_again_and_each_call_ends_once() {
    let (mut pair, conn) = Pair::connected(1500);
    pair.loses = |frame| frame.is_multiple_of(3);
    let calls: Vec<_> = (0..200).map(|_| pair.send(conn, &[])).collect();
    pair.run(5_000 * MS, |pair| {
        calls.iter().all(|call| pair.outcome(*call).is_some())
    });
    let replied = |event: &&Event| matches!(event, Event::Replied { .. });
    let count = pair.nodes[0].events.iter().filter(replied).count();
    assert_eq!(count, calls.len());
}

#[test]
fn a_run_of_replies_may_grow_downwards() {
    let (mut pair, conn) = Pair::connected(1500);
    pair.echoes = false;
    let calls: Vec<_> = (0..10).map(|_| pair.send(conn, b"m")).collect();
    pair.run(10 * MS, |_| false);
    let arrived = |event: &Event| match event {
        Event::MessageArrived { call, .. } => Some(*call),
        _ => None,
    };
    let inbound: Vec<_> = pair.nodes[1].events.iter().filter_map(arrived).collect();
    for call in inbound[..5].iter().rev().chain(&inbound[5..]) {
        let answered = pair.nodes[1].engine.reply(pair.now, *call, 0, 0);
        answered.expect("it waits");
    }
    pair.run(10 * MS, |_| false);
    assert!(calls.iter().all(|call| pair.outcome(*call).is_some()));
    assert_eq!(answers_sent(&pair, 1), (1, 0));
}
