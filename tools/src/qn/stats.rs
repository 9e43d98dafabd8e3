//! What a qnet says of itself: `/net/.stats`, as values.
//!
//! Members that are missing are zero: the qnet may be older than this program.

use std::collections::BTreeMap;

use ipc_core::{abi::Errno, file};
use serde::Deserialize;

use super::output::Fault;

/// Everything that a qnet counts.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Stats {
    /// The node itself.
    pub(super) node: String,
    /// The others.
    pub(super) nodes: Vec<Peer>,
    pub(super) links: Vec<Link>,
    /// Of all links together.
    pub(super) link: Link,
    pub(super) bridge: Bridge,
    /// Frames and records dropped, by reason.
    pub(super) dropped: BTreeMap<String, u64>,
    pub(super) connections_in: u64,
    pub(super) connections_out: u64,
    pub(super) pending_in: u64,
    pub(super) pending_out: u64,
}

/// Another node.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Peer {
    pub(super) name: String,
    pub(super) nd: u32,
    pub(super) state: String,
    /// Why it is down, and for how long.
    pub(super) down_reason: Option<String>,
    pub(super) down_ns: Option<u64>,
    pub(super) rtt_ns: u64,
    pub(super) frames_sent: u64,
    pub(super) acks_sent: u64,
    pub(super) bytes_sent: u64,
    pub(super) frames_received: u64,
    pub(super) bytes_received: u64,
    pub(super) packets_lost: u64,
    pub(super) records_lost: u64,
    pub(super) probe_timeouts: u64,
    pub(super) sessions: u64,
    pub(super) messages_sent: u64,
    pub(super) messages_received: u64,
    /// Records per packet, by class.
    pub(super) bundles_sent: BTreeMap<String, u64>,
    pub(super) bundles_received: BTreeMap<String, u64>,
    /// What was dropped of its sessions, by reason.
    pub(super) dropped: BTreeMap<String, u64>,
    pub(super) paths: Vec<Path>,
}

/// One way to another node.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Path {
    pub(super) interface: String,
    pub(super) mac: String,
    pub(super) state: String,
    pub(super) rtt_ns: u64,
    pub(super) window_len: u64,
    pub(super) in_flight_len: u64,
    pub(super) mtu: u64,
    pub(super) bytes_sent: u64,
    pub(super) bytes_received: u64,
    pub(super) packets_lost: u64,
    pub(super) probe_timeouts: u64,
    pub(super) failures: u64,
}

/// A link of the node.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Link {
    pub(super) interface: String,
    pub(super) mac: String,
    pub(super) mtu: u64,
    pub(super) carrier: bool,
    pub(super) frames_sent: u64,
    pub(super) bytes_sent: u64,
    pub(super) frames_received: u64,
    pub(super) bytes_received: u64,
    pub(super) sends_failed: u64,
    pub(super) foreign: u64,
    pub(super) bad_length: u64,
    /// Frames for which the socket had no room.
    pub(super) overflowed: u64,
    pub(super) receive_restarts: u64,
    /// Of all links together.
    pub(super) waits: u64,
    /// Frames per system call, by class.
    pub(super) batches: BTreeMap<String, u64>,
    /// What was dropped of its frames, by reason.
    pub(super) dropped: BTreeMap<String, u64>,
}

impl Link {
    /// Everything that was dropped of what came through it, by reason.
    pub(super) fn drops(&self) -> impl Iterator<Item = (&str, u64)> {
        let of_socket = [
            ("no room at the socket", self.overflowed),
            ("for another station or protocol", self.foreign),
            ("longer or shorter than a frame can be", self.bad_length),
        ];
        let of_engine = self.dropped.iter();
        let of_engine = of_engine.map(|(reason, count)| (reason.as_str(), *count));
        let all = of_socket.into_iter().chain(of_engine);
        all.filter(|(_, count)| *count > 0)
    }
}

/// Messages.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Bridge {
    pub(super) messages_out: u64,
    pub(super) replies_in: u64,
    pub(super) errors_in: u64,
    pub(super) messages_in: u64,
    pub(super) replies_out: u64,
    pub(super) errors_out: u64,
    pub(super) messages_staged: u64,
    pub(super) attaches_refused: u64,
    pub(super) pulses: u64,
    pub(super) pulses_lost: u64,
}

/// The directory that a qnet serves: the own one's, or that of another node.
pub(super) fn directory(node: Option<&str>) -> String {
    node.map_or_else(|| "/net".to_owned(), |node| format!("/net/{node}/net"))
}

/// An error on a path that a qnet serves.
pub(super) fn fault(errno: Errno, path: &str) -> Fault {
    match errno {
        Errno::ENOENT if path.starts_with("/net/.") || path == "/net" => Fault::with_errno(
            "/net: nobody serves it on this node; start it with: qnet --interface IF",
            errno,
        ),
        errno => Fault::on_path(errno, path),
    }
}

