//! Plans for two nodes.

use crate::payload::SMALL_LEN;
use crate::rulers::{packet, relay, tcp, tcp_bulk};
use crate::setting::Placement::{Across, Same};
use crate::setting::Wait::{Block, Spin};
use crate::suite::{Plan, RulerPlan};

pub(super) const PLANS: &[Plan] = &[];

pub(super) const RULERS: &[RulerPlan] = &[
    (Same, Block, SMALL_LEN, packet::arm),
    (Across, Block, SMALL_LEN, packet::arm),
    (Across, Spin, SMALL_LEN, packet::arm),
    (Same, Block, SMALL_LEN, relay::arm),
    (Across, Block, SMALL_LEN, relay::arm),
    (Same, Block, SMALL_LEN, tcp::arm),
    (Across, Block, SMALL_LEN, tcp::arm),
    (Across, Spin, SMALL_LEN, tcp::arm),
    (Across, Block, 1 << 20, tcp_bulk::without_offloads),
    (Across, Block, 1 << 20, tcp_bulk::with_offloads),
];
