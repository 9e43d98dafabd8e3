//! A deterministic simulation of nodes and a bad network: a seed in, the same history out.
//!
//! Everything that happens is an entry of one queue ordered by time and number; chance comes from the
//! seed alone. What must be true of calls is kept in a ledger outside of all nodes: delivered at most
//! once in all lives of all nodes, right bytes to the right client, and an outcome for everything once
//! the network is healed.

mod faults;
mod happened;
mod holder;
mod ledger;
mod network;
mod node;
mod pattern;
mod random;
pub(crate) mod shrink;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

use qnet_proto::{LinkId, Load, Mac, Time};

pub(crate) use faults::Plan;
pub(crate) use happened::Happened;
use ledger::Ledger;
use network::Streams;
use node::{Action, Node, mac_of};
use random::{Random, mix};

/// What a run came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Outcome {
    /// Over every frame and event, with its time.
    pub(crate) history: u64,
    pub(crate) frames: u64,
    pub(crate) happened: Happened,
    pub(crate) calls: usize,
    pub(crate) answered: usize,
    pub(crate) end_ns: u64,
}

#[derive(Clone, Debug)]
enum What {
    Deliver {
        node: usize,
        link: u8,
        /// Its way, and its number there.
        place: (usize, u64),
        frame: Vec<u8>,
    },
    Carrier {
        node: usize,
        link: u8,
        is_up: bool,
    },
    Wake {
        node: usize,
        at: Time,
    },
    Act {
        node: usize,
        life: u32,
        action: Action,
    },
    Restart {
        node: usize,
    },
    Pause {
        node: usize,
        len_ns: u64,
    },
    Jump {
        node: usize,
        len_ns: u64,
    },
}

struct World {
    now: Time,
    seed: u64,
    plan: Plan,
    random: Random,
    nodes: Vec<Node>,
    ledger: Ledger,
    order: BinaryHeap<Reverse<(u64, u64)>>,
    entries: BTreeMap<u64, What>,
    count: u64,
    /// Entries that are not wake-ups.
    pending: usize,
    buffer: Vec<u8>,
    history: u64,
    frames: u64,
    streams: Streams,
    happened: Happened,
    is_healed: bool,
    is_traced: bool,
}

const SECOND: u64 = 1_000_000_000;

/// Runs one seed to its end, printing every event of every node if `is_traced`.
///
/// # Panics
/// When something is not as it must be.
pub(crate) fn run(seed: u64, is_traced: bool) -> Outcome {
    run_plan(seed, plan(seed), is_traced)
}

/// As [`run`], with another plan than the seed's: what a failing one is shrunk to.
pub(crate) fn run_plan(seed: u64, plan: Plan, is_traced: bool) -> Outcome {
    let mut world = World::new(seed, plan, Random::new(!seed));
    world.is_traced = is_traced;
    world.run();
    Outcome {
        history: world.history,
        frames: world.frames,
        happened: world.happened,
        calls: world.ledger.len(),
        answered: world.ledger.answered(),
        end_ns: world.now.0,
    }
}

/// What the seed has in store, for the report of a failing run.
pub(crate) fn plan(seed: u64) -> Plan {
    Plan::draw(&mut Random::new(seed))
}

impl World {
    fn new(seed: u64, plan: Plan, random: Random) -> World {
        let nodes = (0..plan.nodes)
            .map(|index| Node::new(index, 1, seed, &plan))
            .collect();
        World {
            now: Time(1_000),
            seed,
            random,
            nodes,
            ledger: Ledger::default(),
            order: BinaryHeap::new(),
            entries: BTreeMap::new(),
            count: 0,
            pending: 0,
            buffer: vec![0; 65_549],
            history: seed,
            frames: 0,
            streams: Streams::new(plan.nodes, plan.links.len()),
            happened: Happened::of_plan(&plan),
            is_healed: false,
            is_traced: false,
            plan,
        }
    }

    fn run(&mut self) {
        self.schedule_plan();
        for node in 0..self.nodes.len() {
            if self.random.chance(500) {
                let now = self.clock(node);
                self.nodes[node].engine.announce(now);
            }
            self.pump(node);
        }
        let heal = self.plan.heal_ns;
        self.run_until(heal, |_| false);
        self.is_healed = true;
        self.run_until(heal + 15 * SECOND, |world| {
            world.pending == 0 && world.ledger.open().is_empty()
        });
        let open = self.ledger.open();
        if self.is_traced && !open.is_empty() {
            self.print_paths();
        }
        assert!(
            open.is_empty(),
            "no outcome for {open:?} long after the network healed"
        );
        for node in 0..self.nodes.len() {
            let now = self.clock(node);
            self.nodes[node].detach_all(now, &mut self.ledger);
            self.pump(node);
        }
        let is_still = |world: &World| {
            world.pending == 0
                && world
                    .nodes
                    .iter()
                    .all(|node| node.engine.poll_timeout().is_none())
        };
        self.run_until(self.now.0 + 15 * SECOND, is_still);
        for node in &self.nodes {
            assert_eq!(
                node.engine.poll_timeout(),
                None,
                "node {} is idle and has a timer",
                node.index
            );
            assert_eq!(
                node.engine.load(),
                Load::default(),
                "node {} kept something",
                node.index
            );
            assert!(node.holder.is_empty());
        }
    }

