//! The small integers that name nodes, processes, channels, connections and messages.

use std::fmt;

/// A node descriptor: which node a process is on, as the node that uses the descriptor numbers it.
///
/// 0 is the node itself. A's descriptor for B is not B's for A (NET-1). The lower [`Nd::NODE_BITS`] tell the node;
/// above them stands the way to it, where a path chooses one (NET-8), as qnet encodes it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Nd(pub u32);

impl Nd {
    /// The node that uses the descriptor.
    pub const LOCAL: Nd = Nd(0);
    /// Bits that tell the node.
    pub const NODE_BITS: u32 = 12;

    /// The plain descriptor of the same node.
    pub const fn without_policy(self) -> Nd {
        Nd(self.0 & ((1 << Nd::NODE_BITS) - 1))
    }

    /// Whether this is the node itself.
    pub const fn is_local(self) -> bool {
        self.0 == 0
    }
}

/// A process id: the Linux pid, except that 1 is the alias of the process manager.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Pid(pub i32);

impl Pid {
    /// Stands for the calling process where a server is named.
    pub const SELF: Pid = Pid(0);
    /// The alias under which the process manager of a node answers.
    pub const PROCMGR: Pid = Pid(1);

    /// The calling process.
    pub fn current() -> Pid {
        Pid::from(std::process::id())
    }
}

/// As [`std::process::id`] and [`std::process::Child::id`] give it. Linux's process ids end far below `i32::MAX`; a
/// number beyond it is nobody's.
impl From<u32> for Pid {
    fn from(id: u32) -> Pid {
        Pid(id.cast_signed())
    }
}

/// The process that was started.
impl From<&std::process::Child> for Pid {
    fn from(child: &std::process::Child) -> Pid {
        Pid::from(child.id())
    }
}

/// A channel id: positive, the smallest free one of its process (CHN-1).
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Chid(pub i32);

impl Chid {
    /// The channel on which the process manager answers.
    pub const PROCMGR: Chid = Chid(1);
}

/// A connection id of a client process. Side-channel ids carry [`Coid::SIDE_CHANNEL`], so that they
/// never collide with file descriptors (CHN-6).
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Coid(pub i32);

impl Coid {
    /// The bit that is set in every side-channel connection id.
    #[doc(alias = "_NTO_SIDE_CHANNEL")]
    pub const SIDE_CHANNEL: i32 = 0x4000_0000;
}

/// A server connection id: names a client process to the owner of a channel. Several connections of
/// one process to one channel share it (CHN-6).
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Scoid(pub i32);

/// A thread id: the Linux tid.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Tid(pub i32);

/// A receive id: names one message that waits for its reply; positive, and with a generation, so that
/// a stale id is `ESRCH` and never somebody else's message (RPL-1).
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Rcvid(pub i64);

impl Rcvid {
    /// The place of its message in its channel's table: from 1 on, without gaps, and no other message that is
    /// REPLY-blocked on that channel has it. Whoever keeps something for each message finds it here without hashing;
    /// one that comes later may get the same place, so that the whole id is to be compared.
    pub fn place(self) -> usize {
        self.0 as u32 as usize
    }
}

macro_rules! show_as_number {
    ($($name:ident),*) => {$(
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self.0)
            }
        }
    )*};
}

show_as_number!(Nd, Pid, Chid, Coid, Scoid, Tid, Rcvid);
