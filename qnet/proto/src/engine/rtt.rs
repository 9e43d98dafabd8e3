//! Round-trip time, and the probe timeout that follows from it.

/// How late timers of both nodes may fire without a probe being sent for it.
pub(super) const TIMER_SLACK_NS: u64 = 300_000;

/// The estimate of RFC 6298, with the time that the peer held the acknowledgement back taken out.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rtt {
    smoothed_ns: u64,
    variation_ns: u64,
    min_ns: u64,
}

impl Rtt {
    pub(super) fn new() -> Rtt {
        Rtt {
            smoothed_ns: 0,
            variation_ns: 0,
            min_ns: u64::MAX,
        }
    }

    /// Smoothed round-trip time; 0 before the first sample.
    pub(super) fn smoothed_ns(&self) -> u64 {
        self.smoothed_ns
    }

    /// Takes a sample: time from sending to acknowledgement, of which the peer held it back `held_ns`.
    pub(super) fn sample(&mut self, elapsed_ns: u64, held_ns: u64) {
        self.min_ns = self.min_ns.min(elapsed_ns);
        let sample = elapsed_ns.saturating_sub(held_ns).max(self.min_ns).max(1);
        if self.smoothed_ns == 0 {
            self.smoothed_ns = sample;
            self.variation_ns = sample / 2;
            return;
        }
        let deviation = self.smoothed_ns.abs_diff(sample);
        self.variation_ns = (3 * self.variation_ns + deviation) / 4;
        self.smoothed_ns = ((7 * self.smoothed_ns + sample) / 8).max(1);
    }

    /// How long to wait for an acknowledgement that the peer may hold back for `peer_delay_ns`.
    pub(super) fn probe_timeout_ns(&self, floor_ns: u64, peer_delay_ns: u64) -> u64 {
        if self.smoothed_ns == 0 {
            return 10 * floor_ns + peer_delay_ns;
        }
        let spread_ns = (4 * self.variation_ns).max(TIMER_SLACK_NS);
        (self.smoothed_ns + spread_ns + peer_delay_ns).max(floor_ns)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steady_samples_bring_the_timeout_to_its_floor() {
        let mut rtt = Rtt::new();
        (0..100).for_each(|_| rtt.sample(100_000, 0));
        assert_eq!(rtt.smoothed_ns(), 100_000);
        assert_eq!(rtt.probe_timeout_ns(1_000_000, 500_000), 1_000_000);
        assert_eq!(rtt.probe_timeout_ns(1_000_000, 1_000_000), 1_400_000);
    }

    #[test]
    fn time_that_the_peer_held_back_does_not_count() {
        let mut rtt = Rtt::new();
        rtt.sample(100_000, 0);
        (0..50).for_each(|_| rtt.sample(1_100_000, 1_000_000));
        assert!(rtt.smoothed_ns() <= 101_000, "{}", rtt.smoothed_ns());
    }
}
