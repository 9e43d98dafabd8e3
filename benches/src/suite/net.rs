//! Plans for two nodes.

use crate::payload::SMALL_LEN;
use crate::products::{engines, remote};
use crate::rulers::{packet, relay, tcp, tcp_bulk};
use crate::setting::Placement::{Across, Same};
use crate::setting::Wait::{Block, Spin};
use crate::suite::Figure::{Counted, Median, Rate};
use crate::suite::{Plan, RulerPlan};

pub(super) const PLANS: &[Plan] = &[
    Plan {
        scores: &[("N1", Median)],
        rulers: &[packet::arm],
        product: engines::arm,
        ..ECHO
    },
    Plan {
        scores: &[("N1", Median)],
        placement: Same,
        rulers: &[packet::arm],
        product: engines::arm,
        ..ECHO
    },
    Plan {
        scores: &[("N2", Median)],
        rulers: &[relay::arm],
        ..ECHO
    },
    Plan {
        scores: &[("N2", Median)],
        placement: Same,
        rulers: &[relay::arm],
        ..ECHO
    },
    Plan {
        scores: &[("N3", Median)],
        rulers: &[tcp::arm],
        ..ECHO
    },
    Plan {
        scores: &[("N3", Median)],
        placement: Same,
        rulers: &[tcp::arm],
        ..ECHO
    },
    Plan {
        scores: &[("N6", Rate)],
        part: Some("without offloads"),
        bytes: LARGE_LEN,
        rulers: &[tcp_bulk::without_offloads],
        product: remote::bulk,
        ..ECHO
    },
    Plan {
        scores: &[("N6", Rate)],
        part: Some("with offloads"),
        bytes: LARGE_LEN,
        rulers: &[tcp_bulk::with_offloads],
        product: remote::bulk,
        ..ECHO
    },
    Plan {
        scores: &[("N13", Counted)],
        ..ECHO
    },
];

/// What most plans have in common: one CPU a node, no spinning, as four processes share two CPUs.
const ECHO: Plan = Plan {
    scores: &[],
    part: None,
    placement: Across,
    wait: Block,
    bytes: SMALL_LEN,
    rulers: &[],
    product: remote::echo,
};

/// The payload of the goals about bulk: 1 MiB.
const LARGE_LEN: usize = 1 << 20;

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
