//! The resource-manager framework: what turns a channel into files.
//!
//! A resource manager fills in two tables of functions, [`ConnectFns`] (what is done at the end of a path)
//! and [`IoFns`] (what is done with an open file); what it leaves out has a sensible default. [`Dispatch`]
//! receives messages, finds the *OCB* ([`Ocb`]: one per open) that the client's connection is bound to,
//! and calls the function. An [`Attr`] holds what is known of a name; many OCBs share it.
//!
//! ```text
//! message --> Dispatch --> connect? --> ConnectFns::open --> Ocb --> bound to (nd, pid, scoid, coid)
//!                    \---> I/O ------> binding? no: EBADF; yes: IoFns::read/write/... (Context, Ocb)
//! DISCONNECT pulse ---> every binding of that client goes; the last of an OCB closes it
//! ```
//!
//! A working device is about twenty lines:
//!
//! ```no_run
//! use std::sync::Arc;
//!
//! use ipc_core::Channel;
//! use ipc_core::abi::io::{Connect, ReadKind};
//! use ipc_core::abi::{ChannelFlags, Result};
//! use ipc_core::resmgr::{Attr, ConnectFns, Context, Dispatch, IoFns, Ocb, Opened, Outcome};
//!
//! struct Hello(Arc<Attr>);
//!
//! impl ConnectFns for Hello {
//!     type State = ();
//!     fn open(&self, context: &mut Context<'_>, connect: &Connect<'_>) -> Result<Opened<()>> {
//!         Opened::device(context, connect, &self.0, ())
//!     }
//! }
//!
//! impl IoFns for Hello {
//!     fn read(&self, context: &mut Context<'_>, ocb: &Arc<Ocb<()>>, len: usize, kind: ReadKind) -> Outcome {
//!         ocb.read_from(context, b"Hello, world\n", len, kind)
//!     }
//! }
//!
//! fn main() -> Result<()> {
//!     let channel = Channel::create(ChannelFlags::DISCONNECT)?;
//!     // Here a registration puts the channel's id into the pathname space.
//!     Dispatch::new(Hello(Attr::device(0o444))).run(&channel)
//! }
//! ```
//!
//! Knows nothing of the process manager and of files on any disk.

mod attr;
mod binding;
mod connect_fns;
mod connects;
mod context;
mod dispatch;
mod io_fns;
mod messages;
mod ocb;

pub use attr::{Attr, check_access, ino_of_name};
pub use connect_fns::{ConnectFns, Opened};
pub use context::{Answer, Context, Deferred, Outcome};
pub use dispatch::Dispatch;
pub use io_fns::IoFns;
pub use ocb::Ocb;
