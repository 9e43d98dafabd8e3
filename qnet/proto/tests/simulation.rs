//! The engine in two thousand bad networks.
//!
//! `QNET_SIM_SEEDS=100000 cargo ci sim` runs so many, `QNET_SIM_SEEDS=5000..6000` those.

mod sim;

use std::{
    env,
    ops::Range,
    panic::{self, AssertUnwindSafe, catch_unwind},
    sync::atomic::{AtomicU64, Ordering},
};

use sim::{
    Happened, Plan,
    shrink::{report, shrink},
};

/// Seeds of a run that is not told how many.
const SEEDS: u64 = 2_000;

fn seeds() -> Range<u64> {
    let Ok(text) = env::var("QNET_SIM_SEEDS") else {
        return 0..SEEDS;
    };
    let range = text.split_once("..").unwrap_or(("0", &text));
    let number = |text: &str| text.parse().expect("QNET_SIM_SEEDS is N or A..B");
    number(range.0)..number(range.1)
}

/// Runs the seeds that `next` counts off, and adds up what happened to them.
fn run_seeds(next: &AtomicU64, end: u64) -> Happened {
    let mut happened = Happened::default();
    loop {
        let seed = next.fetch_add(1, Ordering::Relaxed);
        if seed >= end {
            return happened;
        }
        match catch_unwind(AssertUnwindSafe(|| sim::run(seed, false))) {
            Ok(outcome) => happened.add(&outcome.happened),
            Err(panic) => {
                report(seed);
                panic::resume_unwind(panic);
            }
        }
    }
}

// covers: NET-4, NET-5, NET-6, NET-8, RPL-2, PLS-2
#[test]
fn every_call_ends_once_and_rightly_in_two_thousand_bad_networks() {
    let Range { start, end } = seeds();
    let next = AtomicU64::new(start);
    let mut happened = Happened::default();
    std::thread::scope(|scope| {
        let other = scope.spawn(|| run_seeds(&next, end));
        happened.add(&run_seeds(&next, end));
        match other.join() {
            Ok(others) => happened.add(&others),
            Err(panic) => panic::resume_unwind(panic),
        }
    });
    println!("{} seeds:", end - start);
    for (what, count) in happened.all() {
        println!("{count:12} {what}");
        // A few seeds need not have everything.
        assert!(count > 0 || end - start < SEEDS, "{what} never happened");
    }
}

#[test]
fn the_same_seed_gives_the_same_history() {
    for seed in [3, 14, 159, 265] {
        assert_eq!(sim::run(seed, false), sim::run(seed, false));
    }
    assert_ne!(sim::run(3, false).history, sim::run(4, false).history);
}

#[test]
fn a_failing_plan_is_shrunk_to_what_makes_the_same_seed_fail() {
    let has = |plan: &Plan| !plan.restarts.is_empty() && plan.loss > 0 && plan.calls > 20;
    let plan = (0..)
        .map(sim::plan)
        .find(has)
        .expect("some seed has it all");
    let least = shrink(plan, has);
    assert_eq!((least.restarts.len(), least.duplication), (1, 0));
    assert!(least.partitions.is_empty() && least.pauses.is_empty() && least.calls <= 41);
}
