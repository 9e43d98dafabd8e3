//! Bytes and pulses across a cable that loses and repeats frames: all of them, once, in order.

use crate::pair::{MS, Pair};
use qnet_proto::{DropReason, Event, Pulse};

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
