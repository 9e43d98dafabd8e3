//! The raw primitives by themselves, in microseconds.

use crate::method::block::{alone, histogram_of};
use crate::report::Times;
use crate::setting::{Load, Placement};
use crate::suite::{RulerPlan, Session};

impl Session {
    /// Runs every ruler by itself and prints its round times.
    ///
    /// # Errors
    /// Ctrl-C, or a ruler's own while it runs; one that cannot be built is told and left out.
    pub fn run_rulers(&mut self, rulers: impl Iterator<Item = RulerPlan>) -> crate::Result<()> {
        println!(
            "{:<16} {:<12} {:<9} {:>9}   p50 / p99 / p99.9 us",
            "ruler", "placement", "wait", "bytes"
        );
        for (placement, wait, bytes, maker) in rulers {
            if placement == Placement::Across && self.cpu_count() < 2 {
                continue;
            }
            let setting = self.setting(placement, wait, bytes, Load::REMOTE);
            let mut arm = match maker(&setting) {
                Ok(arm) => arm,
                Err(fault) => {
                    eprintln!("benches: left out: {fault}");
                    continue;
                }
            };
            let blocks = alone(&mut arm, self.effort(1), &mut || {})?;
            let times = Times::of(arm.name(), &histogram_of(&blocks));
            let [p50, p99, p999] =
                [times.p50_ns, times.p99_ns, times.p999_ns].map(|ns| ns as f64 / 1000.0);
            println!(
                "{:<16} {:<12} {:<9} {bytes:>9}   {p50:.2} / {p99:.2} / {p999:.2}",
                times.name,
                placement.name(),
                wait.name()
            );
        }
        Ok(())
    }
}
