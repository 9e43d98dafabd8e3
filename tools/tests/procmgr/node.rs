//! A node: a runtime directory, and a process manager that can be killed.

use std::{
    io::{BufRead, BufReader, Read},
    path::Path,
    process::{Child, Command, Output, Stdio},
    time::Duration,
};

use ipc_core::{
    abi::{Nd, proc::NameEntry},
    proc::table,
};
use nix::{
    sys::{
        signal::{Signal, kill},
        wait::{WaitPidFlag, WaitStatus, waitpid},
    },
    unistd::Pid,
};

const INSIDE: &str = "PROCMGR_TEST_INSIDE";

/// Runs an ignored test of this binary in a process of its own, on a node of its own.
pub(crate) fn run_inside(test: &str) {
    let dir = tempfile::tempdir().expect("a directory for the node");
    let output = own_test(test)
        .env("QNET_RUNTIME_DIR", dir.path())
        .env(INSIDE, "1")
        .output()
        .expect("this binary runs");
    print!("{}", String::from_utf8_lossy(&output.stdout));
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{test}: {}\n{told}", output.status);
}

/// This binary, about to run one ignored test.
pub(crate) fn own_test(test: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().expect("the kernel knows what it runs"));
    command.args([
        "--exact",
        test,
        "--ignored",
        "--nocapture",
        "--test-threads=1",
    ]);
    command
}

/// The node's process manager. Killed when it is dropped.
pub(crate) struct Procmgr(Child);

impl Procmgr {
    /// Starts it, and waits until it is ready.
    pub(crate) fn start() -> Procmgr {
        Procmgr::start_with(&[])
    }

    pub(crate) fn start_with(arguments: &[&str]) -> Procmgr {
        let mut child = Command::new(env!("CARGO_BIN_EXE_procmgr"))
            .args(arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("procmgr runs");
        wait_for_line(&mut child, "ready:");
        Procmgr(child)
    }

    /// Stops it, and waits until it has stopped.
    pub(crate) fn stop(&self) {
        let pid = self.signal(Signal::SIGSTOP);
        let stopped = waitpid(pid, Some(WaitPidFlag::WUNTRACED));
        assert_eq!(stopped, Ok(WaitStatus::Stopped(pid, Signal::SIGSTOP)));
    }

    /// Lets one that was stopped go on.
    pub(crate) fn go_on(&self) {
        self.signal(Signal::SIGCONT);
    }

    fn signal(&self, signal: Signal) -> Pid {
        let pid = Pid::from_raw(self.0.id().cast_signed());
        kill(pid, signal).expect("it lives");
        pid
    }

    /// As `kill -9`.
    pub(crate) fn kill(mut self) {
        self.0.kill().expect("it runs");
        self.0.wait().expect("it ends");
    }
}

impl Drop for Procmgr {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A server in a process of its own: the ignored test of this name. Killed when it is dropped.
pub(crate) struct Server(Child);

impl Server {
    /// Starts it, and waits until it says that it is ready.
    pub(crate) fn start(test: &str) -> Server {
        let mut child = own_test(test)
            .stdout(Stdio::piped())
            .spawn()
            .expect("this binary runs");
        wait_for_line(&mut child, "@ready");
        Server(child)
    }

    pub(crate) fn pid(&self) -> i32 {
        self.0.id().cast_signed()
    }

    /// As `kill -9`.
    pub(crate) fn kill(mut self) {
        self.0.kill().expect("it runs");
        self.0.wait().expect("it ends");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The operator's command, as someone types it.
pub(crate) fn qn(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_qn"))
        .args(arguments)
        .output()
        .expect("qn runs")
}

/// What qn printed; it must have succeeded.
pub(crate) fn qn_says(arguments: &[&str]) -> String {
    let output = qn(arguments);
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "qn {arguments:?}: {told}");
    String::from_utf8(output.stdout).expect("qn prints text")
}

/// Waits, for as long as it takes, until something is so; the harness above ends what hangs.
pub(crate) fn until(mut is_so: impl FnMut() -> bool) {
    while !is_so() {
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// The runtime directory of this test's node.
pub(crate) fn dir() -> std::path::PathBuf {
    ipc_core::runtime_dir()
}

pub(crate) fn is_root() -> bool {
    nix::unistd::geteuid().is_root() && Path::new("/proc/self").exists()
}

fn wait_for_line(child: &mut Child, wanted: &str) {
    let mut out = BufReader::new(child.stdout.take().expect("it is piped"));
    loop {
        let mut line = String::new();
        let len = out.read_line(&mut line).expect("it prints text");
        assert!(len > 0, "it ended without saying {wanted:?}");
        if line.contains(wanted) {
            break;
        }
    }
    // What else it says is read and dropped, so that it never waits for a reader.
    std::thread::spawn(move || out.read_to_end(&mut Vec::new()));
}

/// What is registered.
pub(crate) fn names() -> Vec<String> {
    let table = table::<NameEntry>(Nd::LOCAL).expect("a process manager answers");
    table
        .into_iter()
        .map(|entry| String::from_utf8(entry.path).unwrap())
        .collect()
}
