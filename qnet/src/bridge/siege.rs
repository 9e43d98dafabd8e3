//! Tells a flood of frames that are no use from the odd one, and has the kernel drop it then.
//!
//! The kernel's sieve knows the addresses of the peers with a session and must be told of each new one; so it is
//! up for as long as the flood lasts, and no longer.

use qnet_proto::{DropReason, Engine, LinkId, Mac, Time};

use crate::{
    driver::{SAMPLE, Sieve},
    limits::{SIEGE_CALM_NS, SIEGE_DROPS_PER_MS, SIEGE_LOOK_NS},
};

/// The sieves of a node's links, and whether they are up.
#[derive(Debug, Default)]
pub(super) struct Siege {
    sieves: Vec<Sieve>,
    looked_at: Time,
    /// Frames of no use that were dropped until then.
    dropped: u64,
    /// When the flood was seen last, while the sieves are up.
    flooded_at: Option<Time>,
    /// Whom they let through.
    stations: Vec<(LinkId, Mac)>,
}

impl Siege {
    pub(super) fn new(sieves: Vec<Sieve>) -> Siege {
        Siege {
            sieves,
            ..Siege::default()
        }
    }

    /// Looks at what was dropped since it last looked.
    pub(super) fn note(&mut self, now: Time, engine: &Engine) {
        let span_ns = now.since(self.looked_at);
        if span_ns < SIEGE_LOOK_NS || self.sieves.is_empty() {
            return;
        }
        // What depends on something that was lost comes from peers, whom the sieve lets through, and comes again.
        let reasons = DropReason::ALL.iter();
        let useless = reasons.filter(|reason| **reason != DropReason::Early);
        let dropped: u64 = useless.map(|reason| engine.dropped(*reason)).sum();
        // Each that came through the sieve stands for others.
        let weight = self.flooded_at.map_or(1, |_| u64::from(SAMPLE));
        let is_flood = is_flood((dropped - self.dropped) * weight, span_ns);
        (self.looked_at, self.dropped) = (now, dropped);
        if is_flood {
            if self.flooded_at.is_none() {
                tracing::warn!(
                    "a flood of frames that are no use: the kernel drops them; one in {SAMPLE} is let \
                     through, and counted in /net/.stats"
                );
                self.stations.clear();
            }
            self.flooded_at = Some(now);
        }
        match self.flooded_at {
            Some(at) if now.since(at) > SIEGE_CALM_NS => self.end(),
            Some(_) => self.keep_up(engine, is_flood),
            None => {}
        }
    }

    /// Tells the kernel whom to let through, if that has changed.
    fn keep_up(&mut self, engine: &Engine, is_first: bool) {
        let paths = engine.nodes().flat_map(|node| engine.paths(node.peer));
        let stations: Vec<(LinkId, Mac)> = paths.map(|path| (path.link, path.mac)).collect();
        if stations == self.stations && !(is_first && stations.is_empty()) {
            return;
        }
        for (at, sieve) in self.sieves.iter().enumerate() {
            let on_link = stations
                .iter()
                .filter(|(link, _)| usize::from(link.0) == at);
            let on_link: Vec<Mac> = on_link.map(|(_, mac)| *mac).collect();
            if let Err(error) = sieve.raise(&on_link) {
                tracing::debug!("the sieve of link {at} is not raised: {error}");
            }
        }
        self.stations = stations;
    }

    fn end(&mut self) {
        self.flooded_at = None;
        for (at, sieve) in self.sieves.iter().enumerate() {
            if let Err(error) = sieve.lower() {
                tracing::debug!("the sieve of link {at} is not lowered: {error}");
            }
        }
        tracing::info!("the flood is over");
    }
}

/// Whether so many frames dropped in so long a time are worth the kernel's help.
fn is_flood(dropped: u64, span_ns: u64) -> bool {
    u128::from(dropped) * 1_000_000 > u128::from(span_ns) * u128::from(SIEGE_DROPS_PER_MS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_told_by_its_rate() {
        let limit = SIEGE_DROPS_PER_MS;
        assert!(!is_flood(10 * limit, 10_000_000));
        assert!(is_flood(10 * limit + 1, 10_000_000));
        assert!(!is_flood(u64::from(u32::MAX), u64::MAX));
    }
}
