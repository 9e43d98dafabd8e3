//! Numbers without a pattern, from a seed that repeats them.

/// A xorshift generator.
pub(crate) struct Random(u64);

impl Random {
    /// One whose numbers follow from the seed; the setting `QNET_SEED`, if there is one, and printed.
    pub(crate) fn from_setting() -> Random {
        let seed = std::env::var("QNET_SEED").ok();
        let seed = seed.and_then(|text| text.parse().ok()).unwrap_or(1);
        println!("QNET_SEED={seed} repeats the choices of this run");
        Random::new(seed)
    }

    pub(crate) fn new(seed: u64) -> Random {
        Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// A number below `end`.
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        (self.next() >> 11) % end
    }
}

/// How often to do something: the environment variable, else what a whole run has time for.
pub(crate) fn count(variable: &str, by_default: u64) -> u64 {
    let set = std::env::var(variable).ok();
    set.map_or(by_default, |text| {
        text.parse()
            .unwrap_or_else(|_| panic!("{variable}={text:?} is not a number"))
    })
}
