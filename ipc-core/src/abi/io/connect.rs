//! The connect message: a path, what is to be done at its end, and what goes along.

use zerocopy::little_endian::{U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::wire::{index, len_u32, take, take_bytes};
use super::{Access, OpenFlags};
use crate::abi::limits::{CONNECT_LEN_MAX, PATH_LEN_MAX};
use crate::abi::{Errno, Result};

/// The type of every connect message.
#[doc(alias = "_IO_CONNECT")]
pub const CONNECT_TYPE: u16 = 0x100;

const VERSION: u16 = 1;

/// What a connect message asks for at the end of its path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u16)]
pub enum Subtype {
    /// Open, then run the I/O messages of [`Extra::Combine`] on what was opened; it stays open.
    #[doc(alias = "_IO_CONNECT_COMBINE")]
    Combine = 0,
    /// As `Combine`, but closed at the end: `stat`, `chmod`, `truncate` of a path in one round trip.
    #[doc(alias = "_IO_CONNECT_COMBINE_CLOSE")]
    CombineClose = 1,
    /// Open: on success the connection is the file.
    #[doc(alias = "_IO_CONNECT_OPEN")]
    Open = 2,
    /// Remove a name that is not a directory.
    #[doc(alias = "_IO_CONNECT_UNLINK")]
    Unlink = 3,
    /// Path is the old name, [`Extra::Path`] the new one as the same server knows it.
    #[doc(alias = "_IO_CONNECT_RENAME")]
    Rename = 4,
    /// Make a fifo, device or socket name; `mode` has the file type bits.
    #[doc(alias = "_IO_CONNECT_MKNOD")]
    Mknod = 5,
    /// The text of a symbolic link, as the reply's bytes.
    #[doc(alias = "_IO_CONNECT_READLINK")]
    Readlink = 6,
    /// Path is the new name, [`Extra::Path`] the existing file as the same server knows it.
    #[doc(alias = "_IO_CONNECT_LINK")]
    Link = 7,
    /// Path is where, [`Extra::Data`] what, as the server defines it.
    #[doc(alias = "_IO_CONNECT_MOUNT")]
    Mount = 8,
    /// Make a directory.
    Mkdir = 9,
    /// Remove an empty directory.
    Rmdir = 10,
    /// Path is the new name, [`Extra::Data`] the text of the symbolic link.
    Symlink = 11,
    /// Whether the client has the rights that `mode` names as [`Access`] bits (0: does it exist).
    Access = 12,
    /// Who answers for the path: a redirect from those that pass on, success and no effect from the one
    /// that answers. Used where two paths must lead to one server (rename, link).
    Resolve = 13,
    /// To the manager of `/net`: the path is a node's name, the reply's status its node descriptor.
    ResolveNode = 14,
}

impl Subtype {
    const ALL: [Subtype; 15] = [
        Subtype::Combine,
        Subtype::CombineClose,
        Subtype::Open,
        Subtype::Unlink,
        Subtype::Rename,
        Subtype::Mknod,
        Subtype::Readlink,
        Subtype::Link,
        Subtype::Mount,
        Subtype::Mkdir,
        Subtype::Rmdir,
        Subtype::Symlink,
        Subtype::Access,
        Subtype::Resolve,
        Subtype::ResolveNode,
    ];

    /// The subtype with this number.
    ///
    /// # Errors
    /// `ENOSYS` for a number of another version.
    pub fn from_number(number: u16) -> Result<Subtype> {
        Self::ALL
            .get(usize::from(number))
            .copied()
            .ok_or(Errno::ENOSYS)
    }

    /// The name that traces show.
    pub fn name(self) -> &'static str {
        match self {
            Subtype::Combine => "combine",
            Subtype::CombineClose => "combine_close",
            Subtype::Open => "open",
            Subtype::Unlink => "unlink",
            Subtype::Rename => "rename",
            Subtype::Mknod => "mknod",
            Subtype::Readlink => "readlink",
            Subtype::Link => "link",
            Subtype::Mount => "mount",
            Subtype::Mkdir => "mkdir",
            Subtype::Rmdir => "rmdir",
            Subtype::Symlink => "symlink",
            Subtype::Access => "access",
            Subtype::Resolve => "resolve",
            Subtype::ResolveNode => "resolve_node",
        }
    }
}

