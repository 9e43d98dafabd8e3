//! The stranger as a node: its ports, its name and life, whom it heard, its one session; sections 3 and 4.

use std::collections::BTreeMap;
use std::hash::{BuildHasher, RandomState};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::frame::{BROADCAST, Frame, Station};
use crate::handshake::{Attempt, Cookies};
use crate::hello::{Hello, Name};
use crate::path::Path;
use crate::port::Port;
use crate::record::Record;
use crate::session::{Ended, Session};

/// Ends every wait.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);
/// Bytes that the other may have in flight to us.
const RECEIVE_WINDOW: u32 = 1 << 20;
/// Acknowledgements wait only for what came with what they acknowledge.
const ACK_DELAY_US: u32 = 1000;
const UNKNOWN: u8 = 1;

/// Whether a frame is to be lost.
pub(crate) type Losing = Box<dyn FnMut(&Frame) -> bool>;

/// A node made from the document.
pub(crate) struct Node {
    pub(crate) name: Name,
    pub(crate) epoch: u64,
    pub(crate) mtu: u16,
    pub(crate) session: Option<Session>,
    pub(crate) attempt: Option<Attempt>,
    /// Hellos of the present life of each node, by where they came from.
    pub(crate) heard: BTreeMap<Name, BTreeMap<(usize, Station), Hello>>,
    /// Goodbyes and Resets outside any session.
    pub(crate) told: Vec<Record>,
    /// Loses frames that were received, or are to be sent.
    pub(crate) lose_received: Losing,
    pub(crate) lose_sent: Losing,
    /// Sends every frame twice.
    pub(crate) is_doubling: bool,
    is_sealed: bool,
    ports: Vec<Port>,
    cookies: Cookies,
}

impl Node {
    pub(crate) fn new(name: &str, interfaces: &[&str], mtu: u16, is_sealed: bool) -> Node {
        Node {
            name: name.to_owned(),
            epoch: random(),
            mtu,
            session: None,
            attempt: None,
            heard: BTreeMap::new(),
            told: Vec::new(),
            lose_received: Box::new(|_| false),
            lose_sent: Box::new(|_| false),
            is_doubling: false,
            is_sealed,
            ports: interfaces
                .iter()
                .map(|interface| Port::open(interface))
                .collect(),
            cookies: Cookies::default(),
        }
    }

    pub(crate) fn hello(&self) -> Hello {
        Hello {
            epoch: self.epoch,
            receive_window: RECEIVE_WINDOW,
            ack_delay_us: ACK_DELAY_US,
            mtu: self.mtu,
            station: self.ports[0].station,
            name: self.name.clone(),
        }
    }

    /// The session, which there is.
    pub(crate) fn session(&mut self) -> &mut Session {
        self.session.as_mut().expect("a session")
    }

    pub(crate) fn announce(&mut self) {
        let hello = self.hello();
        self.broadcast(&Record::Announce(hello));
    }

    pub(crate) fn ask_who_is(&mut self, name: &str) {
        let hello = self.hello();
        self.broadcast(&Record::WhoIs(hello, name.to_owned()));
    }

    /// Leaves: a Bye in the session, then Goodbye to everybody.
    pub(crate) fn leave(&mut self) {
        let stations = self.stations();
        if let Some(mut session) = self.session.take() {
            let (port, frame) = session.frame(0, vec![Record::Bye], &stations);
            self.send(port, &frame);
        }
        let hello = self.hello();
        self.broadcast(&Record::Goodbye(hello));
    }

    /// Goes on until `done` gives something.
    pub(crate) fn until<T>(
        &mut self,
        what: &str,
        mut done: impl FnMut(&mut Node) -> Option<T>,
    ) -> T {
        let end = Instant::now() + PATIENCE;
        loop {
            if let Some(value) = done(self) {
                return value;
            }
            let session = &self.session;
            assert!(
                Instant::now() < end,
                "waited {PATIENCE:?} for {what}: {session:?}"
            );
            self.step(end, true);
        }
    }

    /// Goes on for so long, wanting nothing.
    pub(crate) fn idle(&mut self, span: Duration) {
        let end = Instant::now() + span;
        while Instant::now() < end {
            self.step(end, false);
        }
    }

    /// One round: what is to be sent, then what arrives and what is due, at the latest at `end`.
    fn step(&mut self, end: Instant, is_busy: bool) {
        self.go_on_attempting();
        if let Some(session) = &mut self.session {
            session.handle_time(is_busy);
        }
        self.flush();
        let session = self.session.as_ref().map(Session::time_at);
        let attempt = self.attempt.as_ref().map(|attempt| attempt.next_at);
        let wake = [session, attempt]
            .into_iter()
            .flatten()
            .fold(end, Instant::min);
        self.sleep_until(wake);
        for port in 0..self.ports.len() {
            while let Some(bytes) = self.ports[port].try_receive() {
                let frame = Frame::decode(bytes, self.is_sealed)
                    .unwrap_or_else(|error| panic!("not as the document says: {error}"));
                self.handle(frame, port);
            }
        }
    }

    fn sleep_until(&self, wake: Instant) {
        let left_ms = wake.saturating_duration_since(Instant::now()).as_millis() + 1;
        let timeout = PollTimeout::try_from(left_ms.min(1000)).expect("a second");
        let mut fds: Vec<PollFd<'_>> = self
            .ports
            .iter()
            .map(|port| PollFd::new(port.as_fd(), PollFlags::POLLIN))
            .collect();
        poll(&mut fds, timeout).expect("the sockets are open");
    }

