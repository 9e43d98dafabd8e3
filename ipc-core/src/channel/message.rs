//! A received message.

mod by_id;
mod private;
mod runs;

use std::sync::Arc;

use crate::{
    abi::{Chid, ClientInfo, Coid, Errno, MessageInfo, Nd, Pid, Priority, Rcvid, Result, Tid},
    channel::{
        Inner,
        attached::{Attached, InFlight},
    },
    shm::{Completion, CompletionFlags, EntryFlags, MappedBytes, MessageEntry},
    sys::failpoint::{self, Failpoint},
};

use private::Private;

pub(super) use by_id::{error, info, read, reply, reply_with, write};
pub(super) use runs::reply_all;

/// A message whose sender is REPLY-blocked.
///
/// It is answered once, by [`reply`](Self::reply) or [`error`](Self::error); dropped unanswered it
/// fails with `EIO` and is counted (RPL-6). [`into_rcvid`](Self::into_rcvid) keeps it for later.
#[derive(Debug)]
pub struct ReceivedMessage {
    channel: Arc<Inner>,
    /// Keeps the region mapped.
    attached: Arc<Attached>,
    id: Rcvid,
    /// What [`Inner::ended`] was when it was received.
    ended: u64,
    /// As it was received. What is written to its reply buffer is noted in the table.
    message: Private,
    answered: bool,
}

/// What a received message needs, put in order while nobody waits for it.
#[derive(Debug)]
pub(super) struct Prepared {
    channel: Arc<Inner>,
    /// The connection that it will come through, if there is only one.
    attached: Option<Arc<Attached>>,
}

impl Prepared {
    pub(super) fn new(channel: &Arc<Inner>, attached: Option<&Arc<Attached>>) -> Prepared {
        Prepared {
            channel: Arc::clone(channel),
            attached: attached.map(Arc::clone),
        }
    }
}

impl ReceivedMessage {
    /// A message that was just received, with the lock still held.
    pub(super) fn new(
        prepared: Prepared,
        attached: &Arc<Attached>,
        id: Rcvid,
        message: &InFlight,
    ) -> ReceivedMessage {
        let Prepared {
            channel,
            attached: expected,
        } = prepared;
        let expected = expected.filter(|expected| Arc::ptr_eq(expected, attached));
        ReceivedMessage {
            ended: channel.ended.count(),
            channel,
            attached: expected.unwrap_or_else(|| Arc::clone(attached)),
            id,
            message: Private::of(message),
            answered: false,
        }
    }

    /// The receive id.
    pub fn rcvid(&self) -> Rcvid {
        self.id
    }

    /// The message info structure (RCV-6).
    pub fn info(&self) -> MessageInfo {
        let state = self.channel.lock_own();
        let unblock_requested =
            state.is_ok_and(|state| state.table.blocked(self.id).is_ok_and(|(_, wanted)| wanted));
        let (attached, entry) = (&self.attached, &self.message.entry);
        describe(&self.channel, attached, entry, unblock_requested)
    }

    /// Who sent it: the kernel's word, or for a remote client this node's qnet's.
    pub fn client(&self) -> ClientInfo {
        self.attached.client
    }

    /// The server it is really meant for, on a router's channel.
    pub fn target(&self) -> Option<(Nd, Pid, Chid)> {
        self.attached.target
    }

    /// What the client calls the connection.
    pub fn coid(&self) -> Coid {
        self.attached.coid
    }

    /// Which connection it came through: a number that no other connection of this process ever has.
    pub fn connection_id(&self) -> u64 {
        self.attached.id
    }

