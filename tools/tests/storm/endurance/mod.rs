//! A long life: three nodes that talk in every way while faults come and go, and what is left of it at rest.
//!
//! Every answer is checked byte by byte, and faults that are no silence fail no call. Now and then the clients let go of
//! all they have and the wire is healed: then nothing is open, nothing is held, and no daemon runs. What they keep is
//! compared from rest to rest. Nothing of `node1` but its client is ever killed, so that it bears what all others leave
//! behind.
//!
//! A fault takes some seconds, so it is run by hand: the command stands in CONTRIBUTING.

mod client;
mod message;
mod rest;
mod server;
mod weather;

use std::time::Duration;

use tools::netlab::Lab;

use crate::journal::{Entry, Journal, moment_ns};
use crate::load::start;
use crate::meter::{Meter, start_sink};
use crate::random::{Random, count};
use crate::support::lab;
use client::THREADS_PER_TARGET;
use rest::Resting;
use weather::{Harm, KNOWN_ERRNOS, Weather};

const NODES: [&str; 3] = ["node1", "node2", "node3"];
const SINK: &str = "/net/node2/dev/name/local/sink";
/// Faults from one rest to the next.
const ROUNDS_TO_REST: u64 = 6;

// covers: DTH-1, NET-4, NET-5
#[test]
#[ignore = "takes minutes, run by hand: the command stands in CONTRIBUTING"]
fn whatever_happened_nothing_is_left_of_it_at_rest() {
    let Some(lab) = lab(&["--nodes", "3"]) else {
        return;
    };
    let mut life = Life::begin(lab);
    let rounds = count("QNET_ENDURANCE_ROUNDS", ROUNDS_TO_REST);
    life.rest("at the start");
    for round in 0..rounds {
        life.round();
        if (round + 1) % ROUNDS_TO_REST == 0 || round + 1 == rounds {
            life.rest(&format!("after {} rounds", round + 1));
        }
    }
    life.resting.check();
}

struct Life {
    lab: Lab,
    random: Random,
    weather: Weather,
    clients: Vec<Journal>,
    servers: Vec<Journal>,
    resting: Resting,
    spell: Duration,
}

impl Life {
    fn begin(lab: Lab) -> Life {
        for node in NODES {
            start(
                &lab,
                node,
                "mixed",
                "endurance::server::part_mixed",
                &[("NAME", "mixed")],
            );
        }
        start_sink(&lab, "node2", "sink");
        for node in NODES {
            let others = NODES.iter().filter(|other| **other != node);
            let others: Vec<&str> = others.copied().collect();
            let settings = [
                ("TARGETS", others.join(",")),
                ("REST", rest::mark(&lab, node)),
            ];
            let settings = settings
                .each_ref()
                .map(|(name, value)| (*name, value.as_str()));
            start(
                &lab,
                node,
                "client",
                "endurance::client::part_client",
                &settings,
            );
        }
        let clients = NODES.map(|node| Journal::open(&lab, node, "client"));
        let servers = NODES.map(|node| Journal::open(&lab, node, "mixed"));
        let mut life = Life {
            random: Random::from_setting(),
            weather: Weather::default(),
            clients: clients.into(),
            servers: servers.into(),
            resting: Resting::default(),
            spell: Duration::from_millis(count("QNET_ENDURANCE_MS", 700)),
            lab,
        };
        life.wait_until_all_is_well(0);
        life.take_errors();
        life
    }

    /// Waits until each thread of each client has had an answer to what it asked after this moment.
    fn wait_until_all_is_well(&mut self, start_ns: u128) {
        let threads = THREADS_PER_TARGET * (NODES.len() as u32 - 1);
        for journal in &mut self.clients {
            journal.wait_for_success(threads, start_ns);
        }
        self.servers.iter_mut().for_each(Journal::read);
    }

    fn take_errors(&mut self) -> Vec<Entry> {
        self.clients
            .iter_mut()
            .flat_map(Journal::take_errors)
            .collect()
    }

    fn round(&mut self) {
        let harm = self.weather.strike(&self.lab, &mut self.random, self.spell);
        self.wait_until_all_is_well(moment_ns());
        let errors = self.take_errors();
        println!("  {} calls failed", errors.len());
        for entry in &errors {
            assert_eq!(harm, Harm::Some, "nobody was silent for long: {entry:?}");
            let errno = entry.errno().expect("an error");
            assert!(KNOWN_ERRNOS.contains(&errno), "{entry:?}");
        }
    }

    fn rest(&mut self, when: &str) {
        self.weather.clear(&self.lab);
        self.wait_until_all_is_well(moment_ns());
        self.take_errors();
        self.resting.begin(&self.lab);
        for (threads, len) in [(1, 64), (2, 1 << 20)] {
            let figures = Meter::start(&self.lab, "node1", SINK, threads, len).measure(self.spell);
            println!("{when}: calls of {len} bytes: {figures:?}");
        }
        self.resting.look(&self.lab, when, self.spell);
        self.resting.end(&self.lab);
    }
}
