//! What the engine tells its caller.

use crate::{
    Errno, InboundCall, InboundConn, InboundRun, LinkId, Mac, NodeName, OutboundCall, OutboundConn,
    OutboundRun, PeerId,
};

/// Who speaks to whom through a virtual connection; goes over the wire with the connect.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ConnectInfo {
    /// The server's process on its node.
    pub server_pid: i32,
    /// The server's channel.
    pub server_chid: i32,
    /// The client's process on its node.
    pub client_pid: i32,
    /// The client's connection id.
    pub coid: i32,
    /// The client's effective user id on its own node; what it counts as here is the receiver's business.
    pub uid: u32,
    /// The client's effective group id on its own node.
    pub gid: u32,
    /// What the client calls the server's node: the number is its own node's, and tells the server nothing else.
    pub srcnd: u32,
}

/// A pulse as it crosses the network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pulse {
    /// What it is about.
    pub code: i8,
    /// The priority it was sent at.
    pub priority: u8,
    /// Its value.
    pub value: i64,
}

/// What the local client of an outbound call wants, told to the server's node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cancel {
    /// The client wants out (signal, timeout) and stays blocked: whatever the server's node answers
    /// is the outcome. The error is what the client would get if the server knew nothing of unblocking.
    Unblock(Errno),
    /// Take the message back if no server has received it yet, and answer with this error; a message
    /// that was received goes on. The server's node answers in any case.
    Withdraw(Errno),
    /// The client is gone: no answer is wanted. The call's handle is dead at once.
    Abandon,
}

/// Why a peer counts as down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DownReason {
    /// Nothing heard within the tolerance (`EHOSTDOWN`).
    Silent,
    /// It said goodbye (`ESRCH`).
    Bye,
    /// It runs in a new life (`ESRCH`).
    Restarted,
    /// It is alive but lost the session, as after a partition (`EHOSTDOWN`).
    SessionLost,
    /// The handshake got no answer (`EHOSTUNREACH`).
    Unreachable,
    /// Frames of the length that every link must take do not arrive, though shorter ones do: a switch or tunnel on the way
    /// passes less (`EHOSTUNREACH`).
    TooNarrow,
    /// It refused the handshake because another node bears this node's name (`EADDRINUSE`).
    NameRefused,
    /// The caller forgot it (`EHOSTDOWN`).
    Forgotten,
}

impl DownReason {
    /// The error that everything outstanding fails with.
    pub fn errno(self) -> Errno {
        match self {
            DownReason::Silent | DownReason::SessionLost | DownReason::Forgotten => {
                Errno::EHOSTDOWN
            }
            DownReason::Bye | DownReason::Restarted => Errno::ESRCH,
            DownReason::Unreachable | DownReason::TooNarrow => Errno::EHOSTUNREACH,
            DownReason::NameRefused => Errno::EADDRINUSE,
        }
    }
}

