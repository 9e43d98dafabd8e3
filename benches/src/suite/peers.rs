//! Plans against what others have built; the goals want their figure over ours.

use crate::payload::SMALL_LEN;
use crate::peers::{grpc, iceoryx2, iceoryx2_event, zenoh, zeromq};
use crate::products::{echo, remote};
use crate::setting::Load;
use crate::setting::Placement::Across;
use crate::setting::Wait::{Block, Spin};
use crate::suite::Figure::Median;
use crate::suite::Plan;

pub(super) const LOCAL: &[Plan] = &[
    Plan {
        scores: &[("L6", Median)],
        part: Some("request-response"),
        wait: Spin,
        rulers: &[iceoryx2],
        ..PEER
    },
    Plan {
        scores: &[("L6", Median)],
        part: Some("events"),
        rulers: &[iceoryx2_event],
        ..PEER
    },
];

pub(super) const NET: &[Plan] = &[
    Plan {
        part: Some("zenoh"),
        rulers: &[zenoh],
        ..REMOTE
    },
    Plan {
        part: Some("gRPC"),
        rulers: &[grpc],
        ..REMOTE
    },
    Plan {
        part: Some("ZeroMQ"),
        rulers: &[zeromq],
        ..REMOTE
    },
];

const PEER: Plan = Plan {
    scores: &[],
    part: None,
    placement: Across,
    wait: Block,
    bytes: SMALL_LEN,
    load: Load::ONE,
    stretch: 1,
    rulers: &[],
    floors: &[],
    against_peer: true,
    product: echo::arm,
};

const REMOTE: Plan = Plan {
    scores: &[("N15", Median)],
    load: Load::REMOTE,
    product: remote::echo,
    ..PEER
};
