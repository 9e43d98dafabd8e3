//! Where the bytes of messages and replies are: never in the engine.

use super::ConnectInfo;
use crate::{Errno, InboundCall, InboundConn, InboundRun, OutboundCall, OutboundRun, PeerId};

/// The holder of all message bytes, lent to the engine for the time of one call into it.
///
/// Bytes of an outbound call must stay as they are from [`Engine::send`](crate::Engine::send) to the
/// call's `Replied` or `Failed` event; bytes of a reply from [`Engine::reply`](crate::Engine::reply) to
/// the call's `ReplyDone`. The engine never asks for bytes outside the lengths it was given, and never
/// places bytes outside the lengths it announced: every range is checked before it comes here.
pub trait Store {
    /// Copies bytes of a local client's message, `offset..offset + into.len()`, into a frame. Unless it seals frames the
    /// engine does not look at them: it is enough that they are there when the frame leaves.
    fn read_message(&self, call: OutboundCall, offset: u32, into: &mut [u8]);

    /// Copies message `at` of a run into a frame, as [`Store::read_message`]. Never called by an engine that no runs were
    /// [sent](crate::Engine::send_run) with.
    fn read_run(&self, run: OutboundRun, at: u32, into: &mut [u8]) {
        let _ = (run, at);
        into.fill(0);
    }

    /// Places bytes of the server's reply into the local client's reply buffer.
    fn write_reply(&mut self, call: OutboundCall, offset: u32, bytes: &[u8]);

    /// A remote client's message begins to arrive: says how much of it may come.
    ///
    /// Called exactly once per inbound call, before any [`Store::write_message`] of it.
    fn accept(&mut self, call: InboundCall, incoming: &Incoming) -> Accept;

    /// Places bytes of a remote client's message.
    fn write_message(&mut self, call: InboundCall, offset: u32, bytes: &[u8]);

    /// Messages of a remote client came together, at least two and at most
    /// [`RUN_MESSAGES_MAX`](crate::limits::RUN_MESSAGES_MAX): `bytes` are those of one after the other, `incoming.len` of
    /// each. `true` takes all of them as a run, whose handle stands for all until one is [taken
    /// out](crate::Engine::take_out); otherwise each comes by itself, through [`Store::accept`].
    fn accept_run(&mut self, run: InboundRun, incoming: &Incoming, bytes: &[u8]) -> bool {
        let _ = (run, incoming, bytes);
        false
    }

    /// Copies bytes of the local server's reply into a frame, as [`Store::read_message`].
    fn read_reply(&self, call: InboundCall, offset: u32, into: &mut [u8]);
}

/// What is known of a message when its first bytes arrive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Incoming {
    /// The node it comes from.
    pub peer: PeerId,
    /// The virtual connection it comes through.
    pub conn: InboundConn,
    /// Whether this is the first the engine sees of `conn`: an [`Event::Attach`](crate::Event::Attach)
    /// for it is queued and there cannot be a buffer yet.
    pub is_new_conn: bool,
    /// Who sent to whom, as the connect said.
    pub info: ConnectInfo,
    /// The client's thread.
    pub tid: i32,
    /// The priority of the message.
    pub priority: u8,
    /// Bytes of the message.
    pub len: u32,
    /// Bytes that the client's reply buffer takes.
    pub reply_len: u32,
    /// Whether the client wants to know when the server receives it: [`Engine::received`](crate::Engine::received).
    pub reports: bool,
    /// Pulses of the connection, counted from its first, that the server is to get before the message; 0 as well when
    /// an event has told of all of them.
    pub pulses: u64,
}

/// What the holder answers to [`Store::accept`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Accept {
    /// There is a buffer for the whole message.
    All,
    /// Take what comes unasked, at most the first [`EAGER_LEN`](crate::limits::EAGER_LEN) bytes, and
    /// wait with the rest for [`Engine::grant`](crate::Engine::grant). A message no longer than that
    /// needs no grant.
    Eager,
    /// Answer with this error and place nothing. The handle is dead at once.
    Refuse(Errno),
}
