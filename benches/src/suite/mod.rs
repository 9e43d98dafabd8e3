//! Which arms are compared for which goal, and the running of such plans.

mod local;
mod measure;
mod net;
mod peers;
mod plot;
mod progress;
mod rulers;
mod scratch;
mod session;
mod sweep;
mod sweeps;

use crate::method::{Arm, Block};
use crate::setting::{Load, Placement, Setting, Wait};

pub use plot::Scope;
pub use session::{Options, Session};

/// Builds an arm for a setting.
pub type Maker = for<'a> fn(&Setting<'a>) -> crate::Result<Arm>;

/// What of a block is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Figure {
    /// The median time of a round.
    Median,
    /// The 99th percentile of a round's time.
    P99,
    /// The 99.9th percentile in milliseconds; needs no ruler.
    P999Ms,
    /// The 99.9th percentile over the median.
    Tail,
    /// Rounds a second.
    Rate,
    /// CPU time of all processes per round.
    CpuTime,
    /// Events counted per round; needs no ruler.
    Counted,
    /// Events counted per second; needs no ruler.
    CountedPerSecond,
}

impl Figure {
    /// The figure of one block.
    pub fn of(self, block: &Block) -> f64 {
        match self {
            Figure::Median => block.time_ns(0.5),
            Figure::P99 => block.time_ns(0.99),
            Figure::P999Ms => block.time_ns(0.999) / 1e6,
            Figure::Tail => block.time_ns(0.999) / block.time_ns(0.5),
            Figure::Rate => block.rate(),
            Figure::CpuTime => block.cpu_ns_per_round(),
            Figure::Counted => block.counted_per_round(),
            Figure::CountedPerSecond => block.counted_per_second(),
        }
    }

    /// Whether more of it is better.
    fn more_is_better(self) -> bool {
        self == Figure::Rate
    }
}

/// One comparison: the setting, who takes part, and which goals it settles.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// Goals and what of a block they look at.
    pub scores: &'static [(&'static str, Figure)],
    /// Which part of its goals this is, where not the placement says it.
    pub part: Option<&'static str>,
    /// Where the ends run.
    pub placement: Placement,
    /// How they wait.
    pub wait: Wait,
    /// Payload bytes.
    pub bytes: usize,
    /// Clients, loss, frame size and the like.
    pub load: Load,
    /// A block is this many times as long as usual: for figures that need many rounds in each.
    pub stretch: u32,
    /// Primitives for the job: the best of them at this setting is the ruler. Empty: the goal only counts.
    pub rulers: &'static [Maker],
    /// What a design of the product's kind can do at best, as context for the ratio: the best of them is measured
    /// against the same ruler in the same run, and told in the row's note. Empty: there is none.
    pub floors: &'static [Maker],
    /// The rulers are peers, which may not be built, and are divided by the product.
    pub against_peer: bool,
    /// The product.
    pub product: Maker,
}

impl Plan {
    /// The part of its goals that a plan measures.
    pub fn part(&self) -> &'static str {
        self.part.unwrap_or(self.placement.name())
    }

    /// What its first goal looks at.
    fn first_figure(&self) -> Figure {
        let first = self.scores.first();
        first.map_or(Figure::Median, |(_, figure)| *figure)
    }

    /// Its goals' names.
    pub fn title(&self) -> String {
        let ids: Vec<&str> = self.scores.iter().map(|(id, _)| *id).collect();
        ids.join("+")
    }
}

/// The plans for one node.
pub fn local() -> impl Iterator<Item = &'static Plan> {
    local::PLANS.iter().chain(peers::LOCAL)
}

/// The plans for two nodes.
pub fn net() -> impl Iterator<Item = &'static Plan> {
    net::PLANS.iter().chain(peers::NET)
}

/// The plans against what others have built.
pub fn peers() -> impl Iterator<Item = &'static Plan> {
    peers::LOCAL.iter().chain(peers::NET)
}

/// A raw primitive with the setting it is used in.
pub type RulerPlan = (Placement, Wait, usize, Maker);

/// Every raw primitive, for absolute figures.
pub fn rulers() -> impl Iterator<Item = RulerPlan> {
    local::RULERS.iter().chain(net::RULERS).copied()
}
