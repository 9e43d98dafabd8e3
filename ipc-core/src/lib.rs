//! Send/Receive/Reply message passing for Linux, as QNX Neutrino made it known.
//!
//! A client sends a message to a *channel* and blocks; a server receives it, works, and replies; the client
//! wakes with the answer. Messages travel through memory that the two processes share, so a call costs
//! no copy by the kernel and, while both sides are awake, no system call. Neither side trusts the other,
//! and no daemon takes part.
//!
//! # The first message
//!
//! ```
//! use ipc_core::{Channel, ChannelFlags, Connection, Nd, Pid, Received};
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
//! # Ok::<(), ipc_core::Errno>(())
//! ```
//!
//! The server may be any process of the node: a client needs its [`Pid`] and the channel's [`Chid`], or a
//! name (below). A [`ReceivedMessage`] is answered once, by [`reply`](ReceivedMessage::reply) or
//! [`error`](ReceivedMessage::error), which take it; one that is dropped fails the client's send with `EIO`.
//! Its receive id ([`into_rcvid`](ReceivedMessage::into_rcvid)) lets any thread answer later.
//! A connection may be used by any number of threads at once.
//!
//! # Structures instead of bytes
//!
//! ```
//! # use ipc_core::{Channel, ChannelFlags, Connection, Nd, Pid, Received};
//! use zerocopy::{FromBytes, Immutable, IntoBytes};
//!
//! #[repr(C)]
//! #[derive(FromBytes, IntoBytes, Immutable)]
//! struct Point { x: f64, y: f64 }
//!
//! # let channel = Channel::create(ChannelFlags::empty())?;
//! # let connection = Connection::attach(Nd::LOCAL, Pid::SELF, channel.chid())?;
//! # let server = std::thread::spawn(move || -> ipc_core::abi::Result<()> {
//! # let Received::Message(message) = channel.receive()? else { panic!("no pulse was sent") };
//! // Server: any bytes of the right length are a point; another length is EBADMSG.
//! let point: Point = message.read_typed()?;
//! message.reply_typed(0, &point.x.hypot(point.y))
//! # });
//! # std::thread::spawn(move || -> ipc_core::abi::Result<()> {
//! // Client:
//! let reply = connection.send_typed::<_, f64>(&Point { x: 3.0, y: 4.0 })?;
//! assert_eq!(reply.value, 5.0);
//! # Ok(()) }).join().unwrap()?;
//! # server.join().unwrap()?;
//! # Ok::<(), ipc_core::Errno>(())
//! ```
//!
//! See [`typed`]. Messages of several parts go with
//! [`send_vectored`](Connection::send_vectored) and
//! [`read_vectored`](ReceivedMessage::read_vectored); [`streams`] makes `std::io::Read` and `Write` of them.
//! A [`Loan`] is a message made where the server reads it: no copy.
//!
//! # Timeouts
//!
//! ```
//! # use ipc_core::{Channel, ChannelFlags, Connection, Errno, Nd, Pid, Timeout};
//! use std::time::Duration;
//!
//! let channel = Channel::create(ChannelFlags::empty())?;
//! let connection = Connection::attach(Nd::LOCAL, Pid::SELF, channel.chid())?;
//! let soon = Duration::from_millis(1);
//! // Nobody receives: the message is withdrawn, and the server never sees it.
//! assert_eq!(connection.send_timeout(b"?", &mut [], soon), Err(Errno::ETIMEDOUT));
//! // For one of the two states a sender blocks in: until it is received, or from then on.
//! let until_received = Timeout::send(soon);
//! assert_eq!(connection.send_timeout(b"?", &mut [], until_received), Err(Errno::ETIMEDOUT));
//! assert!(channel.try_receive()?.is_none());
//! # Ok::<(), Errno>(())
//! ```
//!
//! On a channel with [`ChannelFlags::UNBLOCK`] a client whose time is up stays blocked until the server,
//! told by a pulse, has cleaned up: `examples/unblock.rs`.
//!
//! # Pulses
//!
//! A pulse is a code and a number, for which nobody waits. Messages and pulses come out of one queue:
//! higher priority first, then first come.
//!
//! ```
//! # use ipc_core::{Channel, ChannelFlags, Connection, Nd, Pid, PulseCode, Received};
//! # let channel = Channel::create(ChannelFlags::empty())?;
//! # let connection = Connection::attach(Nd::LOCAL, Pid::SELF, channel.chid())?;
//! connection.send_pulse(None, PulseCode(1), 42)?;
//! match channel.receive()? {
//!     Received::Pulse(pulse) => assert_eq!((pulse.code, pulse.value), (PulseCode(1), 42)),
//!     Received::Message(message) => message.error(ipc_core::Errno::ENOSYS)?,
//! }
//! # Ok::<(), ipc_core::Errno>(())
//! ```
//!
//! # A pool of threads
//!
//! Any number of threads may [`receive`](Channel::receive) on one channel, and each message goes to one of
//! them:
//!
//! ```
//! # use ipc_core::{Channel, ChannelFlags, Connection, Nd, Pid, PulseCode, Received};
//! # use std::{sync::Arc, thread};
//! let channel = Arc::new(Channel::create(ChannelFlags::empty())?);
//! let pool: Vec<_> = (0..4)
//!     .map(|_| {
//!         let channel = Arc::clone(&channel);
//!         thread::spawn(move || -> ipc_core::abi::Result<()> {
//!             while let Received::Message(message) = channel.receive()? {
//!                 message.reply(0, b"done")?;
//!             }
//!             Ok(()) // a pulse ends the thread
//!         })
//!     })
//!     .collect();
//! # let connection = Connection::attach(Nd::LOCAL, Pid::SELF, channel.chid())?;
//! # for _ in 0..20 { assert_eq!(connection.send(b"", &mut [0; 4])?.len, 4); }
//! # for _ in &pool { channel.send_pulse(0, PulseCode(0), 0)?; }
//! # for thread in pool { thread.join().unwrap()?; }
//! # Ok::<(), ipc_core::Errno>(())
//! ```
//!
//! # Without a thread for each message
//!
//! - Many messages in flight from one thread: [`Connection::submit`] and a [`CompletionQueue`], or a
//!   [`Pipeline`].
//! - In an event loop: [`readiness::Pollable`] gives a channel or a completion queue a descriptor for epoll.
//! - In tokio's tasks: `ipc_core::tokio::{AsyncChannel, AsyncConnection}`, with the feature `tokio`.
//! - In an io_uring: [`Channel::outside`] gives the futex words to wait for.
//!
//! # Names, files and other nodes
//!
//! Where a process manager (`procmgr`) runs, a server registers a name with [`proc::name_attach`] and a
//! client finds it with [`proc::name_open`]; [`resmgr`] turns a channel into files, and
//! [`file`](mod@file) opens them. Where a `qnet` runs, both reach other nodes, by names and paths below
//! `/net/NODE`. A node descriptor other than [`Nd::LOCAL`] is all that changes in an attach, and
//! [`proc::resolve_node`] gives that of a node.
//!
//! ```no_run
//! use ipc_core::{Chid, Connection, Pid, proc::resolve_node};
//!
//! let nd = resolve_node("wintermute")?;
//! let connection = Connection::attach(nd, Pid(4711), Chid(1))?;
//! # Ok::<(), ipc_core::Errno>(())
//! ```
//!
//! # Why is it slow?
//!
//! [`Channel::stats`] counts what happened: wake-ups that cost a system call and those that were saved,
//! looks that paid and those in vain, messages dropped unanswered, clients that broke the rules.
//! [`SpinPolicy`] says how long either side looks before it sleeps. [`snapshot`] tells of any process of
//! the node who is blocked on whom, as `qn blocked` does.
//!
//! # Errors
//!
//! Every call answers an [`Errno`], with Neutrino's meaning; for what a path means, [`file::describe`] says
//! the likely cause and the command that mends it. What a caller may rely on is numbered in
//! `docs/semantics.md`, and the numbers stand at the items they belong to. The names are Neutrino's too:
//! search this documentation for `MsgSend`, `ChannelCreate`, `ConnectAttach` and their like.
//!
//! # Examples
//!
//! `examples/` has a program for each of these, and for priorities, processes, devices and names; each
//! starts what it needs and says what it prints.
//!
//! # Features
//!
//! None is on by default. `tokio`: channels and connections for tokio's tasks, and the dependency on tokio. `failpoints`
//! and `internals` are this project's own, for its tests and benchmarks: what they show may change at any time.
//!
//! # Layers
//!
//! Each sees only those above it in this list:
//!
//! - [`abi`]: what crosses a process boundary: ids, errors, formats, limits.
//! - `srr`: the pure semantics: what is queued, who is blocked, what an event changes.
//! - `sync`, [`sys`]: atomics and system calls; they know no message.
//! - `shm`: typed access to memory that a peer can write; it knows no channel.
//! - `process`: the monitor thread and the runtime directory; it knows neither side.
//! - [`channel`]: the server side. [`connection`]: the client side.
//! - [`typed`], [`streams`], [`readiness`], `tokio`: other habits, over the public calls of the two.
//! - [`proc`]: the process manager's protocol, pathname space and registry.
//! - [`resmgr`]: the resource-manager framework: what turns a channel into files.
//! - [`file`](mod@file): a client's files over connections; [`trace`] shows each step of the way.
#![deny(unsafe_code)]

