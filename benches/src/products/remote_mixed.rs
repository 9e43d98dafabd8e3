//! N11: small calls while another process of the node sends 16 MiB messages, one after the other, to another
//! server.

use std::rc::Rc;
use std::sync::atomic::Ordering;

use ipc_core::Connection;

use crate::method::{Arm, Seat, Side, Stopwatch};
use crate::payload::{self, SMALL_LEN};
use crate::products::daemons::enter;
use crate::products::remote::{SERVER_NODE, SERVER_SIDE, attach, dir, nodes, serve};
use crate::products::{receive_message, small};
use crate::setting::Setting;
use crate::sys::map::SharedMap;

/// The largest message there is.
const LARGE_LEN: usize = 16 << 20;
/// The server of large messages is the side after both nodes' own.
const SINK_SIDE: usize = 5;
/// Where the measuring side says which block it has finished.
const DONE_AT: usize = 0;

/// Builds the arm: echo server and client, and a sink and source of large messages beside them.
///
/// # Errors
/// What keeps a daemon from starting, or a client from attaching.
pub fn arm(setting: &Setting) -> crate::Result<Arm> {
    let [client, server] = setting.nodes()?;
    let ours = Rc::new(SharedMap::new(4096)?);
    let theirs = Rc::clone(&ours);
    nodes(setting, "call beside 16 MiB", |setting, stage| {
        Ok(small::answering(serve(setting, stage)?))
    })?
    .seat(
        Seat {
            name: "sink",
            ..setting.server()
        },
        |stage| {
            enter(server, &dir(setting, SERVER_NODE), setting.wait)?;
            let channel = serve(setting, stage)?;
            Ok(Box::new(Sink {
                channel,
                private: vec![0; LARGE_LEN],
            }))
        },
    )?
    .seat(
        Seat {
            name: "source",
            ..setting.client()
        },
        |stage| {
            let connection = attach(setting, client, stage.heard[SINK_SIDE])?;
            Ok(Box::new(Source {
                connection,
                map: theirs,
                private: vec![0; LARGE_LEN],
                number: 0,
                block: 0,
            }))
        },
    )?
    .seat(setting.client(), |stage| {
        let connection = attach(setting, client, stage.heard[SERVER_SIDE])?;
        Ok(Box::new(Client {
            connection,
            map: ours,
            number: 0,
            block: 0,
        }))
    })
}

/// Takes large messages until it is sent an empty one.
struct Sink {
    channel: ipc_core::Channel,
    private: Vec<u8>,
}

impl Side for Sink {
    fn run(&mut self, _: u32, _: &mut Stopwatch) -> crate::Result<()> {
        loop {
            let message = receive_message(&self.channel)?;
            let len = message.len();
            let len = message.read(0, &mut self.private[..len])?;
            message.reply(0, &payload::sum(&self.private[..len]).to_ne_bytes())?;
            if len == 0 {
                return Ok(());
            }
        }
    }
}

/// Sends large messages until the block is over.
struct Source {
    connection: Connection,
    map: Rc<SharedMap>,
    private: Vec<u8>,
    number: u64,
    block: u64,
}

impl Side for Source {
    fn run(&mut self, _: u32, _: &mut Stopwatch) -> crate::Result<()> {
        self.block += 1;
        let mut sum = [0; 8];
        while self.map.word64(DONE_AT).load(Ordering::Acquire) < self.block {
            self.number += 1;
            let expected = payload::stamp(&mut self.private, self.number);
            self.connection.send(&self.private, &mut sum)?;
            if u64::from_ne_bytes(sum) != expected {
                return Err(payload::wrong(self.number));
            }
        }
        self.connection.send(&[], &mut sum)?;
        Ok(())
    }
}

/// The measuring side.
struct Client {
    connection: Connection,
    map: Rc<SharedMap>,
    number: u64,
    block: u64,
}

impl Client {
    fn calls(&mut self, rounds: u32, watch: &mut Stopwatch) -> crate::Result<()> {
        for _ in 0..rounds {
            self.number += 1;
            let mut reply = [0; SMALL_LEN];
            self.connection
                .send(&payload::small(self.number), &mut reply)?;
            payload::check_small(&reply, self.number)?;
            watch.lap();
        }
        Ok(())
    }
}

impl Side for Client {
    fn run(&mut self, rounds: u32, watch: &mut Stopwatch) -> crate::Result<()> {
        self.block += 1;
        let outcome = self.calls(rounds, watch);
        // Also after an error: the other sides wait for the end of the block.
        self.map
            .word64(DONE_AT)
            .store(self.block, Ordering::Release);
        outcome
    }
}
