//! How nodes find each other: names asked for, names borne twice, hosts given by hand.

use std::time::Duration;

use crate::pair::{MS, Pair, config, mac};
use qnet_proto::{Errno, Event, LinkId, Mac, NodeName};

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
    for (node, (other, is_late)) in pair.nodes.iter().zip([(mac(1), true), (mac(0), false)]) {
        let told = Event::DuplicateName {
            name: NodeName::new("right").unwrap(),
            link: LinkId(0),
            mac: other,
            is_late,
        };
        assert_eq!(
            node.events.iter().filter(|event| **event == told).count(),
            1
        );
        assert_eq!(node.engine.nodes().count(), 0);
    }
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