    /// Bytes that the client sent.
    #[allow(
        clippy::len_without_is_empty,
        reason = "an empty message is no special case"
    )]
    pub fn len(&self) -> usize {
        self.message.entry.len as usize
    }

    /// Bytes that the client's reply buffer takes.
    pub fn reply_len_max(&self) -> usize {
        self.message.entry.reply_len as usize
    }

    /// Copies from the client's message, from `offset` on; 0 past its end (RPL-4).
    ///
    /// # Errors
    /// `ESRCH` when the client is no longer REPLY-blocked.
    #[doc(alias = "MsgRead")]
    pub fn read(&self, offset: usize, into: &mut [u8]) -> Result<usize> {
        self.channel.check_own()?;
        let len = self.message.read(&self.attached, offset, into);
        // After the copy: a client that is let go of may use its buffer for the next message at once.
        self.check_blocked()?;
        Ok(len)
    }

    /// Asks the processor for bytes that will be read soon, for who reads a long message part by part and does other
    /// work between. Nothing depends on it.
    #[inline]
    pub fn will_read(&self, offset: usize, len: usize) {
        if let Some(claim) = self.message.message_claim() {
            self.attached.region.will_read_part(claim, offset, len);
        }
    }

    /// As [`read`](Self::read), into a vector of at most `len` bytes.
    ///
    /// # Errors
    /// `ESRCH` when the client is no longer REPLY-blocked.
    pub fn read_vec(&self, offset: usize, len: usize) -> Result<Vec<u8>> {
        let mut bytes = vec![0; len.min(self.len().saturating_sub(offset))];
        let read = self.read(offset, &mut bytes)?;
        bytes.truncate(read);
        Ok(bytes)
    }

    /// Copies into the client's reply buffer at `offset`, bounded by it, without unblocking the client.
    ///
    /// # Errors
    /// `ESRCH` when the client is no longer REPLY-blocked.
    #[doc(alias = "MsgWrite")]
    pub fn write(&self, offset: usize, bytes: &[u8]) -> Result<usize> {
        write(&self.channel, self.id, offset, bytes)
    }

    /// Unblocks the client: its send answers `status`, and `bytes` are in its reply buffer, as far as
    /// it takes them. No bytes keep what was written before. Never blocks (RPL-2).
    ///
    /// # Errors
    /// `ESRCH` when the client is no longer REPLY-blocked; `EINVAL` for a negative status, and then
    /// the client gets `EIO`.
    #[doc(alias = "MsgReply")]
    pub fn reply(self, status: i64, bytes: &[u8]) -> Result<()> {
        if status < 0 {
            return Err(Errno::EINVAL);
        }
        self.reply_with(status, |attached, message| {
            message.write(attached, 0, bytes)
        })
    }

    /// Unblocks the client: its send fails with `errno`. 0 makes it answer 0; `ERESTART` makes the
    /// client's library send again (RPL-3).
    ///
    /// # Errors
    /// `ESRCH` when the client is no longer REPLY-blocked.
    #[doc(alias = "MsgError")]
    pub fn error(mut self, errno: Errno) -> Result<()> {
        self.answered = true;
        self.fail(errno)
    }

    /// Unblocks a client that asked for it, as a channel without `UNBLOCK` does: its send ends as its
    /// own timeout or signal says (CHN-2). For a router whose client's server let go of it.
    ///
    /// # Errors
    /// `ESRCH` when the client is no longer REPLY-blocked.
    pub fn let_go(mut self) -> Result<()> {
        self.answered = true;
        let written = self.take_from_table()?;
        let answer = Completion {
            flags: CompletionFlags::CANCELLED,
            written,
            ..Completion::default()
        };
        self.hand_over(&answer);
        Ok(())
    }

    /// Whether the client wants to know when its server receives the message, as its timeout covers one of the
    /// two states only (TMO-1). For a router.
    pub fn wants_receipt(&self) -> bool {
        let flags = self.message.entry.flags;
        flags.contains(EntryFlags::REPORT_RECEIVE)
    }

    /// Says that the server on the other node has received the message: its client was SEND-blocked until now.
    /// For a router, and a message that [wants it](Self::wants_receipt).
    ///
    /// # Errors
    /// `ESRCH` when the client is no longer blocked.
    pub fn report_receipt(&self) -> Result<()> {
        let mut state = self.channel.lock_own()?;
        if state.received_there(self.id)? {
            let entry = &self.message.entry;
            self.attached
                .tell_received(entry.flags, entry.slot, entry.generation);
        }
        Ok(())
    }

    /// Keeps the client blocked and gives up the message: any thread may answer by the id.
    pub fn into_rcvid(mut self) -> Rcvid {
        self.answered = true;
        self.id
    }

    /// The message where it lies in shared memory, if it does; a small one came inside its entry.
    ///
    /// For the kernel or a reader that tolerates any byte: the client may write it at any moment. Valid
    /// until this message is answered or dropped.
    pub fn payload_ptr(&self) -> Option<(*const u8, usize)> {
        let claim = self.message.message_claim()?;
        Some((self.attached.region.ptr(claim).cast_const(), claim.len()))
    }

    /// Bytes of the message where they lie in shared memory; `None` for a small one, which came inside its entry,
    /// and past its end. They outlive the message: the client may use the buffer for its next one by then.
    pub fn mapped(&self, offset: usize, len: usize) -> Option<MappedBytes> {
        let claim = self.message.message_claim()?;
        let keeper = Arc::clone(&self.attached);
        MappedBytes::new(&self.attached.region, claim, offset, len, keeper)
    }

    /// The client's thread.
    pub fn tid(&self) -> Tid {
        self.message.entry.tid
    }

    /// What it was sent at, which orders its receipt.
    pub fn priority(&self) -> Priority {
        self.message.entry.priority
    }

    pub(super) fn attached(&self) -> &Arc<Attached> {
        &self.attached
    }

    pub(super) fn is_of(&self, channel: &Arc<Inner>) -> bool {
        Arc::ptr_eq(&self.channel, channel)
    }

    fn check_blocked(&self) -> Result<()> {
        if self.channel.ended.is_still(self.ended) {
            return Ok(());
        }
        self.channel.lock_own()?.table.blocked(self.id).map(|_| ())
    }

    /// From here on the answer is this thread's to give. Answers what was written so far.
    fn take_from_table(&mut self) -> Result<(u32, u32)> {
        let written = self.channel.lock_own()?.answer(self.id)?;
        self.answered = true;
        failpoint::pass(Failpoint::ReplyTaken);
        Ok(written)
    }

    /// Replies what `put` puts into the client's buffer; it answers how many bytes that is. The status is
    /// not negative.
    pub(super) fn reply_with(
        mut self,
        status: i64,
        put: impl FnOnce(&Attached, &InFlight) -> usize,
    ) -> Result<()> {
        if self.message.replies_inline() {
            return self.reply_inline(status, put);
        }
        let written = self.take_from_table()?;
        let answer = reply_answer(written, status, put(&self.attached, &self.message));
        self.hand_over(&answer);
        Ok(())
    }

    fn fail(&mut self, errno: Errno) -> Result<()> {
        let written = self.take_from_table()?;
        self.hand_over(&error_answer(written, errno));
        Ok(())
    }

    fn hand_over(&self, answer: &Completion) {
        hand_over(&self.channel, &self.attached, &self.message, answer);
    }

    /// As [`reply_with`](Self::reply_with), for a reply that goes into the slot's own lines: the answer is
    /// handed over first, and its place in the table given back while the client is at it already.
    fn reply_inline(
        &mut self,
        status: i64,
        put: impl FnOnce(&Attached, &InFlight) -> usize,
    ) -> Result<()> {
        let mut state = self.channel.lock_own()?;
        let written = state.table.blocked(self.id)?.0.written;
        let answer = reply_answer(written, status, put(&self.attached, &self.message));
        self.message.answer(&self.attached, &answer);
        state
            .answer(self.id)
            .expect("invariant: it was there a moment ago, under the same lock");
        self.answered = true;
        drop(state);
        tell(&self.channel, &self.attached, &self.message);
        Ok(())
    }
}

