//! B4b, B4s: ping-pong of raw frames on the veth pair, blocking or spinning.
//!
//! Frames have as many header bytes as Qnet's own frames for the same payload.

use crate::method::{Arm, silent, timed};
use crate::nodes::Node;
use crate::payload;
use crate::setting::{Setting, Wait};
use crate::sys::packet::{ETHERTYPE, PacketSocket};

/// Ethernet header, Qnet header, one record's header, and the tag's place.
pub const HEADER_LEN: usize = 14 + 32 + 28;

const FRAME_LEN: usize = HEADER_LEN + payload::SMALL_LEN;

/// Builds the ruler.
///
/// # Errors
/// No right to open packet sockets, or no processes.
pub fn arm(setting: &Setting) -> crate::Result<Arm> {
    let name = if setting.wait == Wait::Spin {
        "B4s packet"
    } else {
        "B4b packet"
    };
    let spin = setting.wait == Wait::Spin;
    let [client, server] = setting.nodes()?;
    setting
        .arm(name)
        .seat(setting.server(), |_| {
            let mut wire = Wire::open(server, client, spin)?;
            Ok(silent(move |number| {
                wire.take(number)?;
                wire.put(number)
            }))
        })?
        .seat(setting.client(), |_| {
            let mut wire = Wire::open(client, server, spin)?;
            Ok(timed(move |number| {
                wire.put(number)?;
                wire.take(number)
            }))
        })
}

/// One end of the wire, with a frame prepared for the other.
#[derive(Debug)]
pub(super) struct Wire {
    socket: PacketSocket,
    frame: [u8; FRAME_LEN],
    received: [u8; 2048],
}

impl Wire {
    /// Moves the process to `here` and opens a socket; frames go to `there`.
    pub(super) fn open(here: &Node, there: &Node, spin: bool) -> crate::Result<Wire> {
        here.enter()?;
        let mut frame = [0; FRAME_LEN];
        frame[..6].copy_from_slice(&there.mac);
        frame[6..12].copy_from_slice(&here.mac);
        frame[12..14].copy_from_slice(&ETHERTYPE.to_be_bytes());
        Ok(Wire {
            socket: PacketSocket::open(here.index, spin)?,
            frame,
            received: [0; 2048],
        })
    }

    /// Sends the frame of round `number`.
    pub(super) fn put(&mut self, number: u64) -> crate::Result<()> {
        self.frame[HEADER_LEN..].copy_from_slice(&payload::small(number));
        Ok(self.socket.send(&self.frame)?)
    }

    /// Receives a frame and checks that it is that of round `number`.
    pub(super) fn take(&mut self, number: u64) -> crate::Result<()> {
        let len = self.socket.receive(&mut self.received)?;
        payload::check_small(
            self.received.get(HEADER_LEN..len).unwrap_or_default(),
            number,
        )
    }
}
