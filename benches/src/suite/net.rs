//! Plans for two nodes.

use crate::payload::SMALL_LEN;
use crate::products::{engines, remote, remote_crowd, remote_mixed, remote_pipeline};
use crate::rulers::{blast, message_floor, packet, relay, tcp, tcp_bulk, tcp_crowd};
use crate::setting::Load;
use crate::setting::Placement::{Across, Same};
use crate::setting::Wait::{Block, Spin};
use crate::suite::Figure::{Counted, CpuTime, Median, P99, P999Ms, Rate};
use crate::suite::{Maker, Plan, RulerPlan};

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
        scores: &[("N2", Median), ("N12", CpuTime)],
        rulers: &[relay::arm],
        ..ECHO
    },
    Plan {
        scores: &[("N2", Median), ("N12", CpuTime)],
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
        scores: &[("N4", Rate)],
        load: Load {
            depth: 1024,
            ..Load::REMOTE
        },
        rulers: B7,
        product: remote_pipeline::arm,
        ..ECHO
    },
    Plan {
        scores: &[("N5", Rate)],
        load: Load {
            clients: 64,
            ..Load::REMOTE
        },
        stretch: 5,
        rulers: &[tcp_crowd::arm],
        product: remote_crowd::arm,
        ..ECHO
    },
    Plan {
        scores: &[("N7", Rate)],
        part: Some("MTU 9000"),
        bytes: LARGE_LEN,
        load: mtu(9000),
        rulers: &[tcp_bulk::with_offloads],
        product: remote::bulk,
        ..ECHO
    },
    Plan {
        scores: &[("N7", Rate)],
        part: Some("MTU 65535"),
        bytes: LARGE_LEN,
        load: mtu(65535),
        rulers: &[tcp_bulk::with_offloads],
        product: remote::bulk,
        ..ECHO
    },
    Plan {
        scores: &[("N8", Rate)],
        part: Some("MTU 1500"),
        bytes: LARGE_LEN,
        load: mtu(1500),
        rulers: B7,
        floors: MESSAGE_FLOOR,
        product: remote::bulk,
        ..ECHO
    },
    Plan {
        scores: &[("N8", Rate)],
        part: Some("MTU 9000"),
        bytes: LARGE_LEN,
        load: mtu(9000),
        rulers: B7,
        floors: MESSAGE_FLOOR,
        product: remote::bulk,
        ..ECHO
    },
    Plan {
        scores: &[("N8", Rate)],
        part: Some("MTU 65535"),
        bytes: LARGE_LEN,
        load: mtu(65535),
        rulers: B7,
        floors: MESSAGE_FLOOR,
        product: remote::bulk,
        ..ECHO
    },
    Plan {
        scores: &[("N9", Rate)],
        bytes: LARGE_LEN,
        load: LOSSY,
        stretch: 5,
        rulers: &[remote::bulk_lossless],
        product: remote::bulk,
        ..ECHO
    },
    // Enough rounds in a block for the worst in a thousand.
    Plan {
        scores: &[("N10", P999Ms)],
        load: LOSSY,
        stretch: 25,
        ..ECHO
    },
    Plan {
        scores: &[("N11", P99)],
        stretch: 10,
        rulers: &[remote::echo],
        product: remote_mixed::arm,
        ..ECHO
    },
    Plan {
        scores: &[("N13", Counted)],
        ..ECHO
    },
    Plan {
        scores: &[("N14", Counted)],
        load: Load {
            depth: 1024,
            ..Load::REMOTE
        },
        product: remote_pipeline::counted,
        ..ECHO
    },
];

const B7: &[Maker] = &[blast::by_mmsg, blast::by_ring];

/// What no transport of messages can do without, beside B7.
const MESSAGE_FLOOR: &[Maker] = &[
    message_floor::by_mmsg,
    message_floor::by_ring,
    message_floor::by_look,
];

const LOSSY: Load = Load {
    loss: 0.01,
    ..Load::REMOTE
};

const fn mtu(mtu: u32) -> Load {
    Load {
        mtu,
        ..Load::REMOTE
    }
}

/// What most plans have in common: one CPU a node, no spinning, as four processes share two CPUs.
const ECHO: Plan = Plan {
    scores: &[],
    part: None,
    placement: Across,
    wait: Block,
    bytes: SMALL_LEN,
    load: Load::REMOTE,
    stretch: 1,
    rulers: &[],
    floors: &[],
    against_peer: false,
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
    (Across, Block, SMALL_LEN, blast::by_mmsg),
    (Across, Block, SMALL_LEN, blast::by_ring),
    (Across, Block, 1 << 20, blast::by_mmsg),
    (Across, Block, 1 << 20, blast::by_ring),
];
