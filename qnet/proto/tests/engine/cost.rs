//! What traffic costs: frames, acknowledgements and timers, with work to do and without.

use crate::pair::{MS, Pair};
use qnet_proto::{Engine, NodeState};

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

fn acks_of(engine: &Engine) -> u64 {
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
