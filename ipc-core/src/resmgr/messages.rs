//! Handling an I/O message: its parts in order, each on the OCB it belongs to.

use std::sync::Arc;

use zerocopy::FromBytes;

use super::binding::Key;
use super::context::Part;
use super::{Answer, Context, Dispatch, IoFns, Ocb, Outcome};
use crate::abi::io::{
    DCMD_FSYS_STATVFS, IO_HEADER_LEN, Io, IoHeader, IoPart, OpenFlags, Space, StatVfs,
};
use crate::abi::limits::COMBINED_MAX;
use crate::abi::{Coid, Errno, Pid, Result};

/// What the parts of a message work on.
pub(super) enum Target<'a, S> {
    /// Whatever the connection is bound to when the part's turn comes.
    Bound(Key),
    /// The OCB of the connect message that the parts are combined with.
    Fresh(&'a Arc<Ocb<S>>),
}

impl<S> Clone for Target<'_, S> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<S> Copy for Target<'_, S> {}

impl<M: IoFns> Dispatch<M> {
    /// Handles an I/O message whose first bytes are `front`, and answers it.
    pub(super) fn io(&self, mut context: Context<'_>, front: &[u8]) {
        let target = Target::Bound(Key::of(context.info()));
        let len = context.info().srcmsglen;
        let outcome = self.run_parts(&mut context, front, 0, len, target);
        // A client that has gone meanwhile is nobody's fault.
        context.finish(outcome).ok();
    }

    /// Runs the chain of parts that starts `start` bytes into a message of `end` bytes. `front` is what has
    /// been read of the chain so far. What is combined has the OCB that it starts on to itself, if the manager cares.
    pub(super) fn run_parts(
        &self,
        context: &mut Context<'_>,
        front: &[u8],
        start: usize,
        end: usize,
        target: Target<'_, M::State>,
    ) -> Outcome {
        let ocb = match target {
            Target::Fresh(ocb) => Some(Arc::clone(ocb)),
            // What is unbound yet is for its parts to bind, or to fail on.
            Target::Bound(key) if is_combined(front) => self.bindings.find(&key).ok(),
            Target::Bound(_) => None,
        };
        let Some(ocb) = ocb else {
            return self.run_chain(context, front, start, end, target);
        };
        self.manager.lock_ocb(context, &ocb)?;
        let outcome = self.run_chain(context, front, start, end, target);
        self.manager.unlock_ocb(context, &ocb);
        outcome
    }

    fn run_chain(
        &self,
        context: &mut Context<'_>,
        front: &[u8],
        start: usize,
        end: usize,
        target: Target<'_, M::State>,
    ) -> Outcome {
        let mut at = start;
        // A thread of the server is no longer held by one message than this.
        for _ in 0..COMBINED_MAX {
            let header = header_at(context, front, start, at)?;
            let part = IoPart::parse(&header, end.saturating_sub(at))?;
            context.enter(Part {
                payload_start: at + IO_HEADER_LEN,
                payload_len: part.message.payload_len(),
                deferrable: at == 0 && part.next.is_none(),
            });
            let answer = self.run_part(context, &part.message, target)?;
            match part.next {
                None => return Ok(answer),
                Some(next) => at += next,
            }
        }
        Err(Errno::EMSGSIZE)
    }

    fn run_part(
        &self,
        context: &mut Context<'_>,
        message: &Io,
        target: Target<'_, M::State>,
    ) -> Outcome {
        match (target, *message) {
            (Target::Bound(key), Io::Dup { pid, coid }) => self.dup(context, key, pid, coid),
            (Target::Bound(key), Io::Openfd { flags, coid }) => {
                self.openfd(context, key, OpenFlags(flags), coid)
            }
            (Target::Bound(key), Io::Close) => self.close(context, &key),
            (Target::Fresh(_), Io::Dup { .. } | Io::Openfd { .. } | Io::Close) => {
                Err(Errno::EINVAL)
            }
            (Target::Bound(key), _) => self.run_on(context, message, &self.bindings.find(&key)?),
            (Target::Fresh(ocb), _) => self.run_on(context, message, ocb),
        }
    }

    fn run_on(&self, context: &mut Context<'_>, message: &Io, ocb: &Arc<Ocb<M::State>>) -> Outcome {
        check_open_mode(message, ocb.flags())?;
        let manager = &self.manager;
        let done = |()| Answer::OK;
        match *message {
            Io::Read { len, kind } => {
                manager.read(context, ocb, (len as usize).min(context.room()), kind)
            }
            Io::Write { kind, .. } => manager.write(context, ocb, kind),
            Io::Stat => {
                let stat = manager.stat(context, ocb)?;
                context.put(&stat.encode()).map(done)
            }
            Io::Notify { .. } => manager.notify(context, ocb, message),
            Io::Devctl {
                command: DCMD_FSYS_STATVFS,
                reply_len,
                ..
            } => {
                if (reply_len as usize) < StatVfs::LEN {
                    return Err(Errno::EINVAL);
                }
                let stat = manager.statvfs(context, ocb)?;
                context.put(&stat.encode()).map(done)
            }
            Io::Devctl {
                command, reply_len, ..
            } => manager.devctl(context, ocb, command, reply_len as usize),
            Io::Pathconf { name } => manager.pathconf(context, ocb, name),
            Io::Lseek { offset, whence } => {
                let moved = manager.lseek(context, ocb, offset, whence)?;
                i64::try_from(moved)
                    .map(Answer::Done)
                    .map_err(|_| Errno::EOVERFLOW)
            }
            Io::Chmod { mode } => manager.chmod(context, ocb, mode).map(done),
            Io::Chown { uid, gid } => manager.chown(context, ocb, uid, gid).map(done),
            Io::Utime { atime, mtime } => manager.utime(context, ocb, atime, mtime).map(done),
            Io::Fdinfo => {
                let path = manager.fdinfo(context, ocb)?;
                context.put(&path)?;
                Ok(path.len().into())
            }
            Io::Lock { .. } => manager.lock(context, ocb, message),
            Io::Space { kind, start, len } => {
                manager.space(context, ocb, kind, start, len).map(done)
            }
            Io::Shutdown { how } => manager.shutdown(context, ocb, how).map(done),
            Io::Mmap { .. } => manager.mmap(context, ocb, message),
            Io::Msg {
                manager: id,
                number,
                ..
            } => manager.msg(context, ocb, id, number),
            Io::Sync { data_only } => manager.sync(context, ocb, data_only).map(done),
            Io::Power { mode } => manager.power(context, ocb, mode),
            Io::Dup { .. } | Io::Openfd { .. } | Io::Close => {
                unreachable!("they are about bindings")
            }
        }
    }

