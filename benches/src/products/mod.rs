//! What the project does, as arms with the rulers' payloads, checks and places.
//!
//! | file | goals |
//! |---|---|
//! | `echo` | L1 to L5: 64 bytes there and back in each wait mode |
//! | `large` | L7, L8: 1 MiB in place, and between private buffers |
//! | `crowd` | L9: many clients, one server |
//! | `pipeline` | L10: many messages in flight from one thread |
//! | `idle` | L12: nothing to do |
//! | `engines` | N1: two of Qnet's engines on the wire |
//! | `remote` | N2, N3, N6 to N10, N12, N13: client and server on two nodes |
//! | `remote_pipeline` | N4, N14: many messages in flight to another node |
//! | `remote_crowd` | N5: many clients, a server on another node |
//! | `remote_mixed` | N11: small calls beside large ones |
//! | `sized`, `local_crowd`, `beside_idle` | plots: by size and load, by clients, by idle connections |
//! | `small` | both ends of a call of 64 bytes |
//! | `pipelined` | both ends of a pipeline of such messages |
//! | `daemons` | the process manager and qnet of such a node |

pub mod beside_idle;
pub mod crowd;
mod daemons;
pub mod echo;
pub mod engines;
pub mod idle;
pub mod large;
pub mod local_crowd;
pub mod pipeline;
mod pipelined;
pub mod remote;
pub mod remote_crowd;
pub mod remote_mixed;
pub mod remote_pipeline;
pub mod sized;
mod small;

use std::time::Duration;

use ipc_core::abi::{ChannelFlags, Chid, Nd, Pid};
use ipc_core::{AttachOptions, Channel, Connection, Received, ReceivedMessage, SpinPolicy};

use crate::method::{Notice, Stage};
use crate::setting::{Setting, Wait};
use crate::sys::fork::set_env;

/// A channel of the calling process, which waits as the setting says; tells the later sides of it.
fn serve(setting: &Setting, stage: &mut Stage) -> crate::Result<Channel> {
    set_env("QNET_RUNTIME_DIR", setting.runtime_dir.as_os_str());
    let channel = Channel::create(ChannelFlags::empty())?;
    channel.set_spin(spin(setting.wait));
    stage.notice = [u64::from(std::process::id()), channel.chid().0 as u64, 0, 0];
    Ok(channel)
}

/// A connection to the channel that an earlier side told of, waiting as the setting says.
fn attach(setting: &Setting, notice: Notice) -> crate::Result<Connection> {
    attach_with(setting, notice, &AttachOptions::default())
}

fn attach_with(
    setting: &Setting,
    notice: Notice,
    options: &AttachOptions,
) -> crate::Result<Connection> {
    set_env("QNET_RUNTIME_DIR", setting.runtime_dir.as_os_str());
    let [pid, chid, ..] = notice;
    let connection =
        Connection::attach_with(Nd::LOCAL, Pid(pid as i32), Chid(chid as i32), options)?;
    connection.set_spin(spin(setting.wait));
    Ok(connection)
}

fn spin(wait: Wait) -> SpinPolicy {
    match wait {
        // Longer than any block: it never sleeps.
        Wait::Spin => SpinPolicy::For(Duration::from_secs(60)),
        Wait::Block => SpinPolicy::Never,
        Wait::Adaptive => SpinPolicy::Adaptive,
    }
}

fn receive_message(channel: &Channel) -> crate::Result<ReceivedMessage> {
    match channel.receive()? {
        Received::Message(message) => Ok(message),
        Received::Pulse(pulse) => Err(format!("a pulse where a message was due: {pulse:?}").into()),
    }
}
