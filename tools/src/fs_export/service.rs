//! The two tables of functions of the filesystem manager, over a [`Tree`].

use std::cell::RefCell;
use std::sync::Arc;

use ipc_core::abi::io::{Connect, Io, OpenFlags, ReadKind, Space, Stat, StatVfs, TimeSet, Whence};
use ipc_core::abi::{Errno, Result};
use ipc_core::resmgr::{Answer, Attr, ConnectFns, Context, IoFns, Ocb, Opened, Outcome};

use super::host_file::HostFile;
use super::identity::Identity;
use super::tree::Tree;

/// Bytes of a read or write that are moved between host and message at a time.
const PIECE_LEN: usize = 256 << 10;

thread_local! {
    static PIECE: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// Serves a tree to clients, each with its own rights.
#[derive(Debug)]
pub struct Service {
    tree: Tree,
    identity: Identity,
    /// The host keeps the attributes; the framework's OCB wants some.
    attr: Arc<Attr>,
}

type HostOcb = Arc<Ocb<HostFile>>;

impl Service {
    /// A service of `tree` with the rights that `identity` gives.
    pub fn new(tree: Tree, identity: Identity) -> Service {
        Service {
            tree,
            identity,
            attr: Attr::device(0),
        }
    }

    /// Every function starts here: what follows is done as the client.
    fn assume(&self, context: &Context<'_>) -> Result<&Tree> {
        self.identity.assume(context.credentials())?;
        Ok(&self.tree)
    }

    /// As `assume`, for functions that change a file opened earlier.
    fn assume_to_change(&self, context: &Context<'_>) -> Result<()> {
        self.assume(context)?.check_writable()
    }
}

impl ConnectFns for Service {
    type State = HostFile;

    fn open(&self, context: &mut Context<'_>, connect: &Connect<'_>) -> Result<Opened<HostFile>> {
        let flags = connect.flags;
        let opened = self
            .assume(context)?
            .open(connect.path, flags, connect.mode)?;
        tracing::debug!(
            path = %connect.path.escape_ascii(), ?flags, client = %context.client().pid,
            uid = context.credentials().uid, "open"
        );
        let file = HostFile::new(
            opened,
            flags.contains(OpenFlags::PATH),
            flags.contains(OpenFlags::APPEND),
        );
        Ok(Opened::File(Ocb::new(
            context,
            flags,
            Arc::clone(&self.attr),
            file,
        )))
    }

    fn unlink(&self, context: &mut Context<'_>, connect: &Connect<'_>) -> Result<()> {
        self.assume(context)?.unlink(connect.path)
    }

    fn rename(&self, context: &mut Context<'_>, connect: &Connect<'_>, to: &[u8]) -> Result<()> {
        self.assume(context)?.rename(connect.path, to)
    }

    fn mknod(&self, context: &mut Context<'_>, connect: &Connect<'_>) -> Result<()> {
        self.assume(context)?.mknod(connect.path, connect.mode)
    }

    fn readlink(&self, context: &mut Context<'_>, connect: &Connect<'_>) -> Result<Vec<u8>> {
        self.assume(context)?.readlink(connect.path)
    }

    fn link(
        &self,
        context: &mut Context<'_>,
        connect: &Connect<'_>,
        existing: &[u8],
    ) -> Result<()> {
        self.assume(context)?.link(existing, connect.path)
    }

    fn mkdir(&self, context: &mut Context<'_>, connect: &Connect<'_>) -> Result<()> {
        self.assume(context)?.mkdir(connect.path, connect.mode)
    }

    fn rmdir(&self, context: &mut Context<'_>, connect: &Connect<'_>) -> Result<()> {
        self.assume(context)?.rmdir(connect.path)
    }

    fn symlink(&self, context: &mut Context<'_>, connect: &Connect<'_>, text: &[u8]) -> Result<()> {
        self.assume(context)?.symlink(connect.path, text)
    }

    fn access(&self, context: &mut Context<'_>, connect: &Connect<'_>) -> Result<()> {
        self.assume(context)?.access(connect.path, connect.access())
    }
}

impl IoFns for Service {
    fn read(
        &self,
        context: &mut Context<'_>,
        ocb: &HostOcb,
        len: usize,
        kind: ReadKind,
    ) -> Outcome {
        self.assume(context)?;
        let read = if ocb.state().is_dir() {
            read_dir
        } else {
            read_file
        };
        match kind {
            ReadKind::Next => {
                let mut offset = ocb.offset();
                let (count, next) = read(context, ocb.state(), len, *offset)?;
                *offset = next;
                Ok(count.into())
            }
            ReadKind::At(offset) => Ok(read(context, ocb.state(), len, offset)?.0.into()),
        }
    }

    fn write(&self, context: &mut Context<'_>, ocb: &HostOcb, kind: ReadKind) -> Outcome {
        self.assume(context)?;
        let file = ocb.state();
        match kind {
            ReadKind::Next => {
                let mut offset = ocb.offset();
                let count = write_file(context, file, *offset)?;
                *offset = if file.appends() {
                    file.stat()?.size
                } else {
                    *offset + count as u64
                };
                Ok(count.into())
            }
            ReadKind::At(offset) => Ok(write_file(context, file, offset)?.into()),
        }
    }

    fn stat(&self, context: &mut Context<'_>, ocb: &HostOcb) -> Result<Stat> {
        self.assume(context)?;
        ocb.state().stat()
    }

    fn statvfs(&self, context: &mut Context<'_>, ocb: &HostOcb) -> Result<StatVfs> {
        let is_read_only = self.assume(context)?.check_writable().is_err();
        let mut found = ocb.state().statvfs()?;
        if is_read_only {
            found.flags |= libc::ST_RDONLY;
        }
        Ok(found)
    }

    fn lseek(
        &self,
        context: &mut Context<'_>,
        ocb: &HostOcb,
        offset: i64,
        whence: Whence,
    ) -> Result<u64> {
        self.assume(context)?;
        let file = ocb.state();
        match whence {
            Whence::Data | Whence::Hole => {
                let mut current = ocb.offset();
                *current = file.seek_data(offset, whence)?;
                Ok(*current)
            }
            Whence::End => ocb.seek(file.stat()?.size, offset, whence),
            Whence::Set | Whence::Current => ocb.seek(0, offset, whence),
        }
    }

    fn chmod(&self, context: &mut Context<'_>, ocb: &HostOcb, mode: u32) -> Result<()> {
        self.assume_to_change(context)?;
        ocb.state().chmod(mode)
    }

    fn chown(
        &self,
        context: &mut Context<'_>,
        ocb: &HostOcb,
        uid: Option<u32>,
        gid: Option<u32>,
    ) -> Result<()> {
        self.assume_to_change(context)?;
        ocb.state().chown(uid, gid)
    }

    fn utime(
        &self,
        context: &mut Context<'_>,
        ocb: &HostOcb,
        atime: TimeSet,
        mtime: TimeSet,
    ) -> Result<()> {
        self.assume_to_change(context)?;
        ocb.state().utime(atime, mtime)
    }

    fn space(
        &self,
        context: &mut Context<'_>,
        ocb: &HostOcb,
        kind: Space,
        start: u64,
        len: u64,
    ) -> Result<()> {
        self.assume_to_change(context)?;
        ocb.state().space(kind, start, len)
    }

    fn lock(&self, context: &mut Context<'_>, ocb: &HostOcb, message: &Io) -> Outcome {
        self.assume(context)?;
        let Io::Lock {
            kind, start, len, ..
        } = *message
        else {
            return Err(Errno::EINVAL);
        };
        // Few threads serve all clients: none of them waits for one.
        ocb.state().lock(kind, start, len).map(|()| Answer::OK)
    }

    fn sync(&self, context: &mut Context<'_>, ocb: &HostOcb, data_only: bool) -> Result<()> {
        self.assume(context)?;
        ocb.state().sync(data_only)
    }
}

/// Moves up to `len` bytes at `offset` into the reply; answers how many, and the offset behind them.
fn read_file(
    context: &mut Context<'_>,
    file: &HostFile,
    len: usize,
    offset: u64,
) -> Result<(usize, u64)> {
    with_piece(len, |piece| {
        let mut count = 0;
        while count < len {
            let want = piece.len().min(len - count);
            let got = match file.read_at(&mut piece[..want], offset + count as u64) {
                Ok(got) => got,
                // What has been read is good; the next read meets the error again.
                Err(_) if count > 0 => break,
                Err(errno) => return Err(errno),
            };
            context.put(&piece[..got])?;
            count += got;
            if got < want {
                break;
            }
        }
        Ok((count, offset + count as u64))
    })
}

fn read_dir(
    context: &mut Context<'_>,
    file: &HostFile,
    len: usize,
    cookie: u64,
) -> Result<(usize, u64)> {
    let (entries, next) = file.read_dir(cookie, len.min(PIECE_LEN))?;
    context.put(&entries)?;
    Ok((entries.len(), next))
}

/// Writes the payload at `offset`; answers how many bytes of it.
fn write_file(context: &Context<'_>, file: &HostFile, offset: u64) -> Result<usize> {
    let len = context.payload_len();
    with_piece(len, |piece| {
        let mut count = 0;
        while count < len {
            let want = piece.len().min(len - count);
            let given = context.read_payload(count, &mut piece[..want])?;
            if given == 0 {
                return Err(Errno::ESRCH);
            }
            match file.write_at(&piece[..given], offset + count as u64) {
                // A short write is passed on as it is: the client's next one gets the reason.
                Ok(written) if written < given => return Ok(count + written),
                Ok(written) => count += written,
                Err(_) if count > 0 => return Ok(count),
                Err(errno) => return Err(errno),
            }
        }
        Ok(count)
    })
}

/// Lends this thread's buffer, of at most [`PIECE_LEN`] bytes.
fn with_piece<R>(len: usize, work: impl FnOnce(&mut [u8]) -> R) -> R {
    PIECE.with_borrow_mut(|piece| {
        let len = len.min(PIECE_LEN);
        if piece.len() < len {
            piece.resize(len, 0);
        }
        work(&mut piece[..len])
    })
}

#[cfg(test)]
#[path = "service_tests.rs"]
mod tests;
