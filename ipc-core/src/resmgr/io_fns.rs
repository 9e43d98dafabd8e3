//! The table of I/O functions: what a resource manager does with an open file.

use std::sync::Arc;

use super::{Answer, ConnectFns, Context, Ocb, Outcome};
use crate::abi::io::{Io, OpenFlags, ReadKind, Space, Stat, StatVfs, TimeSet, Whence};
use crate::abi::{Errno, Pulse, Rcvid, Result};

/// What a resource manager does with open files. Each function has a default.
///
/// The dispatch has already checked that the connection is bound, and that the file was opened for what the
/// message does (EBADF otherwise). The functions run on all threads of the dispatch at once, also for one
/// OCB.
pub trait IoFns: ConnectFns {
    /// Puts at most `len` bytes; the status is how many. `kind` says from where: the OCB's offset, which moves on, or
    /// an offset in the message, and then the OCB's stays.
    ///
    /// [`Ocb::read_from`] answers it out of bytes that are at hand.
    ///
    /// Of a directory: whole entries, by [`Ocb::list_from`], in both kinds. Offsets are then what the entries say in
    /// their `next`, and 0. [`ReadDir`](crate::file::ReadDir) reads by the OCB's
    /// offset, `readdir` of a program under `qn run` by those in messages: a manager that ignores `kind` gives such a
    /// program the same entries without end, or none.
    ///
    /// # Errors
    /// By default the file is empty: 0, the end.
    fn read(
        &self,
        context: &mut Context<'_>,
        ocb: &Arc<Ocb<Self::State>>,
        len: usize,
        kind: ReadKind,
    ) -> Outcome {
        let _ = (context, ocb, len, kind);
        Ok(Answer::OK)
    }

    /// Takes the payload; the status is how many bytes of it.
    ///
    /// # Errors
    /// ENOSYS by default.
    fn write(
        &self,
        context: &mut Context<'_>,
        ocb: &Arc<Ocb<Self::State>>,
        kind: ReadKind,
    ) -> Outcome {
        let _ = (context, ocb, kind);
        Err(Errno::ENOSYS)
    }

    /// The last connection to the OCB has closed it or died; nothing more comes for it.
    ///
    /// # Errors
    /// What the client's last `close` answers, such as ENOSPC of a delayed write.
    fn close_ocb(&self, ocb: &Arc<Ocb<Self::State>>) -> Result<()> {
        let _ = ocb;
        Ok(())
    }

    /// The file's attributes; by default those of its [`Attr`](super::Attr).
    ///
    /// # Errors
    /// None by default.
    fn stat(&self, context: &mut Context<'_>, ocb: &Arc<Ocb<Self::State>>) -> Result<Stat> {
        let _ = context;
        Ok(ocb.attr().stat())
    }

    /// Which of the wanted events hold. The default is that of a regular file: reading and writing never
    /// wait.
    ///
    /// # Errors
    /// ENOSYS by default for an event to be told later.
    fn notify(
        &self,
        context: &mut Context<'_>,
        ocb: &Arc<Ocb<Self::State>>,
        message: &Io,
    ) -> Outcome {
        let _ = (context, ocb);
        const READY: u32 =
            (libc::POLLIN | libc::POLLRDNORM | libc::POLLOUT | libc::POLLWRNORM) as u32;
        match *message {
            Io::Notify {
                events, arm: false, ..
            } => Ok(Answer::Done((events & READY).into())),
            _ => Err(Errno::ENOSYS),
        }
    }

    /// A device command: the argument is the [payload](Context::payload), and
    /// [`answer_devctl`](Context::answer_devctl) answers it, with at most `reply_len` bytes.
    /// [`DCMD_FSYS_STATVFS`](crate::abi::io::DCMD_FSYS_STATVFS) never comes here: it is [`statvfs`](IoFns::statvfs).
    ///
    /// # Errors
    /// ENOTTY by default.
    fn devctl(
        &self,
        context: &mut Context<'_>,
        ocb: &Arc<Ocb<Self::State>>,
        command: u32,
        reply_len: usize,
    ) -> Outcome {
        let _ = (context, ocb, command, reply_len);
        Err(Errno::ENOTTY)
    }