/// Something the caller has to know. Events come in the order in which things happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// A node is heard of for the first time, or again after it was gone. No session is implied.
    NodeSeen {
        /// Its number from now on.
        peer: PeerId,
        /// Its name.
        name: NodeName,
    },
    /// A node said goodbye, or its place was needed for another one that nobody uses either.
    NodeGone {
        /// The number it had.
        peer: PeerId,
        /// Its name.
        name: NodeName,
    },
    /// Two nodes bear one name; frames of the second are refused.
    DuplicateName {
        /// The name; it may be this node's own.
        name: NodeName,
        /// Where the second one is.
        link: LinkId,
        /// The second one's address.
        mac: Mac,
        /// Whether this node is the second one: it announced itself, and the other bears the name already.
        is_late: bool,
    },
    /// A name that was to be resolved is known.
    Resolved {
        /// The name.
        name: NodeName,
        /// The node that answers to it.
        peer: PeerId,
    },
    /// Nobody answered to a name in time.
    ResolveFailed {
        /// The name.
        name: NodeName,
        /// `ENOENT`.
        errno: Errno,
    },
    /// A session with the node is established.
    PeerUp {
        /// The node.
        peer: PeerId,
    },
    /// The session, or the attempt at one, is over. `Failed`, `Closed`, `Abandoned` and `Detached` for
    /// everything that dies with it come first, one by one.
    PeerDown {
        /// The node.
        peer: PeerId,
        /// Why.
        reason: DownReason,
    },

    /// The reply of an outbound call is in place. The handle is dead.
    Replied {
        /// The call.
        call: OutboundCall,
        /// The server's status.
        status: i64,
        /// Bytes of the reply: the end of its last extent.
        len: u32,
    },
    /// Messages of an outbound run were answered with a status and no bytes. After the last one the handle is dead.
    RunReplied {
        /// The run.
        run: OutboundRun,
        /// Which of its messages, one bit each, the first the lowest.
        members: u64,
        /// The server's status.
        status: i64,
    },
    /// A message of an outbound run is a call by itself from now on, and what becomes of it follows. All that wait leave a
    /// run together; then its handle is dead.
    LeftRun {
        /// The run.
        run: OutboundRun,
        /// Which of its messages, counted from 0.
        at: u32,
        /// What it is from now on.
        call: OutboundCall,
    },
    /// The server has received the message of an outbound call, whose client wanted to know. The call goes on.
    Received {
        /// The call.
        call: OutboundCall,
    },
    /// An outbound call ended in an error: the server's, its node's or the network's. The handle is dead.
    Failed {
        /// The call.
        call: OutboundCall,
        /// The error.
        errno: Errno,
    },
    /// The server behind an outbound connection is gone; outstanding calls fail each with its own event.
    /// The handle is dead.
    Closed {
        /// The connection.
        conn: OutboundConn,
        /// Why.
        errno: Errno,
    },
    /// A server sent a pulse to its client, through the connection of the client.
    ClientPulse {
        /// The connection.
        conn: OutboundConn,
        /// The pulse.
        pulse: Pulse,
    },

    /// A remote client speaks through a new virtual connection: attach to its server. What cannot be
    /// attached is answered by [`Engine::close`](crate::Engine::close).
    Attach {
        /// The connection.
        conn: InboundConn,
        /// The client's node.
        peer: PeerId,
        /// Who to whom.
        info: ConnectInfo,
    },
    /// The credentials of a remote client changed.
    Credentials {
        /// The connection.
        conn: InboundConn,
        /// Who to whom, as it is now.
        info: ConnectInfo,
    },
    /// All bytes of an inbound message are in place: hand it to the server.
    MessageArrived {
        /// The call.
        call: InboundCall,
        /// The connection it came through.
        conn: InboundConn,
    },
    /// All bytes of a run are in place since [`Store::accept_run`](crate::Store::accept_run) took it: hand its messages to
    /// the server, in their order, after what arrived before.
    RunArrived {
        /// The run.
        run: InboundRun,
        /// The connection it came through.
        conn: InboundConn,
    },
    /// Something becomes of a message of a run that is no bare answer: from now on it is a call by itself, whose bytes
    /// have arrived, and what happened follows. The others go on as they were.
    TakenOut {
        /// The run.
        run: InboundRun,
        /// Which of its messages, counted from 0.
        at: u32,
        /// What it is from now on.
        call: InboundCall,
    },
    /// No message of a run is open any more, those that were taken out among them. The handle is dead.
    RunDone {
        /// The run.
        run: InboundRun,
    },
    /// The remote client wants out: `Unblock` or `Withdraw`. Answer as the local rules say, by
    /// [`Engine::reply`](crate::Engine::reply) or [`Engine::error`](crate::Engine::error). It may come
    /// before `MessageArrived`.
    CancelRequested {
        /// The call.
        call: InboundCall,
        /// What is wanted.
        cancel: Cancel,
    },
    /// The remote client no longer waits. The handle is dead, its bytes may be released; a message that
    /// has not arrived completely never will.
    Abandoned {
        /// The call.
        call: InboundCall,
    },
    /// The reply (or error) is known to have arrived. The handle is dead, the bytes may be released.
    ReplyDone {
        /// The call.
        call: InboundCall,
    },
    /// A remote client sent a pulse.
    ServerPulse {
        /// The connection it came through.
        conn: InboundConn,
        /// The pulse.
        pulse: Pulse,
    },
    /// A remote client detached, or died. The handle is dead.
    Detached {
        /// The connection.
        conn: InboundConn,
    },
}
