//! The checksum of sealed frames: section 1, "Seal".

/// Bytes of a tag.
pub(crate) const TAG_LEN: usize = 16;

const M0: u64 = 0xa076_1d64_78bd_642f;
const M1: u64 = 0xe703_7ed1_a0b4_28db;
const M2: u64 = 0x8ebc_6af0_9c88_c6e3;
const M3: u64 = 0x5899_65cc_7537_4cc3;

/// The tag of a frame's bytes, from the Ethernet header to the end of the records.
pub(crate) fn tag(bytes: &[u8]) -> [u8; TAG_LEN] {
    let (mut x, mut y) = (M0 ^ bytes.len() as u64, M1);
    let whole = bytes.len() / 16 * 16;
    let mut last = [0; 16];
    last[..bytes.len() - whole].copy_from_slice(&bytes[whole..]);
    for block in bytes[..whole].chunks_exact(16).chain([last.as_slice()]) {
        let half = |at: usize| u64::from_le_bytes(block[at..][..8].try_into().expect("eight"));
        let (l, h) = (half(0), half(8));
        x = fold(x ^ l, h ^ M2);
        y = fold(y ^ h, l ^ M3).rotate_left(23);
    }
    let words = [fold(x, y ^ M2), fold(y, x ^ M3)];
    words
        .map(u64::to_be_bytes)
        .concat()
        .try_into()
        .expect("twice eight")
}

fn fold(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b);
    product as u64 ^ (product >> 64) as u64 ^ a.rotate_left(31)
}

#[test]
fn the_tag_is_that_of_the_document() {
    let bytes: Vec<u8> = (0..36).collect();
    let text: String = tag(&bytes)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let document = include_str!("../../../qnet/docs/protocol.md");
    assert!(document.contains(&format!("is `{text}`")), "{text}");
}
