//! The checksum in the tag's place, for networks whose frame check sequence is not trusted.
//!
//! Not authentication: it has no key. It stands where the tag of an authenticated cipher will stand
//! and covers the same bytes: all before it. Of the Ethernet header, too, as a node is known by its address there.

use crate::limits::TAG_LEN;

const MULTIPLIERS: [u64; 4] = [
    0xa076_1d64_78bd_642f,
    0xe703_7ed1_a0b4_28db,
    0x8ebc_6af0_9c88_c6e3,
    0x5899_65cc_7537_4cc3,
];

/// The seal over `bytes`: two independent sums of 64 bits.
pub(super) fn seal(bytes: &[u8]) -> [u8; TAG_LEN] {
    let mut lanes = [MULTIPLIERS[0] ^ bytes.len() as u64, MULTIPLIERS[1]];
    let mut chunks = bytes.chunks_exact(16);
    for chunk in &mut chunks {
        absorb(&mut lanes, chunk);
    }
    let mut last = [0; 16];
    let rest = chunks.remainder();
    last[..rest.len()].copy_from_slice(rest);
    absorb(&mut lanes, &last);
    let mut tag = [0; TAG_LEN];
    tag[..8].copy_from_slice(&fold(lanes[0], lanes[1] ^ MULTIPLIERS[2]).to_be_bytes());
    tag[8..].copy_from_slice(&fold(lanes[1], lanes[0] ^ MULTIPLIERS[3]).to_be_bytes());
    tag
}

fn absorb(lanes: &mut [u64; 2], chunk: &[u8]) {
    let (low, high) = chunk.split_at(8);
    let low = u64::from_le_bytes(low.try_into().expect("half of a chunk of 16"));
    let high = u64::from_le_bytes(high.try_into().expect("half of a chunk of 16"));
    lanes[0] = fold(lanes[0] ^ low, high ^ MULTIPLIERS[2]);
    lanes[1] = fold(lanes[1] ^ high, low ^ MULTIPLIERS[3]).rotate_left(23);
}

/// The 128-bit product folded to 64; the added factor keeps a zero from swallowing the state.
fn fold(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b);
    (product as u64) ^ ((product >> 64) as u64) ^ a.rotate_left(31)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The value is that of another implementation, written from the document.
    #[test]
    fn the_seal_is_what_the_document_says() {
        let bytes: Vec<u8> = (0..36).collect();
        let tag = u128::from_be_bytes(seal(&bytes));
        assert_eq!(format!("{tag:032x}"), "b52d4a576856385a074734f05f3137cc");
    }

    #[test]
    fn any_flipped_bit_changes_the_seal() {
        let bytes: Vec<u8> = (0..100u8).collect();
        let sound = seal(&bytes);
        for bit in 0..bytes.len() * 8 {
            let mut damaged = bytes.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert_ne!(seal(&damaged), sound, "bit {bit}");
        }
        assert_ne!(seal(&bytes[..99]), sound);
    }
}
