//! Cables of two-link nodes, cut and healed under load, again and again.

use std::collections::BTreeSet;
use std::thread;
use std::time::Duration;

use tools::netlab::{Cut, Lab};

use crate::figures::Times;
use crate::journal::{Journal, Outcome, found_closed, moment_ns};
use crate::leftovers::Leftovers;
use crate::load::{THREADS_PER_TARGET, start_client, start_server};
use crate::random::{Random, count};
use crate::support::{TOLERANCE_MS, lab, text, until};

const TARGET: &str = "/net/wintermute/dev/name/local/server";
const NODES: [&str; 2] = ["magenta", "wintermute"];
const LINKS: u64 = 2;
const SILENT: [Cut; 3] = [Cut::Both, Cut::From, Cut::To];
const ANY: [Cut; 4] = [Cut::Link, Cut::Both, Cut::From, Cut::To];

// covers: NET-4, NET-5, NET-8
#[test]
fn a_cut_link_is_no_error_two_cut_links_are_and_both_come_back() {
    let Some(lab) = lab(&["--no-home", "--links", "2"]) else {
        return;
    };
    start_server(&lab, "wintermute", "server");
    start_client(&lab, "magenta", "client", &[TARGET]);
    let mut load = Load {
        client: Journal::open(&lab, "magenta", "client"),
        server: Journal::open(&lab, "wintermute", "server"),
        random: Random::from_setting(),
        leftovers: Leftovers::default(),
        ended: Times::default(),
        back: Times::default(),
        lab,
    };
    load.settle(0);
    for round in 0..count("QNET_CUTS", 6) {
        match round % 3 {
            0 | 1 => load.one_link(),
            _ => load.both_links(),
        }
    }
    let limit_ms = TOLERANCE_MS * 11 / 10;
    load.ended.print(
        "both links cut: from the cut to the end of blocked calls",
        limit_ms,
    );
    load.back
        .print("from the healing until all works", limit_ms);
    load.leftovers.check();
}

struct Load {
    lab: Lab,
    client: Journal,
    server: Journal,
    random: Random,
    leftovers: Leftovers,
    ended: Times,
    back: Times,
}

impl Load {
    /// Waits until all works and both paths are up.
    fn settle(&mut self, start_ns: u128) {
        self.client.wait_for_success(THREADS_PER_TARGET, start_ns);
        self.server.read();
        let lab = &self.lab;
        until(|| (paths_up(lab) == LINKS).then_some(()));
        self.leftovers.sample(&self.lab);
    }

    /// One link is cut for a while that may be longer than the tolerance: nobody notices.
    fn one_link(&mut self) {
        let node = NODES[self.random.below(2) as usize];
        let link = self.random.below(LINKS) as usize;
        let how = ANY[self.random.below(4) as usize];
        let cut_ns = moment_ns();
        self.lab.cut_link(node, link, how).expect("it is there");
        thread::sleep(Duration::from_millis(self.random.below(2 * TOLERANCE_MS)));
        // It goes on while the link is cut.
        self.client.wait_for_success(THREADS_PER_TARGET, cut_ns);
        self.lab
            .cut_link(node, link, Cut::None)
            .expect("it is there");
        self.settle(moment_ns());
        let errors = self.client.take_errors();
        assert!(
            errors.is_empty(),
            "link {link} of {node}, {how:?}: {errors:?}"
        );
    }

    /// Both are cut for longer than the tolerance: every call ends in an error that says so.
    fn both_links(&mut self) {
        let node = NODES[self.random.below(2) as usize];
        let how = match self.random.below(4) {
            0 => Cut::Link,
            silent => SILENT[silent as usize - 1],
        };
        let cut_ns = moment_ns();
        self.lab.cut(node, how).expect("it is there");
        thread::sleep(Duration::from_millis(
            2 * TOLERANCE_MS + self.random.below(500),
        ));
        self.lab.heal(node).expect("it is there");
        let healed_ns = moment_ns();
        self.settle(healed_ns);
        self.back.add(&format!("{how:?}"), moment_ns() - healed_ns);
        let errors = self.client.take_errors();
        let mut told = BTreeSet::new();
        for entry in errors {
            // One that attaches anew at that moment is refused.
            told.insert(entry.thread);
            let Outcome::Failed(errno) = &entry.outcome else {
                continue;
            };
            let is_closed = found_closed(std::slice::from_ref(&self.server), &entry);
            // Where the other end was the first to give up, and its goodbye gets through, that is what is told (NET-5).
            let is_told = ["EHOSTDOWN", "EHOSTUNREACH", "ESRCH"].contains(&errno.as_str());
            let is_right = is_closed || is_told;
            assert!(is_right, "{how:?} of {node}: {entry:?}");
            if entry.start_ns < cut_ns && !is_closed {
                self.ended
                    .add(&format!("{how:?}: {errno}"), entry.end_ns - cut_ns);
            }
        }
        let threads: BTreeSet<u32> = (0..THREADS_PER_TARGET).collect();
        assert_eq!(told, threads, "{how:?} of {node}: each thread is told");
    }
}

/// How many paths to wintermute magenta's qnet holds for usable.
fn paths_up(lab: &Lab) -> u64 {
    let said = text(lab.exec("magenta", "qn").args(["--json", "net"]));
    let nodes: serde_json::Value = serde_json::from_str(&said).expect("it is JSON");
    let nodes = nodes.as_array().expect("a list").iter();
    nodes
        .filter(|node| node["node"] == "wintermute")
        .filter_map(|node| node["paths_up"].as_u64())
        .sum()
}
