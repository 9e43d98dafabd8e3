//! Two engines on one cable, and the bytes of their messages: a small bench for single situations.

use std::collections::{BTreeMap, VecDeque};

use qnet_proto::{
    Accept, Config, ConnectInfo, Engine, Event, Foreseen, InboundCall, InboundRun, Incoming,
    LinkConfig, LinkId, Mac, NodeName, OutboundCall, OutboundConn, OutboundRun, Outgoing, PeerId,
    Store, Time,
};

pub(crate) const MS: u64 = 1_000_000;
pub(crate) const CABLE_NS: u64 = 20_000;
/// Bytes of a frame that are looked at before it is received.
pub(crate) const HEAD_LEN: usize = 256;

/// Bytes of one node's messages.
#[derive(Default)]
pub(crate) struct Bytes {
    pub(crate) messages: BTreeMap<OutboundCall, Vec<u8>>,
    /// How long the messages of a run are, which consist of zeros.
    pub(crate) sent_runs: BTreeMap<OutboundRun, usize>,
    pub(crate) replies: BTreeMap<OutboundCall, Vec<u8>>,
    pub(crate) arrived: BTreeMap<InboundCall, Vec<u8>>,
    pub(crate) answers: BTreeMap<InboundCall, Vec<u8>>,
    pub(crate) accepted: usize,
    /// What was said of each message when it began to arrive: the pulses before it, and whether its client wants to know.
    pub(crate) said: Vec<(InboundCall, u64, bool)>,
    /// What the frame that is being taken has placed: whose, where, how much.
    pub(crate) placed: Vec<(InboundCall, u32, usize)>,
    /// Whether there is a buffer for every message at once.
    pub(crate) has_buffers: bool,
    /// Whether messages that come together are kept together.
    pub(crate) takes_runs: bool,
    /// The messages of each run that was taken.
    pub(crate) runs: BTreeMap<InboundRun, Vec<Vec<u8>>>,
}

impl Store for Bytes {
    fn read_message(&self, call: OutboundCall, offset: u32, into: &mut [u8]) {
        into.copy_from_slice(&self.messages[&call][offset as usize..][..into.len()]);
    }

    fn write_reply(&mut self, call: OutboundCall, offset: u32, bytes: &[u8]) {
        let reply = self.replies.entry(call).or_default();
        reply.resize(reply.len().max(offset as usize + bytes.len()), 0);
        reply[offset as usize..][..bytes.len()].copy_from_slice(bytes);
    }

    fn accept(&mut self, call: InboundCall, incoming: &Incoming) -> Accept {
        self.accepted += 1;
        self.said.push((call, incoming.pulses, incoming.reports));
        self.arrived.insert(call, vec![0; incoming.len as usize]);
        match self.has_buffers {
            true => Accept::All,
            false => Accept::Eager,
        }
    }

    fn accept_run(&mut self, run: InboundRun, incoming: &Incoming, bytes: &[u8]) -> bool {
        if self.takes_runs {
            let messages = bytes.chunks_exact(incoming.len as usize);
            let before = self
                .runs
                .insert(run, messages.map(<[u8]>::to_vec).collect());
            assert!(before.is_none(), "a handle names one run");
        }
        self.takes_runs
    }

    fn write_message(&mut self, call: InboundCall, offset: u32, bytes: &[u8]) {
        self.placed.push((call, offset, bytes.len()));
        let message = self.arrived.get_mut(&call).expect("accepted");
        message[offset as usize..][..bytes.len()].copy_from_slice(bytes);
    }

    fn read_reply(&self, call: InboundCall, offset: u32, into: &mut [u8]) {
        into.copy_from_slice(&self.answers[&call][offset as usize..][..into.len()]);
    }
}

pub(crate) struct Node {
    pub(crate) engine: Engine,
    pub(crate) bytes: Bytes,
    pub(crate) events: Vec<Event>,
}

