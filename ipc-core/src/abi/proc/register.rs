//! Registering a prefix or a name, and taking it back.

use bitflags::bitflags;
use zerocopy::{
    FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned,
    little_endian::{I32, U16, U32, U64},
};

use super::{message_type, split_bytes, split_head};
use crate::abi::{Chid, Errno, Result, limits::PATH_LEN_MAX};

bitflags! {
    /// How a registered prefix is matched and ordered (PTH-2).
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
    pub struct PrefixFlags: u32 {
        /// In front of the servers that have the same prefix.
        #[doc(alias = "_RESMGR_FLAG_BEFORE")]
        const BEFORE = 0x0001;
        /// Behind the servers that have the same prefix.
        #[doc(alias = "_RESMGR_FLAG_AFTER")]
        const AFTER = 0x0002;
        /// The search ends with this prefix: shorter ones are not listed.
        #[doc(alias = "_RESMGR_FLAG_OPAQUE")]
        const OPAQUE = 0x0004;
        /// The server is listed also for its own lookups.
        #[doc(alias = "_RESMGR_FLAG_SELF")]
        const SELF = 0x0020;
        /// Takes the paths below the prefix as well; without it only the prefix itself.
        #[doc(alias = "_RESMGR_FLAG_DIR")]
        const DIR = 0x0100;
        /// A name for `name_open`: the server need not know connect messages (PTH-6).
        const NAME = 0x0001_0000;
    }
}

/// Names one registration for as long as the process manager lives; never 0, never given twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RegistrationId(pub u64);

impl RegistrationId {
    /// Bytes of the reply to [`Register`].
    pub const REPLY_LEN: usize = 8;

    /// The reply to [`Register`].
    pub fn to_reply(self) -> [u8; Self::REPLY_LEN] {
        self.0.to_le_bytes()
    }

    /// Reads the reply to [`Register`].
    ///
    /// # Errors
    /// `EBADMSG` when it has another length or is 0.
    pub fn parse_reply(bytes: &[u8]) -> Result<RegistrationId> {
        let id = u64::from_le_bytes(bytes.try_into().map_err(|_| Errno::EBADMSG)?);
        if id == 0 {
            Err(Errno::EBADMSG)
        } else {
            Ok(RegistrationId(id))
        }
    }
}

/// `REGISTER`: a server puts a prefix of its own into the pathname space. Whose it is, the process
/// manager takes from the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Register<'a> {
    /// How it is matched and ordered.
    pub flags: PrefixFlags,
    /// Given back in every connect, so that one channel can serve several prefixes.
    pub handle: u64,
    /// The channel of the sender that serves the prefix.
    pub chid: Chid,
    /// The absolute path of the prefix.
    pub path: &'a [u8],
}

#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct RegisterHead {
    /// [`message_type::REGISTER`]
    type_: U16,
    /// 0
    subtype: U16,
    /// [`PrefixFlags`]
    flags: U32,
    /// Returned with every connect.
    handle: U64,
    /// A channel of the sender, > 0.
    chid: I32,
    /// Bytes of the path that follows.
    path_len: U16,
    /// 0
    reserved: U16,
}
const _: () = assert!(size_of::<RegisterHead>() == 24);
const _: () = assert!(PATH_LEN_MAX <= u16::MAX as usize);

impl<'a> Register<'a> {
    /// The message.
    ///
    /// # Errors
    /// `ENAMETOOLONG` the path is longer than a path may be.
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        if self.path.len() >= PATH_LEN_MAX {
            return Err(Errno::ENAMETOOLONG);
        }
        let head = RegisterHead {
            type_: message_type::REGISTER.into(),
            subtype: 0.into(),
            flags: self.flags.bits().into(),
            handle: self.handle.into(),
            chid: self.chid.0.into(),
            path_len: (self.path.len() as u16).into(),
            reserved: 0.into(),
        };
        Ok([head.as_bytes(), self.path].concat())
    }

    pub(super) fn parse(bytes: &'a [u8]) -> Result<Register<'a>> {
        let (head, rest) = split_head::<RegisterHead>(bytes)?;
        let (path, end) = split_bytes(rest, head.path_len.get().into())?;
        let flags = PrefixFlags::from_bits(head.flags.get()).ok_or(Errno::EBADMSG)?;
        if head.subtype.get() != 0
            || head.reserved.get() != 0
            || head.chid.get() <= 0
            || !end.is_empty()
        {
            return Err(Errno::EBADMSG);
        }
        Ok(Register {
            flags,
            handle: head.handle.get(),
            chid: Chid(head.chid.get()),
            path,
        })
    }
}

