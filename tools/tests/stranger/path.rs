//! A path: what was sent through it, what of that arrived, what came through it; sections 5 and 6.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::frame::{Ack, Numbered, Station};
use crate::record::Record;
use crate::runs::Runs;

/// A packet is lost when one sent so many later is acknowledged.
const REORDERING: u64 = 3;
/// Packets given up for lost at a probe timeout.
const GIVEN_UP: usize = 2;
/// Runs of packet numbers that a receiver remembers.
const RUNS_REMEMBERED: usize = 64;
/// Gaps and runs of an AckRanges, at most.
const RANGES: usize = 32;
/// The first probe timeout. A stranger measures no round-trip time: it has time.
const PROBE_TIMEOUT: Duration = Duration::from_millis(30);
const PROBE_TIMEOUT_MAX: Duration = Duration::from_millis(250);

/// The sending side of a path of this node.
#[derive(Debug)]
pub(crate) struct Path {
    /// Which of this node's ports it leads through.
    pub(crate) port: usize,
    pub(crate) peer: Station,
    pub(crate) mtu: usize,
    /// A packet sent through it was acknowledged.
    pub(crate) is_up: bool,
    next: u64,
    in_flight: BTreeMap<u64, Vec<Record>>,
    acknowledged_to: u64,
    last_sent: Instant,
    timeouts: u32,
}

/// What an acknowledgement or a probe timeout decided.
#[derive(Debug, Default)]
pub(crate) struct Fate {
    pub(crate) arrived: Vec<Record>,
    pub(crate) lost: Vec<Record>,
}

impl Path {
    pub(crate) fn new(port: usize, peer: Station, mtu: usize) -> Path {
        Path {
            port,
            peer,
            mtu,
            is_up: false,
            next: 0,
            in_flight: BTreeMap::new(),
            acknowledged_to: 0,
            last_sent: Instant::now(),
            timeouts: 0,
        }
    }

    /// The number of the next packet, which carries these records.
    pub(crate) fn send(&mut self, records: &[Record]) -> u64 {
        let number = self.next;
        self.next += 1;
        if records
            .iter()
            .any(|record| !matches!(record, Record::AckRanges(_)))
        {
            self.in_flight.insert(number, records.to_vec());
            self.last_sent = Instant::now();
        }
        number
    }

    pub(crate) fn packets_in_flight(&self) -> usize {
        self.in_flight.len()
    }

    /// Takes an acknowledgement of packets of this path.
    pub(crate) fn acknowledge(&mut self, ack: Ack, ranges: &[(u32, u32)]) -> Fate {
        let end = ack.next.number;
        assert!(
            end <= self.next,
            "packet {end} is acknowledged and was not sent"
        );
        let mut runs = vec![];
        runs.push(end - u64::from(ack.run)..end);
        for &(gap, run) in ranges {
            let lower = runs.last().expect("there is one").start;
            let end = lower
                .checked_sub(gap.into())
                .expect("a gap within what was sent");
            let start = end
                .checked_sub(run.into())
                .expect("a run within what was sent");
            runs.push(start..end);
        }
        let mut fate = Fate::default();
        for run in runs {
            let numbers: Vec<u64> = self
                .in_flight
                .range(run)
                .map(|(number, _)| *number)
                .collect();
            for number in numbers {
                fate.arrived
                    .extend(self.in_flight.remove(&number).expect("it is there"));
                self.is_up = true;
                self.timeouts = 0;
            }
        }
        self.acknowledged_to = self.acknowledged_to.max(end);
        let lost_below = self.acknowledged_to.saturating_sub(REORDERING);
        let kept = self.in_flight.split_off(&lost_below);
        let lost = std::mem::replace(&mut self.in_flight, kept);
        fate.lost = lost.into_values().flatten().collect();
        fate
    }

    /// When the oldest packets in flight are given up.
    pub(crate) fn probe_timeout_at(&self) -> Option<Instant> {
        let timeout = (PROBE_TIMEOUT * 2u32.pow(self.timeouts.min(4))).min(PROBE_TIMEOUT_MAX);
        (!self.in_flight.is_empty()).then(|| self.last_sent + timeout)
    }

    /// Gives the oldest packets up.
    pub(crate) fn time_out(&mut self) -> Fate {
        self.timeouts += 1;
        let mut fate = Fate::default();
        for _ in 0..GIVEN_UP {
            let Some((_, records)) = self.in_flight.pop_first() else {
                break;
            };
            fate.lost.extend(records);
        }
        fate
    }
}

/// The receiving side of a path of the peer.
#[derive(Debug, Default)]
pub(crate) struct Received {
    runs: Runs,
    /// Below it everything counts as received.
    floor: u64,
    largest_at: Option<Instant>,
    /// Since when a packet wants an acknowledgement.
    pub(crate) due_since: Option<Instant>,
    /// The path of this node that leads back where its packets came from.
    pub(crate) back: usize,
}

impl Received {
    pub(crate) fn is_repeated(&self, number: u64) -> bool {
        number < self.floor || self.runs.contains(number)
    }

    pub(crate) fn remember(&mut self, number: u64, back: usize, wants_acknowledgement: bool) {
        let now = Instant::now();
        if self
            .runs
            .downwards()
            .next()
            .is_none_or(|top| number >= top.end)
        {
            self.largest_at = Some(now);
        }
        self.runs.insert(number..number + 1);
        if self.runs.count() > RUNS_REMEMBERED {
            self.floor = self.runs.forget_lowest();
        }
        self.back = back;
        if wants_acknowledgement {
            self.due_since.get_or_insert(now);
        }
    }

    /// What a frame says of the packets of path `path` of the peer, and the runs below, if there are gaps.
    pub(crate) fn acknowledgement(&self, path: u8) -> Option<(Ack, Option<Record>)> {
        let mut runs = self.runs.downwards();
        let top = runs.next()?;
        let waited = self.largest_at?.elapsed().as_micros() / 16;
        let run = u16::try_from(top.end - top.start).unwrap_or(u16::MAX);
        let ack = Ack {
            next: Numbered {
                path,
                number: top.end,
            },
            run,
            delay: u16::try_from(waited).unwrap_or(u16::MAX),
        };
        if u64::from(run) < top.end - top.start {
            return Some((ack, None));
        }
        let mut lower = top.start;
        let ranges: Vec<(u32, u32)> = runs
            .take(RANGES)
            .map(|run| {
                let range = ((lower - run.end) as u32, (run.end - run.start) as u32);
                lower = run.start;
                range
            })
            .collect();
        Some((
            ack,
            (!ranges.is_empty()).then_some(Record::AckRanges(ranges)),
        ))
    }
}
