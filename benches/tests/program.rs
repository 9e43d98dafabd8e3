//! The program as its user sees it: what it refuses, and what it leaves behind.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

fn benches() -> Command {
    Command::new(env!("CARGO_BIN_EXE_benches"))
}

#[test]
fn an_unknown_goal_is_refused_with_the_names_of_the_known() {
    let output = benches()
        .args(["local", "--only", "L99"])
        .output()
        .expect("the program starts");
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success());
    assert!(text.contains("L99") && text.contains("L1 L2"), "{text}");
}

#[test]
fn an_interrupted_run_leaves_no_process_behind() {
    let (mut run, children, _output) = running();
    kill(Pid::from_raw(run.id() as i32), Signal::SIGINT).expect("the run is alive");
    assert!(!run.wait().expect("our child").success());
    for child in children {
        wait_until_gone(child);
    }
}

#[test]
fn a_killed_run_leaves_no_process_behind() {
    let (mut run, children, _output) = running();
    run.kill().expect("the run is alive");
    run.wait().expect("our child");
    for child in children {
        wait_until_gone(child);
    }
}

/// A run that has measured its first ruler, its processes at that moment, and its output, which must stay open.
fn running() -> (Child, Vec<i32>, impl Sized) {
    let mut run = benches()
        .arg("rulers")
        .stdout(Stdio::piped())
        .spawn()
        .expect("the program starts");
    let mut lines = BufReader::new(run.stdout.take().expect("piped")).lines();
    // The heading and one ruler: its processes have run, those of the next are starting.
    assert!(
        lines.next().is_some() && lines.next().is_some(),
        "figures are printed as they come"
    );
    let children = children_of(run.id());
    (run, children, lines)
}

fn children_of(pid: u32) -> Vec<i32> {
    let text =
        std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    text.split_whitespace()
        .filter_map(|pid| pid.parse().ok())
        .collect()
}

/// Orphans are reaped by process 1, which may take a moment.
fn wait_until_gone(pid: i32) {
    let patience = Instant::now() + Duration::from_secs(30);
    while is_running(pid) {
        assert!(Instant::now() < patience, "process {pid} is still there");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// A zombie runs no more; who reaps it is not the bench's affair.
fn is_running(pid: i32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ")
        .is_some_and(|(_, state)| !state.starts_with('Z'))
}
