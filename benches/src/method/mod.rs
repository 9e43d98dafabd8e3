//! The method: arms, blocks in ABBA order, ratios with an interval.
//!
//! An *arm* is one way of doing a job (a ruler or the product) as a set of pinned processes. A *block* is
//! a few milliseconds of one arm while the other sleeps. Blocks of the two arms alternate A B B A, so that
//! slow drift of the machine falls on both alike; the ratio of each neighbouring pair is one observation.
//! This folder does not know what an arm does.

pub mod arm;
pub mod block;
pub mod bootstrap;
pub mod cpus;
pub mod crowd;
pub mod guest;
pub mod paced;
pub mod round;
pub mod side;
pub mod stats;
pub mod stopwatch;

pub use arm::{Arm, Seat};
pub use block::{Block, Duel, Effort};
pub use crowd::Crowd;
pub use guest::Program;
pub use paced::paced;
pub use round::{silent, timed};
pub use side::{Notice, Side, Stage};
pub use stopwatch::Stopwatch;
