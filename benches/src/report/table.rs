//! The rows as a table for people.

use std::fmt::Write;
use std::io::IsTerminal;

use crate::env::Environment;
use crate::goals::Verdict;
use crate::report::{Row, Times, Unmeasured};

/// Prints environment and rows to standard output, and what could not be measured.
pub fn print(rows: &[Row], unmeasured: &[Unmeasured], environment: &Environment) {
    print!(
        "{}",
        render(rows, environment, std::io::stdout().is_terminal())
    );
    for Unmeasured { ids, part, why, .. } in unmeasured {
        println!("{ids} ({part}): not measured: {why}");
    }
}

fn render(rows: &[Row], environment: &Environment, colour: bool) -> String {
    let Environment {
        cpu,
        cpus,
        kernel,
        date,
        clock,
        load,
        ..
    } = environment;
    let mut out =
        format!("{cpu}, {cpus} CPUs, Linux {kernel}, {date}, clock {clock}, load {load}\n");
    if !environment.optimised {
        out.push_str("BUILT WITHOUT OPTIMISATION: these figures mean nothing; add --release\n");
    }
    let _ = writeln!(
        out,
        "\n{:<4} {:<40} {:>8} {:^17} {:<7} {:>5} {:>5}  {:<14} {:<25} {:<25} {:<12} wait",
        "goal",
        "quantity",
        "ratio",
        "95 % interval",
        "verdict",
        "must",
        "aim",
        "ruler",
        "  p50 / p99 / p99.9 us",
        "product p50/p99/p99.9 us",
        "placement"
    );
    for row in rows {
        line(&mut out, row, colour);
    }
    for row in rows {
        if let Some(note) = &row.note {
            let _ = writeln!(out, "{} ({}): {note}", row.id, row.placement);
        }
    }
    out
}

fn line(out: &mut String, row: &Row, colour: bool) {
    let interval = format!("{} .. {}", figure(row.lo), figure(row.hi));
    let _ = writeln!(
        out,
        "{:<4} {:<40} {:>8} {interval:^17} {} {:>5} {:>5}  {:<14} {:<25} {:<25} {:<12} {}",
        row.id,
        quantity(row),
        figure(row.ratio),
        verdict(row.verdict, colour),
        row.must,
        row.aim,
        row.ruler.as_ref().map_or("none", |ruler| ruler.name),
        row.ruler.as_ref().map_or_else(String::new, percentiles),
        percentiles(&row.product),
        row.placement,
        row.wait,
    );
}

/// What is measured, and which of the goal's figures it is, where the placement does not say that.
fn quantity(row: &Row) -> String {
    match row.part {
        "" => row.quantity.to_owned(),
        part if part == row.placement => row.quantity.to_owned(),
        part if row.quantity.contains(part) => row.quantity.to_owned(),
        part => format!("{}, {part}", row.quantity),
    }
}

fn percentiles(times: &Times) -> String {
    let micros = |ns: u64| figure(ns as f64 / 1000.0);
    format!(
        "{:>7} / {:>6} / {:>6}",
        micros(times.p50_ns),
        micros(times.p99_ns),
        micros(times.p999_ns)
    )
}

/// Three digits that matter.
fn figure(value: f64) -> String {
    match value.abs() {
        size if size >= 100.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        size if size >= 1.0 => format!("{value:.2}"),
        _ => format!("{value:.3}"),
    }
}

fn verdict(verdict: Verdict, colour: bool) -> String {
    let (name, code) = match verdict {
        Verdict::Aim => ("aim", "32"),
        Verdict::Must => ("must", "33"),
        Verdict::Short => ("short", "31"),
    };
    if colour {
        format!("\x1b[{code}m{name:<7}\x1b[0m")
    } else {
        format!("{name:<7}")
    }
}

#[cfg(test)]
mod tests {
    use crate::goals;
    use crate::method::bootstrap::Estimate;

    use super::*;

    #[test]
    fn figures_show_three_digits() {
        assert_eq!(
            [123.4, 12.34, 1.234, 0.1234].map(figure),
            ["123", "12.3", "1.23", "0.123"]
        );
    }

    #[test]
    fn a_goal_with_several_figures_says_which_it_is() {
        let times = Times {
            name: "raw",
            p50_ns: 1,
            p99_ns: 1,
            p999_ns: 1,
            rounds: 1,
        };
        let estimate = Estimate {
            median: 1.0,
            lo: 1.0,
            hi: 1.0,
        };
        let row = Row::new(goals::goal("N7", "MTU 9000"), estimate, None, times);
        assert_eq!(quantity(&row), "bulk / TCP, MTU 9000");
    }

    #[test]
    fn a_row_shows_its_goal_and_no_colour_where_none_is_wanted() {
        let times = Times {
            name: "raw",
            p50_ns: 2500,
            p99_ns: 3000,
            p999_ns: 9000,
            rounds: 1,
        };
        let estimate = Estimate {
            median: 1.2,
            lo: 1.1,
            hi: 1.3,
        };
        let row = Row::new(goals::goal("L2", ""), estimate, Some(times.clone()), times);
        let text = render(&[row], &Environment::read(2, "tsc"), false);
        assert!(text.contains("L2") && text.contains("short") && text.contains("2.50"));
        assert!(!text.contains('\x1b'));
    }
}
