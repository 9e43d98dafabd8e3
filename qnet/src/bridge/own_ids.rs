//! Tables keyed by numbers that this process gives out itself.
//!
//! No stranger chooses such a number, so that the tables need no protection against chosen collisions, which
//! costs as much as the rest of a look-up.

use std::{
    collections::HashMap,
    hash::{BuildHasherDefault, Hasher},
};

/// A table keyed by own numbers.
pub(super) type OwnIds<K, V> = HashMap<K, V, BuildHasherDefault<Mix>>;

/// Multiplies, and folds the product, so that all bits of a number reach all of the hash.
#[derive(Debug, Default)]
pub(super) struct Mix(u64);

/// Odd, with bits in no order: 2^64 divided by the golden ratio.
const FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;

impl Hasher for Mix {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.write_u64(u64::from(byte));
        }
    }

    fn write_u32(&mut self, id: u32) {
        self.write_u64(u64::from(id));
    }

    fn write_u64(&mut self, id: u64) {
        let product = u128::from(self.0 ^ id ^ FACTOR.rotate_left(32)) * u128::from(FACTOR);
        self.0 = (product as u64) ^ ((product >> 64) as u64);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;
    use std::hash::{BuildHasher, Hash};

    fn hash(of: impl Hash) -> u64 {
        BuildHasherDefault::<Mix>::default().hash_one(of)
    }

    #[test]
    fn numbers_in_a_row_and_numbers_far_apart_fall_everywhere() {
        // The table takes its place from the low bits, and tells entries apart by the high ones.
        for step in [1, 1 << 16, 1 << 32] {
            let hashes = (0..256).map(|at: i64| hash(at * step));
            let (low, high): (HashSet<u64>, HashSet<u64>) =
                hashes.map(|hash| (hash & 0xff, hash >> 57)).unzip();
            assert!(low.len() > 128, "{} low ends at step {step}", low.len());
            assert!(high.len() > 64, "{} high ends at step {step}", high.len());
        }
        assert_ne!(hash((1u32, 2u32)), hash((2u32, 1u32)));
    }
}
