//! The suite of `docs/semantics.md`, between two nodes: the very tests that `ipc-core` runs on one, with two
//! qnets and a veth pair between their two sides. `tests/simulated` runs it in a simulated network.
//!
//! Where namespaces are not permitted the suite says so, and runs on one node.

mod nodes;
#[path = "../../../ipc-core/tests/semantics/suite/mod.rs"]
mod suite;
#[path = "../support/mod.rs"]
mod support;

use std::{
    env,
    process::{Command, Stdio},
};

/// Where each node's qnet is on the wire.
const INTERFACES: [&str; 2] = ["va", "vb"];

/// Starts the two nodes; `None`, and says why, where the system does not permit that.
pub(crate) fn two_nodes() -> Option<suite::TwoNodes> {
    let mut command = support::unshared()?;
    command.arg(env::current_exe().unwrap());
    Some(nodes::started_by(command, "role_wire"))
}

/// The wire and the two nodes on it, until the input ends.
#[test]
#[ignore = "a role of this binary: what its tests run between"]
fn role_wire() {
    support::make_veth(1500);
    nodes::keep(|number| {
        let mut qnet = Command::new(env!("CARGO_BIN_EXE_qnet"));
        qnet.args(["--interface", INTERFACES[number], "--name"])
            .args([nodes::NAMES[number], "--map", "identity"])
            .args(["--tolerance-ms", &nodes::TOLERANCE_MS.to_string()])
            .args(["--log-level", "error"])
            .stdin(Stdio::null());
        qnet
    });
}
