//! Figures that a run prints.

use std::collections::BTreeMap;

const NS_PER_MS: f64 = 1e6;

/// Times by what they belong to.
#[derive(Default)]
pub(crate) struct Times(BTreeMap<String, Vec<u128>>);

impl Times {
    pub(crate) fn add(&mut self, what: &str, time_ns: u128) {
        self.0.entry(what.to_owned()).or_default().push(time_ns);
    }

    /// One line for each kind: how many, median, 99th percentile, longest, and how many were longer than
    /// `limit_ms`.
    pub(crate) fn print(&mut self, title: &str, limit_ms: u64) {
        println!(
            "{title}:\n  {:<44} {:>7} {:>9} {:>9} {:>9}  over {limit_ms} ms",
            "", "count", "p50 ms", "p99 ms", "max ms"
        );
        for (what, times) in &mut self.0 {
            times.sort_unstable();
            let ms = |rank: f64| of_sorted(times, rank) as f64 / NS_PER_MS;
            let over = times
                .iter()
                .filter(|time| **time as f64 / NS_PER_MS > limit_ms as f64);
            println!(
                "  {what:<44} {:>7} {:>9.1} {:>9.1} {:>9.1}  {}",
                times.len(),
                ms(0.5),
                ms(0.99),
                ms(1.0),
                over.count()
            );
        }
    }
}

/// One ratio for each block of a comparison.
#[derive(Default)]
pub(crate) struct Ratios(Vec<f64>);

impl Ratios {
    pub(crate) fn add(&mut self, ratio: f64) {
        self.0.push(ratio);
    }

    /// The median, and between which of the observations the true one lies 19 times in 20; that takes six of them.
    pub(crate) fn print(&mut self, title: &str) {
        self.0.sort_by(f64::total_cmp);
        let (ratios, count) = (&self.0, self.0.len());
        let median = of_sorted(ratios, 0.5);
        match median_ranks(count) {
            Some((low, high)) => println!(
                "{title}: median {median:.3} ({:.3} to {:.3}) of {count} blocks",
                ratios[low], ratios[high]
            ),
            None => println!("{title}: median {median:.3} of {ratios:.3?}"),
        }
    }
}

/// The ranks of the observations, of so many, that enclose the true median 19 times in 20: as often as a coin gives
/// neither that few heads nor that few tails.
fn median_ranks(count: usize) -> Option<(usize, usize)> {
    let (mut chance, mut below) = (0.5_f64.powi(count as i32), 0.0);
    let mut low = None;
    for rank in 0..count / 2 {
        below += chance;
        if 2.0 * below > 0.05 {
            break;
        }
        low = Some(rank);
        chance *= (count - rank) as f64 / (rank + 1) as f64;
    }
    low.map(|low| (low, count - 1 - low))
}

#[test]
fn the_ranks_around_a_median_are_those_of_the_sign_test() {
    for (count, ranks) in [
        (5, None),
        (6, Some((0, 5))),
        (9, Some((1, 7))),
        (20, Some((5, 14))),
    ] {
        assert_eq!(median_ranks(count), ranks, "{count}");
    }
}

/// The value at a rank, 0 to 1, of sorted values.
pub(crate) fn of_sorted<T: Copy>(values: &[T], rank: f64) -> T {
    values[((values.len() - 1) as f64 * rank).round() as usize]
}
