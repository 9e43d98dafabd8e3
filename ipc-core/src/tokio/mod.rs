//! Channels and connections for tokio's tasks (feature `tokio`).
//!
//! Each [`AsyncChannel`] has a helper thread that sleeps on its doorbell and wakes its tasks. All
//! [`AsyncConnection`]s of a process share one completion queue and one thread that takes the answers
//! out of it and wakes the tasks they belong to. Nobody else pays for either thread, and neither makes a
//! system call while nothing comes. What is sent and received is as always: the other side cannot tell,
//! and need not use tokio. No driver of the runtime takes part, so any flavour of it will do.
//!
//! Futures are safe to drop at any point. A dropped `receive` took nothing. A dropped `send` withdraws
//! its message; if the server has it already, the server is told as for a timeout (CHN-2), and its
//! answer is thrown away.
//!
//! ```
//! use ipc_core::{Received, abi::{ChannelFlags, Errno, Nd, Pid}};
//! use ipc_core::tokio::{AsyncChannel, AsyncConnection};
//!
//! # #[::tokio::main(flavor = "current_thread")]
//! # async fn main() -> ipc_core::abi::Result<()> {
//! let channel = AsyncChannel::create(ChannelFlags::empty())?;
//! let chid = channel.chid();
//! let server = ::tokio::spawn(async move {
//!     if let Received::Message(message) = channel.receive().await? {
//!         let text = message.read_vec(0, message.len())?;
//!         message.reply(0, &text.to_ascii_uppercase())?;
//!     }
//!     Ok::<(), Errno>(())
//! });
//! let connection = AsyncConnection::attach(Nd::LOCAL, Pid::SELF, chid).await?;
//! let mut answer = [0; 16];
//! let reply = connection.send(b"hello", &mut answer).await?;
//! assert_eq!(&answer[..reply.len], b"HELLO");
//! server.await.unwrap()
//! # }
//! ```
//!
//! This module has the name of the runtime's crate. Where all of `ipc_core` is imported at once the compiler cannot tell
//! the two apart (E0659):
//!
//! ```compile_fail,E0659
//! use ipc_core::*;
//!
//! let runtime = tokio::runtime::Builder::new_current_thread().build();
//! ```
//!
//! Import what is needed by its name, or write `::tokio` for the crate:
//!
//! ```
//! use ipc_core::*;
//! use ipc_core::tokio::AsyncChannel;
//!
//! let runtime = ::tokio::runtime::Builder::new_current_thread().build();
//! # let _: Option<AsyncChannel> = None;
//! # runtime.unwrap();
//! ```

mod channel;
mod connection;
mod dispatcher;
mod places;

pub use {
    channel::AsyncChannel,
    connection::{AsyncConnection, InPlaceReply},
};
