//! What a server learns of a message and of its sender, and a client of its server.

use crate::abi::{Chid, Coid, Nd, Pid, Scoid, Tid};

/// The message info structure (RCV-6). Ids and credentials are the kernel's or the server's own word,
/// `coid`, `tid` and `priority` the client's.
#[doc(alias = "_msg_info")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MessageInfo {
    /// The client's node, as the server's node numbers it.
    pub nd: Nd,
    /// The server's node, as the client's node numbers it.
    pub srcnd: Nd,
    /// The client's process.
    pub pid: Pid,
    /// The client's thread.
    pub tid: Tid,
    /// The channel the message came to.
    pub chid: Chid,
    /// The server connection: one per client process and channel.
    pub scoid: Scoid,
    /// The client's connection id.
    pub coid: Coid,
    /// The priority the message was sent at, 0..=255.
    pub priority: u8,
    /// Whether the client waits to be unblocked (CHN-2).
    pub unblock_requested: bool,
    /// Bytes that the receive itself moved.
    pub msglen: usize,
    /// Bytes that the client sent.
    pub srcmsglen: usize,
    /// Bytes that the client's reply buffer takes.
    pub dstmsglen: usize,
}

/// User and group of a process, from the kernel (or, for a remote client, from this node's mapping).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub struct Credentials {
    /// Effective user id.
    pub uid: u32,
    /// Effective group id.
    pub gid: u32,
}

/// Who stands behind a server connection id (CHN-6).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ClientInfo {
    /// The client's node, as this node numbers it.
    pub nd: Nd,
    /// The client's process on its node.
    pub pid: Pid,
    /// Whom it counts as on this node.
    pub credentials: Credentials,
}

/// Whom a connection leads to (CHN-6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ServerInfo {
    /// The server's node, as this node numbers it.
    pub nd: Nd,
    /// The server's process.
    pub pid: Pid,
    /// The server's channel.
    pub chid: Chid,
    /// What the server calls this process.
    pub scoid: Scoid,
    /// What this process calls the connection.
    pub coid: Coid,
}
