//! Send/Receive/Reply message passing for Linux, as QNX Neutrino made it known.
//!
//! The folders are layers; each sees only those above it in this list:
//!
//! - [`abi`]: what crosses a process boundary: ids, errors, formats, limits.
//! - `srr`: the pure semantics: what is queued, who is blocked, what an event changes.
//! - `sync`, [`sys`]: atomics and system calls; they know no message.
//! - `shm`: typed access to memory that a peer can write; it knows no channel.
//! - `process`: the monitor thread and the runtime directory; it knows neither side.
//! - [`channel`]: the server side. [`connection`]: the client side.
//! - [`proc`]: the process manager's protocol, pathname space and registry.
//! - [`resmgr`]: the resource-manager framework: what turns a channel into files.
//! - [`file`](mod@file): a client's files over connections; [`trace`] shows each step of the way.
//!
//! ```
//! use ipc_core::{Channel, Connection, Received, abi::{ChannelFlags, Nd, Pid}};
//!
//! let channel = Channel::create(ChannelFlags::empty())?;
//! let chid = channel.chid();
//! let server = std::thread::spawn(move || -> ipc_core::abi::Result<()> {
//!     let Received::Message(message) = channel.receive()? else { panic!("no pulse was sent") };
//!     let text = message.read_vec(0, message.len())?;
//!     message.reply(0, &text.to_ascii_uppercase())
//! });
//! let connection = Connection::attach(Nd::LOCAL, Pid::SELF, chid)?;
//! let mut answer = [0; 16];
//! let reply = connection.send(b"hello", &mut answer)?;
//! assert_eq!(&answer[..reply.len], b"HELLO");
//! server.join().unwrap()?;
//! # Ok::<(), ipc_core::abi::Errno>(())
//! ```
#![deny(unsafe_code)]

pub mod abi;
pub mod channel;
pub mod connection;
pub mod file;
pub mod proc;
mod process;
pub mod readiness;
pub mod resmgr;
mod shm;
mod spin;
mod srr;
pub mod streams;
mod sync;
pub mod sys;
#[cfg(feature = "tokio")]
pub mod tokio;
pub mod trace;
pub mod typed;

pub use channel::{
    BlockedThread, Channel, ChannelSnapshot, ChannelStats, EventPort, Outside, ProcessSnapshot,
    Received, ReceivedMessage, RoutedPulse, claim_alias, retire, snapshot,
};
pub use connection::{
    AttachOptions, BlockedStates, Completion, CompletionQueue, Connection, Event, EventForwarder,
    EventReceipt, Loan, LoanReply, Reply, SpeaksFor, Timeout, Token, priority, set_priority,
};
pub use process::Alias;
pub use spin::SpinPolicy;
pub use sys::{
    futex::FutexWord,
    runtime_dir::{runtime_dir, set_runtime_dir},
};

/// The examples of README are tests.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;
