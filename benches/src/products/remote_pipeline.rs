//! N4, N14: messages one way, as many in flight as the setting says; what comes back is an empty reply.
//!
//! As at home (`pipeline`), the client submits and collects by turns, and the server answers what is there at
//! once.

use crate::method::Arm;
use crate::products::daemons::{CLIENT_QNET, SERVER_QNET};
use crate::products::pipelined::{Client, Server, options};
use crate::products::remote::{SERVER_SIDE, attach_with, nodes, serve};
use crate::setting::Setting;
use crate::sys::counter::CallCounter;

/// Messages that the server takes at once.
const BATCH: usize = 128;

/// Messages a second.
///
/// # Errors
/// What keeps a daemon from starting, or the client from attaching.
pub fn arm(setting: &Setting) -> crate::Result<Arm> {
    build(setting, "remote, in flight", false)
}

/// The same, and the system calls of both nodes' qnet are counted, wakes of blocked clients aside.
///
/// # Errors
/// As [`arm`], and tracing not permitted.
pub fn counted(setting: &Setting) -> crate::Result<Arm> {
    build(setting, "qnet calls", true)
}

fn build(setting: &Setting, name: &'static str, counts: bool) -> crate::Result<Arm> {
    let [client, _] = setting.nodes()?;
    let depth = setting.load.depth;
    nodes(setting, name, |setting, stage| {
        let channel = serve(setting, stage)?;
        Ok(Box::new(Server::<false>::new(channel, BATCH)))
    })?
    .seat(setting.client(), |stage| {
        let mut counters = Vec::new();
        if counts {
            for side in [SERVER_QNET, CLIENT_QNET] {
                counters.push(
                    CallCounter::of_process(stage.heard[side][0] as u32).map_err(|fault| {
                        format!("cannot count system calls: {fault}; it needs root")
                    })?,
                );
            }
        }
        let heard = stage.heard[SERVER_SIDE];
        let connection = attach_with(setting, client, heard, &options(depth))?;
        let client = Client::<false>::new(connection, depth, depth)?;
        Ok(Box::new(client.counting(counters)))
    })
}
