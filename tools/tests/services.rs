//! What a service manager sees of the daemons.

#[allow(dead_code, reason = "each test program uses a part of it")]
mod node;
mod support;

use std::{
    fs,
    os::unix::net::UnixDatagram,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use nix::sys::signal::Signal;
use node::Node;
use support::{lab, output, text, until_reached};
use tools::netlab::Programs;

/// Longer than any daemon takes to tell; a test that waits so long has failed.
const TOLD_WITHIN: Duration = Duration::from_secs(60);

#[test]
fn daemons_tell_a_service_manager_that_they_are_ready_and_that_they_stop() {
    let node = Node::without_process_manager();
    let path = node.folder().join("notify");
    let manager = UnixDatagram::bind(&path).unwrap();
    manager.set_read_timeout(Some(TOLD_WITHIN)).unwrap();
    let told = || {
        let mut bytes = [0; 512];
        let len = manager.recv(&mut bytes).expect("the daemon tells");
        String::from_utf8(bytes[..len].to_vec()).unwrap()
    };

    let start = |mut command: Command| {
        command.env("NOTIFY_SOCKET", &path);
        node.daemon(command)
    };
    let procmgr = start(Command::new(env!("CARGO_BIN_EXE_procmgr")));
    assert!(told().starts_with("READY=1\nSTATUS=procmgr on "));
    let export = start(node.export_command("/home"));
    assert!(told().starts_with("READY=1\nSTATUS=fs-export "));

    for daemon in [export, procmgr] {
        assert!(daemon.stop().success());
        assert_eq!(told(), "STOPPING=1\nSTATUS=stopping: SIGTERM\n");
    }
}

/// A unit of the repository.
fn unit(name: &str) -> (PathBuf, String) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("systemd");
    let path = folder.join(format!("{name}.service"));
    let text = fs::read_to_string(&path).unwrap();
    (path, text)
}

/// The value of a setting that a unit makes once.
fn setting(unit: &str, key: &str) -> String {
    let mut values = unit
        .lines()
        .filter_map(|line| line.strip_prefix(key)?.strip_prefix('='));
    let value = values.next().unwrap_or_else(|| panic!("{key} in {unit}"));
    assert_eq!(values.next(), None, "{key} stands twice");
    value.to_owned()
}

#[test]
fn systemd_finds_nothing_wrong_with_the_units() {
    let folder = tempfile::tempdir().unwrap();
    let mut verify = Command::new("systemd-analyze");
    verify.arg("verify");
    for name in ["procmgr", "qnet", "fs-export"] {
        let (path, text) = unit(name);
        // A program that is there, as those of an installation are.
        let installed = text.replace("=/usr/local/bin/", "=/usr/bin/env ");
        assert_ne!(installed, text, "{name} is installed in /usr/local/bin");
        let copy = folder.path().join(path.file_name().unwrap());
        fs::write(&copy, installed).unwrap();
        verify.arg(copy);
    }
    let Ok(output) = verify.output() else {
        return println!("skipped: systemd-analyze is not installed");
    };
    let said = String::from_utf8_lossy(&output.stderr);
    let ours: Vec<_> = said
        .lines()
        .filter(|line| {
            ["procmgr", "qnet", "fs-export"]
                .iter()
                .any(|name| line.contains(name))
        })
        .collect();
    assert!(ours.is_empty(), "{ours:#?}");
}

/// Files of another node, where each daemon has what its unit leaves it of root's capabilities.
#[test]
fn the_capabilities_that_the_units_leave_are_enough() {
    let Some(lab) = lab(&["--no-qnet"]) else {
        return;
    };
    if !output(lab.exec("magenta", "setpriv").arg("--version"))
        .status
        .success()
    {
        return println!("skipped: setpriv (of util-linux) is not installed");
    }
    lab.kill("wintermute", "fs-export", Signal::SIGKILL)
        .expect("it runs");
    let programs = Programs::find().expect("the lab runs them");
    let start = |node: &str, daemon: &str, arguments: &[&str]| {
        let kept = setting(&unit(daemon).1, "CapabilityBoundingSet").to_lowercase();
        let kept: Vec<_> = kept
            .split_whitespace()
            .map(|name| format!(",+{}", name.strip_prefix("cap_").expect("a capability")))
            .collect();
        let mut command = lab.exec(node, "setpriv");
        command.args(["--no-new-privs", "--bounding-set"]);
        command.arg(format!("-all{}", kept.concat()));
        command.arg("--").arg(programs.path(daemon)).args(arguments);
        command.spawn().expect("it starts")
    };
    let home = lab
        .dir("wintermute")
        .expect("there is such a node")
        .join("home");
    let home = home.to_str().expect("a path of ours");
    let qnet = |node| {
        let options = ["--interface", "eth0", "--map", "identity", "--name", node];
        start(node, "qnet", &options)
    };
    let mut daemons = [
        qnet("magenta"),
        qnet("wintermute"),
        start("wintermute", "fs-export", &[home, "/home"]),
    ];
    let path = "/net/wintermute/home";
    until_reached(&lab, "magenta", path);
    let by_root = format!("{path}/by-root");
    text(lab.exec("magenta", "qn").args(["mkdir", &by_root]));
    let listed = text(lab.exec("magenta", "qn").args(["ls", path]));
    assert!(listed.contains("by-root/"), "{listed}");
    for daemon in &mut daemons {
        daemon.kill().expect("it runs");
        daemon.wait().expect("it is ours");
    }
}
