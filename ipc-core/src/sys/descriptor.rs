//! Descriptors of the library's own. Programs close descriptors they know nothing of (`close_range`), and
//! fork: neither may make the library close, read or write what is somebody else's by now.

use std::{
    mem::ManuallyDrop,
    os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd},
    sync::atomic::{AtomicI32, AtomicPtr, AtomicU32, AtomicU64, Ordering},
};

use crate::{
    abi::{Errno, Result},
    sys::{epoll, fork},
};

/// A descriptor that is closed when it is dropped, if it still names the file it was made for. A forked child
/// has none of them: what hangs up with a process must not stay open in its children.
#[derive(Debug)]
pub(crate) struct Descriptor {
    fd: ManuallyDrop<OwnedFd>,
    print: u64,
}

impl Descriptor {
    /// Takes a descriptor over that was just made. A fork between the two lets the child keep it.
    ///
    /// # Errors
    /// What `fstat` answers: none for a descriptor that is open.
    pub(crate) fn keep(fd: OwnedFd) -> Result<Descriptor> {
        static FORKS_ARE_NOTICED: AtomicU32 = AtomicU32::new(0);
        fork::notice(&FORKS_ARE_NOTICED, close_in_child);
        let fd = raised(fd);
        let print = fingerprint(fd.as_raw_fd()).ok_or_else(Errno::last)?;
        kept::note(fd.as_raw_fd(), print);
        Ok(Descriptor {
            fd: ManuallyDrop::new(fd),
            print,
        })
    }

    /// The descriptor's number, which nobody else's file has meanwhile. Another thread may close it between
    /// this and its use: a program that does that has more to fear than us.
    ///
    /// # Errors
    /// `EBADF` when the program closed it.
    pub(crate) fn raw(&self) -> Result<RawFd> {
        let raw = self.fd.as_raw_fd();
        if fingerprint(raw) == Some(self.print) {
            Ok(raw)
        } else {
            Err(Errno::EBADF)
        }
    }

    /// What tells the file from others, in this process and those that inherit it.
    pub(crate) fn print(&self) -> u64 {
        self.print
    }

    /// The number it was made with, for a name and not for use.
    pub(crate) fn number(&self) -> RawFd {
        self.fd.as_raw_fd()
    }
}

impl AsFd for Descriptor {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl Drop for Descriptor {
    fn drop(&mut self) {
        let raw = self.fd.as_raw_fd();
        if fingerprint(raw) == Some(self.print) {
            // SAFETY: dropped here and nowhere else, and never used afterwards.
            unsafe { ManuallyDrop::drop(&mut self.fd) };
        }
        // Last: a child forked before the close must find it, and one forked after it finds that it names no file
        // of ours any more.
        kept::forget(raw, self.print);
    }
}

/// Closes a descriptor that another image of the library kept, if its number still names that file and this image
/// keeps nothing there.
pub(crate) fn close_inherited(raw: RawFd, print: u64) {
    if kept::at(raw).is_none() && fingerprint(raw) == Some(print) {
        // SAFETY: the number names the file that the other image told of, and whose it was is no more.
        unsafe { libc::close(raw) };
    }
}

/// Keeps a descriptor open through an exec, if its number still names that file.
pub(crate) fn keep_through_exec(raw: RawFd, print: u64) {
    if fingerprint(raw) == Some(print) {
        // SAFETY: takes numbers only.
        unsafe { libc::fcntl(raw, libc::F_SETFD, 0) };
    }
}

/// The lowest number that the library takes for descriptors of its own.
static FLOOR: AtomicI32 = AtomicI32::new(0);

/// Keeps the library's own descriptors, from now on, at numbers from `floor` on where the process's limit has
/// room for that: for programs that count on getting the lowest free number, as `close(0); open(..)` does.
pub fn keep_descriptors_from(floor: RawFd) {
    FLOOR.store(floor, Ordering::Relaxed);
}

/// The lowest number from `first` on that the library keeps a descriptor of its own at: for those who close
/// everything else.
pub fn own_descriptor_from(first: RawFd) -> Option<RawFd> {
    let mut from = first;
    loop {
        let (raw, print) = kept::next(from)?;
        if is_kept(raw, print) {
            return Some(raw);
        }
        from = raw.checked_add(1)?;
    }
}

/// Notes the number of an epoll instance, which forked children close as they do a [`Descriptor`]. Only `anchor`,
/// which it watches, tells it from others.
pub(super) fn note_epoll(raw: RawFd, anchor: &Descriptor) {
    kept::note(raw, anchored(anchor.number()));
}

/// The epoll instance of that number was closed, or its number names another file.
pub(super) fn forget_epoll(raw: RawFd, anchor: &Descriptor) {
    kept::forget(raw, anchored(anchor.number()));
}

/// What is noted of an epoll instance, in place of a fingerprint, whose lowest bit is set.
fn anchored(anchor: RawFd) -> u64 {
    u64::from(anchor.cast_unsigned()) << 1 | 1 << 62
}

/// The anchor's number in what is noted of an epoll instance; `None` in a fingerprint.
fn anchor_of(print: u64) -> Option<RawFd> {
    (print & 1 == 0).then_some((print as u32 >> 1).cast_signed())
}

/// Whether a number still names the file that was noted for it.
fn is_kept(raw: RawFd, print: u64) -> bool {
    match anchor_of(print) {
        None => fingerprint(raw) == Some(print),
        Some(anchor) => {
            let is_there = kept::at(anchor).is_some_and(|print| fingerprint(anchor) == Some(print));
            is_there && epoll::knows_anchor(raw, anchor)
        }
    }
}

pub(super) fn raised(fd: OwnedFd) -> OwnedFd {
    let floor = FLOOR.load(Ordering::Relaxed);
    if fd.as_raw_fd() >= floor {
        return fd;
    }
    // SAFETY: takes numbers only.
    let raw = unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_DUPFD_CLOEXEC, floor) };
    if raw < 0 {
        return fd;
    }
    // SAFETY: just made, and nobody else's.
    unsafe { OwnedFd::from_raw_fd(raw) }
}

