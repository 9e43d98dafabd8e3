//! What the lab asks of the kernel's network: links by netlink, frames by packet sockets.
//!
//! Nothing here knows what a lab is. No program such as `ip` is run.

mod link;
mod netlink;
mod packet;

pub use link::{LinkState, Links, Veth};
pub(super) use packet::{FRAME_LEN_MAX, PacketSocket, VIRTIO_HEADER_LEN};
