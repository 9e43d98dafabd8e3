//! Plans for one node.

use crate::payload::SMALL_LEN;
use crate::rulers::{cache_line, copy, eventfd, futex, pipe, seqpacket};
use crate::setting::Placement::{Across, Same};
use crate::setting::Wait::{Block, Spin};
use crate::suite::{Plan, RulerPlan};

pub(super) const PLANS: &[Plan] = &[];

pub(super) const RULERS: &[RulerPlan] = &[
    (Across, Spin, SMALL_LEN, cache_line::arm),
    (Same, Block, SMALL_LEN, futex::arm),
    (Across, Block, SMALL_LEN, futex::arm),
    (Same, Block, SMALL_LEN, pipe::arm),
    (Across, Block, SMALL_LEN, pipe::arm),
    (Same, Block, SMALL_LEN, eventfd::arm),
    (Across, Block, SMALL_LEN, eventfd::arm),
    (Same, Block, SMALL_LEN, seqpacket::arm),
    (Across, Block, SMALL_LEN, seqpacket::arm),
    (Across, Spin, 64 << 10, copy::arm),
    (Across, Spin, 1 << 20, copy::arm),
    (Across, Spin, 16 << 20, copy::arm),
];
