//! A switch that begins to pass less than it did.

use crate::pair::{MS, Pair};
use qnet_proto::limits::ETHERNET_HEADER_LEN;
use qnet_proto::{DownReason, Errno, Event, OutboundCall, OutboundConn};

static LONG: [u8; 100_000] = [7; 100_000];

/// Two nodes whose frames of 9000 bytes all arrived, until the switch passes so many only.
fn narrowed(passes: usize) -> (Pair, OutboundConn) {
    let (mut pair, conn) = Pair::connected(9000);
    let call = pair.call(conn, &LONG);
    assert!(matches!(pair.outcome(call), Some(Event::Replied { .. })));
    pair.settle();
    pair.passes = ETHERNET_HEADER_LEN + passes;
    (pair, conn)
}

/// Sends a long message, and short ones all the time until it has ended.
fn beside_short_ones(pair: &mut Pair, conn: OutboundConn) -> OutboundCall {
    let long = pair.send(conn, &LONG);
    for _ in 0..60_000 {
        if pair.outcome(long).is_some() {
            break;
        }
        pair.send(conn, b"short");
        pair.run(MS, |_| false);
    }
    long
}

fn assert_arrived(pair: &Pair, call: OutboundCall, passes: usize) {
    let outcome = pair.outcome(call);
    assert!(
        matches!(outcome, Some(Event::Replied { .. })),
        "{passes}: {outcome:?}"
    );
    assert!(pair.nodes[0].bytes.replies[&call] == LONG);
}

#[test]
fn a_switch_that_begins_to_pass_less_is_found_out() {
    for passes in [8000, 1500, 600, 576] {
        let (mut pair, conn) = narrowed(passes);
        let call = pair.call(conn, &LONG);
        assert_arrived(&pair, call, passes);
    }
}

#[test]
fn it_is_found_out_while_short_messages_arrive_all_the_time() {
    for passes in [8000, 1500, 600, 576] {
        let (mut pair, conn) = narrowed(passes);
        let call = beside_short_ones(&mut pair, conn);
        assert_arrived(&pair, call, passes);
    }
}

/// How the call ended, and why the session did.
fn end(pair: &Pair, call: OutboundCall) -> (Option<Errno>, Vec<DownReason>) {
    let errno = match pair.outcome(call) {
        Some(Event::Failed { errno, .. }) => Some(errno),
        _ => None,
    };
    let events = pair.nodes[0].events.iter();
    let reasons = events.filter_map(|event| match event {
        Event::PeerDown { reason, .. } => Some(*reason),
        _ => None,
    });
    (errno, reasons.collect())
}

#[test]
fn one_that_passes_less_than_every_link_must_take_is_named() {
    let expected = (Some(Errno::EHOSTUNREACH), vec![DownReason::TooNarrow]);
    for passes in [550, 300, 150] {
        let (mut pair, conn) = narrowed(passes);
        let call = pair.call(conn, &LONG);
        assert_eq!(end(&pair, call), expected, "{passes}");
        let (mut pair, conn) = narrowed(passes);
        let call = beside_short_ones(&mut pair, conn);
        assert_eq!(end(&pair, call), expected, "{passes}, beside short ones");
    }
}

#[test]
fn a_message_that_is_not_longer_than_the_least_does_not_hang_there_either() {
    let (mut pair, conn) = narrowed(300);
    let call = pair.call(conn, &[7; 400]);
    let expected = (Some(Errno::EHOSTUNREACH), vec![DownReason::TooNarrow]);
    assert_eq!(end(&pair, call), expected);
}

#[test]
fn a_wire_that_loses_half_of_all_frames_is_not_too_narrow() {
    let (mut pair, conn) = Pair::connected(1500);
    pair.loses = |frame| frame.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 63 == 0;
    for _ in 0..20 {
        let call = beside_short_ones(&mut pair, conn);
        assert_arrived(&pair, call, usize::MAX);
    }
}

/// What frames of `left` carry.
fn frame_mtu(pair: &mut Pair) -> usize {
    let peer = pair.peer();
    let path = pair.nodes[0].engine.paths(peer).next();
    path.expect("there is a session").mtu
}

/// Long messages now and then, for a minute.
fn use_for_a_minute(pair: &mut Pair, conn: OutboundConn) {
    for _ in 0..60 {
        let call = pair.call(conn, &LONG);
        assert_arrived(pair, call, usize::MAX);
        pair.run(1000 * MS, |_| false);
    }
}

#[test]
fn one_that_passes_more_again_is_found_out_too() {
    for passes in [7000, 1500, 600, 576] {
        let (mut pair, conn) = narrowed(passes);
        use_for_a_minute(&mut pair, conn);
        assert!(frame_mtu(&mut pair) < 9000, "{passes}");
        pair.passes = usize::MAX;
        use_for_a_minute(&mut pair, conn);
        assert_eq!(frame_mtu(&mut pair), 9000, "{passes}");
    }
}

#[test]
fn a_wire_that_loses_much_for_a_while_does_not_leave_frames_short() {
    let (mut pair, conn) = Pair::connected(9000);
    pair.loses = |frame| frame.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 63 == 0;
    for _ in 0..50 {
        let call = beside_short_ones(&mut pair, conn);
        assert_arrived(&pair, call, usize::MAX);
        pair.settle();
        if frame_mtu(&mut pair) < 9000 {
            break;
        }
    }
    pair.loses = |_| false;
    use_for_a_minute(&mut pair, conn);
    assert_eq!(frame_mtu(&mut pair), 9000);
}