/// What tells the file behind a descriptor from another: never 0. Files of one kind that have no inode of
/// their own (epoll, eventfd) look alike.
fn fingerprint(raw: RawFd) -> Option<u64> {
    // SAFETY: a stat structure is numbers, for which zeroes are good values.
    let mut stat: libc::stat = unsafe { std::mem::zeroed() };
    // SAFETY: the structure lives on this stack for the whole call; any number may be asked about.
    let known = unsafe { libc::fstat(raw, &raw mut stat) } == 0;
    known.then(|| stat.st_ino.rotate_left(20) ^ stat.st_dev ^ 1 << 63 | 1)
}

/// Runs in a forked child before anything else of it does: allocates nothing, locks nothing.
extern "C" fn close_in_child() {
    let close = |raw, print| {
        if is_kept(raw, print) {
            // SAFETY: the number names the file that a `Descriptor` of the parent kept, by its fingerprint, or an
            // epoll that watches such a file. Its copy in this child closes nothing later, as neither is so any more.
            unsafe { libc::close(raw) };
        }
    };
    // Epolls first, while their anchors are known.
    kept::take(|print| anchor_of(print).is_some(), close);
    kept::take(|_| true, close);
}

/// Which numbers are kept, where a fork handler can read it: atomics that are never freed.
mod kept {
    use super::{AtomicPtr, AtomicU64, Ordering, RawFd};

    const PER_LEAF: usize = 4096;
    const LEAVES: usize = 1024;

    /// Fingerprints by number, or anchors; 0 where nothing is kept.
    type Leaf = [AtomicU64; PER_LEAF];

    static ROOT: [AtomicPtr<Leaf>; LEAVES] =
        [const { AtomicPtr::new(std::ptr::null_mut()) }; LEAVES];

    /// Numbers past the end of the table stay open in children, and that is all.
    pub(super) fn note(raw: RawFd, print: u64) {
        if let Some((root, at)) = place(raw) {
            let leaf = leaf(root).unwrap_or_else(|| grow(root));
            leaf[at].store(print, Ordering::Relaxed);
        }
    }

    /// Unless the number is kept anew by somebody else.
    pub(super) fn forget(raw: RawFd, print: u64) {
        if let Some((root, at)) = place(raw)
            && let Some(leaf) = leaf(root)
        {
            let _ = leaf[at].compare_exchange(print, 0, Ordering::Relaxed, Ordering::Relaxed);
        }
    }

    /// What is noted of a number.
    pub(super) fn at(raw: RawFd) -> Option<u64> {
        let (root, at) = place(raw)?;
        let print = leaf(root)?[at].load(Ordering::Relaxed);
        (print != 0).then_some(print)
    }

