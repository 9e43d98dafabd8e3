//! What can be done with a receive id alone.

use std::sync::Arc;

use super::{Attached, InFlight, describe, error_answer, hand_over, reply_answer};
use crate::{
    abi::{Errno, MessageInfo, Rcvid, Result, limits::WRITE_UNDER_LOCK_MAX},
    channel::Inner,
    sys::failpoint::{self, Failpoint},
};

pub(in crate::channel) fn reply(
    channel: &Inner,
    id: Rcvid,
    status: i64,
    bytes: &[u8],
) -> Result<()> {
    if status < 0 {
        return Err(Errno::EINVAL);
    }
    reply_with(channel, id, status, |attached, message| {
        message.write(attached, 0, bytes)
    })
}

/// As [`ReceivedMessage::reply_with`](super::ReceivedMessage::reply_with), by receive id.
pub(in crate::channel) fn reply_with(
    channel: &Inner,
    id: Rcvid,
    status: i64,
    put: impl FnOnce(&Attached, &InFlight) -> usize,
) -> Result<()> {
    let (attached, message) = take_from_table(channel, id)?;
    let answer = reply_answer(message.written, status, put(&attached, &message));
    hand_over(channel, &attached, &message, &answer);
    Ok(())
}

pub(in crate::channel) fn error(channel: &Inner, id: Rcvid, errno: Errno) -> Result<()> {
    let (attached, message) = take_from_table(channel, id)?;
    let answer = error_answer(message.written, errno);
    hand_over(channel, &attached, &message, &answer);
    Ok(())
}

/// From here on the answer is this thread's to give.
fn take_from_table(channel: &Inner, id: Rcvid) -> Result<(Arc<Attached>, InFlight)> {
    let taken = channel.lock_own()?.answer_by_id(id)?;
    failpoint::pass(Failpoint::ReplyTaken);
    Ok(taken)
}

pub(in crate::channel) fn read(
    channel: &Inner,
    id: Rcvid,
    offset: usize,
    into: &mut [u8],
) -> Result<usize> {
    let (attached, message) = channel.lock_own()?.blocked(id)?;
    let len = message.read(&attached, offset, into);
    // As in `ReceivedMessage::read`.
    channel.lock_own()?.table.blocked(id)?;
    Ok(len)
}

pub(in crate::channel) fn write(
    channel: &Inner,
    id: Rcvid,
    offset: usize,
    bytes: &[u8],
) -> Result<usize> {
    let mut total = 0;
    loop {
        let chunk = &bytes[total..bytes.len().min(total + WRITE_UNDER_LOCK_MAX)];
        // Under the lock: a client that is let go of may use its buffer for the next message at once.
        let mut state = channel.lock_own()?;
        let message = *state.table.blocked(id)?.0;
        let len = message.write(state.attached(&message), offset + total, chunk);
        state
            .table
            .blocked_mut(id)?
            .note_written(offset + total, len);
        failpoint::pass(Failpoint::Written);
        total += len;
        if len < chunk.len() || total == bytes.len() {
            return Ok(total);
        }
    }
}

pub(in crate::channel) fn info(channel: &Inner, id: Rcvid) -> Result<MessageInfo> {
    let state = channel.lock_own()?;
    let (message, unblock_requested) = state.table.blocked(id)?;
    let attached = state.attached(message);
    Ok(describe(
        channel,
        attached,
        &message.entry,
        unblock_requested,
    ))
}
