//! Open flags and access modes, with numbers of their own: those of Linux on x86-64.

use bitflags::bitflags;

/// What an open asks for. The numbers are Linux's on x86-64 and do not change with the host.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct OpenFlags(pub u32);

bitflags! {
    impl OpenFlags: u32 {
        /// Write only. Neither this nor `RDWR`: read only.
        const WRONLY = 0o1;
        /// Read and write.
        const RDWR = 0o2;
        /// Make the file if it is not there.
        const CREAT = 0o100;
        /// With `CREAT`: fail if it is there.
        const EXCL = 0o200;
        /// Never become a controlling terminal.
        const NOCTTY = 0o400;
        /// Cut the file to no bytes.
        const TRUNC = 0o1000;
        /// Every write goes to the end.
        const APPEND = 0o2000;
        /// Reads and writes answer EAGAIN rather than wait.
        const NONBLOCK = 0o4000;
        /// Data is on the device when the write returns.
        const DSYNC = 0o1_0000;
        /// Offsets beyond 2 GiB; always granted.
        const LARGEFILE = 0o10_0000;
        /// Fail unless it is a directory.
        const DIRECTORY = 0o20_0000;
        /// Fail with ELOOP if the last component is a symbolic link.
        const NOFOLLOW = 0o40_0000;
        /// Leave the access time alone.
        const NOATIME = 0o100_0000;
        /// Close on exec; the client's own business, servers ignore it.
        const CLOEXEC = 0o200_0000;
        /// Data and attributes are on the device when the write returns.
        const SYNC = 0o401_0000;
        /// No I/O, only to name the file: needs no right on the file itself.
        const PATH = 0o1000_0000;

        // Flags of later systems are carried through and left to the server.
        const _ = !0;
    }
}

impl OpenFlags {
    const ACCESS_MODE: u32 = 0o3;

    /// Whether the open asks to read.
    pub fn reads(self) -> bool {
        !self.contains(OpenFlags::PATH) && matches!(self.0 & Self::ACCESS_MODE, 0 | 2)
    }

    /// Whether the open asks to write.
    pub fn writes(self) -> bool {
        !self.contains(OpenFlags::PATH) && matches!(self.0 & Self::ACCESS_MODE, 1 | 2)
    }

    /// The rights on the file that the open needs.
    pub fn access(self) -> Access {
        let mut access = Access::empty();
        access.set(Access::READ, self.reads());
        access.set(
            Access::WRITE,
            self.writes() || self.contains(OpenFlags::TRUNC),
        );
        access
    }
}

impl std::fmt::Debug for OpenFlags {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let access = match self.0 & Self::ACCESS_MODE {
            0 => "O_RDONLY",
            1 => "O_WRONLY",
            2 => "O_RDWR",
            _ => "O_ACCMODE",
        };
        f.write_str(access)?;
        for (name, _) in OpenFlags(self.0 & !Self::ACCESS_MODE).iter_names() {
            write!(f, "|O_{name}")?;
        }
        Ok(())
    }
}

bitflags! {
    /// Rights on a file, numbered as `access(2)` numbers them.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
    pub struct Access: u32 {
        /// To execute, or to search a directory.
        const EXECUTE = 1;
        /// To write.
        const WRITE = 2;
        /// To read.
        const READ = 4;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_numbers_are_those_of_linux() {
        for (ours, theirs) in [
            (OpenFlags::WRONLY, libc::O_WRONLY),
            (OpenFlags::RDWR, libc::O_RDWR),
            (OpenFlags::CREAT, libc::O_CREAT),
            (OpenFlags::EXCL, libc::O_EXCL),
            (OpenFlags::TRUNC, libc::O_TRUNC),
            (OpenFlags::APPEND, libc::O_APPEND),
            (OpenFlags::NONBLOCK, libc::O_NONBLOCK),
            (OpenFlags::SYNC, libc::O_SYNC),
            (OpenFlags::DSYNC, libc::O_DSYNC),
            #[cfg(target_arch = "x86_64")]
            (OpenFlags::DIRECTORY, libc::O_DIRECTORY),
            #[cfg(target_arch = "x86_64")]
            (OpenFlags::NOFOLLOW, libc::O_NOFOLLOW),
            (OpenFlags::CLOEXEC, libc::O_CLOEXEC),
            (OpenFlags::PATH, libc::O_PATH),
        ] {
            assert_eq!(ours.0, theirs.cast_unsigned(), "{ours:?}");
        }
    }

    #[test]
    fn a_path_open_needs_no_right() {
        assert_eq!(
            (OpenFlags::PATH | OpenFlags::RDWR).access(),
            Access::empty()
        );
        assert_eq!(OpenFlags::RDWR.access(), Access::READ | Access::WRITE);
        assert_eq!(OpenFlags::default().access(), Access::READ);
        assert_eq!(OpenFlags::TRUNC.access(), Access::READ | Access::WRITE);
    }
}
