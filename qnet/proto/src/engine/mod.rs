//! The engine: sessions with other nodes, and the calls, pulses and names that travel through them.

mod config;
mod event;
mod store;

use std::ops::Range;

pub use config::{Config, LinkConfig};
pub use event::{Cancel, ConnectInfo, DownReason, Event, Pulse};
pub use store::{Accept, Incoming, Store};

use crate::{
    Errno, InboundCall, InboundConn, LinkId, Mac, NodeName, OutboundCall, OutboundConn, PeerId,
    Time,
};

/// A frame to be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transmit {
    /// Through which link.
    pub link: LinkId,
    /// To whom; it stands in the frame's Ethernet header too.
    pub dst_mac: Mac,
    /// Bytes of the frame, from the start of the buffer.
    pub len: usize,
}

/// How far the engine is with a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NodeState {
    /// Heard of, or named by the hosts file; no session.
    Known,
    /// A session is being set up.
    Connecting,
    /// There is a session.
    Up,
}

/// One line of `ls /net`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NodeInfo {
    /// Its number on this node.
    pub peer: PeerId,
    /// Its name.
    pub name: NodeName,
    /// How far the engine is with it.
    pub state: NodeState,
    /// Where it was heard last.
    pub link: LinkId,
    /// Its address there.
    pub mac: Mac,
    /// Smoothed round-trip time, ns; 0 when not measured.
    pub rtt_ns: u64,
}

/// One node's end of the Qnet transport.
///
/// Push what happened (`handle_*`, commands), then pull until dry: [`Engine::poll_event`],
/// [`Engine::poll_transmit`], and last [`Engine::poll_timeout`] for when to come back at the latest.
pub struct Engine {
    config: Config,
}

impl Engine {
    /// Makes an engine that has announced itself to nobody yet.
    ///
    /// # Errors
    /// `EINVAL` as [`Config::check`].
    pub fn new(config: Config) -> Result<Engine, Errno> {
        config.check()?;
        Ok(Engine { config })
    }

    /// The configuration it was made with.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Takes one received frame, Ethernet header included. Faulty ones are counted and dropped.
    pub fn handle_frame(
        &mut self,
        _now: Time,
        _link: LinkId,
        _frame: &[u8],
        _store: &mut impl Store,
    ) {
    }

    /// To be called when the time of [`Engine::poll_timeout`] has come; harmless earlier.
    pub fn handle_timeout(&mut self, _now: Time) {}

    /// Writes the next frame, if there is one, into `frame`, which must take the largest frame of any
    /// link (MTU + 14). The frame counts as sent.
    pub fn poll_transmit(
        &mut self,
        _now: Time,
        _frame: &mut [u8],
        _store: &impl Store,
    ) -> Option<Transmit> {
        None
    }

    /// When [`Engine::handle_timeout`] is due; `None` as long as nothing is outstanding.
    pub fn poll_timeout(&self) -> Option<Time> {
        None
    }

    /// The next event.
    pub fn poll_event(&mut self) -> Option<Event> {
        None
    }

    /// Tells the segment that this node is there; others answer and are then `NodeSeen`.
    pub fn announce(&mut self, _now: Time) {}

    /// Says goodbye to everybody: frames to be pulled and sent before the program ends.
    pub fn bye(&mut self, _now: Time) {}

    /// Makes a node known by hand (the hosts file). Its number stays as long as the engine.
    ///
    /// # Errors
    /// `EAGAIN` too many nodes, `EINVAL` not a station's address or no such link.
    pub fn add_host(&mut self, _name: NodeName, _link: LinkId, _mac: Mac) -> Result<PeerId, Errno> {
        Err(Errno::EAGAIN)
    }

    /// Looks a name up; ends in `Resolved` or `ResolveFailed`, at once for a name that is known.
    ///
    /// # Errors
    /// `EINVAL` the node's own name, `EAGAIN` too many lookups at one time.
    pub fn resolve(&mut self, _now: Time, _name: NodeName) -> Result<(), Errno> {
        Err(Errno::EAGAIN)
    }

