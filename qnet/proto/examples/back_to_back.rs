//! What the engine itself costs: two of them back to back in one thread, no network, no clock.
//!
//! `cargo run --release -p qnet-proto --example back_to_back`

use std::time::Instant;

use qnet_proto::{
    Accept, Config, ConnectInfo, Engine, Event, InboundCall, Incoming, LinkConfig, LinkId, Mac,
    NodeName, OutboundCall, OutboundConn, Outgoing, Store, Time,
};

/// One buffer for everything: the copies are made, the bytes are not kept apart.
struct Bytes(Vec<u8>);

impl Store for Bytes {
    fn read_message(&self, _: OutboundCall, offset: u32, into: &mut [u8]) {
        into.copy_from_slice(&self.0[offset as usize..][..into.len()]);
    }

    fn write_reply(&mut self, _: OutboundCall, offset: u32, bytes: &[u8]) {
        self.0[offset as usize..][..bytes.len()].copy_from_slice(bytes);
    }

    fn accept(&mut self, _: InboundCall, _: &Incoming) -> Accept {
        Accept::All
    }

    fn write_message(&mut self, _: InboundCall, offset: u32, bytes: &[u8]) {
        self.0[offset as usize..][..bytes.len()].copy_from_slice(bytes);
    }

    fn read_reply(&self, _: InboundCall, offset: u32, into: &mut [u8]) {
        into.copy_from_slice(&self.0[offset as usize..][..into.len()]);
    }
}

struct Pair {
    now: Time,
    engines: [Engine; 2],
    bytes: [Bytes; 2],
    buffer: Vec<u8>,
    frames: u64,
    conn: OutboundConn,
    reply_len: u32,
}

impl Pair {
    fn new(mtu: usize) -> Pair {
        let engine = |index: u8| {
            let link = LinkConfig {
                mac: Mac([2, 0, 0, 0, 0, index + 1]),
                mtu,
            };
            let name = NodeName::new(["left", "right"][usize::from(index)]).expect("legal");
            Engine::new(Config::new(name, vec![link], [index + 1; 32])).expect("sound")
        };
        let mut engines = [engine(0), engine(1)];
        let right = NodeName::new("right").expect("legal");
        let peer = engines[0]
            .add_host(right, LinkId(0), Mac([2, 0, 0, 0, 0, 2]))
            .expect("room");
        let conn = engines[0]
            .connect(peer, ConnectInfo::default())
            .expect("known");
        let bytes = || Bytes(vec![7; 16 << 20]);
        Pair {
            now: Time(1),
            engines,
            bytes: [bytes(), bytes()],
            buffer: vec![0; mtu + 14],
            frames: 0,
            conn,
            reply_len: 0,
        }
    }

    fn send(&mut self, len: u32) {
        let outgoing = Outgoing {
            len,
            reply_len: self.reply_len,
            priority: 10,
            tid: 1,
            reports: false,
        };
        self.engines[0]
            .send(self.now, self.conn, outgoing)
            .expect("live");
    }

    /// Carries all frames of one side across; answers how many calls ended there.
    fn carry(&mut self, from: usize) -> usize {
        self.now = self.now.after(10_000);
        while let Some(transmit) =
            self.engines[from].poll_transmit(self.now, &mut self.buffer, &self.bytes[from])
        {
            self.frames += 1;
            let frame = &self.buffer[..transmit.len];
            self.engines[1 - from].handle_frame(
                self.now,
                LinkId(0),
                frame,
                &mut self.bytes[1 - from],
            );
        }
        let mut ended = 0;
        while let Some(event) = self.engines[1 - from].poll_event() {
            match event {
                Event::MessageArrived { call, .. } => {
                    self.engines[1]
                        .reply(self.now, call, 0, self.reply_len)
                        .expect("it waits");
                }
                Event::Replied { .. } => ended += 1,
                _ => {}
            }
        }
        let due = self.engines[1 - from].poll_timeout();
        if due.is_some_and(|due| due <= self.now) {
            self.engines[1 - from].handle_timeout(self.now);
        }
        ended
    }

    fn run(&mut self, what: &str, calls: usize, in_flight: usize, len: u32, reply_len: u32) {
        self.reply_len = reply_len;
        let (mut open, mut left, mut done) = (0, calls, 0);
        let (begun, frames) = (Instant::now(), self.frames);
        while done < calls {
            while open < in_flight && left > 0 {
                self.send(len);
                open += 1;
                left -= 1;
            }
            self.carry(0);
            let ended = self.carry(1);
            done += ended;
            open -= ended;
        }
        let ns = begun.elapsed().as_nanos() as f64 / calls as f64;
        let frames = (self.frames - frames) as f64 / calls as f64;
        let rate = (f64::from(len) + f64::from(reply_len)) / ns;
        println!("{what:<44} {ns:>10.0} ns/call  {frames:>8.3} frames/call  {rate:>6.2} GB/s");
    }
}

fn main() {
    for mtu in [1500, 9000, 65_535] {
        println!("MTU {mtu}");
        let mut pair = Pair::new(mtu);
        pair.run("warm-up", 10_000, 1, 64, 64);
        pair.run("64 B each way, one at a time", 500_000, 1, 64, 64);
        pair.run("64 B each way, 64 in flight", 2_000_000, 64, 64, 64);
        pair.run("64 B each way, 1000 in flight", 2_000_000, 1000, 64, 64);
        pair.run(
            "64 KiB to the server, one at a time",
            10_000,
            1,
            64 << 10,
            0,
        );
        pair.run("16 MiB to the server, one at a time", 40, 1, 16 << 20, 0);
        pair.run("16 MiB to the client, one at a time", 40, 1, 0, 16 << 20);
    }
}