pub mod abi;
pub mod channel;
pub mod connection;
pub mod file;
mod free_indices;
#[cfg(feature = "internals")]
#[doc(hidden)]
pub mod internals;
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

pub use abi::{ChannelFlags, ChannelStats, Chid, Errno, Nd, Pid, Pulse, PulseCode};
pub use channel::{
    BatchReply, BatchedMessage, BlockedThread, Channel, ChannelSnapshot, EventPort, MessageBatch,
    MessagesApart, Outside, ProcessSnapshot, Received, ReceivedMessage, RoutedPulse, claim_alias,
    retire, snapshot,
};
pub use connection::{
    Answered, AttachOptions, BlockedStates, Completion, CompletionQueue, Connection, Event,
    EventForwarder, EventReceipt, Loan, LoanReply, Pipeline, PipelineOptions, PipelinedReply,
    Reply, ShortMessage, SpeaksFor, Taken, Timeout, Token, priority, set_priority,
};
pub use process::{Alias, remove_runtime_dir_if_unused};
pub use shm::MappedBytes;
pub use spin::{GaveWay, GiveWay, SpinPolicy, give_way};
pub use sys::{
    descriptor::{keep_descriptors_from, own_descriptor_from},
    futex::{FutexWord, Wake},
    runtime_dir::{runtime_dir, set_runtime_dir},
    thread::speak_as,
};

/// The examples of README are tests.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;