    fn print_paths(&self) {
        for node in &self.nodes {
            println!("n{} {:?}", node.index, node.engine.load());
            for info in node.engine.nodes() {
                println!("  {info:?}");
                let paths = node.engine.paths(info.peer);
                paths.for_each(|path| println!("    {path:?}"));
            }
        }
    }

    fn schedule_plan(&mut self) {
        for _ in 0..self.plan.calls {
            let nodes = self.nodes.len() as u64;
            let client = self.random.below(nodes);
            let server = (client + 1 + self.random.below(nodes - 1)) % nodes;
            let span = if self.plan.is_burst {
                SECOND / 500
            } else {
                self.plan.heal_ns + SECOND / 5
            };
            let at = self.random.below(span);
            let action = Action::Call {
                server: server as usize,
            };
            self.push(
                at,
                What::Act {
                    node: client as usize,
                    life: 0,
                    action,
                },
            );
        }
        for (at, node) in self.plan.restarts.clone() {
            self.push(at, What::Restart { node });
        }
        for (at, node, link, len_ns) in self.plan.carriers.clone() {
            for (at, is_up) in [(at, false), (at + len_ns, true)] {
                self.push(at, What::Carrier { node, link, is_up });
            }
        }
        for (at, node, len_ns) in self.plan.pauses.clone() {
            self.push(at, What::Pause { node, len_ns });
        }
        for (at, len_ns) in self.plan.standstills.clone() {
            self.happened.standstills += 1;
            for node in 0..self.nodes.len() {
                self.push(at, What::Pause { node, len_ns });
            }
        }
        for (at, node, len_ns) in self.plan.jumps.clone() {
            self.push(at, What::Jump { node, len_ns });
        }
    }

    fn push(&mut self, at_ns: u64, what: What) {
        self.count += 1;
        self.put(at_ns, self.count, what);
    }

    fn put(&mut self, at_ns: u64, number: u64, what: What) {
        self.pending += usize::from(!matches!(what, What::Wake { .. }));
        self.order.push(Reverse((at_ns.max(self.now.0), number)));
        self.entries.insert(number, what);
    }

    fn run_until(&mut self, end_ns: u64, is_done: impl Fn(&World) -> bool) {
        while !is_done(self) {
            let Some(&Reverse((at, number))) = self.order.peek() else {
                return;
            };
            if at > end_ns {
                return;
            }
            self.order.pop();
            let what = self
                .entries
                .remove(&number)
                .expect("each entry has its place");
            self.pending -= usize::from(!matches!(what, What::Wake { .. }));
            self.now = Time(at);
            self.step(number, what);
        }
    }

    fn step(&mut self, number: u64, what: What) {
        let node = match &what {
            What::Deliver { node, .. }
            | What::Wake { node, .. }
            | What::Act { node, .. }
            | What::Restart { node }
            | What::Carrier { node, .. }
            | What::Pause { node, .. }
            | What::Jump { node, .. } => *node,
        };
        let paused_until = self.nodes[node].paused_until;
        if paused_until > self.now.0 && !matches!(what, What::Restart { .. } | What::Pause { .. }) {
            // With the number it has: what two pauses put off keeps its order.
            return self.put(paused_until, number, what);
        }
        let now = self.clock(node);
        match what {
            What::Carrier { link, is_up, .. } => {
                self.happened.carriers += 1;
                self.nodes[node]
                    .engine
                    .set_carrier(now, LinkId(link), is_up);
            }
            What::Deliver {
                link, place, frame, ..
            } => {
                self.arrived(place);
                self.note(node as u64, &frame);
                let node = &mut self.nodes[node];
                node.engine
                    .handle_frame(now, LinkId(link), &frame, &mut node.holder);
            }
            What::Wake { at, .. } => {
                if self.nodes[node].wake_at != Some(at) {
                    return;
                }
                self.nodes[node].wake_at = None;
                self.nodes[node].engine.handle_timeout(now);
            }
            What::Act { life, action, .. } => {
                if life != 0 && life != self.nodes[node].life {
                    return;
                }
                let later = self.nodes[node].act(now, action, &mut self.random, &mut self.ledger);
                self.schedule(node, later);
            }
            What::Restart { .. } => self.restart(node),
            What::Pause { len_ns, .. } => {
                self.happened.pauses += 1;
                let until = &mut self.nodes[node].paused_until;
                *until = (*until).max(self.now.0 + len_ns);
            }
            What::Jump { len_ns, .. } => {
                self.happened.jumps += 1;
                self.nodes[node].ahead_ns += len_ns;
                // What is due by then is due at another time of the world's.
                self.nodes[node].wake_at = None;
            }
        }
        self.pump(node);
    }

