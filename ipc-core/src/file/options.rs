//! How a file is opened.

use std::path::Path;

use crate::{
    abi::{
        Errno, Result,
        io::{Extra, OpenFlags, Subtype},
    },
    file::{File, umask::umask},
    proc::{
        Pathname,
        client::arrive::{Wish, arrive, arrive_from},
    },
};

/// Options for opening a file, in the manner of [`std::fs::OpenOptions`].
///
/// ```no_run
/// use ipc_core::file::OpenOptions;
///
/// let log = OpenOptions::new().append(true).create(true).open("/net/wintermute/home/rk/log")?;
/// # Ok::<(), ipc_core::abi::Errno>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct OpenOptions {
    is_read: bool,
    is_write: bool,
    flags: OpenFlags,
    mode: u32,
}

impl Default for OpenOptions {
    fn default() -> OpenOptions {
        OpenOptions::new()
    }
}

impl OpenOptions {
    /// Neither read nor write; a new file would be readable and writable for all that the umask lets.
    pub fn new() -> OpenOptions {
        OpenOptions {
            is_read: false,
            is_write: false,
            flags: OpenFlags::empty(),
            mode: 0o666,
        }
    }

    /// The options that `flags` name, which may be those of `open(2)`.
    ///
    /// # Errors
    /// `EINVAL` an access mode that there is not.
    pub fn from_flags(flags: OpenFlags) -> Result<OpenOptions> {
        let access = flags.bits() & (OpenFlags::WRONLY | OpenFlags::RDWR).bits();
        if access == (OpenFlags::WRONLY | OpenFlags::RDWR).bits() {
            return Err(Errno::EINVAL);
        }
        let mut options = OpenOptions::new();
        options.is_read = access != OpenFlags::WRONLY.bits();
        options.is_write = access != 0;
        options.flags = flags - OpenFlags::WRONLY - OpenFlags::RDWR;
        Ok(options)
    }

    /// Open for reading.
    pub fn read(&mut self, on: bool) -> &mut OpenOptions {
        self.is_read = on;
        self
    }

    /// Open for writing.
    pub fn write(&mut self, on: bool) -> &mut OpenOptions {
        self.is_write = on;
        self
    }

    /// Every write goes to the end; implies [`OpenOptions::write`].
    pub fn append(&mut self, on: bool) -> &mut OpenOptions {
        self.is_write |= on;
        self.set(OpenFlags::APPEND, on)
    }

    /// Cut the file to no bytes.
    pub fn truncate(&mut self, on: bool) -> &mut OpenOptions {
        self.set(OpenFlags::TRUNC, on)
    }

    /// Make the file if it is not there.
    pub fn create(&mut self, on: bool) -> &mut OpenOptions {
        self.set(OpenFlags::CREAT, on)
    }

    /// Make the file, and fail with `EEXIST` if it is there.
    pub fn create_new(&mut self, on: bool) -> &mut OpenOptions {
        self.set(OpenFlags::CREAT | OpenFlags::EXCL, on)
    }

    /// Fail unless it is a directory.
    pub fn directory(&mut self, on: bool) -> &mut OpenOptions {
        self.set(OpenFlags::DIRECTORY, on)
    }

    /// Fail with `ELOOP` if the last component is a symbolic link.
    pub fn no_follow(&mut self, on: bool) -> &mut OpenOptions {
        self.set(OpenFlags::NOFOLLOW, on)
    }

    /// Answer `EAGAIN` rather than wait.
    pub fn nonblocking(&mut self, on: bool) -> &mut OpenOptions {
        self.set(OpenFlags::NONBLOCK, on)
    }

    /// Permissions of a new file, before the umask takes some away.
    pub fn mode(&mut self, mode: u32) -> &mut OpenOptions {
        self.mode = mode;
        self
    }

    /// Opens the file.
    ///
    /// # Errors
    /// `EINVAL` the path is not absolute, or the options contradict each other; `ESRCH` no process
    /// manager; `ELOOP`, `ENAMETOOLONG`; what the server says. [`describe()`](crate::file::describe()) says
    /// what is likely behind it.
    pub fn open(&self, path: impl AsRef<Path>) -> Result<File> {
        let arrival = arrive(Pathname::of(path)?, &self.wish()?)?;
        Ok(File::from_arrival(arrival))
    }

    /// Opens a file as another node names it: the walk starts at that node's process manager.
    ///
    /// # Errors
    /// As [`OpenOptions::open`].
    pub fn open_on(&self, nd: crate::abi::Nd, path: impl AsRef<Path>) -> Result<File> {
        let arrival = arrive_from(nd, Pathname::of(path)?, &self.wish()?)?;
        Ok(File::from_arrival(arrival))
    }

    fn wish(&self) -> Result<Wish<'static>> {
        let access = match (self.is_read, self.is_write) {
            (_, false) => OpenFlags::empty(),
            (false, true) => OpenFlags::WRONLY,
            (true, true) => OpenFlags::RDWR,
        };
        let by_name = self.flags.contains(OpenFlags::PATH);
        let cuts = self.flags.contains(OpenFlags::TRUNC) && !self.is_write;
        if !by_name && (cuts || !(self.is_read || self.is_write)) {
            return Err(Errno::EINVAL);
        }
        let makes = self.flags.contains(OpenFlags::CREAT);
        Ok(Wish {
            subtype: Subtype::Open,
            flags: self.flags | access,
            mode: if makes {
                self.mode & 0o7777 & !umask()
            } else {
                0
            },
            extra: Extra::None,
        })
    }

    fn set(&mut self, flags: OpenFlags, on: bool) -> &mut OpenOptions {
        self.flags.set(flags, on);
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_that_contradict_each_other_are_invalid() {
        assert_eq!(OpenOptions::new().wish().unwrap_err(), Errno::EINVAL);
        assert_eq!(
            OpenOptions::new()
                .read(true)
                .truncate(true)
                .wish()
                .unwrap_err(),
            Errno::EINVAL
        );
        assert_eq!(
            OpenOptions::from_flags(OpenFlags::WRONLY | OpenFlags::RDWR).unwrap_err(),
            Errno::EINVAL
        );
    }

    #[test]
    fn the_access_mode_follows_from_read_and_write() {
        let flags = |options: &OpenOptions| options.wish().unwrap().flags;
        assert_eq!(flags(OpenOptions::new().read(true)), OpenFlags::empty());
        assert_eq!(flags(OpenOptions::new().write(true)), OpenFlags::WRONLY);
        assert_eq!(
            flags(OpenOptions::new().read(true).write(true)),
            OpenFlags::RDWR
        );
        assert_eq!(
            flags(OpenOptions::new().append(true)),
            OpenFlags::WRONLY | OpenFlags::APPEND
        );
        let asked = OpenFlags::RDWR | OpenFlags::CREAT | OpenFlags::CLOEXEC;
        assert_eq!(flags(&OpenOptions::from_flags(asked).unwrap()), asked);
    }
}
