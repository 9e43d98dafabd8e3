//! The suite of `docs/semantics.md`, between two nodes whose network is simulated: the very tests that `ipc-core`
//! runs on one node and `tests/conformance` over a veth pair, with whole qnets, each in a process of its own, and
//! a wire made of a socket pair. It needs no right and no namespace.
//!
//! The wire is good unless `QNET_TEST_WIRE` says how it is bad, as in
//! `QNET_TEST_WIRE='mtu=576,loss=0.2,seed=9' cargo test -p qnet --test simulated`. The last test runs all others on
//! [`BAD_WIRES`].

#[path = "../conformance/nodes.rs"]
mod nodes;
#[path = "../../../ipc-core/tests/semantics/suite/mod.rs"]
mod suite;
mod wire;

use std::{
    env, io,
    os::fd::{AsFd, OwnedFd},
    process::{Command, Stdio},
};

use qnet::{
    config::{Config, Options},
    driver::FrameSocket,
    node::Node,
};

use wire::{VARIABLE, Wire};

/// EtherType of the frames.
const ETHERTYPE: u16 = 0x88b5;

/// Tells a node which one it is.
const NUMBER: &str = "QNET_TEST_NODE";

/// What goes wrong when the whole suite runs once more.
const BAD_WIRES: [&str; 4] = [
    "loss=0.05,dup=0.02,reorder=0.05,seed=1",
    "mtu=576,loss=0.02,dup=0.5,reorder=0.3,seed=2",
    "loss=0.02,corrupt=0.03,reorder=0.02,seed=3",
    "mtu=9000,loss=0.3,seed=4",
];

/// Starts the two nodes; `None`, and says why, where the system does not permit that.
pub(crate) fn two_nodes() -> Option<suite::TwoNodes> {
    if let Err(error) = io_uring() {
        println!("skipped: no node can run here: {error}");
        return None;
    }
    let command = Command::new(env::current_exe().unwrap());
    Some(nodes::started_by(command, "role_wire"))
}

/// Whether the kernel lets this process have what every qnet needs.
fn io_uring() -> Result<(), qnet::driver::LinkError> {
    let (socket, _other) = FrameSocket::loopback_pair(1500, ETHERTYPE)?;
    let poke = qnet::driver::Poke::new().expect("a descriptor is free");
    qnet::driver::RingLink::open(socket, poke, Vec::new()).map(drop)
}

/// The wire and the two nodes on it, until the input ends.
#[test]
#[ignore = "a role of this binary: what its tests run between"]
fn role_wire() {
    let (one, two) = FrameSocket::loopback_pair(Wire::chosen().mtu, ETHERTYPE).unwrap();
    let mut ends = [Some(OwnedFd::from(one)), Some(OwnedFd::from(two))];
    nodes::keep(|number| {
        let mut node = Command::new(env::current_exe().unwrap());
        // The child's end of the wire is its standard input.
        let end = ends[number].take().expect("each node is started once");
        node.args(["--exact", "role_node", "--ignored", "--nocapture"])
            .env(NUMBER, number.to_string())
            .stdin(Stdio::from(end));
        node
    });
}

/// One of the nodes: what the program `qnet` does, over one end of the wire.
#[test]
#[ignore = "a role of this binary"]
fn role_node() {
    let number: usize = env::var(NUMBER).unwrap().parse().unwrap();
    let wire = Wire::chosen();
    let end = io::stdin().as_fd().try_clone_to_owned().unwrap();
    let socket = FrameSocket::loopback_end(end, number as u8 + 1, wire.mtu, ETHERTYPE);
    let options = Options {
        interface: vec![socket.interface().name.clone()],
        name: Some(nodes::NAMES[number].to_owned()),
        map: Some("identity".to_owned()),
        tolerance_ms: Some(nodes::TOLERANCE_MS),
        seal: wire.faults.corrupt > 0.0,
        faults: Some(wire.faults_of(number)),
        ..Options::default()
    };
    let node = Node::start_over(Config::load(&options).unwrap(), vec![socket]).unwrap();
    println!("ready: {}", node.what());
    // Until it is killed.
    loop {
        std::thread::park();
    }
}

// covers: NET-4
#[test]
fn the_wire_is_as_bad_as_it_was_asked_to_be() {
    let Some(nodes) = suite::place::nodes() else {
        return;
    };
    let server = suite::echo::Server::echo();
    let connection = suite::echo::connect(server.chid);
    let mut reply = [0; 8];
    for number in 0..500_u64 {
        let sent = connection.send(&number.to_le_bytes(), &mut reply).unwrap();
        assert_eq!((sent.status, u64::from_le_bytes(reply)), (8, number));
    }
    let read = ipc_core::file::read("/net/.stats").unwrap();
    let said: serde_json::Value = serde_json::from_slice(&read).unwrap();
    let count = |value: &serde_json::Value| value.as_u64().unwrap_or(0);
    let peer = &said["nodes"][0];
    assert_eq!(count(&peer["nd"]), u64::from(nodes.nd.0));
    assert!(count(&peer["messages_sent"]) >= 500);
    // What is lost, repeated or damaged is counted only where it happens, and on every such wire it does.
    let faults = Wire::chosen().faults;
    let dropped = |reason| count(&said["dropped"][reason]);
    if faults.loss > 0.0 {
        assert!(count(&peer["packets_lost"]) > 0, "{said}");
    }
    assert_eq!(
        dropped("seal missing or broken") > 0,
        faults.corrupt > 0.0,
        "{said}"
    );
    if faults.dup > 0.0 {
        assert!(dropped("repeated packet") > 0, "{said}");
    }
}

// covers: NET-4, NET-6
#[test]
fn the_suite_holds_on_bad_wires() {
    if env::var_os(VARIABLE).is_some() || suite::place::nodes().is_none() {
        // This is one of the runs below, or none is possible.
        return;
    }
    for wire in BAD_WIRES {
        let output = Command::new(env::current_exe().unwrap())
            .env(VARIABLE, wire)
            .output()
            .unwrap();
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8_lossy(&said);
        assert!(
            output.status.success(),
            "{said}\nagain: {VARIABLE}='{wire}' cargo test -p qnet --test simulated"
        );
        let ended = said.lines().find(|line| line.contains("test result:"));
        println!("{wire}: {}", ended.expect("the harness sums up"));
    }
}
