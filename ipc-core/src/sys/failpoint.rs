//! Places at which a test has this process killed: between any two steps that another process could see.
//!
//! Without the feature `failpoints` passing one is nothing at all. With it, `QNET_FAILPOINT=<name>` in the
//! environment kills the process, as `kill -9` does, the first time it comes by. A place that is not in the list
//! does not exist, and tests/failpoints fails for one in the list that no process ever passes.

/// Makes the enum, its list and its names of one enumeration, so that none can lack a place.
macro_rules! failpoints {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// A place. Each is named for the step that was done last.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[allow(unreachable_pub, reason = "public with the feature, for its test")]
        pub enum Failpoint {
            $($(#[$doc])* $name,)*
        }

        impl Failpoint {
            /// All of them.
            #[cfg(feature = "failpoints")]
            pub const ALL: &[Failpoint] = &[$(Failpoint::$name,)*];
        }
    };
}

failpoints! {
    /// Client: the region is made, the server not yet looked for.
    RegionMade,
    /// Client: connected, nothing said.
    AttachConnected,
    /// Client: the attach record is sent.
    AttachSent,
    /// Client: the answer is there, the doorbell mapped.
    AttachAnswered,
    /// Client: the connection is watched.
    AttachDone,
    /// Client: slot and blocks are set aside.
    SendReserved,
    /// Either: an entry is written but not published.
    EntryWritten,
    /// Client: an entry is published, nobody rung.
    EntryPublished,
    /// Ringer: the connection's ready bit is set, and its summary does not say so.
    ReadyBitSet,
    /// Ringer: the sleeper's flag is taken, so no other ringer wakes it, and it is not woken.
    BellTaken,
    /// Client: posted and rung.
    SendPosted,
    /// Client: the answer is there and not read.
    SendAnswered,
    /// Client: which submitted messages are answered is taken out of the region, and none of the answers is read.
    DoneTaken,
    /// Client: the reply is read, the slot still taken.
    SendRead,
    /// Client: the wish to leave is about to be told.
    CancelWanted,
    /// Client: the wish to leave is told.
    CancelSent,
    /// Client: a pulse is posted and rung.
    PulseSent,
    /// Client: the connection counts as ended, and the server does not know.
    DetachBegun,
    /// Client: hung up, and still watched.
    DetachToldServer,
    /// Server: the socket has a name, nobody watches it.
    Bound,
    /// Server: a client is accepted, nobody watches it.
    Accepted,
    /// Server: the attach record and its descriptors are taken.
    AttachTaken,
    /// Server: the client's region is mapped.
    AttachMapped,
    /// Server: the connection is in the channel's table, its client does not know.
    AttachEntered,
    /// Server: the client is told.
    AttachTold,
    /// Server: entries are in the private table, their places not yet given back.
    Drained,
    /// Server: a message is received, the application does not have it.
    Received,
    /// Server: a pulse is received, the application does not have it.
    PulseReceived,
    /// Server: bytes are in the reply buffer, the client still waits.
    Written,
    /// Server: the message is no longer in the table, its client still waits; not passed by a reply that fits the
    /// slot, which is handed over first.
    ReplyTaken,
    /// Server: the answer is written, its word not swapped.
    ReplyWritten,
    /// Server: the answer is there, its sleeper not woken.
    ReplyPublished,
    /// Server: the answers to many messages are there, and none of their clients is told.
    AnswersPublished,
    /// Server: the region says which answers a completion queue finds, and nobody rang.
    DoneNoted,
    /// Server: a wish to leave is read and not yet heeded.
    CancelTaken,
    /// Server: a message of a batch has a place in the table, as its client wants out.
    Adopted,
    /// Server: a message is let go of, and its client still waits.
    LetGo,
    /// Server: a client that wants out is told that it has to wait, and nobody is woken for the pulse.
    UnblockTold,
    /// Server: a client's hang-up is seen, and it is still in the table.
    HangUpSeen,
    /// Server: the region says that its connection is over, and its completion queue is not told.
    EndSaid,
    /// Server: a client is out of the table, its descriptor open.
    HangUpHeeded,
    /// Server: the channel is closed and its connections not yet let go of.
    ChannelClosed,
}

/// Kills the process, if a test wants it to die here.
#[cfg(feature = "failpoints")]
pub(crate) fn pass(at: Failpoint) {
    use std::sync::OnceLock;

    use nix::sys::signal::{Signal, kill};

    static ARMED: OnceLock<Option<String>> = OnceLock::new();
    let armed = ARMED.get_or_init(|| std::env::var("QNET_FAILPOINT").ok());
    if armed
        .as_ref()
        .is_some_and(|name| *name == format!("{at:?}"))
    {
        let _ = kill(nix::unistd::Pid::this(), Signal::SIGKILL);
        unreachable!("invariant: nothing survives SIGKILL");
    }
}

/// Nothing: this build has no tests of death.
#[cfg(not(feature = "failpoints"))]
#[inline(always)]
pub(crate) const fn pass(_: Failpoint) {}
