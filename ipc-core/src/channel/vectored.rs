//! The forms with several parts: a message read into, and a reply gathered from, more than one buffer.

use std::io::{IoSlice, IoSliceMut};

use crate::{
    abi::{Errno, Rcvid, Result},
    channel::{
        Channel,
        attached::{Attached, InFlight},
        message::{self, ReceivedMessage},
    },
};

impl ReceivedMessage {
    /// As [`read`](Self::read), scattered over `parts` in order (SND-4); answers the bytes of all.
    ///
    /// # Errors
    /// `ESRCH` when the client is no longer REPLY-blocked.
    #[doc(alias = "MsgReadv")]
    pub fn read_vectored(&self, offset: usize, parts: &mut [IoSliceMut<'_>]) -> Result<usize> {
        scatter(parts, |done, part| {
            self.read(offset.saturating_add(done), part)
        })
    }

    /// As [`write`](Self::write), gathered from `parts` in order; answers the bytes of all.
    ///
    /// # Errors
    /// `ESRCH` when the client is no longer REPLY-blocked.
    #[doc(alias = "MsgWritev")]
    pub fn write_vectored(&self, offset: usize, parts: &[IoSlice<'_>]) -> Result<usize> {
        gather(parts, |done, part| {
            self.write(offset.saturating_add(done), part)
        })
    }

    /// As [`reply`](Self::reply), with bytes gathered from `parts`.
    ///
    /// # Errors
    /// As [`reply`](Self::reply).
    #[doc(alias = "MsgReplyv")]
    pub fn reply_vectored(self, status: i64, parts: &[IoSlice<'_>]) -> Result<()> {
        check_status(status)?;
        self.reply_with(status, |attached, message| put(attached, message, parts))
    }
}

impl Channel {
    /// Reads from a message by its receive id; see [`ReceivedMessage::read_vectored`].
    ///
    /// # Errors
    /// `ESRCH` unless its client is REPLY-blocked.
    #[doc(alias = "MsgReadv")]
    pub fn read_vectored(
        &self,
        id: Rcvid,
        offset: usize,
        parts: &mut [IoSliceMut<'_>],
    ) -> Result<usize> {
        scatter(parts, |done, part| {
            self.read(id, offset.saturating_add(done), part)
        })
    }

    /// Writes to a reply buffer by receive id; see [`ReceivedMessage::write_vectored`].
    ///
    /// # Errors
    /// `ESRCH` unless the client is REPLY-blocked.
    #[doc(alias = "MsgWritev")]
    pub fn write_vectored(&self, id: Rcvid, offset: usize, parts: &[IoSlice<'_>]) -> Result<usize> {
        gather(parts, |done, part| {
            self.write(id, offset.saturating_add(done), part)
        })
    }

    /// Answers a message by its receive id; see [`ReceivedMessage::reply_vectored`].
    ///
    /// # Errors
    /// `ESRCH` unless its client is REPLY-blocked; `EINVAL` for a negative status.
    #[doc(alias = "MsgReplyv")]
    pub fn reply_vectored(&self, id: Rcvid, status: i64, parts: &[IoSlice<'_>]) -> Result<()> {
        check_status(status)?;
        message::reply_with(&self.0, id, status, |attached, message| {
            put(attached, message, parts)
        })
    }
}

/// The client is REPLY-blocked until the hand-over, so its buffer is nobody else's.
fn put(attached: &Attached, message: &InFlight, parts: &[IoSlice<'_>]) -> usize {
    let put = |done, part: &[u8]| Ok(message.write(attached, done, part));
    gather(parts, put).expect("invariant: a copy does not fail")
}

fn check_status(status: i64) -> Result<()> {
    if status < 0 {
        Err(Errno::EINVAL)
    } else {
        Ok(())
    }
}

/// Fills part after part, until one is not filled: nothing follows it.
fn scatter(
    parts: &mut [IoSliceMut<'_>],
    mut read: impl FnMut(usize, &mut [u8]) -> Result<usize>,
) -> Result<usize> {
    // Also without a part: whether the client still waits is part of the answer.
    let mut done = read(0, &mut [])?;
    for part in parts {
        let len = read(done, part)?;
        done += len;
        if len < part.len() {
            break;
        }
    }
    Ok(done)
}

/// Takes part after part, until one does not fit: nothing follows it.
fn gather(
    parts: &[IoSlice<'_>],
    mut write: impl FnMut(usize, &[u8]) -> Result<usize>,
) -> Result<usize> {
    let mut done = write(0, &[])?;
    for part in parts {
        let len = write(done, part)?;
        done += len;
        if len < part.len() {
            break;
        }
    }
    Ok(done)
}
