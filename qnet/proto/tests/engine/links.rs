//! Two links per node: one fails or carries less, and policies choose among them.

use std::time::Duration;

use crate::pair::{MS, Pair, mac};
use qnet_proto::{
    Config, ConnectInfo, DropReason, Errno, Event, LinkConfig, LinkId, LinkPolicy, Mac, NodeName,
    OutboundCall, OutboundConn, Outgoing, PathState, PeerId,
};

const LINKS: [LinkId; 2] = [LinkId(0), LinkId(1)];

fn mac_on(index: usize, link: u8) -> Mac {
    let Mac(mut octets) = mac(index);
    octets[4] = link;
    Mac(octets)
}

fn config(index: usize, mtus: [usize; 2]) -> Config {
    let name = NodeName::new(["left", "right"][index]).expect("a legal name");
    let link = |link: u8| LinkConfig {
        mac: mac_on(index, link),
        mtu: mtus[usize::from(link)],
    };
    Config::new(name, vec![link(0), link(1)], [index as u8 + 1; 32])
}

/// Whom the first node found.
fn found(pair: &Pair) -> PeerId {
    let mut nodes = pair.nodes[0].engine.nodes();
    nodes.next().expect("it answered").peer
}

/// Two nodes that found each other through both links, and a connection with one call behind it.
fn connected(mtus: [usize; 2], policy: LinkPolicy) -> (Pair, OutboundConn, PeerId) {
    let mut pair = Pair::with(config(0, mtus), config(1, mtus));
    pair.nodes[0].engine.announce(pair.now);
    pair.settle();
    let peer = found(&pair);
    let conn = connect(&mut pair, peer, policy);
    let call = pair.call(conn, b"first");
    pair.settle();
    assert!(matches!(pair.outcome(call), Some(Event::Replied { .. })));
    let states: Vec<_> = pair.nodes[0]
        .engine
        .paths(peer)
        .map(|path| path.state)
        .collect();
    assert_eq!(states, [PathState::Up; 2]);
    forget(&mut pair);
    (pair, conn, peer)
}

fn connect(pair: &mut Pair, peer: PeerId, policy: LinkPolicy) -> OutboundConn {
    let info = ConnectInfo {
        server_pid: 7,
        server_chid: 1,
        client_pid: 9,
        ..ConnectInfo::default()
    };
    let engine = &mut pair.nodes[0].engine;
    engine.connect_through(peer, info, policy).expect("known")
}

fn forget(pair: &mut Pair) {
    pair.sent.clear();
    pair.sent_on.clear();
}

fn frames_on(pair: &Pair, link: LinkId) -> usize {
    pair.sent_on.iter().filter(|its| **its == link).count()
}

fn is_answered(pair: &Pair, call: OutboundCall) -> bool {
    matches!(pair.outcome(call), Some(Event::Replied { .. }))
}

fn window_len(pair: &Pair, peer: PeerId, link: LinkId) -> u64 {
    let mut paths = pair.nodes[0].engine.paths(peer);
    let path = paths.find(|path| path.link == link);
    path.expect("a path").window_len
}

fn state(pair: &Pair, peer: PeerId, link: LinkId) -> PathState {
    let mut paths = pair.nodes[0].engine.paths(peer);
    paths.find(|path| path.link == link).expect("a path").state
}

// covers: NET-8
#[test]
fn a_link_that_falls_silent_under_way_costs_no_call() {
    for dead in LINKS {
        let (mut pair, conn, peer) = connected([1500, 1500], LinkPolicy::LoadBalance);
        let call = pair.send(conn, &[7; 1 << 20]);
        pair.run(MS / 10, |_| false);
        assert!(!is_answered(&pair, call), "it is under way");
        pair.cut = vec![dead];
        pair.run(1_000 * MS, |pair| pair.outcome(call).is_some());
        assert!(is_answered(&pair, call));
        assert_eq!(pair.nodes[0].bytes.replies[&call], [7; 1 << 20]);
        assert_eq!(pair.nodes[1].bytes.accepted, 2, "no message came twice");
        pair.cut.clear();
        pair.call(conn, b"traffic that needs the links");
        pair.run(1_000 * MS, |pair| state(pair, peer, dead) == PathState::Up);
        assert_eq!(
            state(&pair, peer, dead),
            PathState::Up,
            "it comes back by itself"
        );
    }
}

// covers: NET-8
#[test]
fn a_carrier_that_goes_moves_what_was_on_its_way_at_once() {
    for dead in LINKS {
        let (mut pair, conn, peer) = connected([1500, 1500], LinkPolicy::LoadBalance);
        let call = pair.send(conn, &[7; 1 << 20]);
        pair.run(MS / 10, |_| false);
        let window_len = window_len(&pair, peer, dead);
        pair.cut = vec![dead];
        for node in 0..2 {
            pair.nodes[node].engine.set_carrier(pair.now, dead, false);
        }
        forget(&mut pair);
        pair.run(1_000 * MS, |pair| pair.outcome(call).is_some());
        assert!(is_answered(&pair, call));
        assert_eq!(frames_on(&pair, dead), 0);
        assert_eq!(state(&pair, peer, dead), PathState::Down);
        pair.cut.clear();
        for node in 0..2 {
            pair.nodes[node].engine.set_carrier(pair.now, dead, true);
        }
        pair.settle();
        assert_eq!(state(&pair, peer, dead), PathState::Up);
        let after_len = self::window_len(&pair, peer, dead);
        assert!(
            after_len >= window_len,
            "what a pulled cable lost is no congestion: {window_len} -> {after_len}"
        );
    }
}

