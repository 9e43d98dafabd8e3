//! Payloads that tell whether they arrived: every word depends on the number of the round.

/// Payload of the small round trips, in bytes: one cache line.
pub const SMALL_LEN: usize = 64;

/// Word `at` of the payload of round `number`.
#[inline(always)]
pub fn word(number: u64, at: usize) -> u64 {
    number.wrapping_add(0x0101_0101_0101_0100_u64.wrapping_mul(at as u64))
}

/// The small payload of round `number`.
#[inline(always)]
pub fn small(number: u64) -> [u8; SMALL_LEN] {
    let mut bytes = [0; SMALL_LEN];
    for (at, chunk) in bytes.chunks_exact_mut(8).enumerate() {
        chunk.copy_from_slice(&word(number, at).to_ne_bytes());
    }
    bytes
}

/// Checks a small payload.
///
/// # Errors
/// When it is not that of round `number`.
#[inline(always)]
pub fn check_small(bytes: &[u8], number: u64) -> crate::Result<()> {
    // Word by word, as it was written: a comparison by wider loads waits for what was just stored.
    let words = bytes
        .chunks_exact(8)
        .map(|word| u64::from_ne_bytes(word.try_into().expect("eight bytes")));
    let differences = words
        .enumerate()
        .map(|(at, found)| found ^ word(number, at));
    if bytes.len() == SMALL_LEN && differences.fold(0, |all, one| all | one) == 0 {
        Ok(())
    } else {
        Err(wrong(number))
    }
}

/// The error of a payload that is not what was sent.
#[cold]
pub fn wrong(number: u64) -> crate::Error {
    format!("round {number}: the payload is not what was sent").into()
}

/// A sum that changes when any aligned word of `bytes` changes; rest bytes past the last word are left out.
pub fn sum(bytes: &[u8]) -> u64 {
    let word = |bytes: &[u8]| u64::from_ne_bytes(bytes.try_into().expect("eight bytes"));
    let mut lanes = [0_u64; 8];
    let blocks = bytes.chunks_exact(64);
    let rest = blocks.remainder().chunks_exact(8).map(word);
    let rest = rest.fold(0_u64, u64::wrapping_add);
    for block in blocks {
        for (lane, bytes) in lanes.iter_mut().zip(block.chunks_exact(8)) {
            *lane = lane.wrapping_add(word(bytes));
        }
    }
    lanes.iter().fold(rest, |sum, lane| sum.wrapping_add(*lane))
}

/// Makes a large buffer, zero otherwise, the payload of round `number` by one word a page; says its sum.
///
/// One store a page keeps the making of a payload small beside its copying, and still shows a stale or
/// lost page.
pub fn stamp(bytes: &mut [u8], number: u64) -> u64 {
    for page in bytes.chunks_mut(4096) {
        page[..8].copy_from_slice(&number.to_ne_bytes());
    }
    stamped_sum(bytes.len(), number)
}

/// The sum of `len` bytes stamped with `number`.
pub fn stamped_sum(len: usize, number: u64) -> u64 {
    number.wrapping_mul(len.div_ceil(4096) as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_of_the_next_round_differs() {
        for (old, new) in small(7).chunks(8).zip(small(8).chunks(8)) {
            assert_ne!(old, new);
        }
    }

    #[test]
    fn a_flipped_byte_is_an_error() {
        let mut bytes = small(3);
        assert!(check_small(&bytes, 3).is_ok());
        bytes[63] ^= 1;
        assert!(check_small(&bytes, 3).is_err());
    }

    #[test]
    fn the_stamped_sum_is_that_of_the_stamped_bytes() {
        let mut bytes = vec![0; 5 * 4096 + 72];
        assert_eq!(stamp(&mut bytes, 99), sum(&bytes));
        assert_eq!(stamped_sum(bytes.len(), 99), 6 * 99);
        bytes[5 * 4096 + 64] ^= 1;
        assert_ne!(stamped_sum(bytes.len(), 99), sum(&bytes));
    }
}
