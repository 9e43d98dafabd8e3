//! Servers and connections as most tests need them.

use std::{future::Future, sync::Arc, time::Duration};

use ipc_core::{
    AttachOptions, Received, ReceivedMessage,
    abi::{ChannelFlags, Chid, Nd, Pid, Pulse},
    tokio::{AsyncChannel, AsyncConnection},
};
use tokio::task::JoinHandle;

/// A test whose other side died early fails after this long instead of waiting for ever.
const GIVE_UP: Duration = Duration::from_secs(60);

/// What the future comes to; a test that would hang fails.
pub(crate) async fn soon<T>(what: impl Future<Output = T>) -> T {
    let outcome = tokio::time::timeout(GIVE_UP, what).await;
    outcome.expect("this ends")
}

pub(crate) fn channel(flags: ChannelFlags) -> Arc<AsyncChannel> {
    Arc::new(AsyncChannel::create(flags).expect("a channel can be made"))
}

pub(crate) async fn connect(chid: Chid) -> AsyncConnection {
    let attached = AsyncConnection::attach(Nd::LOCAL, Pid::SELF, chid).await;
    attached.expect("the channel is there")
}

/// A connection with so few slots.
pub(crate) async fn connect_narrow(chid: Chid, slots: u32) -> AsyncConnection {
    connect_with(
        chid,
        AttachOptions {
            slots,
            ..AttachOptions::default()
        },
    )
    .await
}

/// A connection with an arena of 1 MiB.
pub(crate) async fn connect_small(chid: Chid) -> AsyncConnection {
    connect_with(
        chid,
        AttachOptions {
            arena_len: 1 << 20,
            ..AttachOptions::default()
        },
    )
    .await
}

async fn connect_with(chid: Chid, options: AttachOptions<'static>) -> AsyncConnection {
    let attached = AsyncConnection::attach_with(Nd::LOCAL, Pid::SELF, chid, options).await;
    attached.expect("the channel is there")
}

pub(crate) async fn message(channel: &AsyncChannel) -> ReceivedMessage {
    match soon(channel.receive()).await.expect("the channel lives") {
        Received::Message(message) => message,
        Received::Pulse(pulse) => panic!("not a message: {pulse:?}"),
    }
}

pub(crate) async fn pulse(channel: &AsyncChannel) -> Pulse {
    match soon(channel.receive()).await.expect("the channel lives") {
        Received::Pulse(pulse) => pulse,
        Received::Message(message) => panic!("not a pulse: {:?}", message.info()),
    }
}

/// A task that answers every message with its own bytes, until it is aborted.
pub(crate) fn echo(channel: Arc<AsyncChannel>) -> JoinHandle<()> {
    tokio::spawn(async move {
        loop {
            if let Received::Message(message) = channel.receive().await.expect("the channel lives")
            {
                let bytes = message.read_vec(0, message.len());
                // A client may have given up meanwhile.
                let _ = bytes.and_then(|bytes| message.reply(bytes.len() as i64, &bytes));
            }
        }
    })
}