// covers: NET-8
#[test]
fn an_idle_node_with_a_dead_link_is_silent() {
    let (mut pair, conn, peer) = connected([1500, 1500], LinkPolicy::LoadBalance);
    pair.cut = vec![LinkId(0)];
    pair.call(conn, b"finds out about it");
    pair.nodes[0].engine.detach(pair.now, conn).expect("live");
    pair.run(5_000 * MS, |_| false);
    forget(&mut pair);
    pair.run(60_000 * MS, |_| false);
    assert_eq!(pair.sent.len(), 0, "{:?}", state(&pair, peer, LinkId(0)));
    assert!(
        pair.nodes
            .iter()
            .all(|node| node.engine.poll_timeout().is_none())
    );
}

// covers: NET-8
#[test]
fn policies_choose_the_link_for_both_directions() {
    for (link, other) in [(LINKS[0], LINKS[1]), (LINKS[1], LINKS[0])] {
        for policy in [LinkPolicy::Preferred(link), LinkPolicy::Exclusive(link)] {
            let (mut pair, conn, _) = connected([1500, 1500], policy);
            let call = pair.call(conn, &[7; 200_000]);
            assert!(is_answered(&pair, call));
            assert!(frames_on(&pair, link) > 200);
            // A Ping, which may ask whether the other link lives, and its acknowledgement.
            assert!(frames_on(&pair, other) <= 2, "{policy:?}");
        }
    }
}

// covers: NET-8
#[test]
fn a_preferred_link_is_stood_in_for_and_an_exclusive_one_is_not() {
    let dead = LinkId(1);
    let (mut pair, plain, peer) = connected([1500, 1500], LinkPolicy::LoadBalance);
    let preferred = connect(&mut pair, peer, LinkPolicy::Preferred(dead));
    let exclusive = connect(&mut pair, peer, LinkPolicy::Exclusive(dead));
    for conn in [preferred, exclusive] {
        let call = pair.call(conn, b"both links live");
        assert!(is_answered(&pair, call));
    }
    pair.cut = vec![dead];
    let call = pair.call(preferred, b"one link lives");
    assert!(is_answered(&pair, call));
    let begun = pair.now;
    let call = pair.send(exclusive, b"not this one");
    let mut calls = 0;
    while pair.outcome(call).is_none() {
        let other = pair.call(plain, b"others go on");
        assert!(is_answered(&pair, other));
        pair.run(10 * MS, |_| false);
        calls += 1;
    }
    let errno = Errno::EHOSTUNREACH;
    assert_eq!(pair.outcome(call), Some(Event::Failed { call, errno }));
    assert!(
        (1400..1520).contains(&(pair.now - begun).as_millis()),
        "the tolerance"
    );
    assert!(calls > 100);
    let conn = exclusive;
    assert!(
        pair.nodes[0]
            .events
            .contains(&Event::Closed { conn, errno })
    );
    pair.settle();
    let is_left = |event: &Event| matches!(event, Event::Detached { .. });
    assert!(
        pair.nodes[1].events.iter().any(is_left),
        "its server is told"
    );
}

// covers: NET-5
#[test]
fn a_link_that_is_found_when_a_node_runs_again_does_not_hide_how_long_it_was_away() {
    let mut pair = Pair::with(config(0, [1500, 1500]), config(1, [1500, 1500]));
    // They know each other through the first link alone.
    pair.cut = vec![LinkId(1)];
    pair.nodes[0].engine.announce(pair.now);
    pair.run(100 * MS, |_| false);
    let peer = found(&pair);
    let conn = connect(&mut pair, peer, LinkPolicy::LoadBalance);
    pair.call(conn, b"first");
    // The other link is not looked for any more.
    pair.run(60_000 * MS, |_| false);
    pair.echoes = false;
    let call = pair.send(conn, b"answered late");
    pair.run(50 * MS, |_| false);
    // Both stand still, past every deadline. Then the other link is heard of before any timer is looked at.
    pair.cut.clear();
    pair.nodes[1].engine.announce(pair.now);
    pair.pump(1);
    pair.now = pair.now.after(3_000 * MS);
    pair.deliver_due();
    assert_eq!(pair.nodes[0].engine.paths(peer).count(), 2, "it is found");
    pair.run(700 * MS, |_| false);
    assert_eq!(pair.outcome(call), None);
}

