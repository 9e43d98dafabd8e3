//! What the soak prints, while it runs and at its end.

use std::{fs, io, path::Path, time::Duration};

use serde::Serialize;

use super::{account::Counts, protocol::Served};

/// Violations that are kept word by word; more are counted.
const KEPT: usize = 20;

/// The result so far.
#[derive(Debug, Default, Serialize)]
pub(super) struct Report {
    pub(super) seed: u64,
    pub(super) seconds: f64,
    /// Ended by Ctrl-C.
    pub(super) interrupted: bool,
    pub(super) looks: u64,
    pub(super) rests: u64,
    pub(super) server_kills: u64,
    pub(super) client_kills: u64,
    /// What clients counted: those that live, and those that were killed, when they were last looked at.
    pub(super) counts: Counts,
    /// Messages in flight when their client was killed: neither reply nor error.
    pub(super) died_in_flight: u64,
    /// What the steady server counted, at the last rest.
    pub(super) served: Served,
    pub(super) violation_count: u64,
    pub(super) violations: Vec<String>,
}

impl Report {
    pub(super) fn violation(&mut self, who: &str, what: &str) {
        self.violation_count += 1;
        if self.violations.len() < KEPT {
            eprintln!("VIOLATION, {who}: {what}");
            self.violations.push(format!("{who}: {what}"));
        }
    }

    pub(super) fn print_progress(&self, length: Duration) {
        let Counts {
            sends,
            replies,
            errors,
            in_flight,
            ..
        } = self.counts;
        println!(
            "{:>7.0} s of {:.0}: {sends} sends = {replies} replies + {errors} errors + {} in flight; {} looks, \
             {} rests, killed {} servers and {} clients; {} violations",
            self.seconds,
            length.as_secs_f64(),
            in_flight + self.died_in_flight,
            self.looks,
            self.rests,
            self.server_kills,
            self.client_kills,
            self.violation_count,
        );
    }

    /// Writes the result as JSON; `-` is standard output.
    pub(super) fn write_json(&self, file: &Path) -> io::Result<()> {
        let mut text = serde_json::to_string_pretty(self)?;
        text.push('\n');
        if file == Path::new("-") {
            print!("{text}");
            Ok(())
        } else {
            fs::write(file, text)
        }
    }
}
