//! A channel whose receivers are tasks.

use std::{
    fmt,
    ops::Deref,
    pin::pin,
    sync::atomic::{AtomicUsize, Ordering},
};

use ::tokio::sync::Notify;

use crate::{
    abi::{ChannelFlags, Result},
    channel::{Channel, Received},
    readiness::{Helped, Poke},
};

/// A channel that tasks receive on; any number of them at once.
///
/// Replying never waits, so messages are answered by the plain methods, from any task or thread. Dropping
/// it destroys the channel. To end gracefully, stop receiving, answer what was received, then drop it.
pub struct AsyncChannel {
    channel: Helped<Channel, Notify>,
    /// Tasks that wait to be poked.
    waiting: AtomicUsize,
}

/// A task that waits, counted for as long as it does.
struct Waiting<'a>(&'a AtomicUsize);

impl AsyncChannel {
    /// Makes a channel; see [`Channel::create`].
    ///
    /// # Errors
    /// As [`Channel::create`], and as [`new`](Self::new).
    #[doc(alias = "ChannelCreate")]
    pub fn create(flags: ChannelFlags) -> Result<AsyncChannel> {
        AsyncChannel::new(Channel::create(flags)?)
    }

    /// Takes a channel over. No thread may sleep in [`Channel::receive`] on it from now on.
    ///
    /// # Errors
    /// `EAGAIN`: no thread left.
    pub fn new(channel: Channel) -> Result<AsyncChannel> {
        Ok(AsyncChannel {
            channel: Helped::new(channel, Notify::new())?,
            waiting: AtomicUsize::new(0),
        })
    }

    /// Waits for the next message or pulse: higher priority first, then first come (RCV-1). Takes nothing
    /// if it is dropped before it is ready.
    ///
    /// # Errors
    /// None that a live channel gives.
    #[doc(alias = "MsgReceive")]
    pub async fn receive(&self) -> Result<Received> {
        // A server that always finds something must let its runtime's other tasks run too.
        ::tokio::task::coop::consume_budget().await;
        if let Some(received) = self.try_receive()? {
            return Ok(received);
        }
        let _waiting = Waiting::new(&self.waiting);
        loop {
            let mut poked = pin!(self.channel.poke().notified());
            // Before the look: a poke between the two is not missed.
            poked.as_mut().enable();
            if let Some(received) = self.try_receive()? {
                return Ok(received);
            }
            poked.await;
        }
    }

    /// Takes what is there without waiting.
    ///
    /// # Errors
    /// None that a live channel gives.
    pub fn try_receive(&self) -> Result<Option<Received>> {
        let received = self.channel.take(Channel::try_receive)?;
        // What comes while this task is busy is for the tasks that wait.
        if received.is_some() && self.waiting.load(Ordering::SeqCst) > 0 {
            self.channel.watch();
        }
        Ok(received)
    }
}

impl Poke for Notify {
    fn poke(&self) {
        // One task: what it leaves behind is the next one's poke.
        self.notify_one();
    }

    fn clear(&self) {
        // A permit that is left over makes one task look once in vain.
    }
}

/// The channel: ids, replies by receive id, pulses, counters.
impl Deref for AsyncChannel {
    type Target = Channel;

    fn deref(&self) -> &Channel {
        self.channel.source()
    }
}

impl<'a> Waiting<'a> {
    fn new(count: &'a AtomicUsize) -> Waiting<'a> {
        count.fetch_add(1, Ordering::SeqCst);
        Waiting(count)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl fmt::Debug for AsyncChannel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.channel.source().fmt(f)
    }
}
