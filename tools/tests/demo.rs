//! The demo is so: its exit code, its last line, and what it shows on the way.

mod support;

use std::fs;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use support::{lab, output, until};

const LAST_LINE: &str = "wintermute:/home/rk/filename: This is message passing";

#[test]
fn the_demo_shows_the_walk_and_ends_with_the_file() {
    // Where no lab is possible this says so, and there is nothing to show.
    if lab(&["--bare"]).is_none() {
        return;
    }
    let capture = std::env::temp_dir().join(format!("netlab-demo-{}.pcap", std::process::id()));
    let mut demo = Command::new(env!("CARGO_BIN_EXE_netlab"));
    let demo = output(demo.arg("demo").arg("--capture").arg(&capture));
    let text = String::from_utf8_lossy(&demo.stdout);
    let errors = String::from_utf8_lossy(&demo.stderr);
    assert!(demo.status.success(), "{}\n{text}{errors}", demo.status);
    assert_eq!(text.lines().last(), Some(LAST_LINE), "{text}");
    for step in ["1", "2", "2a", "3", "4"] {
        let row = |line: &str| line.split_whitespace().next() == Some(step);
        assert!(text.lines().any(row), "step {step} is shown: {text}");
    }
    let is_cached = |line: &str| line.contains("asked, ") && line.contains("not asked");
    assert!(
        text.lines().any(is_cached),
        "one message is not sent again: {text}"
    );
    let frames = fs::read(&capture).expect("the demo wrote it");
    fs::remove_file(&capture).expect("it is ours");
    assert!(frames.len() > 24, "frames behind the file's header");
}

/// Whoever loses patience leaves nothing behind, whatever the demo was doing just then.
#[test]
fn an_interrupted_or_killed_demo_leaves_no_lab() {
    if lab(&["--bare"]).is_none() {
        return;
    }
    for (signal, after_ms) in [
        (Signal::SIGINT, 20),
        (Signal::SIGINT, 200),
        (Signal::SIGKILL, 100),
        (Signal::SIGKILL, 300),
    ] {
        let mut demo = Command::new(env!("CARGO_BIN_EXE_netlab"))
            // What is built need not be looked at again: the demo is to be far by then.
            .env_remove("CARGO")
            .arg("demo")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("netlab runs");
        thread::sleep(Duration::from_millis(after_ms));
        let pid = Pid::from_raw(demo.id() as i32);
        kill(pid, signal).expect("it is our child, running or not yet waited for");
        demo.wait().expect("it is our child");
        // Labs of the demo are named after the process that holds them.
        let name = format!("/{pid}-0");
        until(|| {
            let sockets = fs::read_to_string("/proc/net/unix").expect("proc is mounted");
            (!sockets.lines().any(|line| line.ends_with(&name))).then_some(())
        });
    }
}