    /// The nodes known, in the order of their numbers.
    pub fn nodes(&self) -> impl Iterator<Item = NodeInfo> + '_ {
        std::iter::empty()
    }

    /// Makes a virtual connection. Nothing is sent: the connect travels with the first message or pulse.
    ///
    /// # Errors
    /// `EHOSTUNREACH` no such peer, `EAGAIN` too many connections.
    pub fn connect(&mut self, _peer: PeerId, _info: ConnectInfo) -> Result<OutboundConn, Errno> {
        Err(Errno::EHOSTUNREACH)
    }

    /// Changes the credentials of a client; they go with its next message or pulse.
    ///
    /// # Errors
    /// `EBADF` not a live connection.
    pub fn set_credentials(
        &mut self,
        _conn: OutboundConn,
        _uid: u32,
        _gid: u32,
    ) -> Result<(), Errno> {
        Err(Errno::EBADF)
    }

    /// Sends a local client's message of `len` bytes; ends in `Replied` or `Failed`.
    ///
    /// # Errors
    /// `EBADF` not a live connection, `EMSGSIZE` a length over 16 MiB.
    pub fn send(
        &mut self,
        _now: Time,
        _conn: OutboundConn,
        _message: Outgoing,
    ) -> Result<OutboundCall, Errno> {
        Err(Errno::EBADF)
    }

    /// Passes on that a local client wants out. A call that is not on its way yet ends here and now:
    /// `Failed` with the error of `Unblock` or `Withdraw`.
    ///
    /// # Errors
    /// `ESRCH` the call has ended.
    pub fn cancel(
        &mut self,
        _now: Time,
        _call: OutboundCall,
        _cancel: Cancel,
    ) -> Result<(), Errno> {
        Err(Errno::ESRCH)
    }

    /// Ends a virtual connection; calls outstanding on it are abandoned. The handle is dead at once.
    ///
    /// # Errors
    /// `EBADF` not a live connection.
    pub fn detach(&mut self, _now: Time, _conn: OutboundConn) -> Result<(), Errno> {
        Err(Errno::EBADF)
    }

    /// Sends a pulse to the server, once and in order with other pulses of the connection.
    ///
    /// # Errors
    /// `EBADF` not a live connection, `EAGAIN` too many pulses on their way to that node.
    pub fn pulse_server(
        &mut self,
        _now: Time,
        _conn: OutboundConn,
        _pulse: Pulse,
    ) -> Result<(), Errno> {
        Err(Errno::EBADF)
    }

    /// Sends a pulse to the client of an inbound connection.
    ///
    /// # Errors
    /// `EBADF` not a live connection, `EAGAIN` too many pulses on their way to that node.
    pub fn pulse_client(
        &mut self,
        _now: Time,
        _conn: InboundConn,
        _pulse: Pulse,
    ) -> Result<(), Errno> {
        Err(Errno::EBADF)
    }

    /// There is a buffer now for a message that was accepted with [`Accept::Eager`].
    ///
    /// # Errors
    /// `ESRCH` the client no longer waits.
    pub fn grant(&mut self, _now: Time, _call: InboundCall) -> Result<(), Errno> {
        Err(Errno::ESRCH)
    }

    /// Answers an inbound call with the first `len` bytes of its reply buffer. Ends in `ReplyDone` (or
    /// `Abandoned`); until then the bytes must stay.
    ///
    /// # Errors
    /// `ESRCH` the client no longer waits or has its answer; `EMSGSIZE` longer than its reply buffer.
    pub fn reply(
        &mut self,
        now: Time,
        call: InboundCall,
        status: i64,
        len: u32,
    ) -> Result<(), Errno> {
        let whole = 0..len;
        self.reply_extents(now, call, status, std::slice::from_ref(&whole))
    }

    /// As [`Engine::reply`], for a server that wrote at scattered offsets: sends only these extents,
    /// sorted and disjoint, and leaves the rest of the client's buffer as it is.
    ///
    /// # Errors
    /// As [`Engine::reply`]; `EINVAL` extents unsorted, overlapping or more than 64.
    pub fn reply_extents(
        &mut self,
        _now: Time,
        _call: InboundCall,
        _status: i64,
        _extents: &[Range<u32>],
    ) -> Result<(), Errno> {
        Err(Errno::ESRCH)
    }

    /// Answers an inbound call with an error. Ends in `ReplyDone` (or `Abandoned`).
    ///
    /// # Errors
    /// As [`Engine::reply`].
    pub fn error(&mut self, _now: Time, _call: InboundCall, _errno: Errno) -> Result<(), Errno> {
        Err(Errno::ESRCH)
    }

    /// The local server behind an inbound connection is gone, or could not be attached to: every call
    /// not answered yet is answered with `errno` (`ReplyDone` follows for each), and the client's node is
    /// told. The handle is dead at once.
    ///
    /// # Errors
    /// `EBADF` not a live connection.
    pub fn close(&mut self, _now: Time, _conn: InboundConn, _errno: Errno) -> Result<(), Errno> {
        Err(Errno::EBADF)
    }

    /// Ends the session with a peer, and everything in it, now.
    ///
    /// # Errors
    /// `EHOSTUNREACH` no such peer.
    pub fn forget(&mut self, _now: Time, _peer: PeerId) -> Result<(), Errno> {
        Err(Errno::EHOSTUNREACH)
    }
}

/// What [`Engine::send`] must know of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outgoing {
    /// Bytes of the message.
    pub len: u32,
    /// Bytes that the client's reply buffer takes.
    pub reply_len: u32,
    /// The priority it is sent at.
    pub priority: u8,
    /// The client's thread.
    pub tid: i32,
}
