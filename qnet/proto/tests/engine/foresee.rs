//! What is foreseen of a frame comes true; the cable of [`Pair`] checks that for every frame of every test.

use crate::pair::{HEAD_LEN, Pair, config};

fn message() -> Vec<u8> {
    (0..1_000_000_u32).map(|at| (at ^ at >> 8) as u8).collect()
}

#[test]
fn fragments_of_expected_messages_are_foreseen_and_repetitions_are_not() {
    let (mut pair, conn) = Pair::connected(9000);
    let before = pair.foreseen;
    pair.call(conn, &message());
    let full = message().len() / 9000;
    assert!(pair.foreseen - before >= full, "{}", pair.foreseen);
    for (from, frame) in &pair.sent {
        let engine = &pair.nodes[1 - from].engine;
        assert_eq!(engine.foresee(frame, HEAD_LEN), None);
    }
}

#[test]
fn what_is_lost_or_begins_too_late_or_is_sealed_is_not_foreseen() {
    let (mut pair, conn) = Pair::connected(9000);
    pair.loses = |frame| frame % 7 == 0;
    pair.call(conn, &message());
    assert!(pair.foreseen > 0);

    let (mut pair, conn) = Pair::connected(9000);
    pair.passes = 5000;
    pair.send(conn, &message());
    pair.pump(0);
    let long = |(from, frame): &&(usize, Vec<u8>)| *from == 0 && frame.len() > 8000;
    // The first frame begins the message, and what it brings is not expected before.
    let (_, first) = pair.sent.iter().find(long).expect("a full frame").clone();
    pair.deliver(1, &first);
    let (_, second) = pair.sent.iter().filter(long).nth(1).expect("another");
    let engine = &pair.nodes[1].engine;
    let foreseen = engine.foresee(second, HEAD_LEN).expect("expected");
    assert_eq!(engine.foresee(second, foreseen.at - 1), None);
    assert!(engine.foresee(second, foreseen.at).is_some());
    assert_eq!(engine.foresee(&second[..foreseen.at], foreseen.at), None);

    let sealed = |index| {
        let mut config = config(index, 9000, 1);
        config.seals = true;
        config
    };
    let mut pair = Pair::with(sealed(0), sealed(1));
    let conn = pair.connect();
    pair.call(conn, &message());
    assert_eq!(pair.foreseen, 0);
}
