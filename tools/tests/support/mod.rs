//! Labs for tests, and chatter between their nodes that needs nothing of the project.
#![allow(dead_code, reason = "each test program uses its part")]

use std::io;
use std::net::UdpSocket;
use std::process::{Command, Output};
use std::time::Duration;

use tools::netlab::{Lab, LabOptions};

/// A lab, or `None` (and the reason printed) where this machine does not permit one.
pub(crate) fn lab(arguments: &[&str]) -> Option<Lab> {
    let arguments = arguments
        .iter()
        .map(|&argument| argument.to_owned())
        .collect();
    match Lab::up(&LabOptions {
        name: None,
        arguments,
    }) {
        Ok(lab) => Some(lab),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            println!("skipped: {error}");
            None
        }
        Err(error) => panic!("netlab up: {error}"),
    }
}

/// Runs a command to its end; its output.
pub(crate) fn output(command: &mut Command) -> Output {
    command
        .output()
        .unwrap_or_else(|error| panic!("{command:?}: {error}"))
}

/// Runs a command that must succeed; what it printed.
pub(crate) fn text(command: &mut Command) -> String {
    let output = output(command);
    let (out, err) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    assert!(
        output.status.success(),
        "{command:?}: {}\n{out}{err}",
        output.status
    );
    out.into_owned()
}

/// A command that runs the ignored test `name` of this test program on a node.
pub(crate) fn part(lab: &Lab, node: &str, name: &str) -> Command {
    let own = std::env::current_exe().expect("the kernel knows what it runs");
    let mut command = lab.exec(node, own);
    command.args(["--exact", name, "--ignored", "--nocapture", "--quiet"]);
    command
}

/// Port on which nodes chat.
pub(crate) const PORT: u16 = 7007;

/// A UDP socket of this node.
pub(crate) fn socket(port: u16) -> UdpSocket {
    let socket = UdpSocket::bind(("0.0.0.0", port)).expect("a node's ports are all free");
    socket
        .set_read_timeout(Some(Duration::from_millis(300)))
        .expect("a constant, not zero");
    socket
}
