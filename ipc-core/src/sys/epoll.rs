//! An epoll instance that knows whether it is still there.

use std::{
    mem::ManuallyDrop,
    os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd},
    time::Duration,
};

use nix::sys::socket::{AddressFamily, SockFlag, SockType, socket};

use crate::{
    abi::{Errno, Result},
    sys::descriptor::{self, Descriptor},
};

/// What is waited for on a descriptor. A hang-up is told with each of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Interest {
    Readable,
    Writable,
    Either,
    Nothing,
}

/// Watches descriptors, each under a number of the caller's.
#[derive(Debug)]
pub(crate) struct Epoll {
    /// All epoll descriptors look alike to `fstat`, so this one cannot tell whether it is still there.
    own: ManuallyDrop<OwnedFd>,
    /// A socket, which can, watched for nothing: an instance that does not know it is a stranger's.
    anchor: Descriptor,
}

/// Events taken at a time.
const BATCH: usize = 64;

/// The number of the anchor, which no caller uses.
const ANCHOR: u64 = u64::MAX;

impl Epoll {
    pub(crate) fn new() -> Result<Epoll> {
        // SAFETY: takes a number and gives one.
        let raw = unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) };
        if raw < 0 {
            return Err(Errno::last());
        }
        // SAFETY: made by the call above for this process, so it is owned exactly once.
        let own = descriptor::raised(unsafe { OwnedFd::from_raw_fd(raw) });
        let (family, datagrams) = (AddressFamily::Unix, SockType::Datagram);
        let anchor = socket(family, datagrams, SockFlag::SOCK_CLOEXEC, None)?;
        let epoll = Epoll {
            own: ManuallyDrop::new(own),
            anchor: Descriptor::keep(anchor)?,
        };
        epoll.add(epoll.anchor.as_fd(), Interest::Nothing, ANCHOR)?;
        descriptor::note_epoll(epoll.raw(), &epoll.anchor);
        Ok(epoll)
    }

    /// Whether the program closed it under us.
    pub(crate) fn is_lost(&self) -> bool {
        self.anchor.raw().is_err() || !knows_anchor(self.raw(), self.anchor.number())
    }

    pub(crate) fn add(&self, fd: BorrowedFd<'_>, interest: Interest, number: u64) -> Result<()> {
        self.control(libc::EPOLL_CTL_ADD, fd, interest, number)
    }

    pub(crate) fn change(&self, fd: BorrowedFd<'_>, interest: Interest, number: u64) -> Result<()> {
        self.control(libc::EPOLL_CTL_MOD, fd, interest, number)
    }

    pub(crate) fn delete(&self, fd: BorrowedFd<'_>) -> Result<()> {
        self.control(libc::EPOLL_CTL_DEL, fd, Interest::Nothing, 0)
    }

    /// Waits for events, at most `timeout`, and appends the numbers they were added under.
    ///
    /// # Errors
    /// `EINTR`; `EBADF` when [`is_lost`](Self::is_lost).
    pub(crate) fn wait(&self, timeout: Option<Duration>, numbers: &mut Vec<u64>) -> Result<()> {
        if self.is_lost() {
            return Err(Errno::EBADF);
        }
        // Rounded up: a time that has not quite come is not to be asked for again and again.
        let timeout_ms = timeout.map_or(-1, |timeout| {
            i32::try_from(timeout.as_nanos().div_ceil(1_000_000)).unwrap_or(i32::MAX)
        });
        let mut events = [libc::epoll_event { events: 0, u64: 0 }; BATCH];
        // SAFETY: the kernel writes at most BATCH events into the array, which lives on this stack.
        let count =
            unsafe { libc::epoll_wait(self.raw(), events.as_mut_ptr(), BATCH as i32, timeout_ms) };
        let count = usize::try_from(count).map_err(|_| Errno::last())?;
        numbers.extend(events[..count].iter().map(|event| event.u64));
        Ok(())
    }

    fn control(&self, op: i32, fd: BorrowedFd<'_>, interest: Interest, number: u64) -> Result<()> {
        let events = match interest {
            Interest::Readable => libc::EPOLLIN | libc::EPOLLRDHUP,
            Interest::Writable => libc::EPOLLOUT | libc::EPOLLRDHUP,
            Interest::Either => libc::EPOLLIN | libc::EPOLLOUT | libc::EPOLLRDHUP,
            Interest::Nothing => 0,
        };
        let mut event = libc::epoll_event {
            events: events.cast_unsigned(),
            u64: number,
        };
        // SAFETY: the event lives on this stack for the whole call; a number that is no epoll is refused.
        match unsafe { libc::epoll_ctl(self.raw(), op, fd.as_raw_fd(), &raw mut event) } {
            0 => Ok(()),
            _ => Err(Errno::last()),
        }
    }

    fn raw(&self) -> RawFd {
        self.own.as_raw_fd()
    }
}