/// `UNREGISTER`: the sender takes back what it registered. The reply is empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unregister {
    /// What [`Register`] answered.
    pub id: RegistrationId,
}

#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct UnregisterBody {
    /// [`message_type::UNREGISTER`]
    type_: U16,
    /// 0
    subtype: U16,
    /// 0
    reserved: U32,
    /// What was answered to the registration.
    id: U64,
}
const _: () = assert!(size_of::<UnregisterBody>() == 16);

impl Unregister {
    /// The message.
    pub fn to_bytes(self) -> Vec<u8> {
        let body = UnregisterBody {
            type_: message_type::UNREGISTER.into(),
            subtype: 0.into(),
            reserved: 0.into(),
            id: self.id.0.into(),
        };
        body.as_bytes().to_vec()
    }

    pub(super) fn parse(bytes: &[u8]) -> Result<Unregister> {
        let (body, end) = split_head::<UnregisterBody>(bytes)?;
        if body.subtype.get() != 0
            || body.reserved.get() != 0
            || body.id.get() == 0
            || !end.is_empty()
        {
            return Err(Errno::EBADMSG);
        }
        Ok(Unregister {
            id: RegistrationId(body.id.get()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::abi::proc::ProcMessage;

    const REGISTER: Register<'static> = Register {
        flags: PrefixFlags::DIR.union(PrefixFlags::BEFORE),
        handle: u64::MAX,
        chid: Chid(7),
        path: b"/home",
    };

    #[test]
    fn what_is_written_is_read_back() {
        let bytes = REGISTER.to_bytes().unwrap();
        assert_eq!(
            ProcMessage::parse(&bytes),
            Ok(ProcMessage::Register(REGISTER))
        );
        let unregister = Unregister {
            id: RegistrationId(9),
        };
        assert_eq!(
            ProcMessage::parse(&unregister.to_bytes()),
            Ok(ProcMessage::Unregister(unregister))
        );
        assert_eq!(
            RegistrationId::parse_reply(&RegistrationId(5).to_reply()),
            Ok(RegistrationId(5))
        );
    }

    #[test]
    fn a_length_that_is_not_that_of_the_path_is_malformed() {
        let bytes = REGISTER.to_bytes().unwrap();
        for wrong in [
            &bytes[..bytes.len() - 1],
            &bytes[..10],
            &[bytes.as_slice(), b"x"].concat(),
        ] {
            assert_eq!(ProcMessage::parse(wrong), Err(Errno::EBADMSG));
        }
    }

    #[test]
    fn unknown_flags_and_used_reserved_fields_are_malformed() {
        for (offset, value) in [(2, 1), (7, 0x80), (22, 1)] {
            let mut bytes = REGISTER.to_bytes().unwrap();
            bytes[offset] = value;
            assert_eq!(
                ProcMessage::parse(&bytes),
                Err(Errno::EBADMSG),
                "byte {offset}"
            );
        }
    }

    #[test]
    fn a_channel_id_is_positive() {
        let bytes = Register {
            chid: Chid(0),
            ..REGISTER
        }
        .to_bytes()
        .unwrap();
        assert_eq!(ProcMessage::parse(&bytes), Err(Errno::EBADMSG));
    }

    #[test]
    fn a_path_that_is_too_long_is_not_sent() {
        let path = vec![b'a'; PATH_LEN_MAX];
        assert_eq!(
            Register {
                path: &path,
                ..REGISTER
            }
            .to_bytes(),
            Err(Errno::ENAMETOOLONG)
        );
    }
}
