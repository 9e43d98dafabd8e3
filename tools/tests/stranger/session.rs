//! A session: packets in and out, and whose records are whose; sections 4 to 7.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::client::Client;
use crate::frame::{Frame, HEADER_LEN, Numbered, Station};
use crate::hello::Hello;
use crate::path::{Fate, Path, Received};
use crate::record::Record;
use crate::seal::TAG_LEN;
use crate::server::{Server, Taken};

/// Packets in flight through one path: far fewer than any receiver has room for.
const WINDOW: usize = 24;
/// A path that is not up is tried so often, and a silent peer of whom something is awaited is asked so often.
const TRY_INTERVAL: Duration = Duration::from_millis(100);
const KEEPALIVE: Duration = Duration::from_millis(500);

/// Why a session ended, as the peer says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    Bye,
    /// The peer does not know the session: it lives its old life, or a new one.
    Lost,
    Restarted,
}

/// A session with one peer.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) number: u64,
    /// This node answered the handshake.
    pub(crate) is_responder: bool,
    /// The peer is known to have made the session.
    pub(crate) is_established: bool,
    pub(crate) peer: Hello,
    pub(crate) paths: Vec<Path>,
    pub(crate) client: Client,
    pub(crate) server: Server,
    pub(crate) ended: Option<Ended>,
    /// Packets that came with a record ahead of what it depends on.
    pub(crate) early: u64,
    /// Packets that came through each path of this node.
    pub(crate) came: Vec<u64>,
    received: [Received; 8],
    queue: VecDeque<Record>,
    used_last: usize,
    heard_at: Instant,
    pinged_at: Instant,
}

impl Session {
    pub(crate) fn new(number: u64, is_responder: bool, peer: Hello, path: Path) -> Session {
        let now = Instant::now();
        Session {
            number,
            is_responder,
            is_established: is_responder,
            peer,
            paths: vec![path],
            client: Client::default(),
            server: Server::default(),
            ended: None,
            early: 0,
            came: vec![0],
            received: Default::default(),
            queue: VecDeque::new(),
            used_last: 0,
            heard_at: now,
            pinged_at: now,
        }
    }

    /// Bytes of records that a frame has room for.
    pub(crate) fn capacity(&self) -> usize {
        let mtu = self.paths.iter().map(|path| path.mtu).min();
        mtu.expect("there is a path") - HEADER_LEN - TAG_LEN
    }

    /// Sends a record as soon as its turn comes.
    pub(crate) fn push(&mut self, record: Record) {
        self.queue.push_back(record);
    }

    pub(crate) fn extend(&mut self, records: Vec<Record>) {
        self.queue.extend(records);
    }

    /// The path that leads to where a frame came from.
    pub(crate) fn path_to(&self, port: usize, station: Station) -> Option<usize> {
        self.paths
            .iter()
            .position(|path| (path.port, path.peer) == (port, station))
    }

    pub(crate) fn add_path(&mut self, path: Path) {
        self.paths.push(path);
        self.came.push(0);
    }

    /// Takes a frame of this session that came by a known path.
    pub(crate) fn handle(&mut self, frame: Frame, back: usize) {
        let Numbered { path, number } = frame.packet;
        assert_ne!(
            frame.responder, self.is_responder,
            "RESPONDER is that of the sender"
        );
        assert!(
            !self.received[usize::from(path)].is_repeated(number),
            "packet {number} of path {path} comes twice over a wire that doubles nothing"
        );
        self.is_established = true;
        self.heard_at = Instant::now();
        self.came[back] += 1;
        let mut ranges: &[(u32, u32)] = &[];
        let mut wants_acknowledgement = false;
        for record in &frame.records {
            match record {
                Record::AckRanges(named) => ranges = named,
                _ => wants_acknowledgement = true,
            }
        }
        if let Some(ack) = frame.ack {
            let path = self.paths.get_mut(usize::from(ack.next.path));
            let fate = path.expect("a path of this node").acknowledge(ack, ranges);
            self.decided(fate);
        }
        let asks = frame.records.contains(&Record::Ping);
        let mut is_early = false;
        for record in frame.records {
            is_early |= self.take(record) == Taken::Early;
        }
        if is_early {
            self.early += 1;
            if asks {
                self.received[usize::from(path)].due_since = Some(self.heard_at);
            }
        } else {
            self.received[usize::from(path)].remember(number, back, wants_acknowledgement);
        }
    }

    fn take(&mut self, record: Record) -> Taken {
        let mut answers = Vec::new();
        let mut taken = Taken::Yes;
        match record {
            // A Confirm is a repetition: the session is there.
            Record::Ping | Record::Pad(_) | Record::AckRanges(_) | Record::Confirm(_) => {}
            Record::Bye => self.ended = Some(Ended::Bye),
            Record::Message { .. }
            | Record::Messages(_)
            | Record::MessageFragment { .. }
            | Record::Cancel { .. }
            | Record::Pulse {
                to_client: false, ..
            }
            | Record::Detach {
                to_client: false, ..
            } => {
                taken = self.server.take(record, &mut answers);
            }
            to_client => self.client.take(to_client, &mut answers),
        }
        self.queue.extend(answers);
        taken
    }

