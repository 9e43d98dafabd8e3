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
    /// When the flood was seen last, as long as it is not over.
    flooded_at: Option<Time>,
    /// Whether every link's sieve is up: then each frame of no use that comes through stands for others.
    is_up: bool,
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
        if now.since(self.looked_at) < SIEGE_LOOK_NS || self.sieves.is_empty() {
            return;
        }
        // What depends on something that was lost comes from peers, whom the sieve lets through, and comes again.
        let reasons = DropReason::ALL.iter();
        let useless = reasons.filter(|reason| **reason != DropReason::Early);
        let dropped = useless.map(|reason| engine.dropped(*reason)).sum();
        let paths = || engine.nodes().flat_map(|node| engine.paths(node.peer));
        self.look(now, dropped, || {
            paths().map(|path| (path.link, path.mac)).collect()
        });
    }

    /// Looks whether so many frames, dropped until now, are a flood; `stations` are to be let through then.
    fn look(&mut self, now: Time, dropped: u64, stations: impl Fn() -> Vec<(LinkId, Mac)>) {
        let weight = if self.is_up { u64::from(SAMPLE) } else { 1 };
        let span_ns = now.since(self.looked_at);
        let is_flood = is_flood((dropped - self.dropped) * weight, span_ns);
        (self.looked_at, self.dropped) = (now, dropped);
        let is_first = is_flood && self.flooded_at.is_none();
        if is_flood {
            self.flooded_at = Some(now);
        }
        match self.flooded_at {
            Some(at) if now.since(at) > SIEGE_CALM_NS => self.end(),
            Some(_) => {
                let stations = stations();
                if is_first || stations != self.stations {
                    self.raise(stations);
                }
                if is_first {
                    self.tell();
                }
            }
            None => {}
        }
    }

    /// Tells the kernel whom to let through. Where it takes no filter, everything comes through.
    fn raise(&mut self, stations: Vec<(LinkId, Mac)>) {
        self.is_up = true;
        for (at, sieve) in self.sieves.iter().enumerate() {
            let on_link = stations
                .iter()
                .filter(|(link, _)| usize::from(link.0) == at);
            let on_link: Vec<Mac> = on_link.map(|(_, mac)| *mac).collect();
            if let Err(error) = sieve.raise(&on_link) {
                tracing::debug!("the sieve of link {at} is not raised: {error}");
                self.is_up = false;
            }
        }
        self.stations = stations;
    }

    fn tell(&self) {
        match self.is_up {
            true => tracing::warn!(
                "a flood of frames that are no use: the kernel drops them; one in {SAMPLE} is let through, and \
                 counted in /net/.stats"
            ),
            false => tracing::warn!(
                "a flood of frames that are no use, and the kernel does not filter all of them: this node has to look \
                 at each; --log-level debug says why"
            ),
        }
    }

    fn end(&mut self) {
        self.flooded_at = None;
        self.is_up = false;
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
    use std::{fs::File, os::fd::OwnedFd};

    use super::*;
    use crate::driver::FrameSocket;

    const FLOOD: u64 = 2 * SIEGE_DROPS_PER_MS * SIEGE_LOOK_NS / 1_000_000;

    /// A siege that has seen a flood begin at one look's time.
    fn flooded(socket: &FrameSocket) -> Siege {
        let mut siege = Siege::new(vec![Sieve::of(socket).expect("a descriptor")]);
        siege.look(Time(SIEGE_LOOK_NS), FLOOD, Vec::new);
        assert!(siege.flooded_at.is_some());
        siege
    }

    #[test]
    fn what_a_raised_sieve_lets_through_stands_for_more() {
        let (socket, _other) = FrameSocket::loopback_pair(1500, 0x88b5).expect("descriptors");
        let mut siege = flooded(&socket);
        assert!(siege.is_up);
        let later = Time(2 * SIEGE_LOOK_NS);
        siege.look(later, FLOOD + FLOOD / u64::from(SAMPLE) + 1, Vec::new);
        assert_eq!(siege.flooded_at, Some(later));
    }

    #[test]
    fn where_the_kernel_takes_no_filter_each_frame_is_one() {
        let null = File::open("/dev/null").expect("every system has it");
        let socket = FrameSocket::loopback_end(OwnedFd::from(null), 1, 1500, 0x88b5);
        let mut siege = flooded(&socket);
        assert!(!siege.is_up);
        let begun = siege.flooded_at;
        siege.look(Time(2 * SIEGE_LOOK_NS), FLOOD + FLOOD / 4, Vec::new);
        assert_eq!(siege.flooded_at, begun);
    }

    #[test]
    fn a_flood_is_told_by_its_rate() {
        let limit = SIEGE_DROPS_PER_MS;
        assert!(!is_flood(10 * limit, 10_000_000));
        assert!(is_flood(10 * limit + 1, 10_000_000));
        assert!(!is_flood(u64::from(u32::MAX), u64::MAX));
    }
}
