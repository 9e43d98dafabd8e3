//! How often something came in which numbers.

/// Counts of numbers from 1 on, in classes that double: 1, 2, 3-4, 5-8 and so on. Zero is not counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Histogram([u64; Histogram::LABELS.len()]);

impl Histogram {
    /// The classes, as people read them.
    pub const LABELS: [&'static str; 8] = ["1", "2", "3-4", "5-8", "9-16", "17-32", "33-64", "65-"];

    /// One more time it was `number`.
    pub fn count(&mut self, number: usize) {
        if number > 0 {
            let class = (number - 1)
                .checked_ilog2()
                .map_or(0, |log| log as usize + 1);
            self.0[class.min(Histogram::LABELS.len() - 1)] += 1;
        }
    }

    /// How often it was a number of each class.
    pub fn classes(&self) -> impl Iterator<Item = (&'static str, u64)> {
        Histogram::LABELS.into_iter().zip(self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_number_falls_into_the_class_that_names_it() {
        for number in 1..=200_usize {
            let mut histogram = Histogram::default();
            histogram.count(number);
            let found: Vec<_> = histogram
                .classes()
                .filter(|(_, count)| *count > 0)
                .collect();
            let (label, count) = found[0];
            assert_eq!((found.len(), count), (1, 1));
            let (low, high) = label.split_once('-').unwrap_or((label, label));
            let high = high.parse().unwrap_or(usize::MAX);
            assert!(
                (low.parse().unwrap()..=high).contains(&number),
                "{number} in {label}"
            );
        }
        let mut none = Histogram::default();
        none.count(0);
        assert_eq!(none, Histogram::default());
    }
}
