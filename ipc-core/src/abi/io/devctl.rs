//! The answer of a device to a command.

use zerocopy::little_endian::{I32, U32};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::wire::{index, take};
use crate::abi::{Errno, Result};

/// The front of the reply to a devctl; what the device answered follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DevctlAnswer {
    /// The command's own result, beside success or failure of the message.
    pub result: i32,
    /// Bytes that follow.
    pub len: u32,
}

#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct DevctlLayout {
    result: I32,
    len: U32,
}

impl DevctlAnswer {
    /// Bytes of the format.
    pub const LEN: usize = size_of::<DevctlLayout>();

    /// The reply's first bytes.
    pub fn encode(self) -> [u8; DevctlAnswer::LEN] {
        zerocopy::transmute!(DevctlLayout {
            result: self.result.into(),
            len: self.len.into()
        })
    }

    /// Reads the answer and what follows from a private copy of a reply's bytes.
    ///
    /// # Errors
    /// `EBADMSG` if fewer bytes follow than it says.
    pub fn parse(bytes: &[u8]) -> Result<(DevctlAnswer, &[u8])> {
        let (layout, rest) = take::<DevctlLayout>(bytes)?;
        let answer = DevctlAnswer {
            result: layout.result.get(),
            len: layout.len.get(),
        };
        let data = rest.get(..index(answer.len)).ok_or(Errno::EBADMSG)?;
        Ok((answer, data))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_devctl_answer_has_the_bytes_it_says() {
        let mut bytes = DevctlAnswer { result: -3, len: 2 }.encode().to_vec();
        bytes.extend_from_slice(b"ab");
        assert_eq!(
            DevctlAnswer::parse(&bytes),
            Ok((DevctlAnswer { result: -3, len: 2 }, &b"ab"[..]))
        );
        assert_eq!(DevctlAnswer::parse(&bytes[..9]), Err(Errno::EBADMSG));
    }
}
