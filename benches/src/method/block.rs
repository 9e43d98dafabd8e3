//! Blocks, and the duel of two arms in ABBA order.

use hdrhistogram::Histogram;

use crate::method::arm::Arm;
use crate::method::stats::quantile_sorted;
use crate::method::stopwatch::Stopwatch;

/// What one block of one arm gave.
#[derive(Clone, Debug)]
pub struct Block {
    /// Rounds done.
    pub rounds: u32,
    /// The longest time that a measuring side took for all its rounds.
    pub elapsed_ns: f64,
    /// What the sides counted.
    pub counted: u64,
    /// CPU time that all processes of the arm took, in nanoseconds.
    pub cpu_ns: u64,
    /// Raw times of single rounds, sorted.
    times_ns: Vec<f64>,
}

impl Block {
    pub(super) fn collect<'a>(
        rounds: u32,
        watches: impl Iterator<Item = &'a Stopwatch>,
        cpu_ns: u64,
    ) -> Block {
        let mut block = Block {
            rounds,
            elapsed_ns: 0.0,
            counted: 0,
            cpu_ns,
            times_ns: Vec::new(),
        };
        for watch in watches {
            let before = block.times_ns.len();
            block.times_ns.extend(watch.times_ns());
            block.counted += watch.counted();
            if block.times_ns.len() > before {
                block.elapsed_ns = block.elapsed_ns.max(watch.elapsed_ns());
            }
        }
        block.times_ns.sort_unstable_by(f64::total_cmp);
        block
    }

    /// The `q`-quantile of the times of single rounds; 0 when nothing was timed.
    pub fn time_ns(&self, q: f64) -> f64 {
        quantile_sorted(&self.times_ns, q).unwrap_or(0.0)
    }

    /// Rounds a second.
    pub fn rate(&self) -> f64 {
        f64::from(self.rounds) * 1e9 / self.elapsed_ns
    }

    /// CPU time of all processes per round, in nanoseconds.
    pub fn cpu_ns_per_round(&self) -> f64 {
        self.cpu_ns as f64 / f64::from(self.rounds)
    }

    /// Events counted per second.
    pub fn counted_per_second(&self) -> f64 {
        self.counted as f64 * 1e9 / self.elapsed_ns
    }

    /// Events counted per round.
    pub fn counted_per_round(&self) -> f64 {
        self.counted as f64 / f64::from(self.rounds)
    }
}

/// How long to measure.
#[derive(Clone, Copy, Debug)]
pub struct Effort {
    /// A block's length in nanoseconds.
    pub block_ns: f64,
    /// ABBA cycles of one pair of arms: each gives two ratios.
    pub cycles: usize,
    /// How often the arms are built anew.
    pub builds: usize,
}

/// Both arms' blocks, pairwise neighbours in time, with all raw times.
#[derive(Debug)]
pub struct Duel {
    /// (ruler, product), one pair per half cycle.
    pub pairs: Vec<(Block, Block)>,
    /// All round times of the ruler, in nanoseconds.
    pub ruler: Histogram<u64>,
    /// All round times of the product, in nanoseconds.
    pub product: Histogram<u64>,
}

/// Runs one arm by itself, `effort.cycles` blocks.
///
/// # Errors
/// The arm's.
pub fn alone(arm: &mut Arm, effort: Effort, step: &mut dyn FnMut()) -> crate::Result<Vec<Block>> {
    let rounds = rounds_for(arm, effort.block_ns)?;
    let mut blocks = Vec::new();
    for _ in 0..effort.cycles {
        blocks.push(arm.run(rounds)?);
        step();
    }
    Ok(blocks)
}

/// Warms an arm up and finds how many rounds fill a block.
fn rounds_for(arm: &mut Arm, block_ns: f64) -> crate::Result<u32> {
    let mut rounds = 8;
    loop {
        let block = arm.run(rounds)?;
        if block.elapsed_ns >= block_ns / 4.0 || rounds >= 1 << 20 {
            return Ok(((block.rate() * block_ns / 1e9) as u32)
                .clamp(8, super::stopwatch::TIMES_MAX as u32));
        }
        rounds *= 4;
    }
}

impl Default for Duel {
    fn default() -> Duel {
        Duel {
            pairs: Vec::new(),
            ruler: histogram(),
            product: histogram(),
        }
    }
}

impl Duel {
    /// Runs the two arms in blocks R P P R, `effort.cycles` times; `step` is told after each cycle.
    ///
    /// # Errors
    /// The first error of an arm.
    pub fn go_on(
        &mut self,
        ruler: &mut Arm,
        product: &mut Arm,
        effort: Effort,
        step: &mut dyn FnMut(),
    ) -> crate::Result<()> {
        let ruler_rounds = rounds_for(ruler, effort.block_ns)?;
        let product_rounds = rounds_for(product, effort.block_ns)?;
        for _ in 0..effort.cycles {
            let first = ruler.run(ruler_rounds)?;
            self.push(first, product.run(product_rounds)?);
            let second = product.run(product_rounds)?;
            self.push(ruler.run(ruler_rounds)?, second);
            step();
        }
        Ok(())
    }

    fn push(&mut self, ruler: Block, product: Block) {
        record(&mut self.ruler, &ruler);
        record(&mut self.product, &product);
        self.pairs.push((ruler, product));
    }
}

/// All round times of `blocks`, in nanoseconds.
pub fn histogram_of(blocks: &[Block]) -> Histogram<u64> {
    let mut all = histogram();
    blocks.iter().for_each(|block| record(&mut all, block));
    all
}

fn record(histogram: &mut Histogram<u64>, block: &Block) {
    for time in &block.times_ns {
        histogram.saturating_record(*time as u64);
    }
}

fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, 60_000_000_000, 3).expect("bounds and digits are valid")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(times_ns: &[f64]) -> Block {
        Block {
            rounds: 4,
            elapsed_ns: 2000.0,
            counted: 2,
            cpu_ns: 80,
            times_ns: times_ns.to_vec(),
        }
    }

    #[test]
    fn a_block_tells_its_rate_and_its_count_per_round() {
        let block = block(&[1.0]);
        assert_eq!((block.rate(), block.counted_per_round()), (2e6, 0.5));
    }

    #[test]
    fn a_block_without_times_has_quantile_zero() {
        assert_eq!(block(&[]).time_ns(0.5), 0.0);
    }

    #[test]
    fn raw_times_reach_the_histogram_unaltered_to_three_digits() {
        let mut all = histogram();
        record(&mut all, &block(&[400.0, 500.0, 70_000.0]));
        assert_eq!(all.value_at_quantile(0.5), 500);
        assert_eq!(all.len(), 3);
    }
}
