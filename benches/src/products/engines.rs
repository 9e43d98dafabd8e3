//! N1: two of Qnet's engines, each on its own packet socket and io_uring, without local clients.
//!
//! The loop is that of Qnet's network-handler thread: take frames, give events, fill frames, and hand all
//! to the kernel by the system call that waits.

use std::fs::File;
use std::io::Read;
use std::time::Duration;

use qnet::driver::{FrameSocket, Link, Poke, RingLink, now};
use qnet_proto::{
    Accept, Config, ConnectInfo, Engine, Event, InboundCall, Incoming, LinkConfig, LinkId, Mac,
    NodeName, OutboundCall, OutboundConn, Outgoing, Store, Time,
};

use crate::method::{Arm, Side, Stopwatch};
use crate::nodes::{INTERFACE, Node};
use crate::payload::{self, SMALL_LEN};
use crate::setting::Setting;

/// Qnet's own EtherType; the rulers use another.
const ETHERTYPE: u16 = 0x88B5;
/// Longer than an arm is ever paused: silence between blocks is no death.
const TOLERANCE: Duration = Duration::from_secs(60);

/// Builds the arm.
///
/// # Errors
/// No right to open packet sockets, io_uring refused, or no processes.
pub fn arm(setting: &Setting) -> crate::Result<Arm> {
    let [client, server] = setting.nodes()?;
    setting
        .arm("two qnet engines")
        .seat(setting.server(), |_| {
            let station = Station::open(server, "wintermute")?;
            Ok(Box::new(Server { station, number: 0 }))
        })?
        .seat(setting.client(), |_| {
            let mut station = Station::open(client, "magenta")?;
            let peer = station
                .engine
                .add_host(name("wintermute")?, LinkId(0), Mac(server.mac))
                .map_err(|errno| format!("the engine refuses its peer: {errno:?}"))?;
            let conn = station
                .engine
                .connect(
                    peer,
                    ConnectInfo {
                        server_pid: 2,
                        server_chid: 1,
                        ..ConnectInfo::default()
                    },
                )
                .map_err(|errno| format!("the engine refuses a connection: {errno:?}"))?;
            Ok(Box::new(Client {
                station,
                conn,
                number: 0,
            }))
        })
}

/// One engine on its link, and the bytes of the one message in flight.
struct Station {
    link: RingLink,
    engine: Engine,
    bytes: Bytes,
    /// When the last wait ended.
    now: Time,
    /// When the engine wanted to be called again, at the end of the last round.
    due: Option<Time>,
}

struct Bytes {
    message: [u8; SMALL_LEN],
    reply: [u8; SMALL_LEN],
}

impl Station {
    fn open(node: &Node, own_name: &str) -> crate::Result<Station> {
        node.enter()?;
        let socket = FrameSocket::packet(INTERFACE, ETHERTYPE)?;
        let link = LinkConfig {
            mac: Mac(node.mac),
            mtu: socket.interface().mtu,
        };
        let mut entropy = [0; 32];
        File::open("/dev/urandom")?.read_exact(&mut entropy)?;
        let mut config = Config::new(name(own_name)?, vec![link], entropy);
        config.ethertype = ETHERTYPE;
        config.tolerance = TOLERANCE;
        let engine = Engine::new(config).map_err(|errno| format!("no engine: {errno:?}"))?;
        let link = RingLink::open(socket, Poke::new()?, Vec::new())?;
        let bytes = Bytes {
            message: [0; SMALL_LEN],
            reply: [0; SMALL_LEN],
        };
        Ok(Station {
            link,
            engine,
            bytes,
            now: now(),
            due: None,
        })
    }

