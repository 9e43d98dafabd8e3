//! What was measured, as rows: `table` and `json` print them, `compare` sets them against an earlier run's;
//! `svg` draws what a sweep has measured.

pub mod compare;
pub mod json;
pub mod svg;
pub mod table;

use hdrhistogram::Histogram;
use serde::Serialize;

use crate::goals::{Better, Goal, Verdict};
use crate::method::bootstrap::Estimate;
use crate::suite::Plan;

/// The round times of one arm over all its blocks.
#[derive(Clone, Debug, Serialize)]
pub struct Times {
    /// What ran.
    pub name: &'static str,
    /// Median, in nanoseconds.
    pub p50_ns: u64,
    /// 99th percentile, in nanoseconds.
    pub p99_ns: u64,
    /// 99.9th percentile, in nanoseconds.
    pub p999_ns: u64,
    /// Rounds timed.
    pub rounds: u64,
}

impl Times {
    /// Reads the percentiles off a histogram of nanoseconds.
    pub fn of(name: &'static str, all: &Histogram<u64>) -> Times {
        let at = |q| all.value_at_quantile(q);
        Times {
            name,
            p50_ns: at(0.5),
            p99_ns: at(0.99),
            p999_ns: at(0.999),
            rounds: all.len(),
        }
    }
}

/// One goal, measured.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// The goal's id.
    pub id: &'static str,
    /// Which of the goal's figures this is; empty where there is one.
    pub part: &'static str,
    /// What is divided by what.
    pub quantity: &'static str,
    /// Median of the block ratios; for goals without a ruler the figure itself.
    pub ratio: f64,
    /// Lower end of its 95 % bootstrap interval.
    pub lo: f64,
    /// Upper end.
    pub hi: f64,
    /// Which way is good.
    pub better: Better,
    /// How the ratio stands to the goal.
    pub verdict: Verdict,
    /// What it must be.
    pub must: f64,
    /// What is aimed at.
    pub aim: f64,
    /// The raw primitive; absent for goals that count instead of comparing.
    pub ruler: Option<Times>,
    /// What the project does.
    pub product: Times,
    /// Where the ends ran.
    pub placement: &'static str,
    /// How they waited.
    pub wait: &'static str,
    /// Payload of one round, in bytes.
    pub bytes: usize,
    /// Ratios behind the median.
    pub blocks: usize,
    /// What a reader must know to believe the figure.
    pub note: Option<String>,
}

impl Row {
    /// A row without its context; the caller fills in placement, wait mode and the rest.
    pub fn new(goal: Goal, estimate: Estimate, ruler: Option<Times>, product: Times) -> Row {
        Row {
            id: goal.id,
            part: goal.part,
            quantity: goal.quantity,
            ratio: estimate.median,
            lo: estimate.lo,
            hi: estimate.hi,
            better: goal.better,
            verdict: goal.verdict(estimate.median),
            must: goal.must,
            aim: goal.aim,
            ruler,
            product,
            placement: "",
            wait: "",
            bytes: 0,
            blocks: 0,
            note: None,
        }
    }
}

/// Goals of which there is no figure.
#[derive(Clone, Debug)]
pub struct Unmeasured {
    /// Their names.
    pub ids: String,
    /// Which of their figures.
    pub part: &'static str,
    /// The cause, and what mends it.
    pub why: String,
    /// Whether something went wrong, rather than was not there.
    pub failed: bool,
}

impl Unmeasured {
    /// The goals of `plan`, for the cause `why`.
    pub fn new(plan: &Plan, why: String, failed: bool) -> Unmeasured {
        Unmeasured {
            ids: plan.title(),
            part: plan.part(),
            why,
            failed,
        }
    }
}