/// A file without an inode of its own, as inotify's, of which an epoll instance knows whether its number still
/// names it.
pub(crate) struct Known<T: AsFd> {
    file: ManuallyDrop<T>,
    by: Epoll,
}

impl<T: AsFd> Known<T> {
    /// # Errors
    /// What making an epoll instance answers.
    pub(crate) fn keep(file: T) -> Result<Known<T>> {
        let by = Epoll::new()?;
        by.add(file.as_fd(), Interest::Nothing, 0)?;
        Ok(Known {
            file: ManuallyDrop::new(file),
            by,
        })
    }

    /// The file, whose number nobody else's has meanwhile.
    ///
    /// # Errors
    /// `EBADF` when the program closed it.
    pub(crate) fn get(&self) -> Result<&T> {
        let is_ours = self.by.change(self.file.as_fd(), Interest::Nothing, 0);
        if self.by.is_lost() || is_ours.is_err() {
            return Err(Errno::EBADF);
        }
        Ok(&self.file)
    }
}

impl<T: AsFd> Drop for Known<T> {
    fn drop(&mut self) {
        if self.get().is_ok() {
            // SAFETY: dropped here and nowhere else, and never used afterwards.
            unsafe { ManuallyDrop::drop(&mut self.file) };
        }
    }
}

/// Whether the number `raw` names an epoll instance that watches `anchor` for nothing, under the number of anchors.
/// May be asked in a fork handler.
pub(super) fn knows_anchor(raw: RawFd, anchor: RawFd) -> bool {
    let mut event = libc::epoll_event {
        events: 0,
        u64: ANCHOR,
    };
    // SAFETY: the event lives on this stack for the whole call; a number that is no epoll is refused. One that is and
    // watches the anchor has it watched as before.
    unsafe { libc::epoll_ctl(raw, libc::EPOLL_CTL_MOD, anchor, &raw mut event) == 0 }
}

impl Drop for Epoll {
    fn drop(&mut self) {
        let raw = self.raw();
        // A number that is another instance's by now stays open.
        if !self.is_lost() {
            // SAFETY: dropped here and nowhere else, and never used afterwards.
            unsafe { ManuallyDrop::drop(&mut self.own) };
        }
        descriptor::forget_epoll(raw, &self.anchor);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_ready_is_told_by_its_number_and_nothing_else() {
        let epoll = Epoll::new().unwrap();
        let (reader, writer) = nix::unistd::pipe().unwrap();
        epoll.add(reader.as_fd(), Interest::Readable, 7).unwrap();
        let mut numbers = Vec::new();
        epoll.wait(Some(Duration::ZERO), &mut numbers).unwrap();
        assert_eq!(numbers, []);
        nix::unistd::write(&writer, b"x").unwrap();
        epoll.wait(None, &mut numbers).unwrap();
        assert_eq!(numbers, [7]);
        epoll.change(reader.as_fd(), Interest::Nothing, 7).unwrap();
        numbers.clear();
        epoll.wait(Some(Duration::ZERO), &mut numbers).unwrap();
        assert_eq!(numbers, []);
    }

    #[test]
    fn a_known_file_whose_number_names_another_one_is_left_alone() {
        let eventfd = || nix::sys::eventfd::EventFd::new().unwrap();
        let (ours, theirs) = (Known::keep(eventfd()).unwrap(), eventfd());
        let number = ours.get().unwrap().as_fd().as_raw_fd();
        // SAFETY: the number is that of `ours`, which this test treats as a program that closes what is not its own.
        let put = unsafe { libc::dup2(theirs.as_fd().as_raw_fd(), number) };
        assert_eq!(put, number);
        assert_eq!(ours.get().err(), Some(Errno::EBADF));
        drop(ours);
        // SAFETY: the duplicate made above, which nothing closed.
        let theirs = unsafe { OwnedFd::from_raw_fd(number) };
        nix::unistd::write(&theirs, &[1; 8]).unwrap();
    }

    #[test]
    fn an_instance_whose_number_names_another_one_is_lost() {
        let (ours, theirs) = (Epoll::new().unwrap(), Epoll::new().unwrap());
        // SAFETY: the number is that of `ours`, which this test treats as a program that closes what is not
        // its own and gets the number for an epoll of its own.
        unsafe { libc::dup2(theirs.raw(), ours.raw()) };
        assert!(ours.is_lost());
        assert_eq!(ours.wait(None, &mut Vec::new()), Err(Errno::EBADF));
        assert!(!theirs.is_lost());
    }
}
