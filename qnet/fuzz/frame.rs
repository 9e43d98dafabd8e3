//! What the `frame` target does with its input; the corpus goes through it in the tests of `qnet-proto`.

use qnet_proto::wire::Frame;
use qnet_proto::{
    Accept, Config, ConnectInfo, Engine, Event, InboundCall, Incoming, LinkConfig, LinkId, Mac,
    NodeName, OutboundCall, Outgoing, Store, Time,
};

/// Bytes of Ethernet and Qnet header.
const HEADERS_LEN: usize = 46;

/// Takes any bytes; panics if anything is wrong with the code under test.
pub(crate) fn check(bytes: &[u8]) {
    if let Ok(frame) = Frame::parse(bytes, 0x88b5, false) {
        frame.records().for_each(drop);
    }
    let mut pair = Pair::connected();
    pair.deliver(1, bytes);
    // The same records again, in a frame that belongs to the session.
    if let (Some(records), Some(mut frame)) = (bytes.get(HEADERS_LEN..), pair.last.clone()) {
        frame.truncate(HEADERS_LEN);
        frame.extend(&records[..records.len().min(1400)]);
        let len = (frame.len() - 14) as u16;
        frame[16..18].copy_from_slice(&len.to_be_bytes());
        frame[24] = frame[24].wrapping_add(1);
        pair.deliver(1, &frame);
    }
    pair.exchange();
    for engine in &mut pair.engines {
        engine.handle_timeout(Time(3_000_000_000));
    }
    pair.exchange();
}

/// Checks the ranges that the engine asks for, and keeps nothing.
#[derive(Default)]
struct Bounds {
    arriving: std::collections::BTreeMap<InboundCall, u32>,
}

impl Store for Bounds {
    fn read_message(&self, _: OutboundCall, offset: u32, into: &mut [u8]) {
        assert!(offset as usize + into.len() <= 5000);
    }

    fn write_reply(&mut self, _: OutboundCall, offset: u32, bytes: &[u8]) {
        assert!(offset as usize + bytes.len() <= 3000);
    }

    fn accept(&mut self, call: InboundCall, incoming: &Incoming) -> Accept {
        self.arriving.insert(call, incoming.len);
        Accept::All
    }

    fn write_message(&mut self, call: InboundCall, offset: u32, bytes: &[u8]) {
        assert!(offset as usize + bytes.len() <= self.arriving[&call] as usize);
    }

    fn read_reply(&self, _: InboundCall, _: u32, _: &mut [u8]) {}
}

struct Pair {
    engines: [Engine; 2],
    bounds: [Bounds; 2],
    /// The last frame of the first engine.
    last: Option<Vec<u8>>,
}

impl Pair {
    /// Two engines with a session and a call on its way.
    fn connected() -> Pair {
        let engine = |index: u8| {
            let link = LinkConfig {
                mac: Mac([2, 0, 0, 0, 0, index]),
                mtu: 1500,
            };
            let name = NodeName::new(["left", "right"][usize::from(index)]).expect("legal");
            Engine::new(Config::new(name, vec![link], [index + 1; 32])).expect("sound")
        };
        let mut pair = Pair {
            engines: [engine(0), engine(1)],
            bounds: Default::default(),
            last: None,
        };
        let right = NodeName::new("right").expect("legal");
        let left = &mut pair.engines[0];
        let peer = left
            .add_host(right, LinkId(0), Mac([2, 0, 0, 0, 0, 1]))
            .expect("room");
        let conn = left.connect(peer, ConnectInfo::default()).expect("known");
        let outgoing = Outgoing {
            len: 5000,
            reply_len: 3000,
            priority: 10,
            tid: 1,
            reports: false,
        };
        left.send(Time(1), conn, outgoing).expect("live");
        pair.exchange();
        pair
    }

    fn deliver(&mut self, to: usize, frame: &[u8]) {
        self.engines[to].handle_frame(Time(1000), LinkId(0), frame, &mut self.bounds[to]);
        while let Some(event) = self.engines[to].poll_event() {
            if let Event::Abandoned { call } | Event::ReplyDone { call } = event {
                self.bounds[to].arriving.remove(&call);
            }
        }
    }

    /// Carries frames until nobody has any, at most so many that no loop goes unseen.
    fn exchange(&mut self) {
        let mut buffer = vec![0; 1514];
        for count in 0.. {
            assert!(count < 1000, "two engines answer each other without end");
            let sent = (0..2).find_map(|from| {
                let transmit = self.engines[from].poll_transmit(
                    Time(1000),
                    &mut buffer,
                    &self.bounds[from],
                )?;
                Some((from, transmit.len))
            });
            let Some((from, len)) = sent else {
                return;
            };
            let frame = buffer[..len].to_vec();
            if from == 0 {
                self.last = Some(frame.clone());
            }
            self.deliver(1 - from, &frame);
        }
    }
}