/// Node 0 is `left`, node 1 is `right`.
pub(crate) struct Pair {
    pub(crate) now: Time,
    pub(crate) nodes: [Node; 2],
    cable: VecDeque<(Time, usize, LinkId, Vec<u8>)>,
    /// Every frame sent: by whom, and its bytes.
    pub(crate) sent: Vec<(usize, Vec<u8>)>,
    /// Through which link each of them went.
    pub(crate) sent_on: Vec<LinkId>,
    /// Links that silently carry nothing.
    pub(crate) cut: Vec<LinkId>,
    /// Bytes of the longest frame that a link carries.
    pub(crate) passes: usize,
    /// How many frames were foreseen to place bytes.
    pub(crate) foreseen: usize,
    /// Decides whether the n-th frame is lost.
    pub(crate) loses: fn(u64) -> bool,
    /// Whether a server echoes by itself.
    pub(crate) echoes: bool,
}

pub(crate) fn mac(index: usize) -> Mac {
    Mac([2, 0, 0, 0, 0, index as u8 + 1])
}

pub(crate) fn config(index: usize, mtu: usize, life: u8) -> Config {
    let name = NodeName::new(["left", "right"][index]).expect("a legal name");
    let link = LinkConfig {
        mac: mac(index),
        mtu,
    };
    Config::new(name, vec![link], [index as u8 + 1 + 10 * life; 32])
}

impl Node {
    fn new(config: Config) -> Node {
        Node {
            engine: Engine::new(config).expect("sound"),
            bytes: Bytes {
                has_buffers: true,
                ..Bytes::default()
            },
            events: Vec::new(),
        }
    }
}

impl Pair {
    pub(crate) fn new(mtu: usize) -> Pair {
        Pair::with(config(0, mtu, 1), config(1, mtu, 1))
    }

    pub(crate) fn with(left: Config, right: Config) -> Pair {
        Pair {
            now: Time(1),
            nodes: [Node::new(left), Node::new(right)],
            cable: VecDeque::new(),
            sent: Vec::new(),
            sent_on: Vec::new(),
            cut: Vec::new(),
            passes: usize::MAX,
            foreseen: 0,
            loses: |_| false,
            echoes: true,
        }
    }

    /// Two nodes that know each other, with a connection and one small call behind them.
    pub(crate) fn connected(mtu: usize) -> (Pair, OutboundConn) {
        let mut pair = Pair::new(mtu);
        let conn = pair.connect();
        pair.call(conn, b"first");
        pair.settle();
        pair.nodes.iter_mut().for_each(|node| node.events.clear());
        pair.sent.clear();
        (pair, conn)
    }

    pub(crate) fn restart(&mut self, index: usize, life: u8) {
        let mtu = self.nodes[index].engine.config().links[0].mtu;
        self.nodes[index] = Node::new(config(index, mtu, life));
    }

    pub(crate) fn peer(&mut self) -> PeerId {
        self.nodes[0]
            .engine
            .add_host(NodeName::new("right").expect("legal"), LinkId(0), mac(1))
            .expect("room")
    }

    pub(crate) fn connect(&mut self) -> OutboundConn {
        let peer = self.peer();
        let info = ConnectInfo {
            server_pid: 7,
            server_chid: 1,
            client_pid: 9,
            ..ConnectInfo::default()
        };
        self.nodes[0]
            .engine
            .connect(peer, info)
            .expect("a known peer")
    }

    pub(crate) fn send(&mut self, conn: OutboundConn, message: &[u8]) -> OutboundCall {
        self.send_as(conn, message, false)
    }

    /// Sends a message, of whose receipt the client may want to know.
    pub(crate) fn send_as(
        &mut self,
        conn: OutboundConn,
        message: &[u8],
        reports: bool,
    ) -> OutboundCall {
        let outgoing = Outgoing {
            len: message.len() as u32,
            reply_len: message.len() as u32,
            priority: 10,
            tid: 1,
            reports,
        };
        let call = self.nodes[0]
            .engine
            .send(self.now, conn, outgoing)
            .expect("a live connection");
        self.nodes[0].bytes.messages.insert(call, message.to_vec());
        call
    }

    /// Sends and runs until the outcome is there.
    pub(crate) fn call(&mut self, conn: OutboundConn, message: &[u8]) -> OutboundCall {
        let call = self.send(conn, message);
        let is_over = |pair: &Pair| pair.outcome(call).is_some();
        self.run(60_000 * MS, is_over);
        call
    }

