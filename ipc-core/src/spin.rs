//! How long a thread looks before it sleeps.
//!
//! A wake-up across CPUs costs thirty times a cache-line hand-over, so looking pays as long as the
//! other side is awake on another CPU; where it is not, looking only keeps it from running.

mod give_way;

use std::{
    sync::atomic::{AtomicU32, AtomicU64, Ordering},
    time::Duration,
};

pub use give_way::{GaveWay, GiveWay, give_way};

use crate::{
    abi::limits::{SPIN_ADAPTIVE_MAX, SPIN_PROBE_EVERY_MAX, SPIN_WAKE_MAX},
    sys::{clock, thread},
};

/// How long a thread looks for what it waits for before it sleeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SpinPolicy {
    /// As long as looking has paid lately, at most [`crate::abi::limits::SPIN_ADAPTIVE_MAX`], and
    /// [`crate::abi::limits::SPIN_WAKE_MAX`] longer for a server that had to be woken; not at all where there is only one CPU.
    Adaptive,
    /// Do not look. Like any other who is about to sleep, the thread may let others of its CPU run first,
    /// once, where that was seen to pay: see [`crate::abi::limits::GIVE_WAY_AFTER`].
    Never,
    /// Look this long every time.
    For(Duration),
}

/// The policy of one waiting place, and what it has learnt.
#[derive(Debug)]
pub(crate) struct Spin {
    /// Nanoseconds; [`ADAPTIVE`] for the adaptive policy.
    fixed_ns: AtomicU64,
    budget_ns: AtomicU32,
    /// Waits until the next try while the budget is nil, and how many there are between two tries.
    until_probe: AtomicU32,
    probe_every: AtomicU32,
    /// What comes between looking and sleeping.
    pub(crate) way: GiveWay,
}

/// How long to look, this time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Budget {
    ns: u64,
    is_adaptive: bool,
}

const ADAPTIVE: u64 = u64::MAX;
const ADAPTIVE_MAX_NS: u32 = SPIN_ADAPTIVE_MAX.as_nanos() as u32;
const WAKE_NS: u64 = SPIN_WAKE_MAX.as_nanos() as u64;
/// A budget below this is nil: it would not outlast a hand-over between CPUs.
const BUDGET_MIN_NS: u32 = 1000;
/// Looks between two readings of the clock, each of which costs as much as a dozen looks.
const LOOKS: u32 = 256;

impl Spin {
    /// The policy that `QNET_SPIN` names: `adaptive`, `never`, or microseconds; adaptive without it.
    pub(crate) fn from_environment() -> Spin {
        let policy = match std::env::var("QNET_SPIN").ok().as_deref() {
            Some("never") => SpinPolicy::Never,
            Some(text) => match text.parse() {
                Ok(us) => SpinPolicy::For(Duration::from_micros(us)),
                Err(_) => SpinPolicy::Adaptive,
            },
            None => SpinPolicy::Adaptive,
        };
        let spin = Spin {
            fixed_ns: AtomicU64::new(ADAPTIVE),
            budget_ns: AtomicU32::new(ADAPTIVE_MAX_NS),
            until_probe: AtomicU32::new(0),
            probe_every: AtomicU32::new(1),
            way: GiveWay::new(),
        };
        spin.set(policy);
        spin
    }

    pub(crate) fn set(&self, policy: SpinPolicy) {
        let fixed_ns = match policy {
            SpinPolicy::Adaptive if thread::online_cpus() == 1 => 0,
            SpinPolicy::Adaptive => ADAPTIVE,
            SpinPolicy::Never => 0,
            SpinPolicy::For(time) => u64::try_from(time.as_nanos())
                .unwrap_or(ADAPTIVE)
                .min(ADAPTIVE - 1),
        };
        self.fixed_ns.store(fixed_ns, Ordering::Relaxed);
    }

    /// How long to look this time; `None` for not at all.
    pub(crate) fn budget(&self) -> Option<Budget> {
        let fixed_ns = self.fixed_ns.load(Ordering::Relaxed);
        let is_adaptive = fixed_ns == ADAPTIVE;
        let ns = if is_adaptive {
            self.adaptive_budget_ns()
        } else {
            fixed_ns
        };
        (ns > 0).then_some(Budget { ns, is_adaptive })
    }

    /// As [`budget`](Self::budget), for who has just woken the other side, which has to come to a CPU first.
    pub(crate) fn budget_after_wake(&self) -> Option<Budget> {
        let mut budget = self.budget()?;
        if budget.is_adaptive {
            budget.ns += WAKE_NS;
        }
        Some(budget)
    }

