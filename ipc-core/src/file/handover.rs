//! Open files that go on in another image of a process: what `exec` hands over, besides numbers.
//!
//! A connection ends with the image that made it. A file whose connection was told to outlive it
//! ([`File::survive_exec`]) stays open at the server until the new image has taken it over, by a connection of its
//! own that shares offset and mode with the old one (RMG-2). What the new image must know for that is a
//! [`Handover`]; how it travels (a descriptor, the environment) is the program's business.

use std::sync::atomic::{AtomicBool, Ordering};

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::{
    Connection,
    abi::{Chid, Coid, Errno, Nd, Pid, Result},
    file::File,
    proc::client::pool::Address,
    sys::descriptor,
};

/// Names an open file of this process to an image that inherits its descriptors. Who holds one can do no more with
/// it than the user whose file it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Handover {
    /// The connection's socket, as the kernel tells it from others.
    socket: u64,
    owner: i32,
    coid: i32,
    nd: u32,
    pid: i32,
    chid: i32,
    reserved: u32,
}

impl Handover {
    /// Bytes of one.
    pub const LEN: usize = size_of::<Handover>();

    /// Reads what another image wrote; `None` if there are fewer than [`LEN`](Self::LEN) bytes. Any bytes are a
    /// handover, if of a file that no server knows.
    pub fn read(bytes: &[u8]) -> Option<Handover> {
        Handover::read_from_prefix(bytes)
            .ok()
            .map(|(handover, _)| handover)
    }

    /// What [`read`](Self::read) reads.
    pub fn to_bytes(&self) -> [u8; Handover::LEN] {
        zerocopy::transmute!(*self)
    }

    /// Closes the connection's socket, if it came along into this image: the old connection ends, unless another
    /// process has it too. For after [`File::inherit`], whatever came of that.
    pub fn end(&self) {
        descriptor::close_inherited(self.coid, self.socket);
    }

    /// Keeps the connection's socket open through an exec, if this process has it: for a child of `vfork`, whose
    /// descriptors are its own while its memory, and with it every [`File`], is its parent's.
    pub fn keep_inherited(&self) {
        descriptor::keep_through_exec(self.coid, self.socket);
    }

    fn address(&self) -> Address {
        Address {
            nd: Nd(self.nd),
            pid: Pid(self.pid),
            chid: Chid(self.chid),
        }
    }
}

/// Whether a file's connection outlives the image of its process.
#[derive(Debug, Default)]
pub(super) struct Survival(AtomicBool);

impl Survival {
    pub(super) fn set(&self, connection: &Connection, survives: bool) -> Result<()> {
        if self.0.swap(survives, Ordering::Relaxed) == survives {
            return Ok(());
        }
        connection.survive_exec(survives)
    }
}

impl File {
    /// What another image of this process, or a child, needs to go on with this file. For a forked child it is taken
    /// before the fork: the child's copy of the file must neither be used nor dropped.
    pub fn handover(&self) -> Handover {
        let Address { nd, pid, chid } = self.address();
        let connection = self.connection();
        Handover {
            socket: connection.socket_print(),
            owner: Pid::current().0,
            coid: connection.coid().0,
            nd: nd.0,
            pid: pid.0,
            chid: chid.0,
            reserved: 0,
        }
    }

    /// Whether the connection outlives the image of this process, until [`Handover::end`]: by default it does not,
    /// and the server closes the file at an `exec`.
    ///
    /// # Errors
    /// `EBADF` the program closed the connection's descriptor.
    #[doc(alias = "FD_CLOEXEC")]
    pub fn survive_exec(&self, survives: bool) -> Result<()> {
        self.survival().set(self.connection(), survives)
    }

    /// Takes over a file of the image that this process had before, or of the process that spawned or forked it: a
    /// file of its own that shares offset and mode.
    ///
    /// # Errors
    /// `EBADF` the other one has closed it, or another user had it open; those of attaching.
    pub fn inherit(handover: &Handover) -> Result<File> {
        if handover.reserved != 0 {
            return Err(Errno::EBADF);
        }
        let address = handover.address();
        File::sharing(address, None, Pid(handover.owner), Coid(handover.coid))
    }
}
