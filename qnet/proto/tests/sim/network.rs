//! The network: what becomes of one frame on its way.

use super::faults::Cut;
use super::{What, World};

/// Overtaken by more frames than these is far.
const FAR: u64 = 256;

/// How many frames took each way, and which of them arrived.
pub(super) struct Streams {
    nodes: usize,
    links: usize,
    /// For each way: frames that will arrive, and one more than the highest that did.
    ways: Vec<(u64, u64)>,
}

impl Streams {
    pub(super) fn new(nodes: usize, links: usize) -> Streams {
        let ways = vec![(0, 0); nodes * nodes * links * links];
        Streams { nodes, links, ways }
    }

    /// The place of one more frame.
    fn send(&mut self, from: (usize, u8), to: (usize, u8)) -> (usize, u64) {
        let src = from.0 * self.links + usize::from(from.1);
        let way = (src * self.nodes + to.0) * self.links + usize::from(to.1);
        self.ways[way].0 += 1;
        (way, self.ways[way].0 - 1)
    }

    /// By how many frames that were sent later this one was overtaken.
    fn arrive(&mut self, (way, number): (usize, u64)) -> u64 {
        let top = &mut self.ways[way].1;
        *top = (*top).max(number + 1);
        *top - (number + 1)
    }
}

impl World {
    /// Sends one frame on its way from one node and link to another.
    pub(super) fn carry(&mut self, from: (usize, u8), to: (usize, u8), frame: &[u8]) {
        let ((src, link), (dst, to_link)) = (from, to);
        self.frames += 1;
        if !self.is_healed {
            let cut = self.plan.cut(self.now.0, src, dst, link);
            match cut.or_else(|| self.plan.cut(self.now.0, src, dst, to_link)) {
                Some(Cut::NoCarrier) => self.happened.without_carrier += 1,
                Some(Cut::OneWay) => self.happened.cut_one_way += 1,
                Some(Cut::BothWays) => self.happened.cut_both_ways += 1,
                None if self.random.chance(self.plan.loss) => self.happened.lost += 1,
                None => return self.pass(from, to, frame),
            }
            return;
        }
        self.pass(from, to, frame);
    }

    fn pass(&mut self, from: (usize, u8), to: (usize, u8), frame: &[u8]) {
        let copies = if !self.is_healed && self.random.chance(self.plan.duplication) {
            self.happened.doubled += 1;
            2
        } else {
            1
        };
        for _ in 0..copies {
            let mut delay = 20_000 + self.random.below(30_000);
            if !self.is_healed && self.random.chance(self.plan.reordering) {
                delay += self
                    .random
                    .pick(&[50_000, 500_000, 5_000_000, 700_000_000])
                    .min(self.plan.heal_ns);
            }
            let mut frame = frame.to_vec();
            // Ethernet pads short frames.
            frame.resize(frame.len().max(60), 0);
            if !self.is_healed && self.random.chance(self.plan.corruption) {
                self.happened.corrupted += 1;
                let at = self.random.below(frame.len() as u64) as usize;
                frame[at] ^= 1 << self.random.below(8);
            }
            let deliver = What::Deliver {
                node: to.0,
                link: to.1,
                place: self.streams.send(from, to),
                frame,
            };
            self.push(self.now.0 + delay, deliver);
        }
    }

    /// A frame is there.
    pub(super) fn arrived(&mut self, place: (usize, u64)) {
        let overtaken_by = self.streams.arrive(place);
        self.happened.overtaken += u64::from(overtaken_by > 0);
        self.happened.overtaken_far += u64::from(overtaken_by > FAR);
    }
}
