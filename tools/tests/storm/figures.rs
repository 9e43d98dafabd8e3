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

/// The value at a rank, 0 to 1, of sorted values.
pub(crate) fn of_sorted<T: Copy>(values: &[T], rank: f64) -> T {
    values[((values.len() - 1) as f64 * rank).round() as usize]
}
