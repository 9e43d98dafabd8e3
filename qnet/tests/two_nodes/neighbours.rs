//! What one node does, or leaves undone, and the clients of another: three nodes, of which one has a link to each of the
//! others.

use std::{
    env,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

use ipc_core::{
    AttachOptions, CompletionQueue, Connection,
    abi::{Chid, Errno, Nd, Pid, PulseCode, limits::SLOTS_MAX},
    set_runtime_dir,
};
use nix::sys::signal::Signal;
use qnet_proto::limits::{EAGER_LEN, PULSES_MAX};

use crate::{
    lab::{TestNode, attach, echo, resolve, role, start},
    support::{in_namespace, make_pair, make_veth},
};

/// Tells a role whom it is to flood.
const VICTIM: &str = "QNET_TEST_VICTIM";

/// Makes magenta, which has a link to each of wintermute and neuromancer.
pub(crate) fn three_nodes(more: &[&str]) -> (tempfile::TempDir, [TestNode; 3]) {
    make_veth(1500);
    make_pair(["vc", "vd"], 1500);
    let root = tempfile::tempdir().unwrap();
    let two_links = [&["--interface", "vc"], more].concat();
    let nodes = [
        TestNode::start(root.path(), "va", "magenta", &two_links),
        TestNode::start(root.path(), "vb", "wintermute", more),
        TestNode::start(root.path(), "vd", "neuromancer", more),
    ];
    (root, nodes)
}

#[test]
fn a_node_that_fills_the_room_of_unplaced_messages_leaves_the_others_their_share() {
    in_namespace("neighbours::inside_flooded");
}

#[test]
#[ignore = "run by a_node_that_fills_the_room_of_unplaced_messages_leaves_the_others_their_share in its namespace"]
fn inside_flooded() {
    let (_root, [magenta, wintermute, neuromancer]) = three_nodes(&[]);
    let stopped = start(role("stopped::role_plain_server", &magenta.dir));
    stopped.stop();
    let mut flooder = role("neighbours::role_flooder", &neuromancer.dir);
    flooder
        .env(VICTIM, stopped.pid().0.to_string())
        .env("QNET_TEST_QNET", neuromancer.qnet.pid().0.to_string());
    let _flooder = start(flooder);
    // As long as may be and unasked, and no attach of this client has ended: it has no buffer.
    set_runtime_dir(wintermute.dir.clone());
    let nd = resolve(wintermute.qnet.pid(), "magenta").unwrap();
    for salt in 0..4 {
        echo(&attach(nd), EAGER_LEN, salt);
    }
}

/// Sends a server that is stopped more messages than its node keeps, until one is refused.
#[test]
#[ignore = "a role in the tests of three nodes"]
fn role_flooder() {
    let number = |name| Pid(env::var(name).unwrap().parse().unwrap());
    let nd = resolve(number("QNET_TEST_QNET"), "magenta").unwrap();
    let queue = CompletionQueue::new().unwrap();
    let mut connections = Vec::new();
    loop {
        connections.push(flood(nd, number(VICTIM), &queue));
        connections.push(flood(nd, number(VICTIM), &queue));
        // Who waits for room has to come first: all that are refused are so at once.
        let refused = |errno| errno == Some(Errno::EAGAIN);
        if (0..10).any(|_| refused(queue.next(None).unwrap().result.err())) {
            break;
        }
    }
    println!("ready: flooder");
    thread::park();
}

/// As many messages of the length that comes unasked as one connection takes.
fn flood(nd: Nd, victim: Pid, queue: &CompletionQueue) -> Connection {
    let options = AttachOptions {
        slots: SLOTS_MAX,
        queue: Some(queue),
        ..AttachOptions::default()
    };
    let connection = Connection::attach_with(nd, victim, Chid(1), &options).unwrap();
    for token in 0..u64::from(SLOTS_MAX) {
        let loan = connection.loan(EAGER_LEN, 0).unwrap();
        connection.submit(loan, token).unwrap();
    }
    connection
}

#[test]
fn a_node_that_acknowledges_nothing_holds_up_the_pulses_for_itself_alone() {
    in_namespace("neighbours::inside_held");
}

// covers: PLS-2, NET-5
#[test]
#[ignore = "run by a_node_that_acknowledges_nothing_holds_up_the_pulses_for_itself_alone in its namespace"]
fn inside_held() {
    // Longer than this test: what is held stays so until it is let go.
    let (_root, [magenta, _wintermute, neuromancer]) = three_nodes(&["--tolerance-ms", "60000"]);
    set_runtime_dir(magenta.dir.clone());
    let stopped = resolve(magenta.qnet.pid(), "neuromancer").unwrap();
    let other = resolve(magenta.qnet.pid(), "wintermute").unwrap();
    echo(&attach(stopped), 100, 1);
    echo(&attach(other), 100, 2);
    neuromancer.qnet.stop();

    // More than may be unacknowledged, of several clients; behind them a message.
    let held = [(); 4].map(|()| attach_wide(stopped));
    for (at, connection) in (0..).zip(&held) {
        for value in 0..PULSES_MAX as i64 / 2 {
            let value = at * PULSES_MAX as i64 + value;
            connection.send_pulse(None, PulseCode(5), value).unwrap();
        }
    }
    let is_over = Arc::new(AtomicBool::new(false));
    let behind = {
        let is_over = Arc::clone(&is_over);
        let [.., last] = held;
        thread::spawn(move || {
            echo(&last, 10, 3);
            is_over.store(true, Ordering::SeqCst);
        })
    };
    // Those of others pass, in order.
    let client = attach(other);
    for value in 0..3 {
        client.send_pulse(None, PulseCode(6), value).unwrap();
        let mut values = [0; 64];
        let len = client.send(b"which pulses?", &mut values).unwrap().len;
        let all: Vec<i64> = (0..=value).collect();
        assert_eq!(values[..len], *format!("{all:?}").as_bytes());
    }
    assert!(!is_over.load(Ordering::SeqCst), "one was held all the time");
    neuromancer.qnet.signal(Signal::SIGCONT);
    behind.join().unwrap();
}

/// A connection that takes many pulses at one time.
fn attach_wide(nd: Nd) -> Connection {
    let options = AttachOptions {
        slots: SLOTS_MAX,
        ..AttachOptions::default()
    };
    Connection::attach_with(nd, Pid::PROCMGR, Chid::PROCMGR, &options).unwrap()
}

#[test]
fn what_waits_behind_pulses_for_a_node_that_dies_ends_with_it() {
    in_namespace("neighbours::inside_dead");
}

// covers: NET-5
#[test]
#[ignore = "run by what_waits_behind_pulses_for_a_node_that_dies_ends_with_it in its namespace"]
fn inside_dead() {
    let (_root, [magenta, _wintermute, neuromancer]) = three_nodes(&[]);
    set_runtime_dir(magenta.dir.clone());
    let nd = resolve(magenta.qnet.pid(), "neuromancer").unwrap();
    let connections = [(); 3].map(|()| attach_wide(nd));
    for connection in &connections {
        echo(connection, 100, 1);
    }
    neuromancer.qnet.stop();
    for connection in &connections {
        for value in 0..PULSES_MAX as i64 / 2 + 1 {
            connection.send_pulse(None, PulseCode(5), value).unwrap();
        }
    }
    let ended = connections[2].send(b"behind", &mut []);
    assert_eq!(ended.map(drop), Err(Errno::EHOSTDOWN));
}
