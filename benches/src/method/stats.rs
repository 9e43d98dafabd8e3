//! Order statistics of small samples.

/// The `q`-quantile of `values` (0 to 1), interpolated between neighbours; `None` of nothing.
pub fn quantile(values: &mut [f64], q: f64) -> Option<f64> {
    values.sort_unstable_by(f64::total_cmp);
    quantile_sorted(values, q)
}

/// The same of values in ascending order.
pub fn quantile_sorted(values: &[f64], q: f64) -> Option<f64> {
    if values.is_empty() {
        return None;
    }
    let place = q.clamp(0.0, 1.0) * (values.len() - 1) as f64;
    let (low, part) = (place.floor() as usize, place.fract());
    let high = (low + 1).min(values.len() - 1);
    Some(values[low] + (values[high] - values[low]) * part)
}

/// The median of `values`; `None` of nothing.
pub fn median(values: &mut [f64]) -> Option<f64> {
    quantile(values, 0.5)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_has_no_median() {
        assert_eq!(median(&mut []), None);
    }

    #[test]
    fn the_median_of_an_even_count_lies_between_the_middle_two() {
        assert_eq!(median(&mut [4.0, 1.0, 3.0, 2.0]), Some(2.5));
    }

    #[test]
    fn the_ends_are_the_least_and_the_greatest() {
        let mut values = [5.0, -1.0, 9.0];
        assert_eq!(quantile(&mut values, 0.0), Some(-1.0));
        assert_eq!(quantile(&mut values, 1.0), Some(9.0));
    }

    #[test]
    fn one_outlier_does_not_move_the_median() {
        assert_eq!(median(&mut [1.0, 1.0, 1.0, 1.0, 1e9]), Some(1.0));
    }
}
