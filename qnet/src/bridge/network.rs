//! The network-handler thread: the loop around link, engine and the two directions.

mod error;
mod presence;
mod telling;

use std::{collections::HashMap, sync::Arc, time::Duration};

use ipc_core::{
    Channel, CompletionQueue, Wake,
    abi::{Credentials, Errno, Nd},
};
use qnet_proto::{Allowance, Config, Engine, Event, Mac, NodeName, PeerId, Time};

use crate::{
    bridge::{
        Answers, BridgeCounters, Mailbox, Request, Turn,
        bells::{ChannelBell, QueueBell},
        inbound::Inbound,
        outbound::{Outbound, local_errno},
        pace::{Burst, Pace},
        resolving::Resolving,
        siege::Siege,
        store::Store,
    },
    config::{Host, UserMap},
    driver::{Arrived, Doorbell, Interface, Link, Sieve, now},
    limits::{FRAMES_PER_ROUND, NEWS_BURST, NEWS_INTERVAL_NS, NOTICES_RETRY},
};

pub use error::NetworkError;

/// What the thread is made of; everything in it may be made on another thread.
pub struct NetworkSetup {
    /// How the engine is to behave; the link is filled in.
    pub engine: Config,
    /// The ports of the thread's link.
    pub interfaces: Vec<Interface>,
    /// Nodes known from the start.
    pub hosts: Vec<Host>,
    /// Whom remote users count as.
    pub users: UserMap,
    /// The filters of the ports' sockets.
    pub sieves: Vec<Sieve>,
    pub(crate) channel: Arc<Channel>,
    pub(crate) queue: Arc<CompletionQueue>,
    pub(crate) mailbox: Mailbox,
    pub(crate) answers: Answers,
}

/// The network-handler thread's state.
pub struct Network {
    link: Box<dyn Link>,
    interfaces: Vec<Interface>,
    /// Which of them have a carrier.
    carriers: Vec<bool>,
    engine: Engine,
    store: Store,
    mailbox: Mailbox,
    requests: Vec<Request>,
    answers: Answers,
    resolving: Resolving,
    users: UserMap,
    names: HashMap<PeerId, NodeName>,
    /// Those that do not answer; at most one entry for each number of a node.
    ended: HashMap<PeerId, presence::Ended>,
    /// What may be told of them in the log, and how much was not.
    news: Allowance,
    news_untold: u64,
    counters: BridgeCounters,
    /// Of the frame handled last: what ended a resolution.
    frame_len: usize,
    pace: Pace,
    /// Whether this round did nothing that a doorbell would have to tell of, but did not: see
    /// [`Link::nothing_changed`].
    is_plain: bool,
    /// When the engine wanted to be called again, at the end of the last round.
    due: Option<Time>,
    siege: Siege,
    stopping: bool,
    /// When the node told the others that it is there.
    announced_at: Time,
    /// Who bears its name already, if it was told so when it came.
    refused_by: Option<Mac>,
    /// Local clients and servers that sleep beside what was handed to them; empty between two rounds.
    wakes: Vec<Wake>,
}

/// How the thread sleeps between two rounds.
enum Sleep {
    /// Until anything happens, or the time has come.
    Wait(Option<Time>),
    /// For so long, whatever comes meanwhile.
    Rest(Duration),
}

impl NetworkSetup {
    /// The doorbells that the thread's link is to be opened with.
    pub fn doorbells(&self) -> Vec<Box<dyn Doorbell>> {
        vec![
            Box::new(ChannelBell::new(Arc::clone(&self.channel))),
            Box::new(QueueBell::new(Arc::clone(&self.queue))),
        ]
    }
}

