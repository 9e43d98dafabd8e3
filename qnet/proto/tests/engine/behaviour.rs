//! Single situations, each with what must come of it.

use std::time::Duration;

use crate::pair::{MS, Pair, config, mac};
use qnet_proto::limits::{CALLS_MAX, MESSAGE_LEN_MAX, PEERS_MAX, SEEN_WINDOW};
use qnet_proto::wire::{FrameBuilder, Handshake, Header, Hello, RecordType};
use qnet_proto::{
    Cancel, DownReason, DropReason, Errno, Event, LinkId, Load, Mac, NodeName, NodeState, Pulse,
    Time,
};

// covers: NET-4
#[test]
fn a_small_call_on_a_quiet_line_costs_two_frames() {
    let (mut pair, conn) = Pair::connected(1500);
    for round in 0..100u8 {
        pair.call(conn, &[round; 64]);
    }
    assert_eq!(pair.sent.len(), 200);
    assert!(pair.sent.iter().all(|(_, frame)| frame.len() < 200));
    let acks: u64 = pair.nodes.iter().map(|node| acks_of(&node.engine)).sum();
    assert!(
        acks <= 2,
        "only the call before the quiet line was acknowledged by itself"
    );
}

fn acks_of(engine: &qnet_proto::Engine) -> u64 {
    engine
        .nodes()
        .map(|node| engine.peer_stats(node.peer).expect("listed").acks_sent)
        .sum()
}

#[test]
fn many_small_messages_share_a_frame() {
    let (mut pair, conn) = Pair::connected(1500);
    let calls: Vec<_> = (0..100u8)
        .map(|byte| pair.send(conn, &[byte; 64]))
        .collect();
    pair.run(100 * MS, |pair| {
        calls.iter().all(|call| pair.outcome(*call).is_some())
    });
    assert!(
        pair.sent.len() < 20,
        "{} frames for 100 calls",
        pair.sent.len()
    );
}

#[test]
fn an_idle_engine_has_no_timer() {
    let mut pair = Pair::new(1500);
    assert_eq!(pair.nodes[0].engine.poll_timeout(), None);
    pair.nodes[0].engine.announce(pair.now);
    pair.settle();
    assert_eq!(
        pair.nodes[0]
            .engine
            .nodes()
            .next()
            .expect("it answered")
            .state,
        NodeState::Known
    );
    assert!(
        pair.nodes
            .iter()
            .all(|node| node.engine.poll_timeout().is_none())
    );

    let conn = pair.connect();
    pair.call(conn, b"hello");
    pair.nodes[0]
        .engine
        .detach(pair.now, conn)
        .expect("a live connection");
    pair.settle();
    assert!(
        pair.nodes
            .iter()
            .all(|node| node.engine.poll_timeout().is_none())
    );
}

#[test]
fn idle_connections_are_probed_slowly_and_nothing_else() {
    let (mut pair, _) = Pair::connected(1500);
    pair.run(60_000 * MS, |_| false);
    let frames = pair.sent.len();
    assert!((10..=50).contains(&frames), "{frames} frames in a minute");
}

#[test]
fn frames_that_came_twice_are_taken_once() {
    let (mut pair, conn) = Pair::connected(1500);
    let accepted = pair.nodes[1].bytes.accepted;
    pair.call(conn, b"once");
    for (from, frame) in pair.sent.clone() {
        pair.deliver(1 - from, &frame);
    }
    assert_eq!(pair.nodes[1].bytes.accepted, accepted + 1);
    assert_eq!(pair.nodes[1].engine.dropped(DropReason::Repeated), 1);
    assert_eq!(pair.nodes[0].engine.dropped(DropReason::Repeated), 1);
}

// covers: NET-3, NET-4
#[test]
fn sixteen_mebibytes_get_through_at_five_percent_loss() {
    let (mut pair, conn) = Pair::connected(1500);
    pair.loses = |frame| {
        frame.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32 & 0xffff_ffff < u64::from(u32::MAX) / 20
    };
    let message: Vec<u8> = (0..16u32 << 20)
        .map(|at| (at ^ at >> 8 ^ at >> 16) as u8)
        .collect();
    let call = pair.call(conn, &message);
    assert!(
        matches!(pair.outcome(call), Some(Event::Replied { len, .. }) if len as usize == message.len())
    );
    assert!(pair.nodes[0].bytes.replies[&call] == message);
}

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

