//! The lab by itself: nodes without daemons, cut, misled, and gone without a trace.

mod conversation;
#[path = "../support/mod.rs"]
mod support;
mod traces;
mod wires;

use std::io::{BufRead, BufReader};
use std::process::{Child, Stdio};

use tools::netlab::Lab;

use support::{lab, output, text};

/// Starts processes on a node: one in the foreground, one that nobody waits for.
fn populate(lab: &Lab, node: &str, mark: &str) -> Child {
    let script = format!("sleep {mark} & sleep {mark} & echo up; wait");
    let mut visitor = lab
        .exec(node, "sh")
        .args(["-c", &script])
        .stdout(Stdio::piped())
        .spawn()
        .expect("sh runs");
    let mut line = String::new();
    let stdout = visitor.stdout.take().expect("it was piped");
    BufReader::new(stdout)
        .read_line(&mut line)
        .expect("sh prints");
    assert_eq!(line, "up\n");
    visitor
}

#[test]
fn a_name_in_use_is_refused_and_its_lab_unharmed() {
    let Some(first) = lab(&["--bare"]) else {
        return;
    };
    let name = first.name().to_owned();
    let options = tools::netlab::LabOptions {
        name: Some(name),
        arguments: vec!["--bare".into()],
    };
    let error = Lab::up(&options)
        .expect_err("the name is taken")
        .to_string();
    assert!(
        error.contains("down"),
        "the error says what mends it: {error}"
    );
    assert_eq!(first.status().expect("it runs").nodes.len(), 2);
}

#[test]
fn a_server_starts_with_no_signal_blocked() {
    let Some(lab) = lab(&["--bare"]) else { return };
    let script = "grep SigBlk /proc/self/status; exit 1";
    let command = ["sh", "-c", script].map(str::to_owned).to_vec();
    let error = lab.serve("magenta", "told", command);
    let error = error.expect_err("it ends before it is ready").to_string();
    assert!(error.contains("SigBlk:\t0000000000000000"), "{error}");
}

#[test]
fn commands_keep_their_exit_code_directory_and_environment() {
    let Some(lab) = lab(&["--bare"]) else { return };
    let code = |script: &str| {
        output(lab.exec("magenta", "sh").args(["-c", script]))
            .status
            .code()
    };
    assert_eq!(code("exit 7"), Some(7));
    assert_eq!(code("kill -9 $$"), Some(128 + 9));
    assert_eq!(
        output(&mut lab.exec("magenta", "/no/such/program"))
            .status
            .code(),
        Some(127)
    );
    let here = std::env::current_dir().expect("there is one");
    assert_eq!(
        text(&mut lab.exec("magenta", "pwd")).trim(),
        here.display().to_string()
    );
    let dir = lab.dir("wintermute").expect("there is one").join("run");
    let seen = text(
        lab.exec("wintermute", "sh")
            .args(["-c", "echo $QNET_RUNTIME_DIR; uname -n"]),
    );
    assert_eq!(seen, format!("{}\nwintermute\n", dir.display()));
}

#[test]
fn nodes_see_their_own_interface_only_and_one_another_s_pids() {
    let Some(lab) = lab(&["--bare", "--nodes", "a,b,c"]) else {
        return;
    };
    let mut visitor = populate(&lab, "a", "80004");
    let look = "ls /sys/class/net; cat /proc/[0-9]*/cmdline | tr '\\0' ' '";
    let seen = text(lab.exec("c", "sh").args(["-c", look]));
    assert!(seen.starts_with("eth0\nlo\n"), "{seen}");
    assert!(seen.contains("sleep 80004"), "{seen}");
    drop(lab);
    visitor.wait().expect("it is our child");
}

#[test]
fn logs_of_a_node_or_of_all_are_shown() {
    let Some(lab) = lab(&["--no-qnet", "--nodes", "2"]) else {
        return;
    };
    let logs = |arguments: &[&str]| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_netlab"));
        text(command.args(["--lab", lab.name(), "logs"]).args(arguments))
    };
    let all = logs(&[]);
    for node in ["node1", "node2"] {
        for daemon in ["procmgr", "fs-export"] {
            let says = |line: &str| line.starts_with(node) && line.contains(&format!(" {daemon} "));
            assert!(all.lines().any(says), "{daemon} on {node}: {all}");
        }
    }
    let one = logs(&["node2"]);
    assert!(
        one.lines().any(|line| line.starts_with("fs-export ")),
        "{one}"
    );
    let daemon = logs(&["node2", "procmgr"]);
    assert!(
        daemon
            .lines()
            .any(|line| line.starts_with("ready: procmgr")),
        "{daemon}"
    );
    assert!(
        !daemon.contains("fs-export"),
        "of that daemon only: {daemon}"
    );
}