/// The statistics as the qnet wrote them.
pub(super) fn text(node: Option<&str>) -> Result<Vec<u8>, Fault> {
    let path = format!("{}/.stats", directory(node));
    file::read(&path).map_err(|errno| fault(errno, &path))
}

/// The statistics.
pub(super) fn read(node: Option<&str>) -> Result<Stats, Fault> {
    let text = text(node)?;
    serde_json::from_slice(&text).map_err(|error| {
        Fault::new(format!(
            "the statistics of that qnet are not understood ({error}); is it of another version? see: qnet --version"
        ))
    })
}

/// The classes of a histogram that occurred, in order: `1:20 2:3 3-4:1`.
pub(super) fn histogram(of: &BTreeMap<String, u64>) -> String {
    let low = |class: &str| -> u64 {
        let digits = class.split('-').next().unwrap_or("");
        digits.parse().unwrap_or(u64::MAX)
    };
    let mut classes: Vec<_> = of.iter().filter(|(_, count)| **count > 0).collect();
    classes.sort_by_key(|(class, _)| low(class));
    let shown = classes
        .iter()
        .map(|(class, count)| format!("{class}:{count}"));
    let shown: Vec<_> = shown.collect();
    if shown.is_empty() {
        return "-".to_owned();
    }
    shown.join(" ")
}

/// What names are ordered by: `node2` stands before `node10`.
pub(super) fn place_of(name: &str) -> (String, usize, String) {
    let letters = name.trim_end_matches(|letter: char| letter.is_ascii_digit());
    let digits = &name[letters.len()..];
    (letters.to_owned(), digits.len(), digits.to_owned())
}

/// A time as people read it: `57us`, `1.3ms`; `-` for none.
pub(super) fn time(ns: u64) -> String {
    match ns {
        0 => "-".to_owned(),
        1..1_000_000 => format!("{}us", ns.div_ceil(1000)),
        1_000_000..1_000_000_000 => format!("{:.1}ms", ns as f64 / 1e6),
        _ => format!("{:.1}s", ns as f64 / 1e9),
    }
}

/// A state with what is known of its cause: `down 12s (silent)`.
pub(super) fn state_text(peer: &Peer) -> String {
    match (&peer.down_reason, peer.down_ns) {
        (Some(reason), Some(ns)) => format!("{} {} ({reason})", peer.state, age(ns)),
        _ => peer.state.clone(),
    }
}

/// A long time as people read it: `12s`, `5m`, `3h`, `2d`.
pub(super) fn age(ns: u64) -> String {
    match ns / 1_000_000_000 {
        seconds @ 0..120 => format!("{seconds}s"),
        seconds @ 120..7200 => format!("{}m", seconds / 60),
        seconds @ 7200..172_800 => format!("{}h", seconds / 3600),
        seconds => format!("{}d", seconds / 86_400),
    }
}

/// A number of bytes as people read it, in powers of 1024: `812`, `1.4K`, `16.0M`.
pub(super) fn size(bytes: f64) -> String {
    let mut rest = bytes;
    for unit in ["", "K", "M", "G", "T"] {
        if rest < 1000.0 {
            return if unit.is_empty() {
                format!("{rest:.0}")
            } else {
                format!("{rest:.1}{unit}")
            };
        }
        rest /= 1024.0;
    }
    format!("{rest:.0}P")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_shown_as_people_read_them() {
        assert_eq!(
            [time(0), time(57_400), time(1_340_000)],
            ["-", "58us", "1.3ms"]
        );
        assert_eq!(
            [3, 130, 7300, 200_000].map(|s| age(s * 1_000_000_000)),
            ["3s", "2m", "2h", "2d"]
        );
        assert_eq!(
            [size(812.0), size(1434.0), size(16.0 * 1024.0 * 1024.0)],
            ["812", "1.4K", "16.0M"]
        );
    }

    #[test]
    fn classes_stand_in_order_and_empty_ones_are_left_out() {
        let of = [("1", 20), ("17-32", 2), ("3-4", 1), ("65-", 7), ("2", 0)];
        let of = of.map(|(class, count)| (class.to_owned(), count));
        assert_eq!(histogram(&BTreeMap::from(of)), "1:20 3-4:1 17-32:2 65-:7");
        assert_eq!(histogram(&BTreeMap::new()), "-");
    }

    #[test]
    fn numbered_names_stand_in_the_order_of_their_numbers() {
        let mut names = ["node10", "b", "node2", "a7", "node", "10"];
        names.sort_by_key(|name| place_of(name));
        assert_eq!(names, ["10", "a7", "b", "node", "node2", "node10"]);
    }

    #[test]
    fn what_an_older_qnet_does_not_say_is_zero() {
        let stats: Stats = serde_json::from_str(r#"{"node":"a","nodes":[{"name":"b"}]}"#).unwrap();
        assert_eq!((stats.nodes[0].rtt_ns, stats.links.len()), (0, 0));
    }
}
