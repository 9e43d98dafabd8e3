//! A shared mapping of a whole memory file, and the checked primitives on it.

use std::{mem::ManuallyDrop, os::fd::AsFd};

#[cfg(not(any(miri, tsan)))]
use memmap2::MmapRaw;
#[cfg(not(miri))]
use memmap2::{Advice, MmapOptions};

use crate::{
    abi::{Errno, Result},
    shm::short,
    sync::{AtomicU32, AtomicU64},
    sys::fork::Maker,
};

#[cfg(tsan)]
#[path = "mapping_once.rs"]
mod once;

/// What is mapped: under the thread sanitizer both sides of a region share it.
#[cfg(tsan)]
type MmapRaw = std::sync::Arc<memmap2::MmapRaw>;

/// What is mapped: under Miri, which knows no mappings of files, what stands for the file itself.
#[cfg(miri)]
type MmapRaw = std::sync::Arc<crate::sys::memfd::Memory>;

/// A mapping whose file has a sealed size, so every byte below `len` stays accessible while it lives.
#[derive(Debug)]
pub(crate) struct Mapping {
    map: ManuallyDrop<MmapRaw>,
    /// The process it was made in, and exists in.
    maker: Maker,
}

impl Mapping {
    /// Maps the first `len` bytes of `fd`, which must be a sealed memory file of that size
    /// ([`crate::sys::memfd`] makes and checks them). A forked child does not inherit the mapping.
    pub(crate) fn new(fd: impl AsFd, len: usize) -> Result<Mapping> {
        Ok(Mapping {
            map: ManuallyDrop::new(map(fd, len)?),
            maker: Maker::current(),
        })
    }

    /// The process that it was made in.
    pub(crate) fn maker(&self) -> Maker {
        self.maker
    }

    #[inline(always)]
    pub(crate) fn len(&self) -> usize {
        self.map.len()
    }

    /// The atomic at `offset`.
    ///
    /// # Panics
    /// When the offset is unaligned or outside: offsets come from a [`super::Layout`], never from a peer.
    #[inline(always)]
    pub(crate) fn atomic_u32(&self, offset: usize) -> &AtomicU32 {
        self.check(offset, 4);
        assert!(offset.is_multiple_of(4), "invariant: atomics are aligned");
        // SAFETY: in bounds and aligned by the two checks (a mapping starts on a page); the memory lives
        // as long as `self` because the file's size is sealed; every access to it anywhere is atomic.
        unsafe { AtomicU32::from_ptr(self.at(offset).cast()) }
    }

    /// The atomic at `offset`; see [`atomic_u32`](Self::atomic_u32).
    pub(crate) fn atomic_u64(&self, offset: usize) -> &AtomicU64 {
        self.check(offset, 8);
        assert!(offset.is_multiple_of(8), "invariant: atomics are aligned");
        // SAFETY: as in `atomic_u32`, for eight bytes.
        unsafe { AtomicU64::from_ptr(self.at(offset).cast()) }
    }

    /// Copies out of the mapping. A peer that writes meanwhile makes the bytes arbitrary, no more.
    ///
    /// # Panics
    /// When the range is outside.
    pub(crate) fn read(&self, offset: usize, into: &mut [u8]) {
        self.check(offset, into.len());
        // SAFETY: the source is in bounds of a live mapping by the check; the destination is a private
        // exclusive slice, so they cannot overlap; the peer's racing writes change bytes only, and any
        // byte value is a valid u8.
        unsafe { std::ptr::copy_nonoverlapping(self.at(offset), into.as_mut_ptr(), into.len()) }
    }

    /// Copies into the mapping.
    ///
    /// # Panics
    /// When the range is outside.
    pub(crate) fn write(&self, offset: usize, bytes: &[u8]) {
        self.check(offset, bytes.len());
        // SAFETY: the destination is in bounds of a live writable mapping by the check; the source is a
        // private slice, so they cannot overlap; nobody holds a reference to the destination.
        unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), self.at(offset), bytes.len()) }
    }

    /// As [`write`](Self::write), for few bytes.
    ///
    /// # Panics
    /// When the range is outside.
    #[inline(always)]
    pub(crate) fn write_short(&self, offset: usize, bytes: &[u8]) {
        self.check(offset, bytes.len());
        // SAFETY: as in `write`.
        unsafe { short::copy(bytes.as_ptr(), self.at(offset), bytes.len()) }
    }

    /// Gives the memory behind a range of whole pages back to the system: whoever maps the file finds zeros there.
    ///
    /// # Errors
    /// As the kernel's.
    ///
    /// # Panics
    /// When the range is outside.
    pub(crate) fn discard(&self, offset: usize, len: usize) -> Result<()> {
        self.check(offset, len);
        #[cfg(not(miri))]
        {
            let advice = memmap2::UncheckedAdvice::Remove;
            // SAFETY: the range is in bounds of a live mapping by the check, and stays mapped: that its bytes become
            // zeros is no more than a peer may do at any time, and nobody holds a reference to them.
            let advised = unsafe { self.map.unchecked_advise_range(advice, offset, len) };
            advised.map_err(|e| Errno::of(&e))?;
        }
        Ok(())
    }

    /// The address of a checked range, for the kernel or for in-place use under the caller's proof.
    #[inline(always)]
    pub(crate) fn ptr(&self, offset: usize, len: usize) -> *mut u8 {
        self.check(offset, len);
        self.at(offset)
    }

    #[inline(always)]
    fn check(&self, offset: usize, len: usize) {
        let end = offset.checked_add(len);
        assert!(
            end.is_some_and(|end| end <= self.len()),
            "invariant: access within the mapping"
        );
    }

    #[inline(always)]
    fn at(&self, offset: usize) -> *mut u8 {
        self.map.as_mut_ptr().wrapping_add(offset)
    }
}

