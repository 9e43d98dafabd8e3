//! N2, N3, N6 to N10, N12, N13: a client on one node, a server on the other, each node with procmgr and qnet.

use std::path::PathBuf;

use ipc_core::abi::{ChannelFlags, Chid, Pid};
use ipc_core::{AttachOptions, Channel, CompletionQueue, Connection};

use crate::method::{Arm, Notice, Side, Stage, Stopwatch, silent};
use crate::nodes::Node;
use crate::payload::{self, SMALL_LEN};
use crate::products::daemons::{enter, retry, start};
use crate::products::{receive_message, small, spin};
use crate::setting::{Load, Setting};
use crate::sys::in_place;

/// Messages of a bulk transfer that are on their way at one time: TCP's stream runs ahead as far.
const BULK_AHEAD: u32 = 4;
const CLIENT_NODE: &str = "magenta";
pub(super) const SERVER_NODE: &str = "wintermute";
/// The server is the third side: its node's daemons come first.
pub(super) const SERVER_SIDE: usize = 2;

/// 64 bytes there and back.
///
/// # Errors
/// What keeps a daemon from starting, or the client from attaching.
pub fn echo(setting: &Setting) -> crate::Result<Arm> {
    let [client, _] = setting.nodes()?;
    nodes(setting, "remote echo", |setting, stage| {
        Ok(small::answering(serve(setting, stage)?))
    })?
    .seat(setting.client(), |stage| {
        let connection = attach(setting, client, stage.heard[SERVER_SIDE])?;
        Ok(Box::new(Client {
            connection,
            number: 0,
        }))
    })
}

/// Messages of the setting's size, composed in place and added up in place by the server to the last byte: the
/// product's way of moving much, as TCP's is to write from and to read into memory of its own.
///
/// # Errors
/// As [`echo`].
pub fn bulk(setting: &Setting) -> crate::Result<Arm> {
    let [client, _] = setting.nodes()?;
    let len = setting.bytes;
    nodes(setting, "remote bulk", |setting, stage| {
        let channel = serve(setting, stage)?;
        Ok(silent(move |_| {
            let message = receive_message(&channel)?;
            let sum = payload::sum(in_place::view(&message));
            Ok(message.reply(0, &sum.to_ne_bytes())?)
        }))
    })?
    .seat(setting.client(), |stage| {
        let queue = CompletionQueue::new()?;
        let connection = attach_queue(setting, client, stage.heard[SERVER_SIDE], &queue)?;
        Ok(Box::new(Source {
            connection,
            queue,
            len,
            number: 0,
        }))
    })
}

/// Sends the next messages while those before are on their way, as a stream may.
struct Source {
    connection: Connection,
    queue: CompletionQueue,
    len: usize,
    number: u64,
}

impl Source {
    fn submit(&mut self) -> crate::Result<()> {
        self.number += 1;
        // Shared memory begins as zeros, and all messages are as long as each other, so that a buffer holds zeros
        // and old stamps at the same places as the private ones of the rulers do.
        let mut loan = self.connection.loan(self.len, 8)?;
        payload::stamp(in_place::compose(&mut loan), self.number);
        Ok(self.connection.submit(loan, self.number)?)
    }

    /// Waits for one answer, which must be the sum of the message that it is for.
    fn collect(&mut self) -> crate::Result<()> {
        let completion = self.queue.next(None)?;
        let mut sum = [0; 8];
        completion.result?.read(0, &mut sum);
        let number = completion.token;
        if u64::from_ne_bytes(sum) == payload::stamped_sum(self.len, number) {
            Ok(())
        } else {
            Err(payload::wrong(number))
        }
    }
}

impl Side for Source {
    fn run(&mut self, rounds: u32, watch: &mut Stopwatch) -> crate::Result<()> {
        let ahead = rounds.min(BULK_AHEAD);
        for _ in 0..ahead {
            self.submit()?;
        }
        for round in 0..rounds {
            self.collect()?;
            watch.lap();
            if round + ahead < rounds {
                self.submit()?;
            }
        }
        Ok(())
    }
}