    fn decided(&mut self, fate: Fate) {
        for record in &fate.arrived {
            self.client.arrived(record);
        }
        let mut again = Vec::new();
        for record in fate.lost {
            match record {
                Record::Ping | Record::Pad(_) | Record::Confirm(_) | Record::AckRanges(_) => {}
                record => self.client.lost(record, &mut again),
            }
        }
        again
            .into_iter()
            .rev()
            .for_each(|record| self.queue.push_front(record));
    }

    /// Does what time asks for.
    pub(crate) fn handle_time(&mut self, is_busy: bool) {
        if !self.is_established {
            return;
        }
        let now = Instant::now();
        for at in 0..self.paths.len() {
            if self.paths[at]
                .probe_timeout_at()
                .is_some_and(|end| end <= now)
            {
                let fate = self.paths[at].time_out();
                self.decided(fate);
            }
        }
        let since = now - self.heard_at.max(self.pinged_at);
        if is_busy && since >= KEEPALIVE {
            self.pinged_at = now;
            self.push(Record::Ping);
        }
    }

    /// When time asks for something next, at the latest.
    pub(crate) fn time_at(&self) -> Instant {
        let timeouts = self.paths.iter().filter_map(Path::probe_timeout_at);
        timeouts.fold(Instant::now() + TRY_INTERVAL, Instant::min)
    }

    /// Paths that are not known to carry anything.
    pub(crate) fn untried(&self) -> Vec<usize> {
        let idle = |path: &Path| !path.is_up && path.packets_in_flight() == 0;
        (0..self.paths.len())
            .filter(|at| idle(&self.paths[*at]))
            .collect()
    }

    /// The next frame to send and its port; `None` if there is nothing to say, or no room for it.
    pub(crate) fn next_frame(&mut self, stations: &[Station]) -> Option<(usize, Frame)> {
        if !self.is_established {
            return None;
        }
        let due = self.first_due();
        if let Some(due) = due {
            let due_path = self.received[due].back;
            let named = self.received[due].acknowledgement(due as u8);
            if let Some((_, Some(ranges))) = named {
                // What tells of gaps goes by itself: the records behind it are cut to whole frames.
                return Some(self.frame(due_path, vec![ranges], stations));
            }
        }
        if let Some((path, records)) = self.next_records() {
            return Some(self.frame(path, records, stations));
        }
        due.map(|due| self.frame(self.received[due].back, Vec::new(), stations))
    }

    /// A packet of these records through a path, whatever waits.
    pub(crate) fn frame(
        &mut self,
        path: usize,
        records: Vec<Record>,
        stations: &[Station],
    ) -> (usize, Frame) {
        let number = self.paths[path].send(&records);
        // Of the packets that came from where it goes, if none is due.
        let came = |it: &Received| it.back == path && it.acknowledgement(0).is_some();
        let at = self
            .first_due()
            .or_else(|| self.received.iter().position(came));
        let ack = at.and_then(|at| self.received[at].acknowledgement(at as u8));
        if let Some(at) = at {
            self.received[at].due_since = None;
        }
        let Path { port, peer, .. } = self.paths[path];
        let frame = Frame {
            to: peer,
            from: stations[port],
            responder: self.is_responder,
            packet: Numbered {
                path: path as u8,
                number,
            },
            session: self.number,
            ack: ack.map(|(ack, _)| ack),
            records,
            len: 0,
        };
        (port, frame)
    }

    /// The path of the peer whose acknowledgement is due first.
    fn first_due(&self) -> Option<usize> {
        let due = |at: &usize| self.received[*at].due_since;
        (0..self.received.len())
            .filter(|at| due(at).is_some())
            .min_by_key(due)
    }

    /// Records for one frame and the path they take: those that are up in turn, else the first.
    fn next_records(&mut self) -> Option<(usize, Vec<Record>)> {
        let count = self.paths.len();
        let turns = (1..=count).map(|turn| (self.used_last + turn) % count);
        let has_room = |at: &usize| {
            let path = &self.paths[*at];
            let is_in_service = path.is_up || (*at == 0 && !self.paths.iter().any(|it| it.is_up));
            is_in_service && path.packets_in_flight() < WINDOW
        };
        let path = turns.into_iter().find(has_room)?;
        let capacity = self.capacity();
        let mut records = Vec::new();
        let mut len = 0;
        while let Some(record) = self.queue.pop_front() {
            if self.client.is_held_back(&record) {
                self.client.hold(record);
                continue;
            }
            if len + record.len() > capacity {
                self.queue.push_front(record);
                break;
            }
            len += record.len();
            records.push(record);
        }
        self.used_last = path;
        (!records.is_empty()).then_some((path, records))
    }
}
