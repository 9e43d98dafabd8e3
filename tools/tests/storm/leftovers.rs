//! What the processes of a lab hold, sampled when all is quiet: what grows over a life leaks.

use std::collections::BTreeMap;

use tools::netlab::Lab;

use crate::support::text;

/// The first samples of a life, in which what is made once and kept may still come: who starts anew gets its connections one
/// by one, as each client asks for something again. A process manager with 20 mappings at rest may have 8 when all clients
/// have had their first answers, as those came from servers that they had found before.
const WARMING: u64 = 3;
/// What a process may hold more later in its life than in its first samples. A leak of one at each kill is far more in a
/// long run.
const GROWTH_MAX: u64 = 12;
/// What a node's runtime directory may hold beyond what lives: whoever comes next clears away what a kill left.
const DEAD_FILES_MAX: u64 = 12;

/// One number that must not grow, of one life of a process, or of a node.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct What {
    node: String,
    daemon: String,
    pid: i32,
    resource: String,
}

/// What was seen of it.
#[derive(Clone, Copy, Debug, Default)]
struct Seen {
    /// The largest of the first samples.
    first: u64,
    /// The largest of all.
    largest: u64,
    count: u64,
}

/// All samples of a run.
#[derive(Default)]
pub(crate) struct Leftovers(BTreeMap<What, Seen>);

impl Leftovers {
    /// Looks at every daemon of every node.
    pub(crate) fn sample(&mut self, lab: &Lab) {
        for node in lab.status().expect("the lab is up").nodes {
            let mut script = String::new();
            for daemon in &node.daemons {
                let (Some(pid), name) = (daemon.pid, &daemon.name) else {
                    continue;
                };
                script += &format!(
                    "cd /proc/{pid} && echo {name} {pid} descriptors $(ls fd | wc -l) \
                     && echo {name} {pid} mappings $(grep -c memfd maps) \
                     && echo {name} {pid} threads $(ls task | wc -l);"
                );
            }
            script += "echo node 0 packet-sockets $(($(wc -l < /proc/net/packet) - 1));\
                       echo node 0 files $(find $NETLAB_DIR/run | wc -l);\
                       echo node 0 interfaces $(ls /sys/class/net | wc -l);\
                       echo node 0 zombies $(grep -l '^State:.Z' /proc/[0-9]*/status | wc -l)";
            let script = format!("{{ {script}; }} 2>/dev/null");
            let said = text(lab.exec(&node.name, "sh").args(["-c", &script]));
            for line in said.lines() {
                self.add(&node.name, line);
            }
        }
    }

    fn add(&mut self, node: &str, line: &str) {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [daemon, pid, resource, value] = words[..] else {
            panic!("four words are expected: {line:?}");
        };
        let what = What {
            node: node.to_owned(),
            daemon: daemon.to_owned(),
            pid: pid.parse().expect("a pid"),
            resource: resource.to_owned(),
        };
        let value: u64 = value.parse().expect("a number");
        let seen = self.0.entry(what).or_default();
        seen.largest = seen.largest.max(value);
        seen.count += 1;
        if seen.count <= WARMING {
            seen.first = seen.largest;
        }
    }

    /// Prints what grew most, and panics if something grew more than anything has reason to.
    pub(crate) fn check(&self) {
        let growth = |seen: &Seen| seen.largest - seen.first;
        let mut all: Vec<(&What, &Seen)> = self.0.iter().collect();
        all.sort_by_key(|(_, seen)| std::cmp::Reverse((growth(seen), seen.count)));
        println!("what grew most over a life, first samples -> largest (all samples):");
        for (what, seen) in all.iter().take(8) {
            println!(
                "  {:<12} {:<10} {:<14} {:>4} -> {:<4} ({})",
                what.node, what.daemon, what.resource, seen.first, seen.largest, seen.count
            );
        }
        for (what, seen) in all {
            let limit = match what.resource.as_str() {
                "files" => DEAD_FILES_MAX,
                // They are as many as interfaces and qnets: nothing is made and kept.
                "packet-sockets" | "interfaces" => 0,
                _ => GROWTH_MAX,
            };
            assert!(growth(seen) <= limit, "{what:?} grew: {seen:?}");
        }
    }
}

/// Memory of a daemon that is in RAM, in KiB.
pub(crate) fn memory_kib(lab: &Lab, node: &str, daemon: &str) -> u64 {
    let status = lab.status().expect("the lab is up");
    let nodes = status.nodes.iter().filter(|other| other.name == node);
    let mut daemons = nodes.flat_map(|node| &node.daemons);
    let daemon = daemons.find(|other| other.name == daemon);
    let pid = daemon.and_then(|daemon| daemon.pid).expect("it runs");
    let said = text(lab.exec(node, "cat").arg(format!("/proc/{pid}/status")));
    let line = said.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let words = line
        .expect("a process has memory")
        .split_whitespace()
        .next();
    words.and_then(|word| word.parse().ok()).expect("a number")
}
