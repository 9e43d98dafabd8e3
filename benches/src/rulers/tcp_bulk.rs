//! B6: TCP bulk over the veth pair, with the interface's offloads or without.
//!
//! One round is one message of the setting's size; the receiver measures, reads every byte and checks the
//! sum. The stream runs ahead within its window, as a bulk transfer may.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::AsFd;

use crate::method::{Arm, silent, timed};
use crate::nodes::{INTERFACE, Node};
use crate::payload;
use crate::setting::Setting;
use crate::sys::{loss, offloads};

/// Builds the ruler with segmentation offloads: frames of up to 64 KiB cross the veth unsplit.
///
/// # Errors
/// No sockets or no processes.
pub fn with_offloads(setting: &Setting) -> crate::Result<Arm> {
    arm(setting, "B6 TCP offloads", true)
}

/// Builds the ruler without: every frame is as small as the MTU says, and checksums are computed.
///
/// # Errors
/// No sockets or no processes.
pub fn without_offloads(setting: &Setting) -> crate::Result<Arm> {
    arm(setting, "B6 TCP plain", false)
}

fn arm(setting: &Setting, name: &'static str, on: bool) -> crate::Result<Arm> {
    let [client, server] = setting.nodes()?;
    let (len, loss) = (setting.bytes, setting.load.loss);
    setting
        .arm(name)
        .seat(setting.server(), |stage| {
            prepare(server, on)?;
            let listener = TcpListener::bind((server.address, 0))?;
            stage.notice[0] = u64::from(listener.local_addr()?.port());
            let mut stream = None;
            let mut message = vec![0; len];
            Ok(timed(move |number| {
                let stream: &mut TcpStream = match &mut stream {
                    Some(stream) => stream,
                    none => none.insert(accept(&listener, loss)?),
                };
                stream.read_exact(&mut message)?;
                let intact = payload::sum(&message) == payload::stamped_sum(len, number);
                if intact {
                    Ok(())
                } else {
                    Err(payload::wrong(number))
                }
            }))
        })?
        .seat(setting.client(), |stage| {
            prepare(client, on)?;
            let mut stream = TcpStream::connect((server.address, stage.heard[0][0] as u16))?;
            loss::lose(stream.as_fd(), setting.load.loss)?;
            let mut message = vec![0; len];
            Ok(silent(move |number| {
                payload::stamp(&mut message, number);
                Ok(stream.write_all(&message)?)
            }))
        })
}

/// Both ends lose: data on the way there, acknowledgements on the way back.
fn accept(listener: &TcpListener, loss: f64) -> crate::Result<TcpStream> {
    let (stream, _) = listener.accept()?;
    loss::lose(stream.as_fd(), loss)?;
    Ok(stream)
}

fn prepare(node: &Node, on: bool) -> crate::Result<()> {
    node.enter()?;
    Ok(offloads::set(INTERFACE, on)?)
}