    /// The room and the limits of the file system that the file is on; by default one that counts no blocks and no
    /// files, as the kernel says of `/proc`.
    ///
    /// # Errors
    /// None by default.
    fn statvfs(&self, context: &mut Context<'_>, ocb: &Arc<Ocb<Self::State>>) -> Result<StatVfs> {
        let _ = (context, ocb);
        Ok(StatVfs::WITHOUT_BLOCKS)
    }

    /// The client of a deferred message wants out (CHN-2); its [`Deferred`](super::Deferred) is to be answered
    /// soon, with EINTR if nothing better is at hand. Comes only if the channel has `UNBLOCK`. By default
    /// nothing is done: a function that is running will answer by itself.
    fn unblock(&self, rcvid: Rcvid) {
        let _ = rcvid;
    }

    /// The value of a limit with a `_PC_` name.
    ///
    /// # Errors
    /// EINVAL by default for limits other than the lengths of names and paths.
    fn pathconf(
        &self,
        context: &mut Context<'_>,
        ocb: &Arc<Ocb<Self::State>>,
        name: u32,
    ) -> Outcome {
        let _ = (context, ocb);
        match name.cast_signed() {
            libc::_PC_NAME_MAX => Ok(crate::abi::limits::NAME_LEN_MAX.into()),
            libc::_PC_PATH_MAX => Ok(crate::abi::limits::PATH_LEN_MAX.into()),
            _ => Err(Errno::EINVAL),
        }
    }

    /// Moves the offset, by default in a file of the size that the attributes say.
    ///
    /// # Errors
    /// As [`Ocb::seek`].
    fn lseek(
        &self,
        context: &mut Context<'_>,
        ocb: &Arc<Ocb<Self::State>>,
        offset: i64,
        whence: Whence,
    ) -> Result<u64> {
        let _ = context;
        ocb.seek(ocb.attr().stat().size, offset, whence)
    }

    /// Sets permission bits, by default of the attributes.
    ///
    /// # Errors
    /// EPERM.
    fn chmod(
        &self,
        context: &mut Context<'_>,
        ocb: &Arc<Ocb<Self::State>>,
        mode: u32,
    ) -> Result<()> {
        ocb.attr().chmod(context.credentials(), mode)
    }

    /// Sets owner and group, by default of the attributes.
    ///
    /// # Errors
    /// EPERM.
    fn chown(
        &self,
        context: &mut Context<'_>,
        ocb: &Arc<Ocb<Self::State>>,
        uid: Option<u32>,
        gid: Option<u32>,
    ) -> Result<()> {
        ocb.attr().chown(context.credentials(), uid, gid)
    }

    /// Sets times, by default of the attributes.
    ///
    /// # Errors
    /// EPERM, EACCES.
    fn utime(
        &self,
        context: &mut Context<'_>,
        ocb: &Arc<Ocb<Self::State>>,
        atime: TimeSet,
        mtime: TimeSet,
    ) -> Result<()> {
        ocb.attr().utime(context.credentials(), atime, mtime)
    }

    /// Opens the file of `ocb` again with other flags: the state of the new OCB.
    ///
    /// # Errors
    /// ENOSYS by default.
    fn openfd(
        &self,
        context: &mut Context<'_>,
        ocb: &Arc<Ocb<Self::State>>,
        flags: OpenFlags,
    ) -> Result<Ocb<Self::State>> {
        let _ = (context, ocb, flags);
        Err(Errno::ENOSYS)
    }

    /// The path that the manager knows the file by, relative to its prefix.
    ///
    /// # Errors
    /// ENOSYS by default.
    fn fdinfo(&self, context: &mut Context<'_>, ocb: &Arc<Ocb<Self::State>>) -> Result<Vec<u8>> {
        let _ = (context, ocb);
        Err(Errno::ENOSYS)
    }

    /// Locks a range; `message` is an [`Io::Lock`].
    ///
    /// # Errors
    /// ENOSYS by default.
    fn lock(
        &self,
        context: &mut Context<'_>,
        ocb: &Arc<Ocb<Self::State>>,
        message: &Io,
    ) -> Outcome {
        let _ = (context, ocb, message);
        Err(Errno::ENOSYS)
    }

