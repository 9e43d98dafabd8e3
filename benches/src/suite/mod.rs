//! Which arms are compared for which goal, and the running of such plans.

mod local;
mod net;
mod session;

use crate::method::{Arm, Block};
use crate::setting::{Placement, Setting, Wait};

pub use session::{Options, Session};

/// Builds an arm for a setting.
pub type Maker = for<'a> fn(&Setting<'a>) -> crate::Result<Arm>;

/// What of a block is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Figure {
    /// The median time of a round.
    Median,
    /// The 99.9th percentile over the median.
    Tail,
    /// Rounds a second.
    Rate,
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
            Figure::Tail => block.time_ns(0.999) / block.time_ns(0.5),
            Figure::Rate => block.rate(),
            Figure::Counted => block.counted_per_round(),
            Figure::CountedPerSecond => block.counted_per_second(),
        }
    }
}

/// One comparison; it may score several goals.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// Goals and what of the blocks each is about.
    pub scores: &'static [(&'static str, Figure)],
    /// Which part of goals with several figures; `None` where the placement says it.
    pub part: Option<&'static str>,
    /// Where the ends run.
    pub placement: Placement,
    /// How they wait.
    pub wait: Wait,
    /// Payload bytes.
    pub bytes: usize,
    /// Primitives for the job: the best of them at this setting is the ruler. Empty: the goal only counts.
    pub rulers: &'static [Maker],
    /// The product.
    pub product: Maker,
}

impl Plan {
    /// The part of its goals that a plan measures.
    pub fn part(&self) -> &'static str {
        self.part.unwrap_or(self.placement.name())
    }
}

/// The plans for one node.
pub fn local() -> &'static [Plan] {
    local::PLANS
}

/// The plans for two nodes.
pub fn net() -> &'static [Plan] {
    net::PLANS
}

/// A raw primitive with the setting it is used in.
pub type RulerPlan = (Placement, Wait, usize, Maker);

/// Every raw primitive, for absolute figures.
pub fn rulers() -> impl Iterator<Item = RulerPlan> {
    local::RULERS.iter().chain(net::RULERS).copied()
}
