//! B2, Unix seqpacket: one socket pair, the payload through the kernel.

use std::os::fd::{AsRawFd, OwnedFd};

use nix::sys::socket::{AddressFamily, MsgFlags, SockFlag, SockType, recv, send, socketpair};

use crate::method::{Arm, silent, timed};
use crate::payload;
use crate::setting::Setting;

/// Builds the ruler.
///
/// # Errors
/// No sockets or no processes.
pub fn arm(setting: &Setting) -> crate::Result<Arm> {
    let (ours, theirs) = socketpair(
        AddressFamily::Unix,
        SockType::SeqPacket,
        None,
        SockFlag::SOCK_CLOEXEC,
    )?;
    setting
        .arm("B2 seqpacket")
        .seat(setting.server(), |_| {
            Ok(silent(move |number| {
                take(&theirs, number)?;
                put(&theirs, number)
            }))
        })?
        .seat(setting.client(), |_| {
            Ok(timed(move |number| {
                put(&ours, number)?;
                take(&ours, number)
            }))
        })
}

fn put(socket: &OwnedFd, number: u64) -> crate::Result<()> {
    send(
        socket.as_raw_fd(),
        &payload::small(number),
        MsgFlags::empty(),
    )?;
    Ok(())
}

fn take(socket: &OwnedFd, number: u64) -> crate::Result<()> {
    let mut bytes = [0; payload::SMALL_LEN];
    recv(socket.as_raw_fd(), &mut bytes, MsgFlags::empty())?;
    payload::check_small(&bytes, number)
}