/// What follows the path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Extra<'a> {
    /// Nothing.
    #[default]
    None,
    /// A chain of I/O messages, to be run on the OCB of this open; see [`chain`](super::chain).
    Combine(&'a [u8]),
    /// A second path on the same server.
    Path(&'a [u8]),
    /// Bytes whose meaning the subtype gives.
    Data(&'a [u8]),
}

impl<'a> Extra<'a> {
    fn number_and_bytes(self) -> (u16, &'a [u8]) {
        match self {
            Extra::None => (0, &[]),
            Extra::Combine(bytes) => (1, bytes),
            Extra::Path(bytes) => (2, bytes),
            Extra::Data(bytes) => (3, bytes),
        }
    }

    fn from_number(number: u16, bytes: &'a [u8]) -> Result<Extra<'a>> {
        match number {
            0 if bytes.is_empty() => Ok(Extra::None),
            1 => Ok(Extra::Combine(bytes)),
            2 => check_path(bytes).map(|()| Extra::Path(bytes)),
            3 => Ok(Extra::Data(bytes)),
            _ => Err(Errno::EBADMSG),
        }
    }
}

/// The fixed front of a connect message.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct ConnectHeader {
    /// [`CONNECT_TYPE`].
    pub kind: U16,
    /// A [`Subtype`].
    pub subtype: U16,
    /// Of this format: 1.
    pub version: U16,
    /// What the extra bytes are: 0 none, 1 I/O messages, 2 a path, 3 data of the subtype.
    pub extra_kind: U16,
    /// [`OpenFlags`].
    pub flags: U32,
    /// Mode of a new file with the client's umask already applied, or [`Access`] bits.
    pub mode: U32,
    /// What the server registered with the prefix; 0 where it registered nothing.
    pub handle: U64,
    /// Bytes of the path that follows, without a terminating zero.
    pub path_len: U32,
    /// Bytes of the extra that follows the path.
    pub extra_len: U32,
    /// Servers already asked for this path: what bounds redirects (PTH-3).
    pub redirects: U32,
    /// Zero.
    pub reserved: U32,
}

const _: () = assert!(size_of::<ConnectHeader>() == 40);
const _: () = assert!(std::mem::offset_of!(ConnectHeader, handle) == 16);
const _: () = assert!(size_of::<ConnectHeader>() + 2 * PATH_LEN_MAX < CONNECT_LEN_MAX);

/// A connect message: how both sides see it.
///
/// A parsed value proves that the paths are shorter than [`PATH_LEN_MAX`] and hold no zero byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Connect<'a> {
    /// What is asked for.
    pub subtype: Subtype,
    /// How to open; 0 where the subtype opens nothing.
    pub flags: OpenFlags,
    /// Mode of a new file, or the rights of [`Subtype::Access`].
    pub mode: u32,
    /// What the server registered with its prefix.
    pub handle: u64,
    /// Servers already asked for this path.
    pub redirects: u32,
    /// To a process manager the whole path, to any other server what follows its prefix.
    pub path: &'a [u8],
    /// What goes along.
    pub extra: Extra<'a>,
}

impl<'a> Connect<'a> {
    /// A message with the path alone; set the other fields as needed.
    pub fn new(subtype: Subtype, path: &'a [u8]) -> Connect<'a> {
        Connect {
            subtype,
            flags: OpenFlags::default(),
            mode: 0,
            handle: 0,
            redirects: 0,
            path,
            extra: Extra::None,
        }
    }

    /// The message's bytes.
    ///
    /// # Errors
    /// `ENAMETOOLONG` for a path, `EMSGSIZE` for an extra beyond its limit, `EINVAL` for a zero byte in a
    /// path.
    pub fn encode(&self) -> Result<Vec<u8>> {
        let (extra_kind, extra) = self.extra.number_and_bytes();
        check_path(self.path)?;
        if let Extra::Path(path) = self.extra {
            check_path(path)?;
        }
        let len = size_of::<ConnectHeader>() + self.path.len() + extra.len();
        if len > CONNECT_LEN_MAX {
            return Err(Errno::EMSGSIZE);
        }
        let header = ConnectHeader {
            kind: CONNECT_TYPE.into(),
            subtype: (self.subtype as u16).into(),
            version: VERSION.into(),
            extra_kind: extra_kind.into(),
            flags: self.flags.0.into(),
            mode: self.mode.into(),
            handle: self.handle.into(),
            path_len: len_u32(self.path.len()).into(),
            extra_len: len_u32(extra.len()).into(),
            redirects: self.redirects.into(),
            reserved: 0.into(),
        };
        let mut bytes = Vec::with_capacity(len);
        bytes.extend_from_slice(header.as_bytes());
        bytes.extend_from_slice(self.path);
        bytes.extend_from_slice(extra);
        Ok(bytes)
    }

    /// Reads a message from a private copy of its bytes.
    ///
    /// # Errors
    /// `EBADMSG` for bytes that are no connect message, `ENOSYS` for a subtype or version of later,
    /// `ENAMETOOLONG` and `EINVAL` for a path.
    pub fn parse(bytes: &'a [u8]) -> Result<Connect<'a>> {
        let (header, rest) = take::<ConnectHeader>(bytes)?;
        if header.kind.get() != CONNECT_TYPE {
            return Err(Errno::EBADMSG);
        }
        if header.version.get() != VERSION {
            return Err(Errno::ENOSYS);
        }
        let (path, rest) = take_bytes(rest, index(header.path_len.get()))?;
        let (extra, rest) = take_bytes(rest, index(header.extra_len.get()))?;
        if !rest.is_empty() || header.reserved.get() != 0 || bytes.len() > CONNECT_LEN_MAX {
            return Err(Errno::EBADMSG);
        }
        check_path(path)?;
        Ok(Connect {
            subtype: Subtype::from_number(header.subtype.get())?,
            flags: OpenFlags(header.flags.get()),
            mode: header.mode.get(),
            handle: header.handle.get(),
            redirects: header.redirects.get(),
            path,
            extra: Extra::from_number(header.extra_kind.get(), extra)?,
        })
    }

    /// The rights that [`Subtype::Access`] asks about.
    pub fn access(&self) -> Access {
        Access::from_bits_truncate(self.mode)
    }

    /// The second path of a rename or link.
    ///
    /// # Errors
    /// `EBADMSG` if there is none.
    pub fn other_path(&self) -> Result<&'a [u8]> {
        match self.extra {
            Extra::Path(path) => Ok(path),
            _ => Err(Errno::EBADMSG),
        }
    }

    /// The data of a symlink or mount.
    ///
    /// # Errors
    /// `EBADMSG` if there is none.
    pub fn data(&self) -> Result<&'a [u8]> {
        match self.extra {
            Extra::Data(data) => Ok(data),
            _ => Err(Errno::EBADMSG),
        }
    }
}

fn check_path(path: &[u8]) -> Result<()> {
    if path.len() >= PATH_LEN_MAX {
        return Err(Errno::ENAMETOOLONG);
    }
    if path.contains(&0) {
        return Err(Errno::EINVAL);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn example() -> Connect<'static> {
        Connect {
            subtype: Subtype::Open,
            flags: OpenFlags::WRONLY | OpenFlags::CREAT,
            mode: 0o644,
            handle: 7,
            redirects: 3,
            path: b"wintermute/home/rk/filename",
            extra: Extra::None,
        }
    }

    #[test]
    fn what_is_encoded_is_parsed_back() {
        let extras = [
            Extra::None,
            Extra::Combine(b"x"),
            Extra::Path(b"new"),
            Extra::Data(b"\0\x01"),
        ];
        for subtype in Subtype::ALL {
            for extra in extras {
                let message = Connect {
                    subtype,
                    extra,
                    ..example()
                };
                assert_eq!(Connect::parse(&message.encode().unwrap()), Ok(message));
            }
        }
    }

    #[test]
    fn subtypes_are_numbered_as_listed() {
        for (number, subtype) in (0u16..).zip(Subtype::ALL) {
            assert_eq!(subtype as u16, number);
        }
        assert_eq!(Subtype::from_number(15), Err(Errno::ENOSYS));
    }

    #[test]
    fn every_shorter_or_longer_message_is_refused() {
        let bytes = example().encode().unwrap();
        for len in 0..bytes.len() {
            assert_eq!(
                Connect::parse(&bytes[..len]),
                Err(Errno::EBADMSG),
                "{len} bytes"
            );
        }
        let mut longer = bytes;
        longer.push(0);
        assert_eq!(Connect::parse(&longer), Err(Errno::EBADMSG));
    }

    #[test]
    fn lengths_that_wrap_are_refused() {
        let mut bytes = example().encode().unwrap();
        bytes[24..32].fill(0xff);
        assert_eq!(Connect::parse(&bytes), Err(Errno::EBADMSG));
    }

    #[test]
    fn paths_are_bounded_and_without_zero_bytes() {
        let long = vec![b'a'; PATH_LEN_MAX];
        assert_eq!(
            Connect::new(Subtype::Open, &long).encode(),
            Err(Errno::ENAMETOOLONG)
        );
        assert!(Connect::new(Subtype::Open, &long[1..]).encode().is_ok());
        assert_eq!(
            Connect::new(Subtype::Open, b"a\0b").encode(),
            Err(Errno::EINVAL)
        );
        let mut bytes = Connect::new(Subtype::Open, b"a_b").encode().unwrap();
        bytes[41] = 0;
        assert_eq!(Connect::parse(&bytes), Err(Errno::EINVAL));
    }

    #[test]
    fn another_version_and_a_used_reserved_field_are_refused() {
        let mut bytes = example().encode().unwrap();
        bytes[4] = 2;
        assert_eq!(Connect::parse(&bytes), Err(Errno::ENOSYS));
        let mut bytes = example().encode().unwrap();
        bytes[36] = 1;
        assert_eq!(Connect::parse(&bytes), Err(Errno::EBADMSG));
    }
}