impl Network {
    /// Puts the thread's state together around its link.
    ///
    /// # Errors
    /// `EINVAL` a configuration that the engine refuses, `EAGAIN` more hosts than it takes.
    pub fn new(setup: NetworkSetup, link: Box<dyn Link>) -> Result<Network, Errno> {
        let mut engine = Engine::new(setup.engine).map_err(local_errno)?;
        let mut names = HashMap::new();
        for host in &setup.hosts {
            // The hosts file may name this node too: it is the same file on all nodes.
            if host.name != engine.config().name {
                let peer = engine
                    .add_host(host.name, host.link, host.mac)
                    .map_err(local_errno)?;
                names.insert(peer, host.name);
            }
        }
        Ok(Network {
            link,
            carriers: vec![true; setup.interfaces.len()],
            interfaces: setup.interfaces,
            engine,
            store: Store::new(
                Outbound::new(setup.channel),
                Inbound::new(setup.queue, setup.mailbox.clone()),
            ),
            mailbox: setup.mailbox,
            requests: Vec::new(),
            answers: setup.answers,
            resolving: Resolving::default(),
            users: setup.users,
            names,
            ended: HashMap::new(),
            news: Allowance::new(NEWS_BURST, NEWS_INTERVAL_NS),
            news_untold: 0,
            counters: BridgeCounters::default(),
            frame_len: 0,
            pace: Pace::default(),
            is_plain: false,
            due: None,
            siege: Siege::new(setup.sieves),
            stopping: false,
            announced_at: Time::default(),
            refused_by: None,
            wakes: Vec::new(),
        })
    }

    /// Runs until it is asked to stop.
    ///
    /// # Errors
    /// The link is of no more use, or another node bears this one's name and did so before.
    pub fn run(&mut self) -> Result<(), NetworkError> {
        loop {
            let (now, has_more) = self.round(now());
            if self.stopping {
                return self.say_goodbye().map_err(NetworkError::from);
            }
            if let Some(mac) = self.refused_by {
                // Whoever heard the announcement forgets it, and finds the other one.
                self.say_goodbye()?;
                let name = self.engine.config().name;
                return Err(NetworkError::NameInUse { name, mac });
            }
            self.due = self.engine.poll_timeout();
            if self.is_plain {
                self.link.nothing_changed();
            }
            match self.sleep(now, has_more) {
                Sleep::Wait(until) => self.link.wait_until(now, until)?,
                Sleep::Rest(span) => self.link.rest(span)?,
            }
        }
    }

    /// How the thread is to sleep after a round.
    fn sleep(&self, now: Time, has_more: bool) -> Sleep {
        if has_more {
            return Sleep::Wait(Some(now));
        }
        let retry = self.store.inbound.has_notices();
        let retry = retry.then(|| now + NOTICES_RETRY);
        let until = self.due.into_iter().chain(retry).min();
        let crowd = self.store.outbound.pending() + self.store.inbound.pending();
        match self.pace.rest(crowd, self.engine.coming_len()) {
            Some(span) if until.is_none_or(|until| until > now + span) => Sleep::Rest(span),
            _ => Sleep::Wait(until),
        }
    }

    /// Does everything there is to do, from the moment `began` on. Answers the moment it is about done, and
    /// whether there may be more at once.
    fn round(&mut self, began: Time) -> (Time, bool) {
        self.counters.rounds += 1;
        self.is_plain = !self.store.inbound.has_notices();
        let mut burst = Burst::default();
        let frames = self.receive_frames(began, &mut burst);
        // Reading the clock costs as much as a small frame: one or two take no time worth it.
        let now = match burst.events {
            0..=2 => began,
            _ => now(),
        };
        self.note_carriers(now);
        self.siege.note(now, &self.engine);
        let mut turn = Turn {
            now,
            engine: &mut self.engine,
            counters: &mut self.counters,
            short_calls: 0,
        };
        let taken = turn.counters.messages_out + turn.counters.replies_out;
        let (mut messages, mut answers) = (false, false);
        // After a sleep that frames alone have ended there is nothing, and what comes now the next sleep finds.
        let waits = self.store.outbound.has_held() || self.store.inbound.has_completed();
        if self.link.may_have_rung() || waits {
            self.is_plain = false;
            messages = self.store.outbound.receive(&mut turn);
            answers = self.store.inbound.collect(&mut turn);
        }
        burst.events += turn.counters.messages_out + turn.counters.replies_out - taken;
        self.pace.note(now, burst);
        if turn.short_calls > 0 {
            self.pace.note_short_call(now);
        }
        self.store.inbound.retry_notices(&mut turn);
        self.serve_requests(now);
        if let Some(due) = self.due.filter(|due| *due <= now) {
            presence::tell_absence(now - due);
            self.engine.handle_timeout(now);
        }
        self.handle_events(now);
        self.flush(now);
        let more = self.hand_over(now) || self.store.outbound.may_have_room();
        let now = match burst.events {
            0..=2 => now,
            _ => crate::driver::now(),
        };
        (now, frames || messages || answers || more)
    }

