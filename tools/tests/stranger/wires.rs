//! Other wires: sealed frames, frames of another length, two links.

use std::cell::Cell;
use std::rc::Rc;

use crate::node::Node;
use crate::support::{part, text};
use crate::talk::{PEER, connect_to_clerk, echo, lab_with_a_stranger, stranger};

const LEN: usize = 100 << 10;

fn run_with(arguments: &[&str], name: &str, settings: &[(&str, &str)]) {
    let Some(lab) = lab_with_a_stranger(arguments) else {
        return;
    };
    let mut command = part(&lab, "stranger", name);
    command.envs(settings.iter().copied());
    print!("{}", text(&mut command));
}

// covers: NET-4
#[test]
fn sealed_frames() {
    run_with(
        &["--qnet-option=--seal"],
        "wires::part_echoes",
        &[("SEALED", "1")],
    );
}

// covers: NET-3
#[test]
fn long_frames() {
    run_with(&["--mtu", "9000"], "wires::part_echoes", &[("MTU", "9000")]);
}

#[test]
#[ignore = "run by the tests here as the stranger"]
fn part_echoes() {
    let mut node = stranger();
    node.connect(PEER);
    let clerk = connect_to_clerk(&mut node);
    for len in [1, LEN, LEN] {
        echo(&mut node, clerk, len);
    }
    node.leave();
}

// covers: NET-3
#[test]
fn a_switch_that_passes_less_than_both_links() {
    run_with(&[], "wires::part_narrow", &[]);
}

#[test]
#[ignore = "run by the tests here as the stranger"]
fn part_narrow() {
    let mut node = stranger();
    let widest = Rc::new(Cell::new(0));
    let (seen, passes) = (Rc::clone(&widest), 1000);
    node.lose_received = Box::new(move |frame| {
        if frame.len <= passes {
            seen.set(seen.get().max(frame.len));
        }
        frame.len > passes
    });
    node.connect(PEER);
    let clerk = connect_to_clerk(&mut node);
    for _ in 0..3 {
        echo(&mut node, clerk, LEN);
    }
    assert!(widest.get() > 576, "{} bytes pass", widest.get());
    node.leave();
}

// covers: NET-8
#[test]
fn two_links() {
    run_with(&["--links", "2"], "wires::part_two_links", &[]);
}

#[test]
#[ignore = "run by the tests here as the stranger"]
fn part_two_links() {
    let mut node = Node::new("stranger", &["eth0", "eth1"], 1500, false);
    node.connect(PEER);
    let clerk = connect_to_clerk(&mut node);
    echo(&mut node, clerk, LEN);
    node.until("both paths", |node| {
        let paths = &node.session().paths;
        (paths.len() == 2 && paths.iter().all(|path| path.is_up)).then_some(())
    });
    println!("both carry");
    let before = node.session().came.clone();
    echo(&mut node, clerk, LEN);
    echo(&mut node, clerk, LEN);
    let came = &node.session().came;
    let more: Vec<u64> = came
        .iter()
        .zip(&before)
        .map(|(after, before)| after - before)
        .collect();
    assert!(
        more.iter().all(|count| *count > 0),
        "packets that came through each: {more:?}"
    );
    println!("one falls silent, and comes back");
    for silent in [0, 1] {
        node.lose_received =
            Box::new(move |frame| frame.packet.path == silent && frame.session != 0);
        echo(&mut node, clerk, LEN);
    }
    node.lose_received = Box::new(|_| false);
    echo(&mut node, clerk, LEN);
    node.leave();
}
