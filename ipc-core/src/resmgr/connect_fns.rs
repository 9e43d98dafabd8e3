//! The table of connect functions: what a resource manager does at the end of a path.

use std::sync::Arc;

use super::{Attr, Context, Ocb};
use crate::abi::io::{Connect, ConnectAnswer, OpenFlags, Redirect, Symlink};
use crate::abi::{Errno, Result};

/// What an open led to.
#[derive(Debug)]
pub enum Opened<S> {
    /// A file of this manager: the connection is now the file.
    File(Ocb<S>),
    /// Others have it.
    Redirect(Redirect),
    /// A component is a symbolic link that leads out of this manager's names.
    Symlink(Symlink),
}

impl<S> Opened<S> {
    /// Opens a name that is a single file: nothing may follow it in the path, and the client must have the
    /// rights that the open asks for.
    ///
    /// # Errors
    /// `ENOTDIR` for a longer path or a directory open, `EEXIST` for an exclusive one, `EACCES`.
    #[doc(alias = "iofunc_open_default")]
    pub fn device(
        context: &Context<'_>,
        connect: &Connect<'_>,
        attr: &Arc<Attr>,
        state: S,
    ) -> Result<Opened<S>> {
        let flags = connect.flags;
        if !connect.path.is_empty() || flags.contains(OpenFlags::DIRECTORY) {
            return Err(Errno::ENOTDIR);
        }
        if flags.contains(OpenFlags::CREAT | OpenFlags::EXCL) {
            return Err(Errno::EEXIST);
        }
        attr.check_access(context.credentials(), flags.access())?;
        Ok(Opened::File(Ocb::new(
            context,
            flags,
            Arc::clone(attr),
            state,
        )))
    }
}

/// What a resource manager does with paths. A path is what follows the manager's prefix, without leading
/// slash; it may be empty (the prefix itself) and may end in a slash (a directory is meant).
///
/// All but [`open`](ConnectFns::open) have a default, which is ENOSYS where nothing sensible exists. The
/// functions run on all threads of the dispatch at once.
pub trait ConnectFns: Send + Sync {
    /// What the manager keeps with each open.
    type State: Send + Sync;

    /// Opens a path. With [`OpenFlags::PATH`] the client will do no I/O, only ask for or set attributes.
    ///
    /// # Errors
    /// Whatever the client's `open` is to answer.
    fn open(&self, context: &mut Context<'_>, connect: &Connect<'_>)
    -> Result<Opened<Self::State>>;

    /// Whether the path, of any connect message, is for others to answer: asked before anything else is done.
    /// Answering [`ConnectAnswer::Done`] ends the message with that status.
    ///
    /// # Errors
    /// Whatever the client is to get.
    fn pass_on(
        &self,
        context: &mut Context<'_>,
        connect: &Connect<'_>,
    ) -> Result<Option<ConnectAnswer>> {
        let _ = (context, connect);
        Ok(None)
    }

    /// Removes a name that is not a directory.
    ///
    /// # Errors
    /// ENOSYS by default.
    fn unlink(&self, context: &mut Context<'_>, connect: &Connect<'_>) -> Result<()> {
        nothing_sensible(context, connect)
    }

    /// Gives the path the new name `to`, which is relative to the same prefix.
    ///
    /// # Errors
    /// ENOSYS by default.
    fn rename(&self, context: &mut Context<'_>, connect: &Connect<'_>, to: &[u8]) -> Result<()> {
        let _ = to;
        nothing_sensible(context, connect)
    }

    /// Makes a fifo, device or socket name with the type and permissions of `connect.mode`.
    ///
    /// # Errors
    /// ENOSYS by default.
    fn mknod(&self, context: &mut Context<'_>, connect: &Connect<'_>) -> Result<()> {
        nothing_sensible(context, connect)
    }

    /// The text of the symbolic link that the path names.
    ///
    /// # Errors
    /// EINVAL by default: nothing is a symbolic link.
    fn readlink(&self, context: &mut Context<'_>, connect: &Connect<'_>) -> Result<Vec<u8>> {
        let _ = (context, connect);
        Err(Errno::EINVAL)
    }

    /// Makes the path a further name of `existing`, which is relative to the same prefix.
    ///
    /// # Errors
    /// ENOSYS by default.
    fn link(
        &self,
        context: &mut Context<'_>,
        connect: &Connect<'_>,
        existing: &[u8],
    ) -> Result<()> {
        let _ = existing;
        nothing_sensible(context, connect)
    }

    /// Mounts what `what` names at the path.
    ///
    /// # Errors
    /// ENOSYS by default.
    fn mount(&self, context: &mut Context<'_>, connect: &Connect<'_>, what: &[u8]) -> Result<()> {
        let _ = what;
        nothing_sensible(context, connect)
    }

    /// Makes a directory with the permissions of `connect.mode`.
    ///
    /// # Errors
    /// ENOSYS by default.
    fn mkdir(&self, context: &mut Context<'_>, connect: &Connect<'_>) -> Result<()> {
        nothing_sensible(context, connect)
    }

    /// Removes an empty directory.
    ///
    /// # Errors
    /// ENOSYS by default.
    fn rmdir(&self, context: &mut Context<'_>, connect: &Connect<'_>) -> Result<()> {
        nothing_sensible(context, connect)
    }

    /// Makes the path a symbolic link with this text.
    ///
    /// # Errors
    /// ENOSYS by default.
    fn symlink(&self, context: &mut Context<'_>, connect: &Connect<'_>, text: &[u8]) -> Result<()> {
        let _ = text;
        nothing_sensible(context, connect)
    }

    /// Whether the client has the rights of `connect.access()`. The default opens the path as `open` with
    /// [`OpenFlags::PATH`] does, and decides by the attributes found there.
    ///
    /// # Errors
    /// Those of the open, `EACCES`.
    fn access(&self, context: &mut Context<'_>, connect: &Connect<'_>) -> Result<()> {
        let by_name = Connect {
            flags: OpenFlags::PATH,
            ..*connect
        };
        match self.open(context, &by_name)? {
            Opened::File(ocb) => ocb
                .attr()
                .check_access(context.credentials(), connect.access()),
            Opened::Redirect(_) | Opened::Symlink(_) => Err(Errno::ENOSYS),
        }
    }

    /// The node descriptor of the node that the path names; the manager of `/net` alone knows.
    ///
    /// # Errors
    /// ENOSYS by default.
    fn resolve_node(&self, context: &mut Context<'_>, connect: &Connect<'_>) -> Result<u32> {
        nothing_sensible(context, connect)
    }
}

fn nothing_sensible<T>(context: &mut Context<'_>, connect: &Connect<'_>) -> Result<T> {
    let _ = (context, connect);
    Err(Errno::ENOSYS)
}
