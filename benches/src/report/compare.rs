//! What changed since an earlier run: figures whose intervals do not overlap.

use std::fmt::Write;
use std::fs;
use std::path::Path;

use serde::Deserialize;

use crate::goals::Better;
use crate::report::Row;

/// What of an earlier run's JSON is compared.
#[derive(Clone, Debug, Deserialize)]
pub struct Earlier {
    id: String,
    #[serde(default)]
    part: String,
    placement: String,
    ratio: f64,
    lo: f64,
    hi: f64,
}

/// Reads the JSON that an earlier run wrote.
///
/// # Errors
/// A file that cannot be read, or is not such JSON.
pub fn read(path: &Path) -> crate::Result<Vec<Earlier>> {
    let blame = |fault: &dyn std::fmt::Display| {
        format!(
            "cannot compare with {}: {fault}; name a file that --json has written",
            path.display()
        )
    };
    let text = fs::read_to_string(path).map_err(|fault| blame(&fault))?;
    Ok(serde_json::from_str(&text).map_err(|fault| blame(&fault))?)
}

/// The difference as text, one line for each figure that both runs have.
pub fn render(earlier: &[Earlier], rows: &[Row]) -> String {
    let mut out = String::from("\nagainst the earlier run:\n");
    let (mut compared, mut changed) = (0, 0);
    for row in rows {
        let Some(old) = earlier.iter().find(|old| same(old, row)) else {
            continue;
        };
        compared += 1;
        let Some(verdict) = verdict(old, row) else {
            continue;
        };
        changed += 1;
        let _ = writeln!(
            out,
            "{:<4} {:<18} {verdict:<6} {:.3} ({:.3} .. {:.3}) -> {:.3} ({:.3} .. {:.3})",
            row.id,
            if row.part.is_empty() {
                row.placement
            } else {
                row.part
            },
            old.ratio,
            old.lo,
            old.hi,
            row.ratio,
            row.lo,
            row.hi
        );
    }
    let _ = writeln!(
        out,
        "{changed} of {compared} figures differ by more than their 95 % intervals"
    );
    out
}

fn same(old: &Earlier, row: &Row) -> bool {
    old.id == row.id && old.part == row.part && old.placement == row.placement
}

/// `None` while the intervals overlap: blocks drawn anew could have given either figure.
fn verdict(old: &Earlier, row: &Row) -> Option<&'static str> {
    let (lower, higher) = (row.hi < old.lo, row.lo > old.hi);
    match (lower || higher, lower == (row.better == Better::Lower)) {
        (false, _) => None,
        (true, true) => Some("better"),
        (true, false) => Some("worse"),
    }
}

#[cfg(test)]
mod tests {
    use crate::goals;
    use crate::method::bootstrap::Estimate;
    use crate::report::Times;

    use super::*;

    fn row(id: &str, part: &str, median: f64) -> Row {
        let times = Times {
            name: "x",
            p50_ns: 1,
            p99_ns: 1,
            p999_ns: 1,
            rounds: 1,
        };
        let estimate = Estimate {
            median,
            lo: median - 0.1,
            hi: median + 0.1,
        };
        Row::new(goals::goal(id, part), estimate, None, times)
    }

    fn earlier(id: &str, ratio: f64) -> Earlier {
        Earlier {
            id: id.to_owned(),
            part: String::new(),
            placement: String::new(),
            ratio,
            lo: ratio - 0.1,
            hi: ratio + 0.1,
        }
    }

    #[test]
    fn overlapping_intervals_are_no_change() {
        assert_eq!(verdict(&earlier("L1", 1.5), &row("L1", "", 1.65)), None);
    }

    #[test]
    fn which_way_is_better_depends_on_the_goal() {
        assert_eq!(
            verdict(&earlier("L1", 1.5), &row("L1", "", 1.2)),
            Some("better")
        );
        assert_eq!(
            verdict(&earlier("L10", 15.0), &row("L10", "", 12.0)),
            Some("worse")
        );
    }

    #[test]
    fn what_only_one_run_has_is_not_compared() {
        let text = render(&[earlier("L2", 1.0)], &[row("L1", "", 1.0)]);
        assert!(text.contains("0 of 0"), "{text}");
    }
}
