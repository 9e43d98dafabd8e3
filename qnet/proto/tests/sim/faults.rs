//! What goes wrong in a run, drawn from its seed.

use super::random::Random;

/// One run's network and bad luck. Everything ends at `heal_ns`.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) nodes: usize,
    pub(crate) mtu: usize,
    pub(crate) loss: u64,
    pub(crate) duplication: u64,
    pub(crate) reordering: u64,
    pub(crate) corruption: u64,
    pub(crate) partitions: Vec<Partition>,
    pub(crate) restarts: Vec<(u64, usize)>,
    pub(crate) pauses: Vec<(u64, usize, u64)>,
    pub(crate) heal_ns: u64,
    pub(crate) calls: usize,
    /// Whether all calls begin at almost the same time.
    pub(crate) is_burst: bool,
}

/// Two nodes that do not hear each other for a while; one direction only, or both.
#[derive(Clone, Debug)]
pub(crate) struct Partition {
    pub(crate) from_ns: u64,
    pub(crate) to_ns: u64,
    pub(crate) src: usize,
    pub(crate) dst: usize,
    pub(crate) is_mutual: bool,
}

const MS: u64 = 1_000_000;

impl Plan {
    pub(crate) fn draw(random: &mut Random) -> Plan {
        let nodes = 2 + random.below(3) as usize;
        let heal_ns = (200 + random.below(1800)) * MS;
        let mut plan = Plan {
            nodes,
            mtu: random.pick(&[576, 1500, 1500, 1500, 9000, 65_535]),
            loss: random.pick(&[0, 0, 10, 50, 200]),
            duplication: random.pick(&[0, 0, 20, 200]),
            reordering: random.pick(&[0, 0, 50, 300]),
            corruption: random.pick(&[0, 0, 0, 20]),
            partitions: Vec::new(),
            restarts: Vec::new(),
            pauses: Vec::new(),
            heal_ns,
            calls: 10 + random.below(60) as usize,
            is_burst: false,
        };
        if random.chance(50) {
            plan.is_burst = true;
            plan.calls = 300;
        }
        if random.chance(300) {
            for _ in 0..=random.below(3) {
                plan.partitions
                    .push(Partition::draw(random, nodes, heal_ns));
            }
        }
        if random.chance(300) {
            for _ in 0..=random.below(3) {
                plan.restarts
                    .push((random.below(heal_ns), random.below(nodes as u64) as usize));
            }
        }
        if random.chance(300) {
            let node = random.below(nodes as u64) as usize;
            let len = random.pick(&[5, 50, 400, 1600, 3000]) * MS;
            plan.pauses.push((random.below(heal_ns), node, len));
        }
        plan
    }

    /// Whether anything can happen that makes a call fail though its server would answer.
    pub(crate) fn may_fail_calls(&self) -> bool {
        !self.partitions.is_empty()
            || !self.restarts.is_empty()
            || !self.pauses.is_empty()
            || self.loss >= 200
    }

    /// Whether frames from `src` to `dst` get nowhere at this time.
    pub(crate) fn cuts(&self, now_ns: u64, src: usize, dst: usize) -> bool {
        self.partitions.iter().any(|cut| {
            let names_it = (cut.src, cut.dst) == (src, dst)
                || (cut.is_mutual && (cut.dst, cut.src) == (src, dst));
            names_it && (cut.from_ns..cut.to_ns).contains(&now_ns)
        })
    }
}

impl Partition {
    fn draw(random: &mut Random, nodes: usize, heal_ns: u64) -> Partition {
        let src = random.below(nodes as u64) as usize;
        let dst = (src + 1 + random.below(nodes as u64 - 1) as usize) % nodes;
        let from_ns = random.below(heal_ns);
        let len_ns = random.pick(&[3, 100, 700, 1400, 2500]) * MS;
        Partition {
            from_ns,
            to_ns: (from_ns + len_ns).min(heal_ns.max(from_ns)),
            src,
            dst,
            is_mutual: random.chance(700),
        }
    }
}