    fn note_carriers(&mut self, now: Time) {
        while let Some((port, is_up)) = self.link.next_carrier() {
            let name = &self.interfaces[usize::from(port.0)].name;
            match is_up {
                true => tracing::info!("{name} has a carrier again"),
                false => tracing::warn!("{name} has no carrier"),
            }
            self.carriers[usize::from(port.0)] = is_up;
            self.engine.set_carrier(now, port, is_up);
            // Who wants out of a message is to find what that waits for now.
            self.handle_events(now);
        }
    }

    fn receive_frames(&mut self, now: Time, burst: &mut Burst) -> bool {
        let mut frames = 0;
        let mut is_dry = false;
        let len_max = self.pace.receive_len(now) as u64;
        while frames < FRAMES_PER_ROUND && burst.len < len_max {
            let (engine, store) = (&self.engine, &mut self.store);
            let mut place = |frame: &[u8], known| store.place(engine.foresee(frame, known)?);
            let Some(arrived) = self.link.next_frame_placing(&mut place) else {
                is_dry = true;
                break;
            };
            frames += 1;
            let Arrived {
                port,
                frame,
                has_hole,
            } = arrived;
            if !has_hole {
                self.store.end_placing();
            }
            self.frame_len = frame.len();
            burst.events += 1;
            burst.len += frame.len() as u64;
            self.engine.handle_frame(now, port, frame, &mut self.store);
            self.store.end_placing();
            // Events are handled frame by frame, so that what a frame makes free is free for the next.
            self.handle_events(now);
        }
        self.flush(now);
        !is_dry
    }

    /// Hands local servers their messages, and local clients their replies: once for all that came together.
    fn flush(&mut self, now: Time) {
        let mut turn = Turn {
            now,
            engine: &mut self.engine,
            counters: &mut self.counters,
            short_calls: 0,
        };
        self.store.inbound.hand_over_due(&mut turn);
        self.store.outbound.flush();
    }

    /// Queues what the link is to do with its next system call: frames, and wake-ups of local clients and servers.
    /// Answers whether frames may be left.
    fn hand_over(&mut self, now: Time) -> bool {
        // What is small goes with the first frame; who sleeps here does not wait until the others have left.
        let has_more = self.transmit(now, 1);
        self.store.take_wakes(&mut self.wakes);
        if !self.wakes.is_empty() {
            self.link.wake(&self.wakes);
            self.wakes.clear();
        }
        has_more && self.transmit(now, self.pace.transmit_len(now))
    }

    /// Writes frames as long as there are buffers, up to the one that makes them `len_min` bytes or more. Answers
    /// whether frames may be left.
    fn transmit(&mut self, now: Time, len_min: usize) -> bool {
        let seals = self.engine.config().seals;
        let mut len = 0;
        while let Some(frame) = self.link.frame_buffer() {
            // A seal is over all bytes of a frame, as they are when it is filled.
            if !seals {
                self.store.begin_frame(frame);
            }
            let transmit = self.engine.poll_transmit(now, frame, &self.store);
            let hole = self.store.end_frame();
            let Some(transmit) = transmit else {
                return false;
            };
            match hole {
                Some(hole) => self
                    .link
                    .queue_with_hole_to(transmit.link, transmit.len, hole),
                None => self.link.queue_to(transmit.link, transmit.len),
            }
            if transmit.dst_mac == Mac::BROADCAST {
                self.resolving.broadcast(transmit.len);
            }
            len += transmit.len;
            if len >= len_min {
                break;
            }
        }
        true
    }

    fn serve_requests(&mut self, now: Time) {
        let mut requests = std::mem::take(&mut self.requests);
        self.mailbox.take(&mut requests);
        for request in requests.drain(..) {
            self.is_plain = false;
            self.serve(now, request);
        }
        self.requests = requests;
    }

