//! One thing varied, everything else left alone: what becomes a plot.

use crate::method::Block;
use crate::setting::{Load, Placement, Wait};
use crate::suite::Maker;

/// What varies along the horizontal axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Axis {
    /// Message bytes.
    Bytes,
    /// Clients at once.
    Clients,
    /// Messages that one client keeps in flight.
    Depth,
    /// Rounds a second that are asked for.
    Rate,
    /// Frames lost in each direction, in tenths of a percent.
    Loss,
    /// Payload bytes of a frame.
    Mtu,
    /// Idle connections beside the one that is measured.
    Idle,
}

/// What is read off a block.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Reading {
    /// A quantile of the times of single rounds, in microseconds.
    Micros(f64),
    /// Rounds of all clients together, a second.
    PerSecond,
    /// Message bytes, a second.
    BytesPerSecond,
}

/// One line of the plot.
#[derive(Clone, Copy, Debug)]
pub(super) struct Line {
    /// Whom it is about, in the legend.
    pub name: &'static str,
    /// Who is measured.
    pub maker: Maker,
    /// What is read.
    pub reading: Reading,
    /// Below this place it is not measured: it cannot.
    pub least: u32,
    /// It is one of the peers, which may not be built.
    pub is_peer: bool,
}

/// One plot.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sweep {
    /// The name of its file.
    pub file: &'static str,
    /// What it shows.
    pub title: &'static str,
    /// What the vertical axis shows, with its unit.
    pub y: &'static str,
    /// What varies.
    pub axis: Axis,
    /// From where to where.
    pub places: &'static [u32],
    /// Where the ends run.
    pub placement: Placement,
    /// How they wait.
    pub wait: Wait,
    /// Message bytes, where these do not vary.
    pub bytes: usize,
    /// The load, but for what varies.
    pub load: Load,
    /// A block is this many times as long as usual.
    pub stretch: u32,
    /// Whom it compares.
    pub lines: &'static [Line],
}

impl Axis {
    /// The axis's title.
    pub(super) fn name(self) -> &'static str {
        match self {
            Axis::Bytes => "message bytes",
            Axis::Clients => "clients",
            Axis::Depth => "messages in flight",
            Axis::Rate => "calls asked for a second",
            Axis::Loss => "frames lost, each way",
            Axis::Mtu => "MTU, bytes",
            Axis::Idle => "idle connections",
        }
    }

    /// How a place is called.
    pub(super) fn label(self, place: u32) -> String {
        match self {
            Axis::Loss => format!("{} %", f64::from(place) / 10.0),
            Axis::Bytes if place >= 1 << 20 => format!("{} Mi", place >> 20),
            Axis::Bytes if place >= 1 << 10 => format!("{} Ki", place >> 10),
            _ => place.to_string(),
        }
    }
}

impl Sweep {
    /// Message bytes and load at `place`.
    pub(super) fn at(&self, place: u32) -> (usize, Load) {
        let (mut bytes, mut load) = (self.bytes, self.load);
        match self.axis {
            Axis::Bytes => bytes = place as usize,
            Axis::Clients => load.clients = place,
            Axis::Depth => load.depth = place,
            Axis::Rate => load.rate = place,
            Axis::Loss => load.loss = f64::from(place) / 1000.0,
            Axis::Mtu => load.mtu = place,
            Axis::Idle => load.idle = place,
        }
        (bytes, load)
    }
}

impl Reading {
    /// The figure of one block.
    pub(super) fn of(self, block: &Block, bytes: usize, load: &Load) -> f64 {
        match self {
            Reading::Micros(q) => block.time_ns(q) / 1000.0,
            Reading::PerSecond => block.rate() * f64::from(load.clients),
            Reading::BytesPerSecond => block.rate() * bytes as f64,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_called_as_people_call_them() {
        assert_eq!(Axis::Bytes.label(16 << 20), "16 Mi");
        assert_eq!(Axis::Bytes.label(64), "64");
        assert_eq!(Axis::Loss.label(5), "0.5 %");
    }
}