    /// Hands over what is to go and sleeps until something came, or not at all.
    fn exchange(&mut self, sleep: bool) -> crate::Result<()> {
        while let Some(frame) = self.link.frame_buffer() {
            let Some(transmit) = self.engine.poll_transmit(self.now, frame, &self.bytes) else {
                break;
            };
            self.link.queue(transmit.len);
        }
        self.due = self.engine.poll_timeout();
        let until = match sleep {
            true => self.due,
            false => Some(self.now),
        };
        Ok(self.link.wait_until(self.now, until)?)
    }

    /// Feeds the engine what came and what is due.
    fn take(&mut self) -> crate::Result<()> {
        let now = now();
        self.now = now;
        while let Some(frame) = self.link.next_frame() {
            self.engine
                .handle_frame(now, LinkId(0), frame, &mut self.bytes);
        }
        if self.due.is_some_and(|due| due <= now) {
            self.engine.handle_timeout(now);
        }
        Ok(())
    }
}

struct Client {
    station: Station,
    conn: OutboundConn,
    number: u64,
}

impl Client {
    fn send(&mut self) -> crate::Result<()> {
        let station = &mut self.station;
        station.bytes.message = payload::small(self.number);
        let len = SMALL_LEN as u32;
        let message = Outgoing {
            len,
            reply_len: len,
            priority: 10,
            tid: 1,
            reports: false,
        };
        let sent = station.engine.send(station.now, self.conn, message);
        sent.map_err(|errno| format!("the engine does not send: {errno:?}"))?;
        loop {
            while let Some(event) = station.engine.poll_event() {
                match event {
                    Event::Replied { .. } => {
                        return payload::check_small(&station.bytes.reply, self.number);
                    }
                    Event::Failed { errno, .. } => {
                        return Err(format!("round {}: {errno:?}", self.number).into());
                    }
                    _ => {}
                }
            }
            station.exchange(true)?;
            station.take()?;
        }
    }
}

impl Side for Client {
    fn run(&mut self, rounds: u32, watch: &mut Stopwatch) -> crate::Result<()> {
        self.station.now = now();
        for _ in 0..rounds {
            self.number += 1;
            self.send()?;
            watch.lap();
        }
        Ok(())
    }
}

struct Server {
    station: Station,
    number: u64,
}

impl Side for Server {
    fn run(&mut self, rounds: u32, _: &mut Stopwatch) -> crate::Result<()> {
        let last = self.number + u64::from(rounds);
        while self.number < last {
            self.station.exchange(true)?;
            self.station.take()?;
            while let Some(event) = self.station.engine.poll_event() {
                if let Event::MessageArrived { call, .. } = event {
                    self.number += 1;
                    let bytes = &mut self.station.bytes;
                    payload::check_small(&bytes.message, self.number)?;
                    bytes.reply = bytes.message;
                    let now = self.station.now;
                    let replied = self.station.engine.reply(now, call, 0, SMALL_LEN as u32);
                    replied.map_err(|errno| format!("the engine does not reply: {errno:?}"))?;
                }
            }
        }
        self.station.exchange(false)
    }
}

impl Store for Bytes {
    fn read_message(&self, _: OutboundCall, offset: u32, into: &mut [u8]) {
        into.copy_from_slice(&self.message[offset as usize..][..into.len()]);
    }

    fn write_reply(&mut self, _: OutboundCall, offset: u32, bytes: &[u8]) {
        self.reply[offset as usize..][..bytes.len()].copy_from_slice(bytes);
    }

    fn accept(&mut self, _: InboundCall, _: &Incoming) -> Accept {
        Accept::All
    }

    fn write_message(&mut self, _: InboundCall, offset: u32, bytes: &[u8]) {
        self.message[offset as usize..][..bytes.len()].copy_from_slice(bytes);
    }

    fn read_reply(&self, _: InboundCall, offset: u32, into: &mut [u8]) {
        into.copy_from_slice(&self.reply[offset as usize..][..into.len()]);
    }
}

fn name(text: &str) -> crate::Result<NodeName> {
    NodeName::new(text).ok_or_else(|| format!("{text} is no name of a node").into())
}