    fn serve(&mut self, now: Time, request: Request) {
        let mut turn = Turn {
            now,
            engine: &mut self.engine,
            counters: &mut self.counters,
            short_calls: 0,
        };
        match request {
            Request::Resolve(name) => self.resolve(now, name),
            // Who asked may have given up.
            Request::Nodes(to) => drop(to.try_send(self.engine.nodes().collect())),
            Request::Statistics(to) => drop(to.try_send(self.statistics())),
            Request::Attached { conn, outcome } => {
                self.store.inbound.attached(&mut turn, conn, outcome);
            }
            Request::Event {
                conn,
                handle,
                receipt,
            } => self.store.inbound.event(&mut turn, conn, handle, receipt),
            Request::ServerDied(conn) => {
                self.store.inbound.close(&mut turn, conn, Errno::ESRCH);
            }
            Request::Stop => self.stopping = true,
        }
    }

    fn resolve(&mut self, now: Time, name: NodeName) {
        if self.resolving.begin(name, now) {
            return;
        }
        if let Err(errno) = self.engine.resolve(now, name) {
            self.resolved(now, name, Err(local_errno(errno)));
        }
    }

    fn resolved(&mut self, now: Time, name: NodeName, outcome: Result<PeerId, Errno>) {
        let mac = |peer| {
            self.engine
                .nodes()
                .find(|node| node.peer == peer)
                .map(|node| node.mac)
        };
        let outcome = outcome.map(|peer| (Nd(peer.0), mac(peer)));
        if let Some(answer) = self.resolving.end(name, now, outcome, self.frame_len) {
            self.answers.put(answer);
        }
    }

    fn handle_events(&mut self, now: Time) {
        while let Some(event) = self.engine.poll_event() {
            self.is_plain &= matches!(
                event,
                Event::Replied { .. }
                    | Event::RunReplied { .. }
                    | Event::MessageArrived { .. }
                    | Event::RunArrived { .. }
                    | Event::ReplyDone { .. }
                    | Event::RunDone { .. }
            );
            self.handle_event(now, event);
        }
        self.store.outbound.settle();
    }

    fn handle_event(&mut self, now: Time, event: Event) {
        let turn = &mut Turn {
            now,
            engine: &mut self.engine,
            counters: &mut self.counters,
            short_calls: 0,
        };
        let Store {
            outbound, inbound, ..
        } = &mut self.store;
        match event {
            Event::NodeSeen { .. }
            | Event::NodeGone { .. }
            | Event::DuplicateName { .. }
            | Event::PeerUp { .. }
            | Event::PeerDown { .. } => self.note(event),
            Event::Resolved { name, peer } => {
                self.names.insert(peer, name);
                self.resolved(now, name, Ok(peer));
            }
            Event::ResolveFailed { name, errno } => {
                self.resolved(now, name, Err(local_errno(errno)));
            }
            Event::Replied { call, status, .. } => {
                turn.counters.replies_in += 1;
                outbound.replied(call, status);
            }
            Event::RunReplied {
                run,
                members,
                status,
            } => {
                turn.counters.replies_in += u64::from(members.count_ones());
                outbound.run_replied(run, members, status);
            }
            Event::LeftRun { run, at, call } => outbound.left_run(run, at, call),
            Event::Received { call } => outbound.received(call),
            Event::Failed { call, errno } => {
                turn.counters.errors_in += 1;
                outbound.failed(call, errno);
            }
            Event::Closed { conn, errno } => outbound.closed(conn, errno),
            Event::ClientPulse { conn, pulse } => outbound.server_says(turn, conn, pulse),
            Event::Attach { conn, peer, info } => {
                let node = self.names.get(&peer).map_or("", NodeName::as_str);
                let (uid, gid) = (info.uid, info.gid);
                let credentials = self.users.map(node, Credentials { uid, gid });
                inbound.attach(conn, peer, &info, credentials);
            }
            Event::Credentials { conn, .. } => {
                tracing::debug!("{conn:?}: credentials stay those of the attach");
            }
            Event::MessageArrived { call, .. } => inbound.arrived(turn, call),
            Event::RunArrived { run, .. } => inbound.run_arrived(turn, run),
            Event::TakenOut { run, at, call } => inbound.taken_out(run, at, call),
            Event::RunDone { run } => inbound.run_done(run),
            Event::CancelRequested { call, cancel } => {
                inbound.cancel(turn, call, cancel);
            }
            Event::Abandoned { call } => inbound.abandoned(call),
            Event::ReplyDone { call } => inbound.reply_done(call),
            Event::ServerPulse { conn, pulse } => inbound.pulse(turn, conn, pulse),
            Event::Detached { conn } => inbound.detached(turn, conn),
        }
    }
}
