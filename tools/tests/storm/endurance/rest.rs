//! What is left when everybody rests.

use std::collections::BTreeMap;
use std::path::Path;
use std::thread;
use std::time::Duration;

use nix::sys::signal::Signal;
use serde_json::Value;
use tools::netlab::Lab;

use super::NODES;
use super::message::{HEAD_LEN, Head, Kind};
use crate::leftovers::{Leftovers, memory_kib};
use crate::support::{part, text, until};

const DAEMONS: [&str; 3] = ["qnet", "procmgr", "fs-export"];

/// The file that tells the clients of a node to rest.
pub(super) fn mark(lab: &Lab, node: &str) -> String {
    let dir = lab.dir(node).expect("there is such a node");
    dir.join("work/rest").display().to_string()
}

#[derive(Default)]
pub(super) struct Resting {
    leftovers: Leftovers,
    memory: BTreeMap<(String, String), Vec<u64>>,
}

impl Resting {
    /// Waits until all clients have let go of all they had.
    pub(super) fn begin(&self, lab: &Lab) {
        for node in NODES {
            text(lab.exec(node, "touch").arg(mark(lab, node)));
        }
        for node in NODES {
            let all = Path::new(&mark(lab, node)).with_extension("all");
            let mut test = lab.exec(node, "test");
            test.arg("-e").arg(all);
            until(|| test.status().expect("netlab runs").success().then_some(()));
        }
        // What a library keeps for the next time goes with its process.
        for node in NODES {
            lab.kill(node, "client", Signal::SIGKILL).expect("it runs");
        }
    }

    /// The clients go on.
    pub(super) fn end(&self, lab: &Lab) {
        for node in NODES {
            let rest = mark(lab, node);
            let all = Path::new(&rest).with_extension("all");
            text(lab.exec(node, "rm").arg(all).arg(rest));
            lab.restart(node, "client").expect("nothing is in its way");
        }
    }

    /// Looks at everything, once it is quiet.
    pub(super) fn look(&mut self, lab: &Lab, when: &str, spell: Duration) {
        for node in NODES {
            let mut last = String::new();
            until(|| {
                let held = held(&statistics(lab, node));
                if held != last {
                    println!("{when}: {node} holds {held:?}");
                    last.clone_from(&held);
                }
                held.is_empty().then_some(())
            });
            text(&mut part(lab, node, "endurance::rest::part_ask"));
            let stats = statistics(lab, node);
            for peer in stats["nodes"].as_array().into_iter().flatten() {
                for path in peer["paths"].as_array().into_iter().flatten() {
                    println!(
                        "{when}: {node} to {}: {} rtt {} window {} mtu {} lost {} timeouts {} failures {} sessions {}",
                        peer["name"],
                        path["state"],
                        path["rtt_ns"],
                        path["window_len"],
                        path["mtu"],
                        path["packets_lost"],
                        path["probe_timeouts"],
                        path["failures"],
                        peer["sessions"],
                    );
                }
            }
            println!(
                "{when}: {node} bridge {} dropped {}",
                stats["bridge"], stats["dropped"]
            );
        }
        self.leftovers.sample(lab);
        for node in NODES {
            for daemon in DAEMONS {
                let kib = memory_kib(lab, node, daemon);
                self.memory
                    .entry((node.into(), daemon.into()))
                    .or_default()
                    .push(kib);
            }
        }
        for node in NODES {
            until(|| {
                let before = slices(lab, node);
                thread::sleep(spell);
                let after = slices(lab, node);
                (before == after).then_some(())
            });
        }
    }

    /// # Panics
    /// Something grew from rest to rest.
    pub(super) fn check(&self) {
        for ((node, daemon), kib) in &self.memory {
            println!("{node} {daemon}: {kib:?} KiB");
        }
        self.leftovers.check();
    }
}

fn statistics(lab: &Lab, node: &str) -> Value {
    let said = text(lab.exec(node, "qn").args(["--json", "net", "-l"]));
    serde_json::from_str(&said).expect("it is JSON")
}

/// What a qnet holds that it should not at rest.
fn held(stats: &Value) -> String {
    let mut held = String::new();
    for what in [
        "connections_in",
        "connections_out",
        "pending_in",
        "pending_out",
    ] {
        if stats[what] != 0 {
            held += &format!("{what} {} ", stats[what]);
        }
    }
    for peer in stats["nodes"].as_array().into_iter().flatten() {
        for path in peer["paths"].as_array().into_iter().flatten() {
            if path["in_flight_len"] != 0 {
                held += &format!(
                    "{} bytes in flight to {} ",
                    path["in_flight_len"], peer["name"]
                );
            }
        }
    }
    held
}

/// How often each daemon of a node got a processor.
fn slices(lab: &Lab, node: &str) -> BTreeMap<String, u64> {
    let status = lab.status().expect("the lab is up");
    let its = status.nodes.iter().find(|its| its.name == node);
    let daemons = its.into_iter().flat_map(|its| &its.daemons);
    let daemons = daemons.filter(|daemon| DAEMONS.contains(&daemon.name.as_str()));
    let of = |pid: i32| {
        let said = text(
            lab.exec(node, "sh")
                .args(["-c", &format!("cat /proc/{pid}/task/*/schedstat")]),
        );
        said.lines()
            .filter_map(|line| line.split(' ').nth(2)?.parse::<u64>().ok())
            .sum()
    };
    daemons
        .filter_map(|daemon| Some((daemon.name.clone(), of(daemon.pid?))))
        .collect()
}

#[test]
#[ignore = "run by the tests here as a part: asks the server of its node what it holds"]
fn part_ask() {
    let connection =
        ipc_core::proc::name_open("mixed", ipc_core::proc::NameScope::Local).expect("it serves");
    let head = Head {
        kind: Kind::WhatIsHeld as u64,
        sender: 0,
        number: 0,
        reply_len: HEAD_LEN as u64,
        value: 0,
    };
    until(|| {
        let mut reply = [0; HEAD_LEN];
        connection
            .send(&head.bytes(HEAD_LEN), &mut reply)
            .expect("it answers");
        let value = Head::of(&reply).expect("a head").value;
        (value == 0).then_some(())
    });
}
