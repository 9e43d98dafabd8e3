//! How long it took to notice deaths.

use std::time::Duration;

/// What a death should take to be noticed at most, on a machine with nothing else to do.
const AIM: Duration = Duration::from_millis(50);

#[derive(Default)]
pub(crate) struct Times(Vec<Duration>);

impl Times {
    pub(crate) fn add(&mut self, from_ns: u64, to_ns: u64) {
        // A peer can notice before the killer is running again.
        self.0
            .push(Duration::from_nanos(to_ns.saturating_sub(from_ns)));
    }

    /// The distribution in one line. Nothing is asserted of it, as time is the machine's.
    pub(crate) fn tell(mut self, of: &str) -> String {
        self.0.sort_unstable();
        let Some(last) = self.0.len().checked_sub(1) else {
            return format!("{of}: nobody had anything to notice");
        };
        let at = |per_mille: usize| self.0[last * per_mille / 1000];
        let late = self.0.iter().filter(|time| **time > AIM).count();
        format!(
            "{of}: {} noticed; p50 {:?}, p99 {:?}, p99.9 {:?}, longest {:?}; {late} took more than {AIM:?}",
            self.0.len(),
            at(500),
            at(990),
            at(999),
            self.0[last]
        )
    }
}