/// The same over a network that loses nothing, whatever the setting says.
///
/// # Errors
/// As [`echo`].
pub fn bulk_lossless(setting: &Setting) -> crate::Result<Arm> {
    let load = Load {
        loss: 0.0,
        ..setting.load
    };
    bulk(&Setting { load, ..*setting })
}

/// Both nodes' daemons and the server; the client is still to come.
pub(super) fn nodes(
    setting: &Setting,
    name: &'static str,
    server_side: impl FnOnce(&Setting, &mut Stage) -> crate::Result<Box<dyn Side>>,
) -> crate::Result<Arm> {
    let [client, server] = setting.nodes()?;
    let arm = setting.arm(name);
    let arm = start(
        arm,
        setting.server(),
        server,
        SERVER_NODE,
        &dir(setting, SERVER_NODE),
        setting,
    )?;
    let arm = arm.seat(setting.server(), |stage| {
        enter(server, &dir(setting, SERVER_NODE), setting.wait)?;
        server_side(setting, stage)
    })?;
    start(
        arm,
        setting.client(),
        client,
        CLIENT_NODE,
        &dir(setting, CLIENT_NODE),
        setting,
    )
}

pub(super) fn dir(setting: &Setting, node: &str) -> PathBuf {
    setting
        .runtime_dir
        .join(format!("{node}-{}", setting.instance))
}

pub(super) fn serve(setting: &Setting, stage: &mut Stage) -> crate::Result<Channel> {
    let channel = Channel::create(ChannelFlags::empty())?;
    channel.set_spin(spin(setting.wait));
    stage.notice = [u64::from(std::process::id()), channel.chid().0 as u64, 0, 0];
    Ok(channel)
}

/// A connection to the server on the other node, proven by the node's name having been resolved.
pub(super) fn attach(setting: &Setting, node: &Node, notice: Notice) -> crate::Result<Connection> {
    attach_with(setting, node, notice, &AttachOptions::default())
}

/// The same for as many messages in flight as the setting says, whose answers come out of `queue`.
pub(super) fn attach_queue(
    setting: &Setting,
    node: &Node,
    notice: Notice,
    queue: &CompletionQueue,
) -> crate::Result<Connection> {
    let options = AttachOptions {
        slots: setting.load.depth.max(BULK_AHEAD).next_power_of_two(),
        queue: Some(queue),
        ..AttachOptions::default()
    };
    attach_with(setting, node, notice, &options)
}

pub(super) fn attach_with(
    setting: &Setting,
    node: &Node,
    notice: Notice,
    options: &AttachOptions,
) -> crate::Result<Connection> {
    enter(node, &dir(setting, CLIENT_NODE), setting.wait)?;
    let nd = retry(|| Ok(ipc_core::proc::resolve_node(SERVER_NODE)?))?;
    let [pid, chid, ..] = notice;
    let connection = Connection::attach_with(nd, Pid(pid as i32), Chid(chid as i32), options)?;
    connection.set_spin(spin(setting.wait));
    Ok(connection)
}

/// Sends, and counts the frames that its node's interface saw meanwhile.
struct Client {
    connection: Connection,
    number: u64,
}

impl Side for Client {
    fn run(&mut self, rounds: u32, watch: &mut Stopwatch) -> crate::Result<()> {
        let before = frames()?;
        for _ in 0..rounds {
            self.number += 1;
            let mut reply = [0; SMALL_LEN];
            self.connection
                .send(&payload::small(self.number), &mut reply)?;
            payload::check_small(&reply, self.number)?;
            watch.lap();
        }
        watch.count(frames()? - before);
        Ok(())
    }
}

fn frames() -> crate::Result<u64> {
    let state = Node::link_state()?;
    Ok(state.rx.frames + state.tx.frames)
}