    /// Binds the connection of `key` to the OCB that another connection of the same client has.
    fn dup(&self, context: &mut Context<'_>, key: Key, pid: Pid, coid: Coid) -> Outcome {
        let from = self.source(context, key, pid, coid)?;
        if let Some(former) = self.bindings.share(&from, key)? {
            self.manager.close_ocb(&former).ok();
        }
        let ocb = self.bindings.find(&key)?;
        match self.manager.dup(context, &ocb) {
            Ok(()) => Ok(Answer::OK),
            Err(errno) => {
                self.unbind(&key)?;
                Err(errno)
            }
        }
    }

    fn openfd(&self, context: &mut Context<'_>, key: Key, flags: OpenFlags, coid: Coid) -> Outcome {
        let from = self.source(context, key, Pid::SELF, coid)?;
        let source = self.bindings.find(&from)?;
        let ocb = self.manager.openfd(context, &source, flags)?;
        self.bind(key, Arc::new(ocb));
        Ok(Answer::OK)
    }

    /// The binding that a client names. That of another process (a parent's, after a fork) is the business of
    /// the user who opened it, and of nobody else.
    fn source(&self, context: &Context<'_>, key: Key, pid: Pid, coid: Coid) -> Result<Key> {
        if pid == Pid::SELF || pid == key.pid {
            return Ok(Key { coid, ..key });
        }
        let from = self.bindings.key_of_process(key.nd, pid, coid)?;
        // Of the same user alone would not do: what a set-group-ID program has open is not its caller's.
        if self.bindings.find(&from)?.opener() == context.credentials() {
            Ok(from)
        } else {
            Err(Errno::EBADF)
        }
    }

    fn close(&self, context: &mut Context<'_>, key: &Key) -> Outcome {
        let ocb = self.bindings.find(key)?;
        let told = self.manager.close_dup(context, &ocb);
        drop(ocb);
        self.unbind(key)?;
        told.map(|()| Answer::OK)
    }
}

/// Whether more parts follow the first.
pub(super) fn is_combined(front: &[u8]) -> bool {
    IoHeader::read_from_prefix(front).is_ok_and(|(header, _)| header.combine_len.get() != 0)
}

/// The header at `at`: out of `front`, which starts at `start`, or from the client's memory.
fn header_at(
    context: &Context<'_>,
    front: &[u8],
    start: usize,
    at: usize,
) -> Result<[u8; IO_HEADER_LEN]> {
    let in_front = front.get(at - start..).and_then(|rest| rest.first_chunk());
    if let Some(header) = in_front {
        return Ok(*header);
    }
    let mut header = [0; IO_HEADER_LEN];
    match context.message()?.read(at, &mut header)? {
        IO_HEADER_LEN => Ok(header),
        _ => Err(Errno::EBADMSG),
    }
}

/// Whether a file opened with `flags` was opened for what the message does.
fn check_open_mode(message: &Io, flags: OpenFlags) -> Result<()> {
    let allowed = match message {
        Io::Read { .. } => flags.reads(),
        Io::Write { .. }
        | Io::Space {
            kind: Space::Truncate | Space::Allocate,
            ..
        } => flags.writes(),
        _ => true,
    };
    if allowed { Ok(()) } else { Err(Errno::EBADF) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::abi::io::ReadKind;

    #[test]
    fn a_file_does_what_it_was_opened_for() {
        let read = Io::Read {
            len: 1,
            kind: ReadKind::Next,
        };
        let write = Io::Write {
            len: 1,
            kind: ReadKind::At(0),
        };
        let truncate = Io::Space {
            kind: Space::Truncate,
            start: 0,
            len: 0,
        };
        let table = [
            (OpenFlags::default(), [true, false, false]),
            (OpenFlags::WRONLY, [false, true, true]),
            (OpenFlags::RDWR, [true, true, true]),
            (OpenFlags::RDWR | OpenFlags::PATH, [false, false, false]),
        ];
        for (flags, allowed) in table {
            for (message, allowed) in [read, write, truncate].into_iter().zip(allowed) {
                assert_eq!(
                    check_open_mode(&message, flags).is_ok(),
                    allowed,
                    "{flags:?} {message:?}"
                );
            }
            assert_eq!(check_open_mode(&Io::Stat, flags), Ok(()));
        }
    }
}
