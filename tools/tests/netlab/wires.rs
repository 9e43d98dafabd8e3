//! What the wires between nodes carry: everything, or what their faults and cuts leave of it.

use std::collections::BTreeSet;
use std::thread;
use std::time::Duration;

use tools::netlab::{Cut, Faults, Lab};

use crate::conversation::{COUNT, NOTHING, WINTERMUTE, all, heard, heard_through_a_cut};
use crate::support::{lab, text};

/// Address of the first node.
const MAGENTA: &str = "10.77.0.1";

#[test]
fn everything_arrives_in_order_on_both_switches_at_every_mtu() {
    for mtu in ["1500", "9000", "65535"] {
        let Some(lab) = lab(&["--bare", "--mtu", mtu]) else {
            return;
        };
        let len = mtu.parse::<usize>().expect("a number").min(65_535) - 28;
        let capture = lab.capture().expect("the supervisor may capture");
        assert_eq!(heard(&lab, len), all());
        let frames = capture.finish().expect("the lab is up");
        let full = frames
            .iter()
            .filter(|frame| frame.bytes.len() == len + 42)
            .count();
        assert_eq!(full, COUNT as usize, "each datagram is one frame");
        lab.faults(Some(Faults::default()))
            .expect("the seeded switch starts");
        assert_eq!(lab.status().expect("it runs").switch, "seeded");
        assert_eq!(heard(&lab, len), all());
        lab.faults(None).expect("the bridge takes over");
        assert_eq!(lab.status().expect("it runs").switch, "bridge");
        assert_eq!(heard(&lab, len), all());
    }
}

#[test]
fn a_seed_loses_doubles_and_reorders_the_same_frames_again() {
    let Some(lab) = lab(&["--bare"]) else { return };
    // No node asks for an address, so that the faults meet the datagrams only.
    know(&lab, "magenta", "wintermute", WINTERMUTE);
    know(&lab, "wintermute", "magenta", MAGENTA);
    assert_eq!(heard(&lab, 100), all());
    let faults = |seed| {
        Some(Faults {
            loss: 10.0,
            dup: 10.0,
            reorder: 10.0,
            delay_us: 0,
            seed,
        })
    };
    let mut runs = Vec::new();
    for seed in [1, 1, 2] {
        lab.faults(faults(seed)).expect("the seeded switch starts");
        let numbers = heard(&lab, 100);
        let mut sorted = numbers.clone();
        sorted.sort_unstable();
        assert_ne!(sorted, numbers, "some are overtaken");
        let counters = lab.status().expect("it runs").counters;
        assert!(counters.lost > 0 && counters.duplicated > 0 && counters.reordered > 0);
        assert_eq!(counters.overrun, 0);
        let distinct: BTreeSet<u32> = sorted.iter().copied().collect();
        assert!(distinct.len() < COUNT as usize && sorted.len() > distinct.len());
        runs.push(sorted);
    }
    assert_eq!(runs[0], runs[1]);
    assert_ne!(runs[0], runs[2]);
}

/// Has a node know another's address for good.
fn know(lab: &Lab, node: &str, other: &str, address: &str) {
    let mac = text(lab.exec(other, "cat").arg("/sys/class/net/eth0/address"));
    let known = ["neigh", "replace", address, "lladdr", mac.trim()];
    text(
        lab.exec(node, "ip")
            .args(known)
            .args(["dev", "eth0", "nud", "permanent"]),
    );
}

#[test]
fn a_cut_node_hears_nothing_until_it_is_healed() {
    let Some(lab) = lab(&["--bare"]) else { return };
    for (cut, carrier) in [
        (Cut::Link, false),
        (Cut::Both, true),
        (Cut::To, true),
        (Cut::From, true),
    ] {
        lab.cut("wintermute", cut).expect("there is such a node");
        let status = lab.status().expect("it runs");
        assert_eq!(status.nodes[1].link.carrier, carrier, "{cut:?}");
        // Without an answer to its ARP request magenta sends nothing, so `From` silences both.
        assert_eq!(heard_through_a_cut(&lab), NOTHING, "{cut:?}");
        lab.heal("wintermute").expect("there is such a node");
        wait_for_carrier(&lab);
    }
    // A question for its address that had no answer is asked for three seconds, and then what waits for it is dropped.
    text(
        lab.exec("magenta", "ip")
            .args(["neigh", "flush", "dev", "eth0"]),
    );
    assert_eq!(heard(&lab, 100), all());
}

/// A port that is put up has its carrier a moment later.
fn wait_for_carrier(lab: &Lab) {
    while !lab
        .status()
        .expect("it runs")
        .nodes
        .iter()
        .all(|node| node.link.carrier)
    {
        thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn a_cut_of_one_direction_leaves_the_other() {
    let Some(lab) = lab(&["--bare"]) else { return };
    assert_eq!(heard(&lab, 100), all());
    lab.cut("wintermute", Cut::From)
        .expect("there is such a node");
    assert_eq!(heard(&lab, 100), all(), "what is sent to it still arrives");
    lab.cut("magenta", Cut::From).expect("there is such a node");
    assert_eq!(heard_through_a_cut(&lab), NOTHING);
}