// covers: PTH-7
#[test]
fn names_resolve_by_broadcast_and_unknown_ones_are_enoent_in_time() {
    let mut pair = Pair::new(1500);
    let (right, nobody) = (
        NodeName::new("right").unwrap(),
        NodeName::new("nobody").unwrap(),
    );
    pair.nodes[0].engine.resolve(pair.now, right).unwrap();
    pair.nodes[0].engine.resolve(pair.now, nobody).unwrap();
    let begun = pair.now;
    let failed = Event::ResolveFailed {
        name: nobody,
        errno: Errno::ENOENT,
    };
    pair.run(5_000 * MS, |pair| pair.nodes[0].events.contains(&failed));
    assert!(pair.now - begun <= Duration::from_millis(1001));
    let resolved = |event: &Event| matches!(event, Event::Resolved { name, .. } if *name == right);
    assert!(pair.nodes[0].events.iter().any(resolved));
}

#[test]
fn a_second_bearer_of_a_name_is_refused_and_told() {
    let mut left = config(0, 1500, 1);
    left.name = NodeName::new("right").unwrap();
    let mut pair = Pair::with(left, config(1, 1500, 1));
    pair.nodes[0].engine.announce(pair.now);
    pair.settle();
    for (node, other) in pair.nodes.iter().zip([mac(1), mac(0)]) {
        let told = Event::DuplicateName {
            name: NodeName::new("right").unwrap(),
            link: LinkId(0),
            mac: other,
        };
        assert_eq!(
            node.events.iter().filter(|event| **event == told).count(),
            1
        );
        assert_eq!(node.engine.nodes().count(), 0);
    }
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

#[test]
fn pulses_keep_their_order_though_frames_are_lost() {
    let (mut pair, conn) = Pair::connected(576);
    pair.loses = |frame| frame % 3 == 0;
    for value in 0..500 {
        let pulse = Pulse {
            code: 5,
            priority: 10,
            value,
        };
        pair.nodes[0]
            .engine
            .pulse_server(pair.now, conn, pulse)
            .unwrap();
        pair.run(MS / 50, |_| false);
    }
    pair.run(3_000 * MS, |_| false);
    let value = |event: &Event| match event {
        Event::ServerPulse { pulse, .. } => Some(pulse.value),
        _ => None,
    };
    let taken: Vec<i64> = pair.nodes[1].events.iter().filter_map(value).collect();
    assert_eq!(taken, (0..500).collect::<Vec<_>>());
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

#[test]
fn malformed_frames_are_counted_by_reason() {
    let (mut pair, conn) = Pair::connected(1500);
    pair.call(conn, b"a sound frame");
    let sound = pair.sent[0].1.clone();
    let mut damage = |reason: DropReason, change: &dyn Fn(&mut Vec<u8>)| {
        let mut frame = sound.clone();
        change(&mut frame);
        pair.deliver(1, &frame);
        assert_eq!(pair.nodes[1].engine.dropped(reason), 1, "{reason:?}");
    };
    damage(DropReason::Short, &|frame| frame.truncate(30));
    damage(DropReason::EtherType, &|frame| frame[12] = 8);
    damage(DropReason::Version, &|frame| frame[14] = 9);
    damage(DropReason::Reserved, &|frame| frame[15] |= 0x80);
    damage(DropReason::Length, &|frame| frame[16] = 0xff);
    damage(DropReason::NotForUs, &|frame| frame[5] = 99);
    damage(DropReason::UnknownSession, &|frame| frame[28] ^= 1);
    damage(DropReason::Direction, &|frame| frame[15] ^= 1);
    damage(DropReason::Repeated, &|_| {});
    damage(DropReason::FalseAck, &|frame| {
        (frame[25], frame[34]) = (77, 1)
    });
}

#[test]
fn a_million_junk_frames_leave_nothing_behind() {
    let (mut pair, conn) = Pair::connected(1500);
    pair.call(conn, b"something to imitate");
    let sound = pair.sent[0].1.clone();
    let before = pair.nodes[1].engine.load();
    let mut state = 1u64;
    let mut buffer = vec![0; 2048];
    for count in 0..1_000_000u64 {
        let mut frame = sound.clone();
        for _ in 0..4 {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            let at = 14 + (state >> 33) as usize % (frame.len() - 14);
            frame[at] = (state >> 24) as u8;
        }
        // A stranger each time.
        frame[6..12].copy_from_slice(&[
            2,
            1,
            (count >> 24) as u8,
            (count >> 16) as u8,
            (count >> 8) as u8,
            count as u8,
        ]);
        frame[22..30].copy_from_slice(&state.to_be_bytes());
        let node = &mut pair.nodes[1];
        node.engine
            .handle_frame(Time(pair.now.0 + count), LinkId(0), &frame, &mut node.bytes);
        if count % 100 == 0 {
            while node
                .engine
                .poll_transmit(pair.now, &mut buffer, &node.bytes)
                .is_some()
            {}
        }
    }
    assert_eq!(pair.nodes[1].engine.load(), before);
    assert_eq!(
        pair.nodes[1].engine.nodes().count(),
        1,
        "no stranger got a place"
    );
}

#[test]
fn a_host_given_by_hand_is_checked() {
    let mut pair = Pair::new(1500);
    let engine = &mut pair.nodes[0].engine;
    let (own, other) = (
        NodeName::new("left").unwrap(),
        NodeName::new("other").unwrap(),
    );
    assert_eq!(engine.add_host(own, LinkId(0), mac(5)), Err(Errno::EINVAL));
    assert_eq!(
        engine.add_host(other, LinkId(0), Mac::BROADCAST),
        Err(Errno::EINVAL)
    );
    assert_eq!(
        engine.add_host(other, LinkId(9), mac(5)),
        Err(Errno::EINVAL)
    );
    assert!(engine.add_host(other, LinkId(0), mac(5)).is_ok());
}

/// The frame of an Init from a stranger with this number.
fn init_of(stranger: u32) -> Vec<u8> {
    let name = NodeName::new(&format!("stranger-{stranger}")).unwrap();
    let hello = Hello {
        epoch: 1,
        receive_window: 1 << 20,
        ack_delay_us: 1000,
        mtu: 1500,
        name,
    };
    let init = Handshake {
        hello,
        initiator_nonce: stranger + 1,
        responder_nonce: 0,
        other_epoch: 0,
        stamp: 0,
        cookie: [0; 16],
    };
    let mut buffer = vec![0; 1514];
    let mut frame = FrameBuilder::new(&mut buffer, 1500);
    init.emit(&mut frame, RecordType::Init).unwrap();
    let [a, b, c, d] = stranger.to_be_bytes();
    let len = frame.finish(Mac([2, 9, a, b, c, d]), mac(1), 0x88b5, &Header::default());
    buffer.truncate(len);
    buffer
}

#[test]
fn handshakes_that_strangers_begin_leave_nothing_behind() {
    let mut pair = Pair::new(1500);
    for stranger in 0..20_000 {
        let node = &mut pair.nodes[1];
        node.engine
            .handle_frame(pair.now, LinkId(0), &init_of(stranger), &mut node.bytes);
    }
    let engine = &mut pair.nodes[1].engine;
    assert_eq!(engine.nodes().count(), 0);
    assert_eq!(engine.poll_timeout(), None);
    let mut buffer = [0; 1514];
    let mut answers = 0;
    while engine
        .poll_transmit(pair.now, &mut buffer, &pair.nodes[1].bytes)
        .is_some()
    {
        answers += 1;
    }
    assert!(answers <= 256, "what waits to be sent is bounded");
}

#[test]
fn a_confirm_without_its_cookie_is_refused() {
    let mut pair = Pair::new(1500);
    let mut frame = init_of(7);
    // The same content as a Confirm of the session it would make.
    frame[46] = RecordType::Confirm as u8;
    frame[26..34].copy_from_slice(&(8u64 << 32).to_be_bytes());
    pair.deliver(1, &frame);
    assert_eq!(pair.nodes[1].engine.dropped(DropReason::Cookie), 1);
    assert_eq!(pair.nodes[1].engine.nodes().count(), 0);
}

#[test]
fn announcements_of_strangers_take_a_bounded_number_of_places() {
    let mut pair = Pair::new(1500);
    let friend = pair.peer();
    for stranger in 0..3_000 {
        let mut frame = init_of(stranger);
        frame[46] = RecordType::Announce as u8;
        frame.truncate(50 + 84);
        frame[48..50].copy_from_slice(&84u16.to_be_bytes());
        let len = (frame.len() - 14) as u16;
        frame[16..18].copy_from_slice(&len.to_be_bytes());
        frame[..6].copy_from_slice(&mac(0).0);
        pair.deliver(0, &frame);
    }
    let engine = &pair.nodes[0].engine;
    assert_eq!(engine.nodes().count(), PEERS_MAX);
    assert!(
        engine.nodes().any(|node| node.peer == friend),
        "what is in use keeps its place"
    );
}

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

/// Loses one frame in twenty, spread evenly.
fn loses_some(frame: u64) -> bool {
    frame.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40 < (1 << 24) / 20
}

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
