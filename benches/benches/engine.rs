//! What Qnet's engine costs without a wire: one 64-byte message and its reply between two engines, and a crowd of
//! messages whose replies are empty.

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use qnet_proto::{
    Accept, Config, ConnectInfo, Engine, Event, InboundCall, Incoming, LinkConfig, LinkId, Mac,
    NodeName, OutboundCall, OutboundConn, Outgoing, Store, Time,
};

const LEN: usize = 64;
const MTU: usize = 1500;
/// Messages at once.
const CROWD: usize = 1024;

/// One engine and the bytes of the one message in flight.
struct Station {
    engine: Engine,
    bytes: Bytes,
}

struct Bytes([u8; LEN]);

impl Station {
    fn new(name: &str, mac: Mac) -> Station {
        let name = NodeName::new(name).expect("a name of this file");
        let config = Config::new(name, vec![LinkConfig { mac, mtu: MTU }], [mac.0[5]; 32]);
        Station {
            engine: Engine::new(config).expect("a sound configuration"),
            bytes: Bytes([0; LEN]),
        }
    }
}

fn criterion_benches(criterion: &mut Criterion) {
    let (macs, mut now) = (
        [Mac([2, 0, 0, 0, 0, 1]), Mac([2, 0, 0, 0, 0, 2])],
        Time(1_000_000),
    );
    let mut client = Station::new("magenta", macs[0]);
    let mut server = Station::new("wintermute", macs[1]);
    let name = NodeName::new("wintermute").expect("a name of this file");
    let peer = client
        .engine
        .add_host(name, LinkId(0), macs[1])
        .expect("room for one peer");
    let conn = client
        .engine
        .connect(peer, ConnectInfo::default())
        .expect("room for a connection");
    criterion.bench_function("engine: 64 bytes there and back", |bencher| {
        bencher.iter(|| {
            now = now.after(10_000);
            black_box(round_trip(&mut client, &mut server, conn, now));
        });
    });
    let mut calls = Vec::with_capacity(CROWD);
    criterion.bench_function("engine: 1024 messages of 64 bytes", |bencher| {
        bencher.iter(|| {
            now = now.after(100_000);
            crowd(&mut client, &mut server, conn, now, &mut calls);
        });
    });
}

/// Sends many messages, pumps frames, answers all of them with nothing, and pumps until the replies are there.
fn crowd(
    client: &mut Station,
    server: &mut Station,
    conn: OutboundConn,
    now: Time,
    calls: &mut Vec<InboundCall>,
) {
    let message = Outgoing {
        len: LEN as u32,
        reply_len: 0,
        priority: 10,
        tid: 1,
        reports: false,
    };
    for _ in 0..CROWD {
        let sent = client.engine.send(now, conn, message);
        sent.expect("a live connection");
    }
    let mut replied = 0;
    while replied < CROWD {
        pump(client, server, now);
        while let Some(event) = server.engine.poll_event() {
            if let Event::MessageArrived { call, .. } = event {
                calls.push(call);
            }
        }
        for call in calls.drain(..) {
            let answered = server.engine.reply(now, call, 0, 0);
            answered.expect("the client waits");
        }
        pump(server, client, now);
        while let Some(event) = client.engine.poll_event() {
            replied += usize::from(matches!(event, Event::Replied { .. }));
        }
    }
    while server.engine.poll_event().is_some() {}
}

/// Sends and pumps frames until the reply is there; answers how many frames that took.
fn round_trip(client: &mut Station, server: &mut Station, conn: OutboundConn, now: Time) -> u32 {
    let message = Outgoing {
        len: LEN as u32,
        reply_len: LEN as u32,
        priority: 10,
        tid: 1,
        reports: false,
    };
    client
        .engine
        .send(now, conn, message)
        .expect("a live connection");
    let mut frames = 0;
    loop {
        frames += pump(client, server, now);
        while let Some(event) = server.engine.poll_event() {
            if let Event::MessageArrived { call, .. } = event {
                server
                    .engine
                    .reply(now, call, 0, LEN as u32)
                    .expect("the client waits");
            }
        }
        frames += pump(server, client, now);
        while let Some(event) = client.engine.poll_event() {
            if let Event::Replied { .. } = event {
                return frames;
            }
        }
    }
}

fn pump(from: &mut Station, to: &mut Station, now: Time) -> u32 {
    let mut frame = [0; MTU + 14];
    let mut frames = 0;
    while let Some(transmit) = from.engine.poll_transmit(now, &mut frame, &from.bytes) {
        to.engine
            .handle_frame(now, LinkId(0), &frame[..transmit.len], &mut to.bytes);
        frames += 1;
    }
    frames
}

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

criterion_group!(benches, criterion_benches);
criterion_main!(benches);