    /// A node's own clock.
    fn clock(&self, node: usize) -> Time {
        Time(self.now.0 + self.nodes[node].ahead_ns)
    }

    fn restart(&mut self, index: usize) {
        self.happened.restarts += 1;
        if self.random.chance(300) {
            let now = self.clock(index);
            self.nodes[index].engine.bye(now);
            self.transmit(index);
        }
        let life = self.nodes[index].life;
        self.ledger.orphan_life(index, life);
        self.nodes[index] = Node::new(index, life + 1, self.seed, &self.plan);
        if self.random.chance(500) {
            let now = self.clock(index);
            self.nodes[index].engine.announce(now);
        }
    }

    fn schedule(&mut self, node: usize, later: node::Later) {
        let life = self.nodes[node].life;
        for (delay, action) in later {
            // A call that waits for a name is tried again in any life.
            let life = if matches!(action, Action::Call { .. }) {
                0
            } else {
                life
            };
            self.push(self.now.0 + delay, What::Act { node, life, action });
        }
    }

    /// Takes everything a node has to say.
    fn pump(&mut self, index: usize) {
        let now = self.clock(index);
        loop {
            let mut is_dry = true;
            while let Some(event) = self.nodes[index].engine.poll_event() {
                is_dry = false;
                self.happened.note_event(&event);
                self.note(index as u64, format!("{event:?}").as_bytes());
                if self.is_traced {
                    println!("{:12} n{index} {event:?}", self.now.0);
                }
                let node = &mut self.nodes[index];
                let later = node.take(now, event, &self.plan, &mut self.random, &mut self.ledger);
                self.schedule(index, later);
            }
            let later = self.nodes[index].take_ungranted(&mut self.random);
            self.schedule(index, later);
            if self.transmit(index) == 0 && is_dry {
                break;
            }
        }
        let due = self.nodes[index].engine.poll_timeout();
        let due = due.map(|at| at.max(now));
        if let Some(at) = due
            && self.nodes[index].wake_at != Some(at)
        {
            self.nodes[index].wake_at = Some(at);
            let at_ns = at.0 - self.nodes[index].ahead_ns;
            self.push(at_ns, What::Wake { node: index, at });
        }
    }

    fn transmit(&mut self, index: usize) -> usize {
        let mut count = 0;
        let now = self.clock(index);
        let mut buffer = std::mem::take(&mut self.buffer);
        loop {
            let node = &mut self.nodes[index];
            let Some(transmit) = node.engine.poll_transmit(now, &mut buffer, &node.holder) else {
                break;
            };
            count += 1;
            let (src, link) = (index, transmit.link.0);
            let mtu = self.plan.links[usize::from(link)];
            assert!(transmit.len <= mtu + 14, "frames fit the link");
            self.happened
                .note_frame(&buffer[..transmit.len], self.plan.corruption > 0);
            if transmit.len > self.plan.passes[usize::from(link)] + 14 {
                self.happened.too_long += 1;
                continue;
            }
            for to in 0..self.nodes.len() {
                for to_link in 0..self.plan.links.len() as u8 {
                    let is_itself = (to, to_link) == (src, link);
                    let is_joined = to_link == link || self.plan.is_one_segment;
                    let is_meant = transmit.dst_mac == Mac::BROADCAST
                        || transmit.dst_mac == mac_of(to, to_link);
                    let fits = transmit.len <= self.plan.links[usize::from(to_link)] + 14;
                    if !is_itself && is_joined && is_meant && fits {
                        self.carry((src, link), (to, to_link), &buffer[..transmit.len]);
                    }
                }
            }
        }
        self.buffer = buffer;
        count
    }

    fn note(&mut self, who: u64, bytes: &[u8]) {
        self.history = mix(self.history ^ self.now.0 ^ who << 56);
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.history = (self.history ^ u64::from_le_bytes(word))
                .wrapping_mul(0x9e37_79b9_7f4a_7c15)
                .rotate_left(29);
        }
    }
}
