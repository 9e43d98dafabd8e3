//! Two readings of the statistics, and what they say together.

use std::time::Duration;

use crate::qn::stats::{Link, Path, Peer, Stats, place_of};

/// The shortest and the longest time between readings.
const EVERY_MIN: Duration = Duration::from_millis(250);
const EVERY_MAX: Duration = Duration::from_secs(60);
/// How many nodes a key for a page goes on.
const PAGE: usize = 10;

/// What a key asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Key {
    Quit,
    Up,
    Down,
    PageUp,
    PageDown,
    First,
    Last,
    Pause,
    Faster,
    Slower,
}

/// The state of the view.
#[derive(Debug)]
pub(super) struct Model {
    /// Nodes in the order of their names.
    now: Stats,
    /// The reading before, and how much older it is; none after one that failed.
    before: Option<(Stats, Duration)>,
    /// How long readings have failed.
    failing: Duration,
    /// Why the last reading failed; the one before it is still shown.
    fault: Option<String>,
    selected: usize,
    every: Duration,
    is_paused: bool,
}

/// How fast something grows, per second; `None` while there is one reading only.
pub(super) type Rate = Option<f64>;

impl Model {
    pub(super) fn new(first: Stats, every: Duration) -> Model {
        Model {
            now: in_order(first),
            before: None,
            failing: Duration::ZERO,
            fault: None,
            selected: 0,
            every: every.clamp(EVERY_MIN, EVERY_MAX),
            is_paused: false,
        }
    }

    /// Takes a reading that was made `elapsed` after the one before, whether that failed or not.
    pub(super) fn take(&mut self, read: Result<Stats, String>, elapsed: Duration) {
        match read {
            Ok(stats) => {
                let selected = self.selected_peer().map(|peer| peer.name.clone());
                let before = std::mem::replace(&mut self.now, in_order(stats));
                let elapsed = elapsed + std::mem::take(&mut self.failing);
                self.before = Some((before, elapsed));
                self.fault = None;
                self.follow(selected.as_deref());
            }
            Err(fault) => {
                self.failing += elapsed;
                self.fail(fault);
            }
        }
    }

    /// Says why there is no reading. How fast things grow is not known then.
    pub(super) fn fail(&mut self, fault: String) {
        self.before = None;
        self.fault = Some(fault);
    }

    /// Keeps the selection on its node, wherever that stands by now.
    fn follow(&mut self, selected: Option<&str>) {
        let is_it = |peer: &Peer| Some(peer.name.as_str()) == selected;
        let place = self.now.nodes.iter().position(is_it);
        self.selected = place.unwrap_or(self.selected).min(self.last());
    }

    fn last(&self) -> usize {
        self.now.nodes.len().saturating_sub(1)
    }

    pub(super) fn press(&mut self, key: Key) {
        match key {
            Key::Quit => {}
            Key::Up => self.selected = self.selected.saturating_sub(1),
            Key::Down => self.selected = (self.selected + 1).min(self.last()),
            Key::PageUp => self.selected = self.selected.saturating_sub(PAGE),
            Key::PageDown => self.selected = (self.selected + PAGE).min(self.last()),
            Key::First => self.selected = 0,
            Key::Last => self.selected = self.last(),
            Key::Pause => self.is_paused = !self.is_paused,
            Key::Faster => self.every = (self.every / 2).max(EVERY_MIN),
            Key::Slower => self.every = (self.every * 2).min(EVERY_MAX),
        }
    }

    pub(super) fn stats(&self) -> &Stats {
        &self.now
    }

    pub(super) fn fault(&self) -> Option<&str> {
        self.fault.as_deref()
    }

    pub(super) fn every(&self) -> Duration {
        self.every
    }

    pub(super) fn is_paused(&self) -> bool {
        self.is_paused
    }

    pub(super) fn selected(&self) -> usize {
        self.selected
    }

    /// The node whose paths are shown.
    pub(super) fn selected_peer(&self) -> Option<&Peer> {
        self.now.nodes.get(self.selected)
    }

    /// How fast a counter of a peer grows.
    pub(super) fn peer_rate(&self, peer: &Peer, of: impl Fn(&Peer) -> u64) -> Rate {
        let before = |stats: &Stats| {
            let same = stats.nodes.iter().find(|other| other.name == peer.name);
            same.map(&of)
        };
        self.rate(before, of(peer))
    }

    /// How fast a counter of a path of the selected peer grows. Paths count from their session's begin: a lower
    /// figure than before says nothing about the rate.
    pub(super) fn path_rate(&self, path: &Path, of: impl Fn(&Path) -> u64) -> Rate {
        let name = &self.selected_peer()?.name;
        let before = |stats: &Stats| {
            let peer = stats.nodes.iter().find(|peer| &peer.name == name)?;
            let is_same =
                |other: &&Path| (&other.interface, &other.mac) == (&path.interface, &path.mac);
            peer.paths.iter().find(is_same).map(&of)
        };
        self.rate(before, of(path))
    }

    /// How fast a counter of a link grows.
    pub(super) fn link_rate(&self, link: &Link, of: impl Fn(&Link) -> u64) -> Rate {
        let before = |stats: &Stats| {
            let same = stats
                .links
                .iter()
                .find(|other| other.interface == link.interface);
            same.map(&of)
        };
        self.rate(before, of(link))
    }

