//! The plots: what is varied, and who takes part.

use crate::payload::SMALL_LEN;
use crate::peers::{grpc, iceoryx2_slice, zenoh, zeromq};
use crate::products::{
    beside_idle, local_crowd, pipeline, remote, remote_crowd, remote_pipeline, sized,
};
use crate::rulers::{blast, tcp_bulk, tcp_crowd, tcp_sized};
use crate::setting::Load;
use crate::setting::Placement::Across;
use crate::setting::Wait::{Block, Spin};
use crate::suite::Maker;
use crate::suite::sweep::{Axis, Line, Reading, Sweep};

const MEDIAN: Reading = Reading::Micros(0.5);
const SIZES: &[u32] = &[0, 64, 512, 4 << 10, 32 << 10, 256 << 10, 2 << 20, 16 << 20];
const COUNTS: &[u32] = &[1, 2, 4, 8, 16, 32, 64];
const DEPTHS: &[u32] = &[1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024];
const LARGE_LEN: usize = 1 << 20;

/// All of them.
pub(super) fn all() -> impl Iterator<Item = &'static Sweep> {
    LOCAL.iter().chain(NET)
}

/// Whether a plot has this name.
pub(super) fn exists(name: &str) -> bool {
    all().any(|sweep| sweep.file.eq_ignore_ascii_case(name))
}

pub(super) const LOCAL: &[Sweep] = &[
    Sweep {
        file: "local-size",
        title: "Round trip on one node by message size, polling",
        y: "round trip, us (median)",
        axis: Axis::Bytes,
        places: SIZES,
        wait: Spin,
        lines: &[
            line("this project", sized::local, MEDIAN),
            peer("iceoryx2", iceoryx2_slice),
        ],
        ..ONE
    },
    Sweep {
        file: "local-clients",
        title: "Messages a second on one node by blocking clients",
        y: "messages a second",
        axis: Axis::Clients,
        places: COUNTS,
        lines: &[line("this project", local_crowd::arm, Reading::PerSecond)],
        ..ONE
    },
    Sweep {
        file: "local-depth",
        title: "Messages a second on one node by messages in flight, one client, polling",
        y: "messages a second",
        axis: Axis::Depth,
        places: DEPTHS,
        wait: Spin,
        lines: &[line("this project", pipeline::arm, Reading::PerSecond)],
        ..ONE
    },
    Sweep {
        file: "local-idle",
        title: "Round trip on one node beside idle connections to the same server, blocking",
        y: "round trip, us",
        axis: Axis::Idle,
        places: &[1, 10, 100, 1000, 3000, 10_000],
        lines: &[
            line("p50", beside_idle::arm, MEDIAN),
            line("p99", beside_idle::arm, Reading::Micros(0.99)),
        ],
        ..ONE
    },
    Sweep {
        file: "local-load",
        title: "Latency on one node under open-loop load, from intended start times, polling",
        y: "latency, us",
        axis: Axis::Rate,
        places: &[10_000, 50_000, 100_000, 200_000, 400_000, 800_000],
        wait: Spin,
        stretch: 10,
        lines: &[
            line("p50", sized::local, MEDIAN),
            line("p99", sized::local, Reading::Micros(0.99)),
            line("p99.9", sized::local, Reading::Micros(0.999)),
        ],
        ..ONE
    },
];

pub(super) const NET: &[Sweep] = &[
    Sweep {
        file: "net-size",
        title: "Round trip to another node by message size, blocking",
        y: "round trip, us (median)",
        axis: Axis::Bytes,
        places: SIZES,
        lines: &[
            line("this project", sized::remote, MEDIAN),
            Line {
                // A stream carries no empty message.
                least: 1,
                ..line("TCP", tcp_sized::arm, MEDIAN)
            },
            peer("gRPC (tonic)", grpc),
            peer("zenoh", zenoh),
            peer("ZeroMQ", zeromq),
        ],
        ..TWO
    },
    Sweep {
        file: "net-clients",
        title: "Calls a second to another node by blocking clients",
        y: "calls a second",
        axis: Axis::Clients,
        places: COUNTS,
        lines: &[
            line("this project", remote_crowd::arm, Reading::PerSecond),
            line("TCP", tcp_crowd::arm, Reading::PerSecond),
        ],
        ..TWO
    },
    Sweep {
        file: "net-depth",
        title: "Messages a second to another node by messages in flight, one client",
        y: "messages a second",
        axis: Axis::Depth,
        places: DEPTHS,
        lines: &[line(
            "this project",
            remote_pipeline::arm,
            Reading::PerSecond,
        )],
        ..TWO
    },
    Sweep {
        file: "net-load",
        title: "Latency to another node under open-loop load, from intended start times",
        y: "latency, us",
        axis: Axis::Rate,
        places: &[500, 1000, 2000, 4000, 8000, 12_000, 16_000],
        stretch: 25,
        lines: &[
            line("this project p50", sized::remote, MEDIAN),
            line("this project p99", sized::remote, Reading::Micros(0.99)),
            line("this project p99.9", sized::remote, Reading::Micros(0.999)),
            line("TCP p50", tcp_sized::arm, MEDIAN),
            line("TCP p99", tcp_sized::arm, Reading::Micros(0.99)),
            line("TCP p99.9", tcp_sized::arm, Reading::Micros(0.999)),
        ],
        ..TWO
    },
    Sweep {
        file: "net-loss",
        title: "Goodput of 1 MiB messages by loss, MTU 1500; TCP without offloads",
        y: "bytes a second",
        axis: Axis::Loss,
        places: &[0, 1, 5, 10, 20, 50, 100],
        bytes: LARGE_LEN,
        stretch: 5,
        lines: &[
            line("this project", remote::bulk, Reading::BytesPerSecond),
            line("TCP", tcp_bulk::without_offloads, Reading::BytesPerSecond),
        ],
        ..TWO
    },
    Sweep {
        file: "net-mtu",
        title: "Goodput of 1 MiB messages by MTU; TCP with its offloads",
        y: "bytes a second",
        axis: Axis::Mtu,
        places: &[1500, 3000, 9000, 16_000, 65_535],
        bytes: LARGE_LEN,
        lines: &[
            line("this project", remote::bulk, Reading::BytesPerSecond),
            line("TCP", tcp_bulk::with_offloads, Reading::BytesPerSecond),
            line("raw frames (B7)", blast::by_mmsg, Reading::BytesPerSecond),
        ],
        ..TWO
    },
];

const ONE: Sweep = Sweep {
    file: "",
    title: "",
    y: "",
    axis: Axis::Bytes,
    places: &[],
    placement: Across,
    wait: Block,
    bytes: SMALL_LEN,
    load: Load::ONE,
    stretch: 1,
    lines: &[],
};

const TWO: Sweep = Sweep {
    load: Load::REMOTE,
    ..ONE
};

const fn line(name: &'static str, maker: Maker, reading: Reading) -> Line {
    Line {
        name,
        maker,
        reading,
        least: 0,
        is_peer: false,
    }
}

const fn peer(name: &'static str, maker: Maker) -> Line {
    Line {
        is_peer: true,
        ..line(name, maker, MEDIAN)
    }
}
