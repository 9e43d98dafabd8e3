//! The goals, each with what it must and what it aims to reach: the one place for these numbers.

/// Which way is good.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Better {
    /// The smaller the ratio, the better.
    Lower,
    /// The greater the ratio, the better.
    Higher,
}

/// How a measured ratio stands to its goal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// As good as is aimed at.
    Aim,
    /// As good as it must be.
    Must,
    /// Not there.
    Short,
}

/// One line of the table of goals.
#[derive(Clone, Copy, Debug)]
pub struct Goal {
    /// Its name; a goal with several figures has one line for each part.
    pub id: &'static str,
    /// Which of several figures this line is about; empty where there is one.
    pub part: &'static str,
    /// What is measured, divided by what.
    pub quantity: &'static str,
    /// The least that is good enough.
    pub must: f64,
    /// What is aimed at.
    pub aim: f64,
    /// Which way is good.
    pub better: Better,
}

impl Goal {
    /// How `ratio` stands to this goal.
    pub fn verdict(&self, ratio: f64) -> Verdict {
        let reaches = |bound: f64| match self.better {
            Better::Lower => ratio <= bound,
            Better::Higher => ratio >= bound,
        };
        match () {
            () if reaches(self.aim) => Verdict::Aim,
            () if reaches(self.must) => Verdict::Must,
            () => Verdict::Short,
        }
    }
}

/// The goal named `id`, in the line for `part` where it has several.
///
/// # Panics
/// When the table has no such line: plans name goals that exist.
pub fn goal(id: &str, part: &str) -> Goal {
    let fits = |goal: &&Goal| goal.id == id && (goal.part.is_empty() || goal.part == part);
    *GOALS
        .iter()
        .find(fits)
        .unwrap_or_else(|| panic!("the table of goals has {id} {part}"))
}

/// Whether the table has a goal named `id`.
pub fn exists(id: &str) -> bool {
    GOALS.iter().any(|goal| goal.id.eq_ignore_ascii_case(id))
}

const fn lower(id: &'static str, quantity: &'static str, must: f64, aim: f64) -> Goal {
    Goal {
        id,
        part: "",
        quantity,
        must,
        aim,
        better: Better::Lower,
    }
}

const fn higher(id: &'static str, quantity: &'static str, must: f64, aim: f64) -> Goal {
    Goal {
        id,
        part: "",
        quantity,
        must,
        aim,
        better: Better::Higher,
    }
}

const fn part(part: &'static str, goal: Goal) -> Goal {
    Goal { part, ..goal }
}

/// All goals that a plan of this program can measure, in the order of the table.
pub const GOALS: &[Goal] = &[
    lower("L1", "spin round trip / B0", 1.8, 1.3),
    lower("L2", "blocking round trip, same CPU / B1s", 1.15, 1.05),
    lower("L3", "blocking round trip, across CPUs / B1x", 1.10, 1.03),
    lower("L4", "adaptive mode / best fixed mode", 1.25, 1.10),
    part(
        "across CPUs",
        lower("L5", "blocking / best of B2", 1.0, 0.9),
    ),
    part("same CPU", lower("L5", "blocking / best of B2", 0.85, 0.65)),
    part(
        "request-response",
        higher("L6", "iceoryx2 request-response / ours, polling", 3.0, 5.0),
    ),
    part(
        "events",
        higher("L6", "iceoryx2 events / ours, blocking", 1.0, 1.0),
    ),
    lower("L7", "1 MiB in place / 64 B round trip", 1.15, 1.05),
    higher("L8", "1 MiB private to private, bytes/s / B3", 0.85, 0.97),
    lower("L9", "wake-ups per message, 8 clients", 0.10, 0.01),
    higher("L10", "pipelined messages/s / B0 rate", 10.0, 25.0),
    lower("L11", "p99.9/p50 / the ruler's p99.9/p50", 1.5, 1.1),
    lower("L12", "idle: system calls per second", 0.0, 0.0),
    lower("N1", "qnet-to-qnet echo / B4b", 1.20, 1.00),
    lower("N2", "remote round trip, blocking / B4r", 1.25, 1.08),
    lower("N3", "remote round trip / B5", 2.0, 1.0),
    higher("N4", "64 B messages/s one way / B7 frames/s", 4.0, 8.0),
    higher("N5", "64 clients' rate / TCP_RR's", 1.5, 2.5),
    part(
        "without offloads",
        higher("N6", "bulk at MTU 1500 / TCP without offloads", 1.0, 1.3),
    ),
    part(
        "with offloads",
        higher("N6", "bulk at MTU 1500 / TCP with offloads", 0.20, 0.35),
    ),
    part("MTU 9000", higher("N7", "bulk / TCP", 0.55, 0.8)),
    part("MTU 65535", higher("N7", "bulk / TCP", 0.85, 1.05)),
    higher("N8", "bulk / B7 bytes/s", 0.85, 0.95),
    higher("N9", "bulk at 1 % loss / own lossless", 0.80, 0.95),
    lower("N10", "p99.9 of a call at 1 % loss, ms", 3.0, 1.5),
    lower("N11", "p99 beside a 16 MiB transfer / unloaded", 4.0, 2.0),
    lower("N12", "CPU time per call, both nodes / B4r", 1.25, 1.05),
    lower("N13", "frames per lossless small send", 2.02, 2.00),
    lower("N14", "qnet system calls per message, saturated", 0.1, 0.03),
    part("zenoh", higher("N15", "zenoh query / ours", 1.5, 3.0)),
    part("gRPC", higher("N15", "gRPC (tonic) / ours", 1.5, 3.0)),
    part("ZeroMQ", higher("N15", "ZeroMQ REQ/REP / ours", 1.5, 3.0)),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lower_goal_is_reached_from_above() {
        let goal = goal("L1", "across CPUs");
        assert_eq!([1.3, 1.31, 1.8, 1.81].map(|ratio| goal.verdict(ratio)), {
            use Verdict::{Aim, Must, Short};
            [Aim, Must, Must, Short]
        });
    }

    #[test]
    fn a_higher_goal_is_reached_from_below() {
        let goal = goal("L10", "across CPUs");
        assert_eq!(goal.verdict(9.9), Verdict::Short);
        assert_eq!(goal.verdict(25.0), Verdict::Aim);
    }

    #[test]
    fn a_goal_with_two_parts_has_two_lines() {
        assert_eq!(
            (goal("L5", "across CPUs").must, goal("L5", "same CPU").must),
            (1.0, 0.85)
        );
    }

    #[test]
    fn no_aim_is_easier_than_its_must() {
        for goal in GOALS {
            assert_ne!(goal.verdict(goal.aim), Verdict::Short, "{}", goal.id);
            assert_eq!(goal.verdict(goal.aim), Verdict::Aim, "{}", goal.id);
        }
    }
}
