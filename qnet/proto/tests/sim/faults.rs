//! What goes wrong in a run, drawn from its seed.

use super::random::Random;

/// One run's network and bad luck. Everything ends at `heal_ns`.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Plan {
    pub(crate) nodes: usize,
    /// The MTU of each link; every node has all of them.
    pub(crate) links: Vec<usize>,
    /// Whether all links lead to one segment.
    pub(crate) is_one_segment: bool,
    /// What the segment of a link passes, if that is less than the link says.
    pub(crate) passes: Vec<usize>,
    pub(crate) loss: u64,
    pub(crate) duplication: u64,
    pub(crate) reordering: u64,
    pub(crate) corruption: u64,
    pub(crate) partitions: Vec<Partition>,
    /// A node's link without a carrier: from when, which, for how long.
    pub(crate) carriers: Vec<(u64, usize, u8, u64)>,
    pub(crate) restarts: Vec<(u64, usize)>,
    pub(crate) pauses: Vec<(u64, usize, u64)>,
    /// All nodes stand still at one time, as processes of one starved machine do: when, for how long.
    pub(crate) standstills: Vec<(u64, u64)>,
    /// A node's clock that jumps: when, whose, by how much.
    pub(crate) jumps: Vec<(u64, usize, u64)>,
    pub(crate) heal_ns: u64,
    pub(crate) calls: usize,
    /// Whether all calls begin at almost the same time.
    pub(crate) is_burst: bool,
}

/// Why a frame gets nowhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cut {
    NoCarrier,
    OneWay,
    BothWays,
}

/// Two nodes that do not hear each other for a while; one direction only, or both.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Partition {
    pub(crate) from_ns: u64,
    pub(crate) to_ns: u64,
    pub(crate) src: usize,
    pub(crate) dst: usize,
    pub(crate) is_mutual: bool,
    /// Through one link, or all.
    pub(crate) link: Option<u8>,
}

const MS: u64 = 1_000_000;

impl Plan {
    pub(crate) fn draw(random: &mut Random) -> Plan {
        let nodes = match random.below(10) {
            0 => 5 + random.below(4),
            _ => 2 + random.below(3),
        } as usize;
        let count = random.pick(&[1, 1, 2, 2, 3]);
        let mtus = [576, 1500, 1500, 1500, 9000, 65_535];
        let links: Vec<usize> = (0..count).map(|_| random.pick(&mtus)).collect();
        let passes = links.iter().map(|&mtu| {
            let less = random.pick(&[576, 1400, 4000]);
            if random.chance(100) {
                mtu.min(less)
            } else {
                mtu
            }
        });
        let passes = passes.collect();
        let heal_ns = (200 + random.below(1800)) * MS;
        let mut plan = Plan {
            nodes,
            is_one_segment: links.len() == 2 && random.chance(200),
            links,
            passes,
            loss: random.pick(&[0, 0, 10, 50, 200, 300]),
            duplication: random.pick(&[0, 0, 20, 200, 500]),
            reordering: random.pick(&[0, 0, 50, 300]),
            corruption: random.pick(&[0, 0, 0, 20]),
            partitions: Vec::new(),
            carriers: Vec::new(),
            restarts: Vec::new(),
            pauses: Vec::new(),
            standstills: Vec::new(),
            jumps: Vec::new(),
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
        if plan.links.len() > 1 && random.chance(600) {
            plan.break_links(random);
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
        if random.chance(200) {
            for _ in 0..=random.below(2) {
                let node = random.below(nodes as u64) as usize;
                let len = random.pick(&[1, 30, 600, 4000, 3_600_000]) * MS;
                plan.jumps.push((random.below(heal_ns), node, len));
            }
        }
        if random.chance(200) {
            for _ in 0..=random.below(2) {
                let len = random.pick(&[30, 600, 1600, 4000]) * MS;
                plan.standstills.push((random.below(heal_ns), len));
            }
        }
        plan
    }

    /// Faults of all links but one: no call may fail of them that is free to choose its link.
    fn break_links(&mut self, random: &mut Random) {
        let spared = random.below(self.links.len() as u64) as u8;
        let others: Vec<u8> = (0..self.links.len() as u8)
            .filter(|&link| link != spared)
            .collect();
        for _ in 0..=random.below(4) {
            let mut cut = Partition::draw(random, self.nodes, self.heal_ns);
            cut.link = Some(random.pick(&others));
            self.partitions.push(cut);
        }
        if random.chance(300) {
            // A link that comes and goes.
            let (node, link) = (
                random.below(self.nodes as u64) as usize,
                random.pick(&others),
            );
            for turn in 0..random.below(30) {
                let at = turn * self.heal_ns / 30;
                self.carriers.push((at, node, link, self.heal_ns / 60));
            }
        }
        for _ in 0..random.below(3) {
            let at = random.below(self.heal_ns);
            let node = random.below(self.nodes as u64) as usize;
            let len = random.pick(&[1, 50, 500, 3000]) * MS;
            let len = len.min(self.heal_ns - at);
            self.carriers.push((at, node, random.pick(&others), len));
        }
    }

    /// Whether a call that may take this link alone may fail for the link's faults.
    pub(crate) fn may_fail_on(&self, link: u8) -> bool {
        self.partitions.iter().any(|cut| cut.link == Some(link))
            || self.carriers.iter().any(|carrier| carrier.2 == link)
    }

    /// Whether anything can happen that makes a call fail though its server would answer. A clock that jumps and nodes
    /// that all stand still can not: no node is silent for longer than the others could have heard it.
    pub(crate) fn may_fail_calls(&self) -> bool {
        self.partitions.iter().any(|cut| cut.link.is_none())
            || !self.restarts.is_empty()
            || !self.pauses.is_empty()
            || self.loss >= 200
    }

    /// Why frames from `src` to `dst` through this link get nowhere at this time, if they do not.
    pub(crate) fn cut(&self, now_ns: u64, src: usize, dst: usize, link: u8) -> Option<Cut> {
        let has_no_carrier = |&(from_ns, node, its, len_ns): &(u64, usize, u8, u64)| {
            its == link
                && (node == src || node == dst)
                && (from_ns..from_ns + len_ns).contains(&now_ns)
        };
        if self.carriers.iter().any(has_no_carrier) {
            return Some(Cut::NoCarrier);
        }
        let cut = self.partitions.iter().find(|cut| {
            let names_it = (cut.src, cut.dst) == (src, dst)
                || (cut.is_mutual && (cut.dst, cut.src) == (src, dst));
            let is_its_link = cut.link.is_none_or(|its| its == link);
            names_it && is_its_link && (cut.from_ns..cut.to_ns).contains(&now_ns)
        });
        cut.map(|cut| match cut.is_mutual {
            true => Cut::BothWays,
            false => Cut::OneWay,
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
            link: None,
        }
    }
}
