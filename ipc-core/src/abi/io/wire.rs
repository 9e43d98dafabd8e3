//! Taking fixed and counted pieces off the front of a private copy of a message.

use zerocopy::{FromBytes, Immutable, KnownLayout};

use crate::abi::{Errno, Result};

/// Reads one fixed structure off the front of `bytes`.
pub(super) fn take<T: FromBytes + KnownLayout + Immutable>(bytes: &[u8]) -> Result<(T, &[u8])> {
    T::read_from_prefix(bytes).map_err(|_| Errno::EBADMSG)
}

/// Reads `len` bytes off the front of `bytes`.
pub(super) fn take_bytes(bytes: &[u8], len: usize) -> Result<(&[u8], &[u8])> {
    bytes.split_at_checked(len).ok_or(Errno::EBADMSG)
}

/// A length or count of a format, as an index of this machine.
pub(super) fn index(value: u32) -> usize {
    value as usize
}

/// The length of a piece that the caller has bounded by a limit of this module.
pub(super) fn len_u32(len: usize) -> u32 {
    u32::try_from(len).expect("every piece of a message is bounded by MSG_LEN_MAX")
}
