//! Which messages of a run: one bit each, the first the lowest.

use crate::limits::RUN_MESSAGES_MAX;

pub(super) type Members = u64;

const _: () = assert!(RUN_MESSAGES_MAX <= Members::BITS as usize);

/// The lowest `count` members.
pub(super) fn below(count: u32) -> Members {
    let others = Members::BITS - count.min(Members::BITS);
    Members::MAX.checked_shr(others).unwrap_or(0)
}

/// Those of `len` members, the first of which has the number `first`, that have one of `count` numbers from `number` on.
pub(super) fn within(first: u64, len: u32, number: u64, count: u32) -> Members {
    let end = number.saturating_add(u64::from(count));
    let clamp = |number: u64| number.saturating_sub(first).min(u64::from(len)) as u32;
    below(clamp(end)) & !below(clamp(number))
}

/// The positions of members, upwards.
pub(super) fn positions(mut members: Members) -> impl Iterator<Item = u32> {
    std::iter::from_fn(move || {
        let at = members.trailing_zeros();
        members &= members.checked_sub(1)?;
        Some(at)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_are_told_by_number() {
        assert_eq!((below(0), below(2), below(64)), (0, 0b11, Members::MAX));
        assert_eq!(within(10, 4, 0, 12), 0b0011);
        assert_eq!(within(10, 4, 11, 2), 0b0110);
        assert_eq!(within(10, 4, 13, 99), 0b1000);
        assert_eq!(within(10, 4, 14, 1), 0);
        assert_eq!(within(u64::MAX - 1, 64, u64::MAX, u32::MAX), 0);
        assert_eq!(within(0, 64, 0, 64), Members::MAX);
        assert_eq!(positions(0b1001).collect::<Vec<_>>(), [0, 3]);
        assert_eq!(positions(0).count(), 0);
        assert_eq!(positions(Members::MAX).count(), 64);
    }
}
