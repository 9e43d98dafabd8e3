//! Registering a prefix of this process.

use std::{path::Path, sync::Arc};

use crate::{
    Channel,
    abi::{
        Result,
        proc::{PrefixFlags, Register},
    },
    proc::{
        Pathname,
        client::keeper::{Entry, keeper},
    },
};

/// A prefix or name that this process has in the pathname space.
///
/// Holding it keeps it there: when the process manager dies and comes back, it is registered again
/// without anyone's help. Dropping it takes it out; where the process manager does not answer within
/// [`PROCMGR_TIMEOUT`](crate::abi::limits::PROCMGR_TIMEOUT), that is done in the background when it does. One dropped
/// by a forked child does nothing: it is its parent's.
#[derive(Debug)]
pub struct Registration {
    entry: Arc<Entry>,
}

/// Puts a prefix that `channel` serves into the pathname space of this node.
///
/// # Errors
/// `ESRCH` no process manager, `EPERM` the user may not register there (PTH-5), `EEXIST` a name that is
/// taken, `EINVAL` flags that contradict each other or a path that is not absolute, `ENAMETOOLONG`,
/// `EAGAIN`, `EDQUOT` and `ENOSPC` limits of the process, its user and the node, `ETIMEDOUT` a process manager that
/// does not answer within [`PROCMGR_TIMEOUT`](crate::abi::limits::PROCMGR_TIMEOUT): it has no such prefix when it goes on.
#[doc(alias = "resmgr_attach")]
pub fn attach_prefix(
    path: impl AsRef<Path>,
    channel: &Channel,
    flags: PrefixFlags,
) -> Result<Registration> {
    attach_prefix_with(path, channel, flags, 0)
}

/// As [`attach_prefix`], with a handle that comes back in every connect, so that one channel can tell
/// its prefixes apart.
///
/// # Errors
/// As [`attach_prefix`].
pub fn attach_prefix_with(
    path: impl AsRef<Path>,
    channel: &Channel,
    flags: PrefixFlags,
    handle: u64,
) -> Result<Registration> {
    let path = Pathname::of(path)?;
    let message = Register {
        flags,
        handle,
        chid: channel.chid(),
        path: path.as_bytes(),
    }
    .to_bytes()?;
    let entry = keeper().register(path, message)?;
    Ok(Registration { entry })
}

impl Registration {
    /// What is registered.
    pub fn path(&self) -> &Pathname {
        self.entry.path()
    }

    /// Whether the process manager has it now: not while there is none, and not when the one that came
    /// back refused it, because another has taken the name meanwhile. Asks nobody.
    pub fn is_registered(&self) -> bool {
        keeper().is_registered(&self.entry)
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        keeper().unregister(&self.entry);
    }
}