    pub(crate) fn outcome(&self, call: OutboundCall) -> Option<Event> {
        let its = |event: &&Event| match event {
            Event::Replied { call: its, .. } | Event::Failed { call: its, .. } => *its == call,
            _ => false,
        };
        self.nodes[0].events.iter().find(its).copied()
    }

    /// Runs until nothing is due for a second.
    pub(crate) fn settle(&mut self) {
        self.run(1_000 * MS, |_| false);
    }

    /// Runs until `is_over`, at most for `len_ns`.
    pub(crate) fn run(&mut self, len_ns: u64, is_over: impl Fn(&Pair) -> bool) {
        let end = self.now.after(len_ns);
        loop {
            (0..2).for_each(|index| self.pump(index));
            if is_over(self) {
                return;
            }
            let timers = self
                .nodes
                .iter()
                .filter_map(|node| node.engine.poll_timeout());
            let next = timers.chain(self.cable.front().map(|(at, ..)| *at)).min();
            let Some(next) = next.filter(|next| *next <= end) else {
                self.now = end;
                return;
            };
            self.now = self.now.max(next);
            self.deliver_due();
            for node in &mut self.nodes {
                node.engine.handle_timeout(self.now);
            }
        }
    }

    /// Delivers what has been on its way for long enough.
    pub(crate) fn deliver_due(&mut self) {
        while self.cable.front().is_some_and(|(at, ..)| *at <= self.now) {
            let (_, to, link, frame) = self.cable.pop_front().expect("there is a front");
            self.deliver_on(to, link, &frame);
        }
    }

    pub(crate) fn deliver(&mut self, to: usize, frame: &[u8]) {
        self.deliver_on(to, LinkId(0), frame);
    }

    pub(crate) fn deliver_on(&mut self, to: usize, link: LinkId, frame: &[u8]) {
        let node = &mut self.nodes[to];
        let known = frame.len().min(HEAD_LEN);
        let mut head = frame.to_vec();
        head[known..].fill(0xff);
        let foreseen = node.engine.foresee(&head, known);
        node.bytes.placed.clear();
        node.engine
            .handle_frame(self.now, link, frame, &mut node.bytes);
        if let Some(Foreseen {
            call,
            offset,
            at,
            len,
        }) = foreseen
        {
            self.foreseen += 1;
            assert_eq!(node.bytes.placed.first(), Some(&(call, offset, len)));
            let message = &node.bytes.arrived[&call][offset as usize..][..len];
            assert_eq!(message, &frame[at..at + len]);
        }
        self.pump(to);
    }

    pub(crate) fn pump(&mut self, index: usize) {
        let mut buffer = [0; 65_549];
        while let Some(event) = self.nodes[index].engine.poll_event() {
            self.nodes[index].events.push(event);
            if let Event::LeftRun { run, call, .. } = event {
                let bytes = &mut self.nodes[index].bytes;
                bytes.messages.insert(call, vec![0; bytes.sent_runs[&run]]);
            }
            if let Event::MessageArrived { call, .. } = event
                && self.echoes
            {
                self.echo(index, call);
            }
        }
        loop {
            let node = &mut self.nodes[index];
            let Some(transmit) = node
                .engine
                .poll_transmit(self.now, &mut buffer, &node.bytes)
            else {
                return;
            };
            let frame = buffer[..transmit.len].to_vec();
            self.sent.push((index, frame.clone()));
            self.sent_on.push(transmit.link);
            let is_cut = self.cut.contains(&transmit.link) || frame.len() > self.passes;
            if !is_cut && !(self.loses)(self.sent.len() as u64) {
                self.cable
                    .push_back((self.now.after(CABLE_NS), 1 - index, transmit.link, frame));
            }
        }
    }

    pub(crate) fn echo(&mut self, index: usize, call: InboundCall) {
        let node = &mut self.nodes[index];
        let message = node.bytes.arrived[&call].clone();
        let len = message.len() as u32;
        node.bytes.answers.insert(call, message);
        node.engine
            .reply(self.now, call, 0, len)
            .expect("the client waits");
    }
}