// covers: NET-5, NET-8
#[test]
fn what_waits_for_a_link_without_carrier_ends_although_frames_come_through_it() {
    let link = LinkId(1);
    let (mut pair, _, peer) = connected([1500, 1500], LinkPolicy::LoadBalance);
    let exclusive = connect(&mut pair, peer, LinkPolicy::Exclusive(link));
    let call = pair.call(exclusive, b"it has a carrier");
    assert!(is_answered(&pair, call));
    let theirs = connect_back(&mut pair, LinkPolicy::Exclusive(link));
    pair.nodes[0].engine.set_carrier(pair.now, link, false);
    let call = pair.send(exclusive, b"it has none, says the interface");
    let outgoing = Outgoing {
        len: 8,
        reply_len: 8,
        priority: 10,
        tid: 1,
        reports: false,
    };
    let begun = pair.now;
    while pair.outcome(call).is_none() && pair.now - begun < Duration::from_secs(60) {
        let node = &mut pair.nodes[1];
        let theirs = node.engine.send(pair.now, theirs, outgoing).expect("live");
        node.bytes.messages.insert(theirs, vec![0; 8]);
        pair.run(10 * MS, |_| false);
    }
    let errno = Errno::EHOSTUNREACH;
    assert_eq!(pair.outcome(call), Some(Event::Failed { call, errno }));
}

/// A connection of the right node's to the left one's.
fn connect_back(pair: &mut Pair, policy: LinkPolicy) -> OutboundConn {
    let engine = &mut pair.nodes[1].engine;
    let left = engine.nodes().next().expect("it was called").peer;
    let conn = engine.connect_through(left, ConnectInfo::default(), policy);
    conn.expect("known")
}

#[test]
fn a_link_that_is_not_there_cannot_be_named() {
    let (mut pair, _, peer) = connected([1500, 1500], LinkPolicy::LoadBalance);
    let policy = LinkPolicy::Exclusive(LinkId(2));
    let engine = &mut pair.nodes[0].engine;
    let refused = engine.connect_through(peer, ConnectInfo::default(), policy);
    assert_eq!(refused, Err(Errno::EINVAL));
}

// covers: NET-8
#[test]
fn a_message_under_way_moves_to_a_link_of_smaller_mtu() {
    let (mut pair, conn, _) = connected([9000, 1500], LinkPolicy::Preferred(LinkId(0)));
    let call = pair.send(conn, &[7; 1 << 20]);
    // The first flight has not arrived yet.
    pair.run(MS / 100, |_| false);
    assert!(pair.sent.iter().any(|(_, frame)| frame.len() > 8000));
    pair.cut = vec![LinkId(0)];
    pair.run(1_000 * MS, |pair| pair.outcome(call).is_some());
    assert!(is_answered(&pair, call));
    assert_eq!(pair.nodes[0].bytes.replies[&call], [7; 1 << 20]);
    assert!(frames_on(&pair, LinkId(1)) > 1000);
}

#[test]
fn frames_shrink_where_a_switch_passes_less_than_the_links_say() {
    let (mut pair, conn) = Pair::connected(9000);
    pair.passes = 1514;
    // The search takes a few round trips in either direction.
    for _ in 0..20 {
        let call = pair.call(conn, &[7; 300_000]);
        assert!(is_answered(&pair, call));
    }
    pair.sent.clear();
    let call = pair.call(conn, &[7; 300_000]);
    assert!(is_answered(&pair, call));
    assert!(
        pair.sent.len() < 500,
        "{} frames: they are as long as they may be",
        pair.sent.len()
    );
    assert!(pair.sent.iter().all(|(_, frame)| frame.len() <= 1514));
}

#[test]
fn what_is_dropped_counts_for_the_link_it_came_through_and_for_the_peer_of_its_session() {
    let (mut pair, conn, _) = connected([1500, 1500], LinkPolicy::LoadBalance);
    let call = pair.call(conn, b"a sound frame");
    assert!(is_answered(&pair, call));
    let from_peer = pair.sent.iter().find(|(from, _)| *from == 0);
    let frame = from_peer.expect("it left").1.clone();
    // The packet comes again, through the other link; frames of nobody come through the first.
    pair.deliver_on(1, LINKS[1], &frame);
    pair.deliver_on(1, LINKS[0], &frame[..30]);
    pair.deliver_on(1, LINKS[0], &frame[..30]);
    let engine = &pair.nodes[1].engine;
    let peer = engine.nodes().next().expect("it called").peer;
    let on = |link| -> Vec<_> { engine.dropped_on(link).expect("a link").reasons().collect() };
    assert_eq!(on(LINKS[0]), [(DropReason::Short, 2)]);
    assert_eq!(on(LINKS[1]), [(DropReason::Repeated, 1)]);
    assert!(engine.dropped_on(LinkId(2)).is_none());
    let of_peer = engine.peer_stats(peer).expect("it is known").dropped;
    assert_eq!(
        of_peer.reasons().collect::<Vec<_>>(),
        [(DropReason::Repeated, 1)]
    );
    assert_eq!(engine.dropped(DropReason::Short), 2, "of all links");
}