    fn rate(&self, before: impl Fn(&Stats) -> Option<u64>, now: u64) -> Rate {
        let (stats, elapsed) = self.before.as_ref()?;
        let grown = now.checked_sub(before(stats)?)?;
        (!elapsed.is_zero()).then(|| grown as f64 / elapsed.as_secs_f64())
    }
}

fn in_order(mut stats: Stats) -> Stats {
    stats.nodes.sort_by_cached_key(|peer| place_of(&peer.name));
    stats
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A reading in which every counter of a node with two peers and one link is `count`.
    pub(in crate::qn::top) fn reading(count: u64) -> Stats {
        let path = Path {
            interface: "eth7".to_owned(),
            mac: "02:00:00:00:00:02".to_owned(),
            state: "up".to_owned(),
            rtt_ns: 57_000,
            window_len: 1 << 17,
            mtu: 1500,
            bytes_sent: count * 1024,
            ..Path::default()
        };
        let peer = |name: &str| Peer {
            name: name.to_owned(),
            state: "up".to_owned(),
            rtt_ns: 57_000,
            messages_sent: count,
            bytes_sent: count * 1024,
            paths: vec![path.clone()],
            ..Peer::default()
        };
        Stats {
            node: "magenta".to_owned(),
            nodes: vec![peer("wintermute"), peer("neuromancer")],
            links: vec![Link {
                interface: "eth7".to_owned(),
                carrier: true,
                frames_sent: count,
                ..Link::default()
            }],
            ..Stats::default()
        }
    }

    #[test]
    fn rates_are_what_grew_by_the_time_it_took() {
        let mut model = Model::new(reading(100), Duration::from_secs(1));
        let sent = |model: &Model| {
            let peer = model.selected_peer().unwrap();
            model.peer_rate(peer, |peer| peer.messages_sent)
        };
        assert_eq!(sent(&model), None, "one reading is no rate");
        model.take(Ok(reading(400)), Duration::from_secs(2));
        assert_eq!(sent(&model), Some(150.0));
        let path = &model.selected_peer().unwrap().paths[0];
        assert_eq!(
            model.path_rate(path, |path| path.bytes_sent),
            Some(153_600.0)
        );
        let link = &model.stats().links[0];
        assert_eq!(model.link_rate(link, |link| link.frames_sent), Some(150.0));
        model.take(Ok(reading(0)), Duration::from_secs(2));
        assert_eq!(sent(&model), None, "that qnet began anew");
    }

    #[test]
    fn a_reading_that_fails_keeps_the_last_one() {
        let mut model = Model::new(reading(7), Duration::from_secs(1));
        model.take(Err("gone".to_owned()), Duration::from_secs(1));
        assert_eq!(
            (model.fault(), model.stats().nodes.len()),
            (Some("gone"), 2)
        );
        model.take(Ok(reading(8)), Duration::from_secs(1));
        assert_eq!(model.fault(), None);
    }

    #[test]
    fn rates_after_readings_that_failed_are_over_all_the_time_that_passed() {
        let mut model = Model::new(reading(100), Duration::from_secs(1));
        let second = Duration::from_secs(1);
        model.take(Ok(reading(200)), second);
        let sent = |model: &Model| {
            let peer = model.selected_peer().unwrap();
            model.peer_rate(peer, |peer| peer.messages_sent)
        };
        assert_eq!(sent(&model), Some(100.0));
        for _ in 0..3 {
            model.take(Err("gone".to_owned()), second);
            assert_eq!(sent(&model), None, "what is shown is old");
        }
        model.take(Ok(reading(600)), second);
        assert_eq!(sent(&model), Some(100.0), "400 in four seconds");
    }

    #[test]
    fn the_selection_stays_with_its_node_and_nodes_stand_by_name() {
        let mut first = reading(1);
        first.nodes[1].name = "node2".to_owned();
        first.nodes[0].name = "node10".to_owned();
        let mut model = Model::new(first.clone(), Duration::from_secs(1));
        let names = |model: &Model| -> Vec<String> {
            let nodes = model.stats().nodes.iter();
            nodes.map(|peer| peer.name.clone()).collect()
        };
        assert_eq!(names(&model), ["node2", "node10"]);
        model.press(Key::Last);
        let mut more = first;
        let newcomer = Peer {
            name: "node1".to_owned(),
            ..more.nodes[0].clone()
        };
        more.nodes.push(newcomer);
        model.take(Ok(more), Duration::from_secs(1));
        assert_eq!(names(&model), ["node1", "node2", "node10"]);
        assert_eq!(model.selected_peer().unwrap().name, "node10");
        model.press(Key::PageUp);
        assert_eq!(model.selected(), 0);
    }

    #[test]
    fn keys_stay_within_the_list_and_the_bounds() {
        let mut model = Model::new(reading(1), Duration::from_secs(1));
        for (key, selected) in [(Key::Up, 0), (Key::Down, 1), (Key::Down, 1), (Key::Up, 0)] {
            model.press(key);
            assert_eq!(model.selected(), selected);
        }
        (0..20).for_each(|_| model.press(Key::Faster));
        assert_eq!(model.every(), EVERY_MIN);
        (0..20).for_each(|_| model.press(Key::Slower));
        assert_eq!(model.every(), EVERY_MAX);
        model.press(Key::Down);
        let mut fewer = reading(2);
        fewer.nodes.truncate(1);
        model.take(Ok(fewer), Duration::from_secs(1));
        assert_eq!(model.selected(), 0, "the selected node has gone");
    }
}