    /// The lowest number from `first` on of which something is noted, and what.
    pub(super) fn next(first: RawFd) -> Option<(RawFd, u64)> {
        let first = usize::try_from(first).ok()?;
        let leaves = ROOT.iter().enumerate().skip(first / PER_LEAF);
        let mut numbers = leaves.filter_map(|(index, root)| {
            let from = first.saturating_sub(index * PER_LEAF);
            let mut kept = leaf(root)?.iter().enumerate().skip(from);
            let (at, print) = kept.find_map(|(at, print)| match print.load(Ordering::Relaxed) {
                0 => None,
                print => Some((at, print)),
            })?;
            Some(((index * PER_LEAF + at) as RawFd, print))
        });
        numbers.next()
    }

    /// Forgets what `is` wanted, and gives it to `each`.
    pub(super) fn take(is: impl Fn(u64) -> bool, mut each: impl FnMut(RawFd, u64)) {
        for (index, root) in ROOT.iter().enumerate() {
            for (at, kept) in leaf(root).into_iter().flatten().enumerate() {
                let print = kept.load(Ordering::Relaxed);
                if print != 0 && is(print) {
                    each((index * PER_LEAF + at) as RawFd, print);
                    kept.store(0, Ordering::Relaxed);
                }
            }
        }
    }

    fn place(raw: RawFd) -> Option<(&'static AtomicPtr<Leaf>, usize)> {
        let raw = usize::try_from(raw).ok()?;
        Some((ROOT.get(raw / PER_LEAF)?, raw % PER_LEAF))
    }

    fn leaf(root: &AtomicPtr<Leaf>) -> Option<&'static Leaf> {
        // SAFETY: null, or what `grow` leaked and published with Release: valid for ever, and changed only
        // through its atomics.
        unsafe { root.load(Ordering::Acquire).as_ref() }
    }

    fn grow(root: &AtomicPtr<Leaf>) -> &'static Leaf {
        let new = Box::into_raw(Box::new([const { AtomicU64::new(0) }; PER_LEAF]));
        let (null, publish) = (std::ptr::null_mut(), Ordering::AcqRel);
        if root
            .compare_exchange(null, new, publish, Ordering::Relaxed)
            .is_err()
        {
            // SAFETY: made above from a box, and not published.
            drop(unsafe { Box::from_raw(new) });
        }
        leaf(root).expect("invariant: published by this thread or another")
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    fn pipe() -> (std::fs::File, Descriptor) {
        let (reader, writer) = nix::unistd::pipe2(nix::fcntl::OFlag::O_CLOEXEC).unwrap();
        (reader.into(), Descriptor::keep(writer).unwrap())
    }

    #[test]
    fn a_dropped_descriptor_is_closed() {
        let (mut reader, kept) = pipe();
        drop(kept);
        assert_eq!(reader.read(&mut [0]).unwrap(), 0);
    }

    #[test]
    fn own_numbers_are_told_to_those_who_close_all_others() {
        let (_reader, kept) = pipe();
        let raw = kept.raw().unwrap();
        assert_eq!(own_descriptor_from(raw), Some(raw));
        assert!(own_descriptor_from(0).is_some_and(|lowest| lowest <= raw));
        assert_eq!(own_descriptor_from(RawFd::MAX), None);
        assert_eq!(own_descriptor_from(-1), None);
    }

    #[test]
    fn a_number_that_names_another_file_by_now_is_left_alone() {
        let (_reader, kept) = pipe();
        let raw = kept.raw().unwrap();
        let (mut other_reader, other_writer) = nix::unistd::pipe().unwrap();
        // SAFETY: what the number named is the descriptor above, which this test treats as a program that
        // closes what is not its own.
        assert_eq!(unsafe { libc::dup2(other_writer.as_raw_fd(), raw) }, raw);
        drop(other_writer);
        assert_eq!(kept.raw(), Err(Errno::EBADF));
        drop(kept);
        // SAFETY: still the duplicate made above, as nothing closed it.
        let mut writer =
            std::fs::File::from(unsafe { <OwnedFd as std::os::fd::FromRawFd>::from_raw_fd(raw) });
        std::io::Write::write_all(&mut writer, b"x").unwrap();
        let mut byte = [0];
        nix::unistd::read(&mut other_reader, &mut byte).unwrap();
        assert_eq!(&byte, b"x");
    }
}
