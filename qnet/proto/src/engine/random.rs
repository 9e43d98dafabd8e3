//! Random numbers from the caller's entropy, keyed hashes, and a hasher for ids that peers choose.

use std::hash::{BuildHasher, Hasher};

/// SplitMix64 over the caller's seed, through SipHash: enough for ids that must not be guessed or
/// repeated, and the same history for the same seed.
pub(super) struct Random {
    key: Key,
    counter: u64,
}

impl Random {
    pub(super) fn new(entropy: [u8; 32]) -> Random {
        let word =
            |i: usize| u64::from_le_bytes(entropy[i * 8..][..8].try_into().expect("8 of 32 bytes"));
        let (left, right) = (Key(word(0), word(1)), Key(word(2), word(3)));
        Random {
            key: Key(left.hash(&entropy[16..]), right.hash(&entropy[..16])),
            counter: 0,
        }
    }

    pub(super) fn next(&mut self) -> u64 {
        self.counter += 1;
        self.key.hash(&self.counter.to_le_bytes())
    }

    /// A number that is not 0.
    pub(super) fn nonzero(&mut self) -> u64 {
        self.next().max(1)
    }

    pub(super) fn key(&mut self) -> Key {
        Key(self.next(), self.next())
    }
}

/// A key of SipHash-2-4.
#[derive(Clone, Copy)]
pub(super) struct Key(u64, u64);

impl Key {
    /// SipHash-2-4 of `bytes`.
    pub(super) fn hash(self, bytes: &[u8]) -> u64 {
        let mut v = [
            self.0 ^ 0x736f_6d65_7073_6575,
            self.1 ^ 0x646f_7261_6e64_6f6d,
            self.0 ^ 0x6c79_6765_6e65_7261,
            self.1 ^ 0x7465_6462_7974_6573,
        ];
        let mut chunks = bytes.chunks_exact(8);
        for chunk in &mut chunks {
            absorb(
                &mut v,
                u64::from_le_bytes(chunk.try_into().expect("a chunk of 8")),
            );
        }
        let mut last = [0; 8];
        let rest = chunks.remainder();
        last[..rest.len()].copy_from_slice(rest);
        last[7] = bytes.len() as u8;
        absorb(&mut v, u64::from_le_bytes(last));
        v[2] ^= 0xff;
        (0..4).for_each(|_| round(&mut v));
        v[0] ^ v[1] ^ v[2] ^ v[3]
    }
}

fn absorb(v: &mut [u64; 4], word: u64) {
    v[3] ^= word;
    round(v);
    round(v);
    v[0] ^= word;
}

fn round(v: &mut [u64; 4]) {
    v[0] = v[0].wrapping_add(v[1]);
    v[1] = v[1].rotate_left(13) ^ v[0];
    v[0] = v[0].rotate_left(32);
    v[2] = v[2].wrapping_add(v[3]);
    v[3] = v[3].rotate_left(16) ^ v[2];
    v[0] = v[0].wrapping_add(v[3]);
    v[3] = v[3].rotate_left(21) ^ v[0];
    v[2] = v[2].wrapping_add(v[1]);
    v[1] = v[1].rotate_left(17) ^ v[2];
    v[2] = v[2].rotate_left(32);
}

/// Hashes the 64-bit ids of one session: a product with a secret factor, folded.
#[derive(Clone, Copy)]
pub(super) struct IdHash(pub(super) u64);

impl BuildHasher for IdHash {
    type Hasher = IdHasher;

    fn build_hasher(&self) -> IdHasher {
        IdHasher {
            factor: self.0 | 1,
            state: 0,
        }
    }
}

pub(super) struct IdHasher {
    factor: u64,
    state: u64,
}

impl Hasher for IdHasher {
    fn finish(&self) -> u64 {
        self.state
    }

    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.write_u64(u64::from(byte));
        }
    }

    fn write_u64(&mut self, id: u64) {
        let product =
            u128::from(id ^ self.state ^ self.factor.rotate_left(32)) * u128::from(self.factor);
        self.state = (product as u64) ^ ((product >> 64) as u64);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn siphash_gives_the_published_vectors() {
        let word = |bytes: [u8; 8]| u64::from_le_bytes(bytes);
        let key = Key(
            word([0, 1, 2, 3, 4, 5, 6, 7]),
            word([8, 9, 10, 11, 12, 13, 14, 15]),
        );
        let bytes: Vec<u8> = (0..15).collect();
        assert_eq!(key.hash(&bytes), 0xa129_ca61_49be_45e5);
        assert_eq!(key.hash(&[]), 0x726f_db47_dd0e_0e31);
    }

    #[test]
    fn equal_entropy_gives_equal_numbers_and_other_entropy_others() {
        let draw = |seed: u8| {
            let mut random = Random::new([seed; 32]);
            [random.next(), random.next(), random.next()]
        };
        assert_eq!(draw(1), draw(1));
        assert_ne!(draw(1), draw(2));
    }
}
