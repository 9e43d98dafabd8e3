//! The examples of `ipc-core` that need a process manager, with one. The others are run there.

#[path = "../../ipc-core/examples/device.rs"]
mod device;
#[path = "../../ipc-core/examples/name.rs"]
mod name;
#[path = "../../ipc-core/examples/notes.rs"]
mod notes;

use std::{
    io::{BufRead, BufReader},
    process::{Child, Command, Stdio},
};

/// A node with nothing but its process manager, which is killed when this is dropped.
struct Node {
    dir: tempfile::TempDir,
    procmgr: Child,
}

impl Node {
    fn start() -> Node {
        let dir = tempfile::tempdir().expect("a directory for the node");
        let mut procmgr = Command::new(env!("CARGO_BIN_EXE_procmgr"))
            .env("QNET_RUNTIME_DIR", dir.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("procmgr runs");
        let out = BufReader::new(procmgr.stdout.take().expect("it is piped"));
        let mut lines = out.lines().map_while(Result::ok);
        assert!(
            lines.any(|line| line.contains("ready:")),
            "procmgr ended before it was ready"
        );
        Node { dir, procmgr }
    }

    /// What the ignored test of this name prints, in a process of its own.
    fn prints(&self, test: &str) -> String {
        let own = std::env::current_exe().expect("the kernel knows what it runs");
        let output = Command::new(own)
            .args(["--exact", test, "--ignored", "--nocapture", "-q"])
            .env("QNET_RUNTIME_DIR", self.dir.path())
            .output()
            .expect("this binary runs");
        let out = String::from_utf8_lossy(&output.stdout).into_owned();
        let err = String::from_utf8_lossy(&output.stderr);
        assert!(
            output.status.success(),
            "{test}: {}\n{out}{err}",
            output.status
        );
        out
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let _ = self.procmgr.kill();
        let _ = self.procmgr.wait();
    }
}

#[test]
#[ignore = "run by a_device_is_read_like_a_file"]
fn run_device() {
    assert!(is_success(device::main()));
}

#[test]
#[ignore = "run by a_server_is_found_by_its_name"]
fn run_name() {
    assert!(is_success(name::main()));
}

#[test]
#[ignore = "run by a_directory_of_notes_is_used_like_one_of_files"]
fn run_notes() {
    assert!(is_success(notes::main()));
}

#[test]
fn a_directory_of_notes_is_used_like_one_of_files() {
    let printed = Node::start().prints("run_notes");
    let expected = "shopping: milk, bread\ntodo: nothing\nwords: 3, of them longer than 7: 1\nwithout shopping: todo\n";
    assert!(printed.contains(expected), "{printed}");
}

#[test]
fn a_device_is_read_like_a_file() {
    let printed = Node::start().prints("run_device");
    assert!(
        printed.contains("/dev/hello says: Hello, world\n"),
        "{printed}"
    );
}

#[test]
fn a_server_is_found_by_its_name() {
    let printed = Node::start().prints("run_name");
    assert!(printed.contains("upper says: HELLO\n"), "{printed}");
    assert!(
        printed.contains("a name that nobody has: No such file or directory [ENOENT]\n"),
        "{printed}"
    );
}

fn is_success(code: std::process::ExitCode) -> bool {
    code == std::process::ExitCode::SUCCESS
}