    /// Looks until `ready` or the budget is spent; answers whether looking paid.
    pub(crate) fn look(&self, budget: Budget, mut ready: impl FnMut() -> bool) -> bool {
        // The first looks need no clock: what is on its way between two CPUs arrives within them.
        let found_after_ns = match (0..LOOKS).any(|_| ready()) {
            true => Some(0),
            false => look_by_the_clock(budget, ready),
        };
        if budget.is_adaptive {
            self.learn(found_after_ns);
        }
        found_after_ns.is_some()
    }

    fn adaptive_budget_ns(&self) -> u64 {
        let budget_ns = self.budget_ns.load(Ordering::Relaxed);
        if budget_ns > 0 {
            return u64::from(budget_ns);
        }
        let left = self.until_probe.load(Ordering::Relaxed);
        if left > 0 {
            self.until_probe.store(left - 1, Ordering::Relaxed);
            return 0;
        }
        u64::from(ADAPTIVE_MAX_NS)
    }

    /// Losing halves the budget; once it is nil, tries become rarer. One win restores trust, for what takes no longer
    /// than twice as long.
    fn learn(&self, found_after_ns: Option<u64>) {
        let budget_ns = self.budget_ns.load(Ordering::Relaxed);
        if let Some(found_after_ns) = found_after_ns {
            let more = u64::from(budget_ns)
                .max(found_after_ns)
                .saturating_mul(2)
                .clamp(4 * u64::from(BUDGET_MIN_NS), u64::from(ADAPTIVE_MAX_NS));
            self.budget_ns.store(more as u32, Ordering::Relaxed);
            self.probe_every.store(1, Ordering::Relaxed);
            return;
        }
        let less = budget_ns / 2;
        self.budget_ns.store(
            if less < BUDGET_MIN_NS { 0 } else { less },
            Ordering::Relaxed,
        );
        if less < BUDGET_MIN_NS {
            let every = self.probe_every.load(Ordering::Relaxed);
            self.until_probe.store(every, Ordering::Relaxed);
            self.probe_every
                .store((every * 2).min(SPIN_PROBE_EVERY_MAX), Ordering::Relaxed);
        }
    }
}

/// Looks until `ready` or the budget is spent; answers after how long it was, give or take [`LOOKS`].
fn look_by_the_clock(budget: Budget, mut ready: impl FnMut() -> bool) -> Option<u64> {
    let start_ns = clock::monotonic_ns();
    let mut spent_ns = 0;
    while spent_ns < budget.ns {
        // No PAUSE between looks: it delays the one that matters, and a hypervisor may trap it.
        if (0..LOOKS).any(|_| ready()) {
            return Some(spent_ns);
        }
        spent_ns = clock::monotonic_ns().saturating_sub(start_ns);
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn adaptive() -> Spin {
        let spin = Spin::from_environment();
        spin.fixed_ns.store(ADAPTIVE, Ordering::Relaxed);
        spin
    }

    #[test]
    fn never_means_not_a_single_look() {
        let spin = adaptive();
        spin.set(SpinPolicy::Never);
        assert!(spin.budget().is_none());
    }

    #[test]
    fn who_woke_the_other_side_looks_longer_where_it_looks_as_long_as_pays() {
        let spin = adaptive();
        let longer_ns =
            |spin: &Spin| spin.budget_after_wake().unwrap().ns - spin.budget().unwrap().ns;
        assert_eq!(longer_ns(&spin), WAKE_NS);
        spin.set(SpinPolicy::For(Duration::from_micros(5)));
        assert_eq!(longer_ns(&spin), 0);
        spin.set(SpinPolicy::Never);
        assert!(spin.budget_after_wake().is_none());
    }

    #[test]
    fn one_win_brings_back_a_budget_that_would_have_sufficed_for_it() {
        let spin = adaptive();
        for _ in 0..10 {
            spin.learn(None);
        }
        assert_eq!(spin.budget_ns.load(Ordering::Relaxed), 0);
        spin.learn(Some(7_000));
        assert_eq!(spin.budget().unwrap().ns, 14_000);
        spin.learn(Some(u64::MAX));
        assert_eq!(spin.budget().unwrap().ns, u64::from(ADAPTIVE_MAX_NS));
    }

    #[test]
    fn losing_stops_the_looking_and_one_win_brings_it_back() {
        let spin = adaptive();
        let mut looked = 0;
        for _ in 0..200 {
            if let Some(budget) = spin.budget() {
                assert!(!spin.look(budget, || false));
                looked += 1;
            }
        }
        assert!(looked < 30, "looked {looked} times in vain");
        let budget = std::iter::repeat_with(|| spin.budget()).flatten().next();
        assert!(spin.look(budget.unwrap(), || true));
        assert!(spin.budget().is_some());
    }
}