    /// Cuts or extends the file, or makes sure of space.
    ///
    /// # Errors
    /// EINVAL by default, as Linux answers for what is no regular file.
    fn space(
        &self,
        context: &mut Context<'_>,
        ocb: &Arc<Ocb<Self::State>>,
        kind: Space,
        start: u64,
        len: u64,
    ) -> Result<()> {
        let _ = (context, ocb, kind, start, len);
        Err(Errno::EINVAL)
    }

    /// Ends a direction: 0 reading, 1 writing, 2 both.
    ///
    /// # Errors
    /// ENOSYS by default.
    fn shutdown(
        &self,
        context: &mut Context<'_>,
        ocb: &Arc<Ocb<Self::State>>,
        how: u32,
    ) -> Result<()> {
        let _ = (context, ocb, how);
        Err(Errno::ENOSYS)
    }

    /// Whether the file may be mapped.
    ///
    /// # Errors
    /// ENOSYS by default.
    fn mmap(
        &self,
        context: &mut Context<'_>,
        ocb: &Arc<Ocb<Self::State>>,
        message: &Io,
    ) -> Outcome {
        let _ = (context, ocb, message);
        Err(Errno::ENOSYS)
    }

    /// A message that manager and clients have agreed on; its content is the payload.
    ///
    /// # Errors
    /// ENOSYS by default.
    fn msg(
        &self,
        context: &mut Context<'_>,
        ocb: &Arc<Ocb<Self::State>>,
        manager: u32,
        number: u16,
    ) -> Outcome {
        let _ = (context, ocb, manager, number);
        Err(Errno::ENOSYS)
    }

    /// A further connection shares the OCB now.
    ///
    /// # Errors
    /// None by default; an error undoes the sharing.
    fn dup(&self, context: &mut Context<'_>, ocb: &Arc<Ocb<Self::State>>) -> Result<()> {
        let _ = (context, ocb);
        Ok(())
    }

    /// One connection closes the OCB; [`close_ocb`](IoFns::close_ocb) follows if it was the last.
    ///
    /// # Errors
    /// None by default; the client's close answers it, the connection is closed all the same.
    fn close_dup(&self, context: &mut Context<'_>, ocb: &Arc<Ocb<Self::State>>) -> Result<()> {
        let _ = (context, ocb);
        Ok(())
    }

    /// A combined message starts on the OCB; [`unlock_ocb`](IoFns::unlock_ocb) follows at its end. For a
    /// manager whose parts must not mix with those of other messages.
    ///
    /// # Errors
    /// None by default; an error ends the message.
    fn lock_ocb(&self, context: &mut Context<'_>, ocb: &Arc<Ocb<Self::State>>) -> Result<()> {
        let _ = (context, ocb);
        Ok(())
    }

    /// A combined message has ended on the OCB.
    fn unlock_ocb(&self, context: &mut Context<'_>, ocb: &Arc<Ocb<Self::State>>) {
        let _ = (context, ocb);
    }

    /// What was written is to be on the device; by default it is.
    ///
    /// # Errors
    /// None by default.
    fn sync(
        &self,
        context: &mut Context<'_>,
        ocb: &Arc<Ocb<Self::State>>,
        data_only: bool,
    ) -> Result<()> {
        let _ = (context, ocb, data_only);
        Ok(())
    }

    /// Power management.
    ///
    /// # Errors
    /// ENOSYS by default.
    fn power(&self, context: &mut Context<'_>, ocb: &Arc<Ocb<Self::State>>, mode: u32) -> Outcome {
        let _ = (context, ocb, mode);
        Err(Errno::ENOSYS)
    }

    /// A message that is neither connect nor I/O; `front` is its first bytes.
    ///
    /// # Errors
    /// ENOSYS by default.
    fn other(&self, context: &mut Context<'_>, front: &[u8]) -> Outcome {
        let _ = (context, front);
        Err(Errno::ENOSYS)
    }

    /// A pulse that is not the framework's business.
    fn pulse(&self, pulse: &Pulse) {
        let _ = pulse;
    }
}
