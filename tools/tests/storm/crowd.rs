//! Many nodes in one lab: each sees and reaches all others, and hears of those who come, leave, come back
//! and come under another name.

use std::collections::BTreeSet;
use std::path::Path;
use std::thread;
use std::time::Instant;

use ipc_core::file;
use nix::sys::signal::Signal;
use tools::netlab::{Cut, Lab, Programs};

use crate::leftovers::memory_kib;
use crate::random::count;
use crate::support::{lab, output, part, setting, text, until};

/// Parts that run at one time.
const AT_A_TIME: usize = 4;

// covers: NET-1, NET-5
#[test]
fn each_of_many_nodes_reaches_all_others_and_hears_of_changes() {
    let nodes = count("QNET_NODES", 8) as usize;
    let names: Vec<String> = (1..=nodes).map(|number| format!("node{number}")).collect();
    let started = Instant::now();
    let last = names.last().expect("there is one");
    let number = nodes.to_string();
    let Some(lab) = lab(&["--nodes", &number, "--unplugged", last]) else {
        return;
    };
    println!("{nodes} nodes were up after {:.1?}", started.elapsed());
    let all: BTreeSet<&str> = names.iter().map(String::as_str).collect();
    let most = without(&all, last);
    everyone_sees(&lab, "at the start", &most, &most);
    // One joins: it is plugged in, and starts.
    let join = Instant::now();
    lab.cut(last, Cut::None).expect("there is such a node");
    lab.restart(last, "qnet").expect("nothing is in its way");
    everyone_sees(&lab, "after a node joined", &all, &all);
    println!(
        "a node that joined is seen by all after {:.1?}",
        join.elapsed()
    );
    everyone_reaches(&lab, &all);
    // One leaves: who asks for it is told, and who was there is still reached. It comes back.
    let (leaver, rest) = ("node1", without(&all, "node1"));
    leave(&lab, leaver);
    for node in rest.iter().take(AT_A_TIME) {
        let path = format!("/net/{leaver}/home/greeting");
        let asked = output(lab.exec(node, "qn").args(["cat", &path]));
        assert!(
            !asked.status.success(),
            "{leaver} has left, and {node} still reads there"
        );
    }
    everyone_reaches(&lab, &rest);
    lab.restart(leaver, "qnet").expect("nothing is in its way");
    everyone_sees(&lab, "after it came back", &all, &all);
    // One is killed, and comes back: its name never went.
    lab.kill(leaver, "qnet", Signal::SIGKILL).expect("it runs");
    lab.restart(leaver, "qnet").expect("nothing is in its way");
    everyone_sees(&lab, "after a kill and a restart", &all, &all);
    everyone_reaches(&lab, &all);
    // One comes under another name.
    leave(&lab, leaver);
    rename(&lab, leaver, "renamed");
    let mut renamed = rest.clone();
    renamed.insert("renamed");
    everyone_sees(&lab, "after a node was renamed", &rest, &renamed);
    let greeting = text(
        lab.exec(last, "qn")
            .args(["cat", "/net/renamed/home/greeting"]),
    );
    assert_eq!(greeting, leaver);
    for daemon in ["qnet", "procmgr"] {
        let mut memory: Vec<u64> = rest
            .iter()
            .map(|node| memory_kib(&lab, node, daemon))
            .collect();
        memory.sort_unstable();
        println!(
            "memory of {daemon}, KiB: {} to {}",
            memory[0],
            memory[memory.len() - 1]
        );
    }
}

fn without<'a>(all: &BTreeSet<&'a str>, left_out: &str) -> BTreeSet<&'a str> {
    all.iter()
        .copied()
        .filter(|name| *name != left_out)
        .collect()
}

/// Asks a node's qnet to end, and waits until it has: until then the node may still be reached.
pub(crate) fn leave(lab: &Lab, node: &str) {
    lab.kill(node, "qnet", Signal::SIGTERM).expect("it runs");
    until(|| {
        let status = lab.status().expect("the lab runs");
        let mut nodes = status.nodes.iter();
        let its = nodes.find(|its| its.name == node).expect("there is one");
        let mut daemons = its.daemons.iter();
        let runs = daemons.any(|daemon| daemon.name == "qnet" && daemon.pid.is_some());
        (!runs).then_some(())
    });
}

/// Starts qnet on a node under a name of its own.
fn rename(lab: &Lab, node: &str, name: &str) {
    let qnet = Programs::find().expect("the lab runs them").path("qnet");
    let options = ["--interface", "eth0", "--name", name, "--map", "identity"];
    let mut command = vec![qnet.display().to_string()];
    command.extend(options.map(str::to_owned));
    lab.serve(node, "renamed", command)
        .expect("nothing is in its way");
}

/// Waits until each of `who` lists `whom` in `/net`, and perhaps others that it knew before.
fn everyone_sees(lab: &Lab, when: &str, who: &BTreeSet<&str>, whom: &BTreeSet<&str>) {
    let started = Instant::now();
    for node in who {
        let mut said = 0;
        until(|| {
            let listing = text(lab.exec(node, "qn").args(["ls", "/net"]));
            let seen: BTreeSet<&str> = listing
                .split_whitespace()
                .map(|name| name.trim_end_matches('/'))
                .collect();
            said += 1;
            if said % 100 == 0 {
                let missing: Vec<_> = whom.difference(&seen).collect();
                println!("{when}: {node} does not see {missing:?} yet");
            }
            whom.is_subset(&seen).then_some(())
        });
    }
    println!(
        "{when}: all see the same {} after {:.1?}",
        whom.len(),
        started.elapsed()
    );
}

/// Writes a file on a node that tells whose it is.
pub(crate) fn greet(lab: &Lab, node: &str) {
    let dir = lab.dir(node).expect("there is such a node");
    let script = "printf %s \"$NETLAB_NODE\" > \"$0\"";
    let mut write = lab.exec(node, "sh");
    text(write.args(["-c", script]).arg(dir.join("home/greeting")));
}

/// A program on each node reads a file of every other node that tells whose it is.
fn everyone_reaches(lab: &Lab, nodes: &BTreeSet<&str>) {
    nodes.iter().for_each(|node| greet(lab, node));
    let started = Instant::now();
    let list = nodes.iter().copied().collect::<Vec<_>>().join(",");
    let all: Vec<&str> = nodes.iter().copied().collect();
    for some in all.chunks(AT_A_TIME) {
        thread::scope(|scope| {
            for node in some {
                let mut visit = part(lab, node, "crowd::part_visit");
                visit.env("NODES", &list);
                scope.spawn(move || text(&mut visit));
            }
        });
    }
    let pairs = nodes.len() * nodes.len();
    println!(
        "{pairs} pairs of nodes reach each other, asked one after the other within {:.1?}",
        started.elapsed()
    );
}

#[test]
#[ignore = "run by the tests here as the part of each node: reads a file of every node"]
fn part_visit() {
    for node in setting("NODES").split(',') {
        let path = Path::new("/net").join(node).join("home/greeting");
        let greeting =
            file::read(&path).unwrap_or_else(|errno| panic!("{}: {errno}", path.display()));
        assert_eq!(greeting, node.as_bytes());
    }
}
