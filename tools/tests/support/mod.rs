//! Labs for tests: the nodes, and programs on them.
//!
//! A test program runs on a node by starting itself there: the part of the test that is to run on the
//! node is a test of its own, ignored unless it is asked for by name.
#![allow(dead_code, reason = "each test program uses its part")]

pub(crate) mod transfer;

use std::io::{self, BufRead, BufReader, Lines, Write};
use std::process::{Child, ChildStdout, Command, ExitStatus, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use socket2::{Domain, SockAddr, SockAddrStorage, Socket, Type};
use tools::netlab::{Lab, LabOptions};

/// A hang, not slowness: many times what any machine needs.
const PATIENCE: Duration = Duration::from_secs(300);

/// Silence after which callers are told, in milliseconds: twice what qnet has by itself, as on a busy machine a node
/// that lives may be silent for a while.
pub(crate) const TOLERANCE_MS: u64 = 3000;

/// A lab, or `None` (and the reason printed) where this machine does not permit one. Its nodes are borne with for
/// [`TOLERANCE_MS`] unless the arguments say otherwise.
pub(crate) fn lab(arguments: &[&str]) -> Option<Lab> {
    let mut arguments: Vec<String> = arguments
        .iter()
        .map(|&argument| argument.to_owned())
        .collect();
    if !arguments.iter().any(|said| said.contains("--tolerance-ms")) {
        arguments.push(format!("--qnet-option=--tolerance-ms={TOLERANCE_MS}"));
    }
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

/// What whoever started this part set in its environment.
pub(crate) fn setting(name: &str) -> String {
    std::env::var(name)
        .unwrap_or_else(|_| panic!("{name} is set by the test that starts this part"))
}

/// A part that runs while its test goes on.
pub(crate) struct Running {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Running {
    /// Starts it.
    pub(crate) fn start(mut command: Command) -> Running {
        let mut child = command.stdout(Stdio::piped()).spawn().expect("netlab runs");
        let stdout = child.stdout.take().expect("it was piped");
        Running {
            child,
            lines: BufReader::new(stdout).lines(),
        }
    }

    /// Waits until it prints `mark`; the rest of that line.
    pub(crate) fn next(&mut self, mark: &str) -> String {
        loop {
            let line = self.lines.next();
            let line = line.unwrap_or_else(|| panic!("the part ended and did not say {mark:?}"));
            let line = line.expect("it prints text");
            if let Some((_, rest)) = line.split_once(mark) {
                return rest.trim().to_owned();
            }
            println!("{line}");
        }
    }

    /// Writes a line to its standard input, which whoever made the command has piped.
    pub(crate) fn say(&mut self, line: &str) {
        let stdin = self.child.stdin.as_mut().expect("it was piped");
        writeln!(stdin, "{line}").expect("the part reads");
    }

    /// Waits until it ends.
    pub(crate) fn wait(&mut self) -> ExitStatus {
        self.child.wait().expect("it is our child")
    }

    /// Kills the command: the kernel kills what it started on the node with it.
    pub(crate) fn kill(&mut self) {
        self.child.kill().expect("it is our child");
        self.wait();
    }
}

/// Tries until it works. What does not for [`PATIENCE`] never will.
#[track_caller]
pub(crate) fn until<T>(mut attempt: impl FnMut() -> Option<T>) -> T {
    let started = Instant::now();
    while started.elapsed() < PATIENCE {
        if let Some(value) = attempt() {
            return value;
        }
        thread::sleep(Duration::from_millis(20));
    }
    panic!("it did not come about within {PATIENCE:?}");
}

/// Waits until a node reads the other's files.
#[track_caller]
pub(crate) fn until_reached(lab: &Lab, from: &str, path: &str) {
    until(|| {
        let listed = output(lab.exec(from, "qn").args(["ls", path]));
        listed.status.success().then_some(())
    });
}

/// A raw packet socket that sends on an interface and receives nothing.
pub(crate) fn packet_socket(interface: &str) -> io::Result<Socket> {
    packet_socket_of(interface, 0)
}

/// A raw packet socket that sends on an interface and receives the frames of an EtherType; 0: none.
pub(crate) fn packet_socket_of(interface: &str, ethertype: u16) -> io::Result<Socket> {
    // The kernel wants the type in network order.
    let protocol = ethertype.to_be();
    let socket = Socket::new(Domain::PACKET, Type::RAW, None)?;
    let index = nix::net::if_::if_nametoindex(interface)?;
    let mut storage = SockAddrStorage::zeroed();
    // SAFETY: the storage is larger than any socket address, and all zeroes is a sockaddr_ll.
    let address = unsafe { storage.view_as::<libc::sockaddr_ll>() };
    address.sll_family = libc::AF_PACKET as u16;
    address.sll_protocol = protocol;
    address.sll_ifindex = index as i32;
    let len = size_of::<libc::sockaddr_ll>() as libc::socklen_t;
    // SAFETY: the family and the fields that this family has were just written, and `len` is theirs.
    let address = unsafe { SockAddr::new(storage, len) };
    socket.bind(&address)?;
    Ok(socket)
}
