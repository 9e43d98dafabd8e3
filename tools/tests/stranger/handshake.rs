//! How a session is set up, from both sides: section 4.

use std::hash::{BuildHasher, RandomState};
use std::time::{Duration, Instant};

use crate::bytes::Writer;
use crate::frame::{Frame, Station};
use crate::hello::{Handshake, Hello, Name};
use crate::node::{Node, random};
use crate::path::Path;
use crate::record::Record;
use crate::session::Session;

/// How long a cookie is good.
const COOKIE_LIFE: Duration = Duration::from_secs(1);
/// Waits between repetitions; the last one repeats.
const REPEATS_MS: [u64; 5] = [20, 40, 80, 160, 200];
/// Confirms of one attempt.
const CONFIRMS: usize = 5;

/// An attempt to set up a session.
pub(crate) struct Attempt {
    pub(crate) name: Name,
    pub(crate) next_at: Instant,
    pub(crate) nonce: u32,
    tries: usize,
    /// What came as InitAck.
    answer: Option<Handshake>,
}

impl Attempt {
    fn new(name: &str) -> Attempt {
        let nonce = (random() >> 32) as u32 | 1;
        Attempt {
            name: name.to_owned(),
            next_at: Instant::now(),
            nonce,
            tries: 0,
            answer: None,
        }
    }

    /// The wait until the next try.
    fn count(&mut self) {
        let wait_ms = REPEATS_MS[self.tries.min(REPEATS_MS.len() - 1)];
        self.tries += 1;
        self.next_at = Instant::now() + Duration::from_millis(wait_ms);
    }
}

impl Node {
    /// Begins a session with a node that was heard.
    pub(crate) fn begin_session(&mut self, name: &str) {
        self.session = None;
        self.attempt = Some(Attempt::new(name));
    }

    /// Finds a node, sets up a session with it and waits until it is there.
    pub(crate) fn connect(&mut self, name: &str) {
        self.until("a hello", |node| {
            if node.heard.contains_key(name) {
                return Some(());
            }
            node.ask_who_is(name);
            None
        });
        self.begin_session(name);
        self.until("the session", |node| {
            let session = node.session.as_ref();
            session
                .is_some_and(|session| session.is_established)
                .then_some(())
        });
    }

    /// Sends what an attempt has to send now.
    pub(crate) fn go_on_attempting(&mut self) {
        if self
            .session
            .as_ref()
            .is_some_and(|session| session.is_established)
        {
            self.attempt = None;
        }
        let Some(mut attempt) = self.attempt.take() else {
            return;
        };
        if attempt.next_at <= Instant::now() {
            if attempt.answer.is_some() && attempt.tries == CONFIRMS {
                self.session = None;
                attempt = Attempt::new(&attempt.name);
            }
            attempt.count();
            match &attempt.answer {
                Some(answer) => self.send_confirm(answer),
                None => self.send_init(&attempt),
            }
        }
        self.attempt = Some(attempt);
    }

    fn send_init(&mut self, attempt: &Attempt) {
        let init = Handshake {
            hello: self.hello(),
            initiator_nonce: attempt.nonce,
            responder_nonce: 0,
            other_epoch: 0,
            stamp: 0,
            cookie: [0; 16],
        };
        let addresses: Vec<(usize, Station)> = self.heard[&attempt.name].keys().copied().collect();
        let stations = self.stations();
        for (port, to) in addresses {
            let init = Record::Init(init.clone());
            self.send(port, &Frame::outside(to, stations[port], init));
        }
    }

    fn send_confirm(&mut self, answer: &Handshake) {
        let confirm = Handshake {
            hello: self.hello(),
            other_epoch: answer.hello.epoch,
            ..answer.clone()
        };
        let stations = self.stations();
        let records = vec![Record::Confirm(confirm)];
        let (port, frame) = self.session().frame(0, records, &stations);
        self.send(port, &frame);
    }

    /// Takes an InitAck: the first that answers the attempt counts.
    pub(crate) fn handle_init_ack(&mut self, answer: Handshake, port: usize, from: Station) {
        let Some(attempt) = &mut self.attempt else {
            return;
        };
        let is_ours = answer.hello.name == attempt.name
            && answer.initiator_nonce == attempt.nonce
            && answer.other_epoch == self.epoch
            && attempt.answer.is_none();
        if !is_ours {
            return;
        }
        attempt.tries = 0;
        attempt.next_at = Instant::now();
        attempt.answer = Some(answer.clone());
        let mtu = self.mtu.min(answer.hello.mtu).into();
        let path = Path::new(port, from, mtu);
        let mut session = Session::new(answer.session(), false, answer.hello.clone(), path);
        let others = self.heard.get(&answer.hello.name).into_iter().flatten();
        for (&(port, station), hello) in others {
            if session.path_to(port, station).is_none() {
                session.add_path(Path::new(port, station, self.mtu.min(hello.mtu).into()));
            }
        }
        self.session = Some(session);
    }
}

/// What a responder needs to know its own cookies again, without keeping anything of who asks.
pub(crate) struct Cookies {
    keys: RandomState,
    born: Instant,
}

impl Default for Cookies {
    fn default() -> Cookies {
        Cookies {
            keys: RandomState::new(),
            born: Instant::now(),
        }
    }
}

impl Cookies {
    /// The InitAck to an Init.
    pub(crate) fn answer(
        &self,
        init: &Handshake,
        hello: Hello,
        port: usize,
        from: Station,
    ) -> Handshake {
        let stamp = self.born.elapsed().as_micros() as u64;
        let (nonce, cookie) = self.hashes(init, &hello, port, from, stamp);
        Handshake {
            initiator_nonce: init.initiator_nonce,
            responder_nonce: nonce,
            other_epoch: init.hello.epoch,
            stamp,
            cookie,
            hello,
        }
    }

    /// Whether a Confirm brings a cookie of ours that is not too old.
    pub(crate) fn is_good(
        &self,
        confirm: &Handshake,
        hello: &Hello,
        port: usize,
        from: Station,
    ) -> bool {
        let (nonce, cookie) = self.hashes(confirm, hello, port, from, confirm.stamp);
        let age = self.born.elapsed().as_micros() as u64 - confirm.stamp;
        (nonce, cookie) == (confirm.responder_nonce, confirm.cookie)
            && age <= COOKIE_LIFE.as_micros() as u64
    }

    fn hashes(
        &self,
        asker: &Handshake,
        hello: &Hello,
        port: usize,
        from: Station,
        stamp: u64,
    ) -> (u32, [u8; 16]) {
        let mut asked = Writer::default();
        asker.hello.put(&mut asked);
        asked
            .u32(asker.initiator_nonce)
            .bytes(&from)
            .u64(stamp)
            .u64(hello.epoch);
        let hash = |which: u8| self.keys.hash_one((which, port, &asked.0));
        let cookie = [hash(0), hash(1)].map(u64::to_be_bytes).concat();
        (hash(2) as u32, cookie.try_into().expect("twice eight"))
    }
}
