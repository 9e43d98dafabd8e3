//! Who is blocked on a channel of this process, and waiting until that is so.

use std::{thread, time::Duration};

use ipc_core::{
    ChannelSnapshot,
    abi::{Chid, Pid},
    snapshot,
};

/// Waits for `condition`, however long that takes.
pub(crate) fn until(mut condition: impl FnMut() -> bool) {
    while !condition() {
        thread::sleep(Duration::from_millis(1));
    }
}

/// A channel as it is now.
pub(crate) fn on_channel_of(pid: Pid, chid: Chid) -> ChannelSnapshot {
    let process = snapshot(pid).expect("the process has channels");
    let mut channels = process.channels.into_iter();
    channels
        .find(|channel| channel.chid == chid)
        .expect("the channel exists")
}

/// A channel of this process as it is now.
pub(crate) fn on(chid: Chid) -> ChannelSnapshot {
    on_channel_of(Pid::current(), chid)
}

/// Waits until `count` clients are SEND-blocked on the channel.
pub(crate) fn until_send_blocked(chid: Chid, count: usize) {
    until(|| on(chid).send_blocked == count);
}

/// Waits until `count` clients are REPLY-blocked on the channel.
pub(crate) fn until_reply_blocked(chid: Chid, count: usize) {
    until(|| on(chid).reply_blocked == count);
}

/// Waits until `count` pulses are queued on the channel.
pub(crate) fn until_pulses_queued(chid: Chid, count: usize) {
    until(|| on(chid).pulses == count);
}

/// Waits until `count` threads are RECEIVE-blocked on the channel.
pub(crate) fn until_receive_blocked(chid: Chid, count: usize) {
    until(|| on(chid).receivers == count);
}
