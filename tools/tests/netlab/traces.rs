//! What is left of a lab that has ended, in whatever way: nothing.

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader};
use std::process::Stdio;
use std::thread;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tools::netlab::Lab;

use crate::populate;
use crate::support::{lab, until};

/// What could be left behind on this machine, seen from outside of labs.
#[derive(Debug, PartialEq, Eq)]
struct Traces {
    interfaces: BTreeSet<String>,
    mounts: BTreeSet<String>,
    names: BTreeSet<String>,
}

impl Traces {
    fn look(lab: &str) -> Traces {
        let interfaces = fs::read_dir("/sys/class/net").expect("sysfs is mounted");
        let sockets = fs::read_to_string("/proc/net/unix").expect("proc is mounted");
        let mounts = fs::read_to_string("/proc/self/mountinfo").expect("proc is mounted");
        let is_ours = |line: &&str| {
            line.contains(lab) || line.contains("netlab on") || line.contains("magenta")
        };
        Traces {
            interfaces: interfaces
                .map(|entry| {
                    entry
                        .expect("sysfs lists")
                        .file_name()
                        .to_string_lossy()
                        .into_owned()
                })
                .collect(),
            mounts: mounts.lines().filter(is_ours).map(str::to_owned).collect(),
            names: sockets
                .lines()
                .filter(|line| line.contains(lab))
                .map(str::to_owned)
                .collect(),
        }
    }
}

/// Processes on this machine that have `mark` among their arguments.
fn processes_with(mark: &str) -> Vec<Pid> {
    let proc = fs::read_dir("/proc").expect("proc is mounted");
    let pids = proc.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<i32>().ok());
    let marked = pids.filter(|pid| {
        let arguments = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        arguments
            .split(|&byte| byte == 0)
            .any(|argument| argument == mark.as_bytes())
    });
    marked.map(Pid::from_raw).collect()
}

/// Ends a lab in some way and looks whether anything of it is left. Namespaces need no look: only
/// processes, mounts and descriptors hold them.
fn nothing_is_left_after(mark: &str, end: impl FnOnce(Lab)) {
    let Some(lab) = lab(&["--bare"]) else { return };
    let name = lab.name().to_owned();
    let before = Traces::look("a name that no lab has");
    let mut visitor = populate(&lab, "magenta", mark);
    // The shell has forked them; they become what they are to be in their own time.
    while processes_with(mark).len() < 2 {
        thread::sleep(Duration::from_millis(1));
    }
    end(lab);
    visitor.wait().expect("it is our child");
    // The kernel kills all of them together, and they end in their own time.
    until(|| processes_with(mark).is_empty().then_some(()));
    assert_eq!(Traces::look(&name), before);
}

/// Sends the supervisor a signal, and does not end the lab in any other way.
fn end_by(signal: Signal) -> impl FnOnce(Lab) {
    move |lab| {
        let supervisor = lab.supervisor();
        kill(supervisor, signal).expect("the supervisor runs");
        while fs::exists(format!("/proc/{supervisor}")).expect("proc is mounted") {
            thread::sleep(Duration::from_millis(1));
        }
        std::mem::forget(lab);
    }
}

#[test]
fn nothing_is_left_after_down() {
    nothing_is_left_after("80001", drop);
}

#[test]
fn nothing_is_left_after_an_interrupt() {
    nothing_is_left_after("80002", end_by(Signal::SIGINT));
}

#[test]
fn nothing_is_left_after_a_kill_of_the_supervisor() {
    nothing_is_left_after("80003", end_by(Signal::SIGKILL));
}

#[test]
fn a_killed_lab_can_be_brought_up_again_by_the_same_name() {
    let Some(first) = lab(&["--bare"]) else {
        return;
    };
    let name = first.name().to_owned();
    end_by(Signal::SIGKILL)(first);
    let options = tools::netlab::LabOptions {
        name: Some(name),
        arguments: vec!["--bare".into()],
    };
    let again = Lab::up(&options).expect("nothing is in the way");
    assert_eq!(again.status().expect("it runs").nodes.len(), 2);
}

#[test]
fn a_lab_ends_with_the_process_that_holds_it() {
    let Some(outer) = lab(&["--bare"]) else {
        return;
    };
    let mut holder = std::process::Command::new(std::env::current_exe().expect("we run"))
        .args([
            "--exact",
            "traces::part_hold_a_lab",
            "--ignored",
            "--nocapture",
            "--quiet",
        ])
        .stdout(Stdio::piped())
        .spawn()
        .expect("this program runs");
    let stdout = BufReader::new(holder.stdout.take().expect("it was piped"));
    let line = stdout.lines().map_while(Result::ok).find_map(|line| {
        Some(
            line.split_once("supervisor ")?
                .1
                .trim()
                .parse::<i32>()
                .expect("a pid"),
        )
    });
    let supervisor = line.expect("the holder says whom it holds");
    kill(Pid::from_raw(holder.id() as i32), Signal::SIGKILL).expect("it is our child");
    holder.wait().expect("it is our child");
    while fs::exists(format!("/proc/{supervisor}")).expect("proc is mounted") {
        thread::sleep(Duration::from_millis(1));
    }
    drop(outer);
}

#[test]
#[ignore = "run by a_lab_ends_with_the_process_that_holds_it"]
fn part_hold_a_lab() {
    let lab = lab(&["--bare"]).expect("the outer test had one");
    println!("supervisor {}", lab.supervisor());
    thread::sleep(Duration::from_secs(3600));
}
