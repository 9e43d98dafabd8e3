//! What comes over the nodes: a wire with faults, cuts, other MTUs, deaths.

use std::thread;
use std::time::Duration;

use nix::sys::signal::Signal;
use tools::netlab::{Cut, Faults, Lab};

use super::NODES;
use crate::random::Random;
use crate::support::{TOLERANCE_MS, text};

const CUTS: [Cut; 4] = [Cut::Link, Cut::Both, Cut::From, Cut::To];
const MTU: u64 = 1500;
const MTU_MIN: u64 = 576;

/// Whether calls may fail of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Harm {
    None,
    Some,
}

/// What clients may be told where a server, a qnet or a wire was gone: that their own qnet is, by the last but one; of what
/// they had not sent yet, by the last.
pub(super) const KNOWN_ERRNOS: [&str; 6] = [
    "EHOSTDOWN",
    "EHOSTUNREACH",
    "ESRCH",
    "ENOENT",
    "ENETDOWN",
    "EBADF",
];

#[derive(Default)]
pub(super) struct Weather {
    round: u64,
    /// The node whose interface takes short frames only.
    narrow: Option<&'static str>,
}

impl Weather {
    /// Something happens, and lasts for about a spell.
    pub(super) fn strike(&mut self, lab: &Lab, random: &mut Random, spell: Duration) -> Harm {
        self.round += 1;
        let node = NODES[random.below(3) as usize];
        let mortal = NODES[1 + random.below(2) as usize];
        let lasting = spell.mul_f64(0.5 + random.below(100) as f64 / 100.0);
        let kind = match self.round {
            // Each once, then as it comes.
            round @ 1..=4 => round,
            _ => random.below(8),
        };
        match kind {
            0 | 1 => {
                let faults = Faults {
                    loss: random.below(12) as f64,
                    dup: random.below(5) as f64,
                    reorder: random.below(20) as f64,
                    delay_us: random.below(3) * 500,
                    seed: random.next(),
                };
                println!("{}: {faults:?} for {lasting:?}", self.round);
                lab.faults(Some(faults)).expect("the switch takes over");
                thread::sleep(lasting);
                Harm::None
            }
            2 => {
                let how = CUTS[random.below(4) as usize];
                let (pause, harm) = match random.below(3) {
                    0 => (2 * TOLERANCE_MS + random.below(1000), Harm::Some),
                    _ => (random.below(TOLERANCE_MS / 2), Harm::None),
                };
                println!("{}: {node} is cut, {how:?}, for {pause} ms", self.round);
                lab.cut(node, how).expect("there is such a node");
                thread::sleep(Duration::from_millis(pause));
                lab.heal(node).expect("there is such a node");
                harm
            }
            3 => {
                self.widen(lab);
                let mtu = MTU_MIN + random.below(MTU - MTU_MIN);
                println!("{}: {node} has an MTU of {mtu}", self.round);
                set_mtu(lab, node, mtu);
                self.narrow = Some(node);
                thread::sleep(lasting);
                Harm::None
            }
            4 | 5 => {
                println!("{}: the client of {mortal} is killed", self.round);
                self.kill(lab, mortal, "client", Signal::SIGKILL, Duration::ZERO);
                thread::sleep(lasting);
                Harm::None
            }
            6 => {
                println!("{}: the server of {mortal} is killed", self.round);
                self.kill(
                    lab,
                    mortal,
                    "mixed",
                    Signal::SIGKILL,
                    Duration::from_millis(random.below(500)),
                );
                thread::sleep(lasting);
                Harm::Some
            }
            _ => {
                let signal = [Signal::SIGKILL, Signal::SIGTERM][random.below(2) as usize];
                let pause = [0, random.below(500), TOLERANCE_MS + 500][random.below(3) as usize];
                println!(
                    "{}: qnet of {mortal} gets {signal} and comes back after {pause} ms",
                    self.round
                );
                self.kill(lab, mortal, "qnet", signal, Duration::from_millis(pause));
                thread::sleep(lasting);
                Harm::Some
            }
        }
    }

    fn kill(&self, lab: &Lab, node: &str, daemon: &str, signal: Signal, pause: Duration) {
        lab.kill(node, daemon, signal).expect("it runs");
        thread::sleep(pause);
        lab.restart(node, daemon).expect("nothing is in its way");
    }

    fn widen(&mut self, lab: &Lab) {
        if let Some(node) = self.narrow.take() {
            set_mtu(lab, node, MTU);
        }
    }

    /// All is as it was.
    pub(super) fn clear(&mut self, lab: &Lab) {
        self.widen(lab);
        lab.faults(None).expect("the switch runs");
        NODES
            .iter()
            .for_each(|node| lab.heal(node).expect("there is such a node"));
    }
}

fn set_mtu(lab: &Lab, node: &str, mtu: u64) {
    text(
        lab.exec(node, "ip")
            .args(["link", "set", "eth0", "mtu", &mtu.to_string()]),
    );
}
