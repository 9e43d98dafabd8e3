//! Plans for one node.

use crate::payload::SMALL_LEN;
use crate::products::{crowd, echo, idle, large, pipeline};
use crate::rulers::{cache_line, copy, eventfd, futex, pipe, seqpacket};
use crate::setting::Load;
use crate::setting::Placement::{Across, Same};
use crate::setting::Wait::{Adaptive, Block, Spin};
use crate::suite::Figure::{Counted, CountedPerSecond, Median, Rate, Tail};
use crate::suite::{Maker, Plan, RulerPlan};

const B2: &[Maker] = &[pipe::arm, eventfd::arm, seqpacket::arm];

pub(super) const PLANS: &[Plan] = &[
    Plan {
        scores: &[("L1", Median), ("L11", Tail)],
        wait: Spin,
        rulers: &[cache_line::arm],
        ..ECHO
    },
    Plan {
        scores: &[("L2", Median)],
        placement: Same,
        rulers: &[futex::arm],
        ..ECHO
    },
    Plan {
        scores: &[("L3", Median)],
        rulers: &[futex::arm],
        ..ECHO
    },
    Plan {
        scores: &[("L4", Median)],
        wait: Adaptive,
        rulers: &[echo::spinning, echo::blocking],
        ..ECHO
    },
    // Spinning on the one CPU that the other end needs is no mode worth comparing with.
    Plan {
        scores: &[("L4", Median)],
        placement: Same,
        wait: Adaptive,
        rulers: &[echo::blocking],
        ..ECHO
    },
    Plan {
        scores: &[("L5", Median)],
        rulers: B2,
        floors: &[futex::arm],
        ..ECHO
    },
    Plan {
        scores: &[("L5", Median)],
        placement: Same,
        rulers: B2,
        floors: &[futex::arm],
        ..ECHO
    },
    Plan {
        scores: &[("L7", Median)],
        wait: Spin,
        bytes: LARGE_LEN,
        rulers: &[echo::arm],
        product: large::in_place,
        ..ECHO
    },
    Plan {
        scores: &[("L8", Rate)],
        wait: Spin,
        bytes: LARGE_LEN,
        rulers: &[copy::arm],
        product: large::copied,
        ..ECHO
    },
    Plan {
        scores: &[("L10", Rate)],
        wait: Spin,
        // The more, the rarer either side waits for the other's cache lines.
        load: Load {
            depth: 1024,
            ..Load::ONE
        },
        rulers: &[cache_line::arm],
        product: pipeline::arm,
        ..ECHO
    },
    Plan {
        scores: &[("L9", Counted)],
        wait: Adaptive,
        product: crowd::arm,
        ..ECHO
    },
    Plan {
        scores: &[("L12", CountedPerSecond)],
        wait: Adaptive,
        product: idle::arm,
        ..ECHO
    },
];

/// What most plans have in common.
const ECHO: Plan = Plan {
    scores: &[],
    part: None,
    placement: Across,
    wait: Block,
    bytes: SMALL_LEN,
    load: Load::ONE,
    stretch: 1,
    rulers: &[],
    floors: &[],
    against_peer: false,
    product: echo::arm,
};

/// The payload of the goals about large messages: 1 MiB.
const LARGE_LEN: usize = 1 << 20;

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