impl Drop for ReceivedMessage {
    fn drop(&mut self) {
        if !self.answered && self.fail(Errno::EIO).is_ok() {
            self.channel.counters.dropped_unanswered.add_one();
        }
    }
}

fn reply_answer(written: (u32, u32), status: i64, len: usize) -> Completion {
    Completion {
        flags: CompletionFlags::empty(),
        status,
        len: len as u32,
        written,
    }
}

fn error_answer(written: (u32, u32), errno: Errno) -> Completion {
    let flags = if errno.0 == 0 {
        CompletionFlags::empty()
    } else {
        CompletionFlags::ERROR
    };
    Completion {
        flags,
        status: i64::from(errno.0),
        len: 0,
        written,
    }
}

fn hand_over(channel: &Inner, attached: &Attached, message: &InFlight, answer: &Completion) {
    message.answer(attached, answer);
    tell(channel, attached, message);
}

/// Wakes the client of an answered message if it sleeps.
fn tell(channel: &Inner, attached: &Attached, message: &InFlight) {
    if message.tell(attached) {
        channel.counters.wakes_sent.add_one();
    }
}

pub(super) fn describe(
    channel: &Inner,
    attached: &Attached,
    entry: &MessageEntry,
    unblock_requested: bool,
) -> MessageInfo {
    MessageInfo {
        nd: attached.client.nd,
        srcnd: attached.srcnd,
        pid: attached.client.pid,
        tid: entry.tid,
        chid: channel.chid,
        scoid: attached.scoid,
        coid: attached.coid,
        priority: entry.priority,
        unblock_requested,
        msglen: entry.len as usize,
        srcmsglen: entry.len as usize,
        dstmsglen: entry.reply_len as usize,
    }
}
