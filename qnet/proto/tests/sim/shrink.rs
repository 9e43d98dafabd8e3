//! Makes the plan of a failing run smaller, as long as it still fails.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::Plan;

/// One thing less that goes wrong, or half as many.
type Step = fn(&mut Plan);

const STEPS: [Step; 14] = [
    |plan| plan.loss = 0,
    |plan| plan.duplication = 0,
    |plan| plan.reordering = 0,
    |plan| plan.corruption = 0,
    |plan| plan.passes = plan.links.clone(),
    |plan| plan.partitions.clear(),
    |plan| plan.carriers.clear(),
    |plan| plan.restarts.clear(),
    |plan| plan.pauses.clear(),
    |plan| plan.standstills.clear(),
    |plan| plan.jumps.clear(),
    |plan| plan.partitions.truncate(plan.partitions.len() / 2),
    |plan| plan.restarts.truncate(plan.restarts.len() / 2),
    |plan| plan.calls = plan.calls.div_ceil(2),
];

/// A smallest plan that still `fails`: none of the steps can be taken any more.
pub(crate) fn shrink(mut plan: Plan, fails: impl Fn(&Plan) -> bool) -> Plan {
    loop {
        let shorter = STEPS.iter().find_map(|step| {
            let mut tried = plan.clone();
            step(&mut tried);
            (tried != plan && fails(&tried)).then_some(tried)
        });
        match shorter {
            Some(shorter) => plan = shorter,
            None => return plan,
        }
    }
}

/// Says of a failing seed how it is run again, and what of its plan suffices.
pub(crate) fn report(seed: u64) {
    eprintln!("replay: cargo run -p qnet-proto --example sim -- --seed {seed} --trace");
    let fails = |plan: &Plan| {
        let run = || super::run_plan(seed, plan.clone(), false);
        catch_unwind(AssertUnwindSafe(run)).is_err()
    };
    let plan = shrink(super::plan(seed), fails);
    eprintln!("seed {seed} fails with no more than this: {plan:#?}");
}
