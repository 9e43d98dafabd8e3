//! One message of a batch, as it is looked at before it is answered.

use std::ops::Range;

use crate::{
    abi::{ClientInfo, MessageInfo, Priority, Result},
    channel::{
        batch::Leased,
        leases::{Items, Run},
        message,
    },
    shm::Copied,
};

/// One message of a batch.
#[derive(Clone, Copy, Debug)]
pub struct BatchedMessage<'a> {
    leased: &'a Leased,
    items: &'a Items,
    run: &'a Run,
    item: &'a Copied,
    at: usize,
}

impl BatchedMessage<'_> {
    #[inline(always)]
    pub(super) fn slot(&self) -> u32 {
        self.item.slot()
    }

    /// Copies from the message, from `offset` on; 0 past its end (RPL-4).
    ///
    /// # Errors
    /// `ESRCH` when its sender is no longer REPLY-blocked.
    #[doc(alias = "MsgRead")]
    #[inline(always)]
    pub fn read(&self, offset: usize, into: &mut [u8]) -> Result<usize> {
        let item = self.item;
        let len = if item.is_inline() {
            item.read(offset, into)
        } else {
            self.leased.channel.check_own()?;
            let region = &self.run.attached.region;
            let len = region.read(item.message(region), offset, into);
            // The copy before the look: whoever lets a client go says so first.
            std::sync::atomic::fence(std::sync::atomic::Ordering::Acquire);
            len
        };
        if !self.items.is_undisturbed() {
            let mut state = self.leased.channel.lock_own()?;
            state.check_leased(self.leased.id, self.at)?;
        }
        Ok(len)
    }

    /// All of a short message: one of up to 80 bytes, whose bytes the server has copied when it received it.
    /// `None` for a longer one, which [`read`](Self::read) copies.
    #[inline(always)]
    pub fn short(&self) -> Option<&[u8]> {
        self.item.is_inline().then(|| self.item.bytes())
    }

    /// Bytes that the client sent.
    #[allow(
        clippy::len_without_is_empty,
        reason = "an empty message is no special case"
    )]
    pub fn len(&self) -> usize {
        self.item.len() as usize
    }

    /// Bytes that the client's reply buffer takes.
    #[inline]
    pub fn reply_len_max(&self) -> usize {
        self.item.reply_len() as usize
    }

    /// What it was sent at, which orders its receipt.
    #[inline]
    pub fn priority(&self) -> Priority {
        self.item.priority()
    }

    /// Who sent it: the kernel's word, or for a remote client this node's qnet's.
    pub fn client(&self) -> ClientInfo {
        self.run.attached.client
    }

    /// Which connection it came through: a number that no other connection of this process ever has.
    pub fn connection_id(&self) -> u64 {
        self.run.attached.id
    }

    /// The message info structure (RCV-6), as it was when the message was received.
    pub fn info(&self) -> MessageInfo {
        let attached = &self.run.attached;
        let entry = self.item.entry(&attached.region);
        message::describe(&self.leased.channel, attached, &entry, false)
    }
}

/// The messages of a lease at these positions.
pub(super) fn messages<'a>(
    leased: &'a Leased,
    items: &'a Items,
    range: Range<usize>,
) -> impl Iterator<Item = BatchedMessage<'a>> {
    let runs = items.runs.iter();
    runs.flat_map(move |run| messages_of(leased, items, run, run.part(&range)))
}

/// Those of one run.
#[inline(always)]
pub(super) fn messages_of<'a>(
    leased: &'a Leased,
    items: &'a Items,
    run: &'a Run,
    part: Range<usize>,
) -> impl Iterator<Item = BatchedMessage<'a>> {
    let items_of_run = items.part(&part).iter();
    part.zip(items_of_run)
        .map(move |(at, item)| BatchedMessage {
            leased,
            items,
            run,
            item,
            at,
        })
}
