//! kill -9 of every program of two nodes at random moments under load, again and again.
//!
//! After each: whoever was blocked on the dead gets an errno, what is started again works without anything
//! cleaned up, nobody keeps what belonged to the dead, and no message reaches another life.

use std::collections::BTreeSet;
use std::thread;
use std::time::Duration;

use nix::sys::signal::Signal;
use tools::netlab::Lab;

use crate::figures::Times;
use crate::journal::{Entry, Journal, Outcome, found_closed, moment_ns};
use crate::leftovers::Leftovers;
use crate::load::{THREADS_PER_TARGET, start_client, start_server};
use crate::random::{Random, count};
use crate::support::{TOLERANCE_MS, lab};

const TARGETS: [&str; 2] = [
    "/net/wintermute/dev/name/local/victim",
    "/net/wintermute/dev/name/local/steady",
];

/// Who is killed, and what those may be told whom that ends.
struct Victim {
    node: &'static str,
    daemon: &'static str,
    errnos: &'static [&'static str],
}

const VICTIMS: [Victim; 6] = [
    Victim {
        node: "wintermute",
        daemon: "qnet",
        errnos: &["EHOSTDOWN", "EHOSTUNREACH", "ESRCH"],
    },
    Victim {
        node: "magenta",
        daemon: "qnet",
        errnos: &["EHOSTDOWN", "ESRCH"],
    },
    Victim {
        node: "wintermute",
        daemon: "victim",
        errnos: &["ESRCH"],
    },
    Victim {
        node: "magenta",
        daemon: "client",
        errnos: &[],
    },
    Victim {
        node: "wintermute",
        daemon: "procmgr",
        errnos: &[],
    },
    Victim {
        node: "magenta",
        daemon: "procmgr",
        errnos: &[],
    },
];

// covers: DTH-1, DTH-2, NET-4, NET-5
#[test]
fn whoever_is_killed_the_others_are_told_and_all_comes_back() {
    let Some(lab) = lab(&["--no-home"]) else {
        return;
    };
    let mut storm = Storm::begin(lab);
    let kills = count("QNET_KILLS", 12);
    for number in 0..kills {
        // One victim after the other, so that the rest lives through many kills of the same kind.
        let victim = &VICTIMS[(number * VICTIMS.len() as u64 / kills) as usize];
        storm.kill(victim, number);
    }
    storm.end();
}

struct Storm {
    lab: Lab,
    random: Random,
    /// Of the client that is killed and of the one that is not.
    journals: [Journal; 2],
    servers: [Journal; 2],
    leftovers: Leftovers,
    blocked: Times,
    later: Times,
    back: Times,
    refused: BTreeSet<(&'static str, String)>,
}

impl Storm {
    fn begin(lab: Lab) -> Storm {
        for server in ["victim", "steady"] {
            start_server(&lab, "wintermute", server);
        }
        for client in ["client", "witness"] {
            start_client(&lab, "magenta", client, &TARGETS);
        }
        let mut storm = Storm {
            journals: ["client", "witness"].map(|name| Journal::open(&lab, "magenta", name)),
            servers: ["victim", "steady"].map(|name| Journal::open(&lab, "wintermute", name)),
            random: Random::from_setting(),
            leftovers: Leftovers::default(),
            blocked: Times::default(),
            later: Times::default(),
            back: Times::default(),
            refused: BTreeSet::new(),
            lab,
        };
        storm.wait_until_all_is_well(0);
        storm
    }

    /// Waits until every thread of every client has had an answer to what it asked after this moment.
    fn wait_until_all_is_well(&mut self, start_ns: u128) {
        for journal in &mut self.journals {
            journal.wait_for_success(THREADS_PER_TARGET * TARGETS.len() as u32, start_ns);
        }
        self.servers.iter_mut().for_each(Journal::read);
        self.leftovers.sample(&self.lab);
    }

    fn kill(&mut self, victim: &Victim, number: u64) {
        let (node, daemon) = (victim.node, victim.daemon);
        for journal in &mut self.journals {
            let before = journal.take_errors();
            assert!(before.is_empty(), "nobody was killed, and yet: {before:?}");
        }
        thread::sleep(Duration::from_micros(self.random.below(200_000)));
        let killed_ns = moment_ns();
        self.lab
            .kill(node, daemon, Signal::SIGKILL)
            .expect("it runs");
        // When everybody has given up, at once, or soon.
        let pause_ms = match number % 3 {
            0 => TOLERANCE_MS + 700,
            1 => 0,
            _ => self.random.below(500),
        };
        thread::sleep(Duration::from_millis(pause_ms));
        self.lab
            .restart(node, daemon)
            .expect("nothing is in its way");
        let restarted_ns = moment_ns();
        self.wait_until_all_is_well(restarted_ns);
        let name = format!("{daemon} on {node}");
        self.back.add(&name, moment_ns() - restarted_ns);
        self.judge(victim, &name, killed_ns);
    }

    /// Looks at what the clients were told.
    fn judge(&mut self, victim: &Victim, name: &str, killed_ns: u128) {
        self.servers.iter_mut().for_each(Journal::read);
        for at in 0..self.journals.len() {
            for entry in self.journals[at].take_errors() {
                match &entry.outcome {
                    Outcome::Failed(errno) => {
                        let was_blocked = entry.start_ns < killed_ns;
                        let is_closed =
                            found_closed(&self.servers, &entry) && !victim.errnos.is_empty();
                        let is_right = is_closed || victim.errnos.contains(&errno.as_str());
                        assert!(is_right, "{name} was killed, and a client told: {entry:?}");
                        let what = format!("{name}: {errno}");
                        match was_blocked && !is_closed {
                            true => self
                                .blocked
                                .add(&what, entry.end_ns.saturating_sub(killed_ns)),
                            false => self.later.add(&what, entry.end_ns - entry.start_ns),
                        }
                    }
                    Outcome::Refused(errno) => {
                        self.note_refusal(victim, errno, name, &entry);
                    }
                    Outcome::Ok => {}
                }
            }
        }
    }

    fn note_refusal(&mut self, victim: &Victim, errno: &str, name: &str, entry: &Entry) {
        self.later.add(
            &format!("{name}: attach, {errno}"),
            entry.end_ns - entry.start_ns,
        );
        self.refused.insert((victim.daemon, errno.to_owned()));
    }

    fn end(mut self) {
        let limit_ms = TOLERANCE_MS * 11 / 10;
        self.blocked
            .print("from the kill to the end of calls blocked then", limit_ms);
        self.later
            .print("calls begun after the kill that failed", limit_ms);
        self.back.print(
            "from the restart until every client had an answer",
            limit_ms,
        );
        println!("refusals: {:?}", self.refused);
        self.leftovers.check();
    }
}
