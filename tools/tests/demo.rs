//! The demo is so: its exit code, its last line, and what it shows on the way.

mod support;

use std::fs;
use std::process::Command;

use support::{lab, output};

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
    let frames = fs::read(&capture).expect("the demo wrote it");
    fs::remove_file(&capture).expect("it is ours");
    assert!(frames.len() > 24, "frames behind the file's header");
}
