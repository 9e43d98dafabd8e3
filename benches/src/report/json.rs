//! The rows as a JSON array, one object per goal, each with the environment it was measured in.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use serde::Serialize;

use crate::env::Environment;
use crate::report::Row;

#[derive(Serialize)]
struct Entry<'a> {
    #[serde(flatten)]
    row: &'a Row,
    environment: &'a Environment,
}

/// Writes `rows` to `path`; `-` is standard output.
///
/// # Errors
/// What creating or writing the file answers, with its name.
pub fn write(path: &Path, rows: &[Row], environment: &Environment) -> crate::Result<()> {
    let text = render(rows, environment)?;
    if path == Path::new("-") {
        return Ok(writeln!(std::io::stdout(), "{text}")?);
    }
    let blame = |fault| {
        format!(
            "cannot write {}: {fault}; name a file in a directory you may write to",
            path.display()
        )
    };
    let mut file = BufWriter::new(File::create(path).map_err(blame)?);
    writeln!(file, "{text}")
        .and_then(|()| file.flush())
        .map_err(blame)?;
    Ok(())
}

fn render(rows: &[Row], environment: &Environment) -> serde_json::Result<String> {
    let entries: Vec<Entry> = rows.iter().map(|row| Entry { row, environment }).collect();
    serde_json::to_string_pretty(&entries)
}

#[cfg(test)]
mod tests {
    use crate::goals;
    use crate::method::bootstrap::Estimate;
    use crate::report::Times;

    use super::*;

    #[test]
    fn an_object_carries_goal_figures_and_environment() {
        let times = Times {
            name: "B0 cache line",
            p50_ns: 400,
            p99_ns: 500,
            p999_ns: 900,
            rounds: 10,
        };
        let estimate = Estimate {
            median: 1.5,
            lo: 1.4,
            hi: 1.6,
        };
        let row = Row::new(goals::goal("L1", ""), estimate, Some(times.clone()), times);
        let text = render(&[row], &Environment::read(2, "tsc")).expect("rows are plain data");
        let all: serde_json::Value = serde_json::from_str(&text).expect("valid JSON");
        let first = &all[0];
        assert_eq!(
            (first["id"].as_str(), first["better"].as_str()),
            (Some("L1"), Some("lower"))
        );
        assert_eq!(
            (first["verdict"].as_str(), first["ratio"].as_f64()),
            (Some("must"), Some(1.5))
        );
        assert_eq!(first["ruler"]["p999_ns"], 900);
        assert_eq!(first["environment"]["cpus"], 2);
    }
}
