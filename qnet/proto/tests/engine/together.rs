//! Messages that a client's node sends as a run, where something is short: each of them goes all the same.

use crate::pair::{MS, Pair};
use qnet_proto::limits::{CALLS_MAX, EAGER_LEN, MTU_MIN, RUN_LEN_MAX};
use qnet_proto::{Cancel, OutboundConn, OutboundRun, Outgoing};

/// Sends `count` messages of `len` bytes together.
fn send_run(pair: &mut Pair, conn: OutboundConn, len: usize, count: usize) -> Option<OutboundRun> {
    let outgoing = Outgoing {
        len: len as u32,
        reply_len: 0,
        priority: 10,
        tid: 1,
        reports: false,
    };
    let engine = &mut pair.nodes[0].engine;
    let run = engine.send_run(pair.now, conn, outgoing, count)?;
    pair.nodes[0].bytes.sent_runs.insert(run, len);
    Some(run)
}

/// A connection whose server has been sent this many messages and keeps them all; two nodes with nothing on its way.
fn with_kept(count: usize) -> (Pair, OutboundConn, usize) {
    let (mut pair, conn) = Pair::connected(1500);
    pair.echoes = false;
    let before = pair.nodes[1].bytes.accepted;
    for _ in 0..count {
        pair.send(conn, b"kept");
    }
    (pair, conn, before)
}

fn run_until_accepted(pair: &mut Pair, count: usize) {
    pair.run(5_000 * MS, |pair| pair.nodes[1].bytes.accepted == count);
    assert_eq!(pair.nodes[1].bytes.accepted, count);
}

#[test]
fn a_run_for_which_numbers_have_become_short_uses_those_that_are_left() {
    let (mut pair, conn, before) = with_kept(CALLS_MAX - 2);
    send_run(&mut pair, conn, 4, 4).expect("nothing is short yet");
    run_until_accepted(&mut pair, before + CALLS_MAX);
    // Each answer makes room for one more.
    let first = *pair.nodes[1].bytes.arrived.keys().nth(1).expect("many");
    pair.echo(1, first);
    run_until_accepted(&mut pair, before + CALLS_MAX + 1);
}

#[test]
fn what_has_not_enough_numbers_from_the_start_goes_one_by_one() {
    let (mut pair, conn, before) = with_kept(CALLS_MAX - 2);
    run_until_accepted(&mut pair, before + CALLS_MAX - 2);
    pair.settle();
    assert_eq!(send_run(&mut pair, conn, 4, 4), None);
    assert!(send_run(&mut pair, conn, 4, 2).is_some());
    run_until_accepted(&mut pair, before + CALLS_MAX);
}

#[test]
fn every_message_that_may_be_of_a_run_fits_the_shortest_frame() {
    let (mut pair, conn) = Pair::connected(MTU_MIN);
    pair.echoes = false;
    let mut accepted = pair.nodes[1].bytes.accepted;
    for len in [1, RUN_LEN_MAX / 2, RUN_LEN_MAX] {
        send_run(&mut pair, conn, len, 3).expect("short enough");
        accepted += 3;
        run_until_accepted(&mut pair, accepted);
    }
    for len in [0, RUN_LEN_MAX + 1, EAGER_LEN] {
        assert_eq!(send_run(&mut pair, conn, len, 3), None);
    }
}

#[test]
fn the_messages_of_a_run_that_dissolves_before_it_is_sent_keep_their_place() {
    for dissolved in 0..4 {
        let (mut pair, conn) = Pair::connected(1500);
        pair.echoes = false;
        let before = pair.nodes[1].bytes.accepted;
        // Each message of a run is as long as its place in the line says.
        let runs: Vec<_> = (1..5)
            .map(|len| send_run(&mut pair, conn, len, 3).expect("nothing is short"))
            .collect();
        let node = &mut pair.nodes[0];
        let left = node.engine.dissolve(runs[dissolved]);
        assert_eq!(
            left.iter().map(|(at, _)| *at).collect::<Vec<_>>(),
            [0, 1, 2]
        );
        for (_, call) in &left {
            node.bytes.messages.insert(*call, vec![0; dissolved + 1]);
        }
        // One that nobody wants any more takes none of the others with it.
        let cancelled = node.engine.cancel(pair.now, left[1].1, Cancel::Abandon);
        cancelled.expect("it waits");
        run_until_accepted(&mut pair, before + 4 * 3 - 1);
        let arrived = &pair.nodes[1].bytes.said[before..];
        let lens: Vec<_> = arrived
            .iter()
            .map(|(call, ..)| pair.nodes[1].bytes.arrived[call].len())
            .collect();
        let expected = (0..4).flat_map(|run| vec![run + 1; 3 - usize::from(run == dissolved)]);
        assert_eq!(lens, expected.collect::<Vec<_>>());
    }
}
