//! Frames in and out of this node, and the one place where the network-handler thread sleeps.
//!
//! Knows no Qnet format beyond the Ethernet header, no session and no message: it moves frames, whose bytes may
//! lie in shared memory.
//!
//! ```text
//!        Link (trait)      TapLink, CaptureLink, FaultLink: a Link around a Link
//!           |
//!        RingLink          one io_uring: sends, receives, doorbells, timeout, one system call for all
//!        |  |   \
//!   TxPool RxRing Doorbell     buffers that the kernel holds; words that others ring
//!           |
//!      FrameSocket         packet socket on an interface, or one end of a loopback pair
//! ```
//!
//! The invariant: memory that an unfinished operation of the ring refers to is neither freed nor
//! touched, whatever happens to the link.
#![allow(
    unsafe_code,
    reason = "raw sockets, interface ioctls and memory shared with the kernel"
)]

mod alarm;
mod bells;
mod capture;
mod claim;
mod clock;
mod doorbell;
mod error;
mod fault;
mod interface;
mod link;
mod loopback;
mod packet;
pub mod pcapng;
mod relay;
mod ring;
mod rx;
mod sieve;
mod slack;
mod slice;
mod socket;
mod tap;
mod tx;

pub use capture::CaptureLink;
pub use clock::now;
pub use doorbell::{Doorbell, Poke, Word};
pub use error::LinkError;
pub use fault::{FaultLink, FaultPlan};
pub use interface::Interface;
pub(crate) use link::histogram;
pub use link::{Arrived, Hole, Link, LinkCounters};
pub use qnet_proto::{Mac, limits::ETHERNET_HEADER_LEN};
pub use ring::RingLink;
pub use sieve::{SAMPLE, Sieve};
pub use slack::ask_for_exact_sleeps;
pub use slice::ask_for_turns;
pub use socket::FrameSocket;
pub use tap::{Recording, Tap, TapLink};
