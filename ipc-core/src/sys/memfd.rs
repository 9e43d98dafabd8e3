//! Sealed memory files: the memory that two processes share.

use std::os::fd::{AsFd, OwnedFd};

use nix::{
    fcntl::{FcntlArg, SealFlag, fcntl},
    sys::{
        memfd,
        resource::{Resource, getrlimit},
        stat::fstat,
        statfs::{TMPFS_MAGIC, fstatfs},
    },
    unistd::ftruncate,
};

use crate::abi::{Errno, Result};

/// The seals that make a mapping safe to touch: its size never changes again, so no access beyond the
/// end can raise SIGBUS.
const SEALS: SealFlag = SealFlag::F_SEAL_SHRINK
    .union(SealFlag::F_SEAL_GROW)
    .union(SealFlag::F_SEAL_SEAL);

/// Makes a memory file of `len` bytes, all zero, whose size is sealed.
///
/// # Errors
/// `EFBIG` when the process may not make files of that size (`RLIMIT_FSIZE`), `EMFILE`, `ENFILE`, `ENOMEM`.
pub(crate) fn create_sealed(name: &str, len: usize) -> Result<OwnedFd> {
    // The kernel's own answer comes with a signal that ends the process.
    let (file_len_max, _) = getrlimit(Resource::RLIMIT_FSIZE)?;
    if len as u64 > file_len_max {
        return Err(Errno::EFBIG);
    }
    let flags = memfd::MFdFlags::MFD_CLOEXEC | memfd::MFdFlags::MFD_ALLOW_SEALING;
    let fd = memfd::memfd_create(name, flags)?;
    ftruncate(&fd, i64::try_from(len).map_err(|_| Errno::EINVAL)?)?;
    fcntl(&fd, FcntlArg::F_ADD_SEALS(SEALS))?;
    Ok(fd)
}

/// Proves that `fd`, which a peer sent, is a memory file of exactly `len` bytes whose size is sealed.
///
/// # Errors
/// `EINVAL` when it is anything else.
pub(crate) fn check_sealed(fd: impl AsFd, len: usize) -> Result<()> {
    let seals = fcntl(&fd, FcntlArg::F_GET_SEALS).map_err(|_| Errno::EINVAL)?;
    let size = fstat(&fd)?.st_size;
    let sealed = SealFlag::from_bits_truncate(seals).contains(SEALS);
    let writable = !SealFlag::from_bits_truncate(seals)
        .intersects(SealFlag::F_SEAL_WRITE | SealFlag::F_SEAL_FUTURE_WRITE);
    // A file of huge pages can be sealed too, and touching it raises SIGBUS when there are none left.
    let ordinary = fstatfs(&fd)?.filesystem_type() == TMPFS_MAGIC;
    if sealed && writable && ordinary && usize::try_from(size) == Ok(len) {
        Ok(())
    } else {
        Err(Errno::EINVAL)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sealed_file_passes_and_keeps_its_size() {
        let fd = create_sealed("test", 8192).unwrap();
        assert_eq!(check_sealed(&fd, 8192), Ok(()));
        assert_eq!(check_sealed(&fd, 4096), Err(Errno::EINVAL));
        assert!(ftruncate(&fd, 0).is_err());
    }

    #[test]
    fn a_file_of_huge_pages_is_refused() {
        let len = 2 << 20;
        let flags = memfd::MFdFlags::MFD_CLOEXEC
            | memfd::MFdFlags::MFD_ALLOW_SEALING
            | memfd::MFdFlags::MFD_HUGETLB
            | memfd::MFdFlags::MFD_HUGE_2MB;
        let Ok(fd) = memfd::memfd_create("test", flags) else {
            println!("skipped: this kernel has no huge pages");
            return;
        };
        ftruncate(&fd, len).unwrap();
        fcntl(&fd, FcntlArg::F_ADD_SEALS(SEALS)).unwrap();
        assert_eq!(check_sealed(&fd, len as usize), Err(Errno::EINVAL));
    }

    #[test]
    fn an_unsealed_file_and_a_pipe_are_refused() {
        let flags = memfd::MFdFlags::MFD_CLOEXEC | memfd::MFdFlags::MFD_ALLOW_SEALING;
        let fd = memfd::memfd_create("test", flags).unwrap();
        ftruncate(&fd, 4096).unwrap();
        assert_eq!(check_sealed(&fd, 4096), Err(Errno::EINVAL));
        let (reader, _writer) = nix::unistd::pipe().unwrap();
        assert_eq!(check_sealed(&reader, 4096), Err(Errno::EINVAL));
    }
}
