//! The open control block: one per open, shared by the connections that were duplicated from it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{Attr, Context, Outcome};
use crate::abi::io::{DirEntry, DirWriter, OpenFlags, ReadKind, Whence};
use crate::abi::{Credentials, Errno, Result};

/// One open file: how it was opened, where it is, and what its manager keeps with it.
#[derive(Debug)]
#[doc(alias = "iofunc_ocb_t")]
pub struct Ocb<S> {
    flags: OpenFlags,
    opener: Credentials,
    attr: Arc<Attr>,
    offset: Mutex<u64>,
    state: S,
}

impl<S> Ocb<S> {
    /// An open at offset 0 for the client of `context`. Whether the client may is the caller's to check.
    pub fn new(context: &Context<'_>, flags: OpenFlags, attr: Arc<Attr>, state: S) -> Ocb<S> {
        Ocb {
            flags,
            opener: context.credentials(),
            attr,
            offset: Mutex::new(0),
            state,
        }
    }

    /// The flags of the open.
    pub fn flags(&self) -> OpenFlags {
        self.flags
    }

    /// Whom the client counted as when it opened.
    pub fn opener(&self) -> Credentials {
        self.opener
    }

    /// The attributes of the name that was opened.
    pub fn attr(&self) -> &Arc<Attr> {
        &self.attr
    }

    /// What the manager keeps with the open.
    pub fn state(&self) -> &S {
        &self.state
    }

    /// The offset, locked. Hold it over an operation that uses and moves it: two reads through one OCB
    /// then never see the same bytes.
    pub fn offset(&self) -> MutexGuard<'_, u64> {
        self.offset.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Answers a read out of `content`: at most `len` bytes at the offset of `kind`; 0 at the end.
    ///
    /// # Errors
    /// Those of the reply.
    pub fn read_from(
        &self,
        context: &mut Context<'_>,
        content: &[u8],
        len: usize,
        kind: ReadKind,
    ) -> Outcome {
        self.read_at_offset(kind, |offset| {
            let start = usize::try_from(*offset)
                .unwrap_or(usize::MAX)
                .min(content.len());
            let len = len.min(content.len() - start).min(context.room());
            context.put(&content[start..start + len])?;
            *offset += len as u64;
            Ok(len.into())
        })
    }

    /// Answers a read of a directory: those of `entries` whose [`next`](DirEntry::next) is beyond the offset of `kind`, as
    /// many as fit.
    ///
    /// They come in the order of their `next`, which is above 0. Where names come and go while somebody reads, each keeps
    /// its `next` for as long as it is there, such as a number that counts what was made: then no other name is skipped or
    /// listed twice. Where an open keeps a list of its own, a name's place in it, from 1 on, will do.
    ///
    /// # Errors
    /// `EINVAL` for a name that no directory can have, and where not even one entry fits; those of the reply.
    pub fn list_from<'e>(
        &self,
        context: &mut Context<'_>,
        entries: impl IntoIterator<Item = DirEntry<'e>>,
        len: usize,
        kind: ReadKind,
    ) -> Outcome {
        self.read_at_offset(kind, |offset| {
            let mut writer = DirWriter::new(len.min(context.room()));
            let (start, mut end) = (*offset, *offset);
            for entry in entries.into_iter().filter(|entry| entry.next > start) {
                if !writer.push(&entry)? {
                    if writer.is_empty() {
                        return Err(Errno::EINVAL);
                    }
                    break;
                }
                end = entry.next;
            }
            let bytes = writer.into_bytes();
            context.put(&bytes)?;
            *offset = end;
            Ok(bytes.len().into())
        })
    }

    /// Runs `read` with the offset that `kind` means: the OCB's, which it moves, or one of the message's.
    fn read_at_offset(&self, kind: ReadKind, read: impl FnOnce(&mut u64) -> Outcome) -> Outcome {
        match kind {
            ReadKind::Next => read(&mut self.offset()),
            ReadKind::At(mut at) => read(&mut at),
        }
    }

    /// Moves the offset as `lseek` does in a file of `size` bytes without holes.
    ///
    /// # Errors
    /// `EINVAL` for an offset before the start, `ENXIO` for data or a hole behind the end, `EOVERFLOW`.
    pub fn seek(&self, size: u64, offset: i64, whence: Whence) -> Result<u64> {
        let mut current = self.offset();
        let moved = match whence {
            Whence::Set => from(0, offset)?,
            Whence::Current => from(*current, offset)?,
            Whence::End => from(size, offset)?,
            Whence::Data | Whence::Hole => {
                let start = u64::try_from(offset)
                    .ok()
                    .filter(|start| *start < size)
                    .ok_or(Errno::ENXIO)?;
                if whence == Whence::Data { start } else { size }
            }
        };
        *current = moved;
        Ok(moved)
    }
}

fn from(base: u64, offset: i64) -> Result<u64> {
    let moved = i64::try_from(base)
        .ok()
        .and_then(|base| base.checked_add(offset))
        .ok_or(Errno::EOVERFLOW)?;
    u64::try_from(moved).map_err(|_| Errno::EINVAL)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ocb() -> Ocb<()> {
        Ocb {
            flags: OpenFlags::default(),
            opener: Credentials::default(),
            attr: Attr::device(0o444),
            offset: Mutex::new(0),
            state: (),
        }
    }

    #[test]
    fn a_seek_counts_from_start_offset_or_end() {
        let ocb = ocb();
        assert_eq!(ocb.seek(100, 10, Whence::Set), Ok(10));
        assert_eq!(ocb.seek(100, -3, Whence::Current), Ok(7));
        assert_eq!(ocb.seek(100, 5, Whence::End), Ok(105));
        assert_eq!(*ocb.offset(), 105);
    }

    #[test]
    fn a_failed_seek_does_not_move() {
        let ocb = ocb();
        ocb.seek(100, 10, Whence::Set).unwrap();
        assert_eq!(ocb.seek(100, -1, Whence::Set), Err(Errno::EINVAL));
        assert_eq!(ocb.seek(100, -11, Whence::Current), Err(Errno::EINVAL));
        assert_eq!(ocb.seek(100, i64::MAX, Whence::End), Err(Errno::EOVERFLOW));
        assert_eq!(*ocb.offset(), 10);
    }

    #[test]
    fn all_is_data_and_the_hole_is_at_the_end() {
        let ocb = ocb();
        assert_eq!(ocb.seek(100, 40, Whence::Data), Ok(40));
        assert_eq!(ocb.seek(100, 40, Whence::Hole), Ok(100));
        assert_eq!(ocb.seek(100, 100, Whence::Data), Err(Errno::ENXIO));
        assert_eq!(ocb.seek(100, -1, Whence::Hole), Err(Errno::ENXIO));
    }
}