#[cfg(tsan)]
fn map(fd: impl AsFd, len: usize) -> Result<MmapRaw> {
    once::map_once(&fd, len, || map_file(&fd, len))
}

#[cfg(not(any(miri, tsan)))]
fn map(fd: impl AsFd, len: usize) -> Result<MmapRaw> {
    map_file(fd, len)
}

#[cfg(not(miri))]
fn map_file(fd: impl AsFd, len: usize) -> Result<memmap2::MmapRaw> {
    let fd = fd.as_fd();
    let raw = std::os::fd::AsRawFd::as_raw_fd(&fd);
    let map = MmapOptions::new()
        .len(len)
        .map_raw(raw)
        .map_err(|e| Errno::of(&e))?;
    map.advise(Advice::DontFork).map_err(|e| Errno::of(&e))?;
    Ok(map)
}

#[cfg(miri)]
fn map(fd: impl AsFd, len: usize) -> Result<MmapRaw> {
    let memory = crate::sys::memfd::Memory::of(fd)?;
    if memory.len() == len {
        Ok(memory)
    } else {
        Err(Errno::EINVAL)
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // In a forked child something else may live at this address by now.
        if self.maker.is_current() {
            // SAFETY: dropped here and nowhere else, and never used afterwards.
            unsafe { ManuallyDrop::drop(&mut self.map) };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::memfd;

    #[test]
    fn bytes_written_are_read_and_the_end_is_guarded() {
        let fd = memfd::create_sealed("test", 4096).unwrap();
        let map = Mapping::new(&fd, 4096).unwrap();
        map.write(4090, b"abcdef");
        let mut out = [0; 6];
        map.read(4090, &mut out);
        assert_eq!(&out, b"abcdef");
        let beyond =
            std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| map.write(4091, b"abcdef")));
        assert!(beyond.is_err());
        let wraps = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            map.write(usize::MAX, b"ab")
        }));
        assert!(wraps.is_err());
    }

    /// Forks into a new pid namespace, if that may be done, and answers how the child ended; the child answers what to
    /// end with.
    #[cfg(all(not(miri), not(loom)))]
    fn end_in_namespace(child: impl FnOnce() -> i32) -> Option<nix::sys::wait::WaitStatus> {
        use nix::unistd::{ForkResult, fork};

        nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWPID).ok()?;
        // SAFETY: the child runs `child`, which takes no lock of another thread's, and ends.
        match unsafe { fork() }.unwrap() {
            ForkResult::Child => {
                let code = child();
                // SAFETY: ends the process.
                unsafe { libc::_exit(code) }
            }
            ForkResult::Parent { child } => Some(nix::sys::wait::waitpid(child, None).unwrap()),
        }
    }

    #[test]
    #[cfg(all(not(miri), not(loom)))]
    fn a_child_with_the_pid_of_its_parent_unmaps_nothing_of_its_own() {
        use nix::sys::wait::WaitStatus;

        const LEN: usize = 4096;
        fn in_a_child_of_that_pid() -> i32 {
            let map = Mapping::new(memfd::create_sealed("test", LEN).unwrap(), LEN).unwrap();
            let pid = std::process::id();
            let ended = end_in_namespace(|| {
                if std::process::id() != pid {
                    return 2;
                }
                let at = map.at(0);
                let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED_NOREPLACE;
                let access = libc::PROT_READ | libc::PROT_WRITE;
                // SAFETY: nothing is mapped there, as the mapping is not inherited; the kernel refuses otherwise.
                let own = unsafe { libc::mmap(at.cast(), LEN, access, flags, -1, 0) };
                if own != at.cast() {
                    return 3;
                }
                drop(map);
                // SAFETY: mapped above, and unmapped by nobody, which is what this is about.
                unsafe { at.write_volatile(1) };
                0
            });
            match ended {
                Some(WaitStatus::Exited(_, code)) => code,
                _ => 1,
            }
        }
        // From here on forks are noticed.
        Maker::current();
        // A thread of its own: all that it forks from now on is in the namespace.
        let tried = std::thread::spawn(|| end_in_namespace(in_a_child_of_that_pid));
        match tried.join().unwrap() {
            Some(WaitStatus::Exited(_, code)) => assert_eq!(code, 0),
            Some(other) => panic!("{other:?}"),
            None => println!("skipped: no right to make a pid namespace"),
        }
    }
}