    fn handle(&mut self, frame: Frame, port: usize) {
        let own = self.ports[port].station;
        let is_for_us = frame.to == own || frame.to == BROADCAST;
        if !is_for_us || (self.lose_received)(&frame) {
            return;
        }
        if frame.session == 0 {
            return self.handle_outside(frame, port);
        }
        if self
            .session
            .as_ref()
            .is_none_or(|session| session.number != frame.session)
        {
            if self.handle_confirm(&frame, port) {
                return self.handle(frame, port);
            }
            let (session, epoch, reason) = (frame.session, self.epoch, UNKNOWN);
            let reset = Record::Reset {
                session,
                epoch,
                reason,
            };
            return self.send(port, &Frame::outside(frame.from, own, reset));
        }
        let session = self.session.as_mut().expect("it was just there");
        let from = frame.from;
        match session.path_to(port, from) {
            Some(back) => session.handle(frame, back),
            None => {
                // The peer answers, and what was dropped comes again.
                let question = Record::WhoIs(self.hello(), self.peer_name());
                self.send(port, &Frame::outside(from, own, question));
            }
        }
    }

    fn handle_outside(&mut self, frame: Frame, port: usize) {
        let own = self.ports[port].station;
        let from = frame.from;
        for record in frame.records {
            match record {
                Record::Announce(hello) => {
                    self.hear(hello, port, from);
                    let answer = Record::IAm(self.hello());
                    self.send(port, &Frame::outside(from, own, answer));
                }
                Record::WhoIs(hello, name) => {
                    self.hear(hello, port, from);
                    if name == self.name {
                        let answer = Record::IAm(self.hello());
                        self.send(port, &Frame::outside(from, own, answer));
                    }
                }
                Record::IAm(hello) => self.hear(hello, port, from),
                Record::Init(init) => {
                    let may_wait = self.attempt.is_some() && init.hello.name > self.name;
                    self.hear(init.hello.clone(), port, from);
                    if !may_wait {
                        let answer = self.cookies.answer(&init, self.hello(), port, from);
                        self.send(port, &Frame::outside(from, own, Record::InitAck(answer)));
                    }
                }
                Record::InitAck(answer) => self.handle_init_ack(answer, port, from),
                Record::Reset {
                    session,
                    epoch,
                    reason: UNKNOWN,
                } => {
                    let peer = self.session.as_mut().filter(|open| open.number == session);
                    if let Some(open) = peer {
                        let is_same = epoch == open.peer.epoch;
                        open.ended = Some(if is_same {
                            Ended::Lost
                        } else {
                            Ended::Restarted
                        });
                    }
                }
                told => self.told.push(told),
            }
        }
    }

    fn hear(&mut self, hello: Hello, port: usize, from: Station) {
        let addresses = self.heard.entry(hello.name.clone()).or_default();
        addresses.retain(|_, known| known.epoch == hello.epoch);
        addresses.insert((port, from), hello.clone());
        let mtu = self.mtu;
        if let Some(session) = &mut self.session
            && session.peer.name == hello.name
            && session.peer.epoch == hello.epoch
            && session.path_to(port, from).is_none()
        {
            session.add_path(Path::new(port, from, mtu.min(hello.mtu).into()));
        }
    }

    /// Whether a frame of an unknown session is a good Confirm, of which there is a session now.
    fn handle_confirm(&mut self, frame: &Frame, port: usize) -> bool {
        let Some(Record::Confirm(confirm)) = frame.records.first() else {
            return false;
        };
        let is_good = !frame.responder
            && confirm.session() == frame.session
            && confirm.other_epoch == self.epoch
            && self
                .cookies
                .is_good(confirm, &self.hello(), port, frame.from);
        if is_good {
            let mtu = self.mtu.min(confirm.hello.mtu).into();
            let path = Path::new(port, frame.from, mtu);
            let peer = confirm.hello.clone();
            self.session = Some(Session::new(frame.session, true, peer, path));
            self.attempt = None;
        }
        is_good
    }

    fn peer_name(&self) -> Name {
        self.session
            .as_ref()
            .map(|session| session.peer.name.clone())
            .expect("a session")
    }

    fn flush(&mut self) {
        let stations = self.stations();
        while let Some((port, frame)) = self
            .session
            .as_mut()
            .and_then(|session| session.next_frame(&stations))
        {
            self.send(port, &frame);
        }
        let Some(session) = self
            .session
            .as_mut()
            .filter(|session| session.is_established)
        else {
            return;
        };
        let pings: Vec<_> = session
            .untried()
            .into_iter()
            .map(|path| session.frame(path, vec![Record::Ping], &stations))
            .collect();
        for (port, frame) in pings {
            self.send(port, &frame);
        }
    }

    pub(crate) fn stations(&self) -> Vec<Station> {
        self.ports.iter().map(|port| port.station).collect()
    }

    pub(crate) fn broadcast(&mut self, record: &Record) {
        for port in 0..self.ports.len() {
            let frame = Frame::outside(BROADCAST, self.ports[port].station, record.clone());
            self.send(port, &frame);
        }
    }

    pub(crate) fn send(&mut self, port: usize, frame: &Frame) {
        if (self.lose_sent)(frame) {
            return;
        }
        let bytes = frame.encode(self.is_sealed);
        for _ in 0..1 + usize::from(self.is_doubling) {
            self.ports[port].send(&bytes);
        }
    }
}

/// A number of 64 bits that is not 0 and that nobody guesses.
pub(crate) fn random() -> u64 {
    RandomState::new().hash_one(std::process::id()) | 1
}
