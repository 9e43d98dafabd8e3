//! Tests counted out of what `cargo test` prints.
//!
//! The harness of the standard library cannot say "skipped": a test that needs a privilege the machine
//! lacks prints a line that starts with [`SKIP_MARK`] and returns. Test runs pass `--show-output`, so that
//! such lines can be seen here, and each takes one test from the passed to the skipped. A test ignored with
//! the reason `run by ...` is the inside of another test, which starts it in a process or namespace of its
//! own: it counts nowhere. What such an inside prints may show up in the outer run, its result line
//! included, so a suite's result is the last one before the next suite begins.

use std::ops::Add;

/// How a test that cannot run here begins the line that says why.
const SKIP_MARK: &str = "skipped:";

/// What the harness prints behind the name of a test that another test runs.
const INSIDE_MARK: &str = " ... ignored, run by ";

/// What cargo prints behind a suite whose process ended with a fault.
const FAULT_MARKS: [&str; 2] = ["error: test failed", "error: doctest failed"];

/// Tests by how they ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    /// Tests that ran and held.
    pub(crate) passed: usize,
    /// Tests that ran and did not.
    pub(crate) failed: usize,
    /// Tests that did not run: ignored ones, and those that lacked something.
    pub(crate) skipped: usize,
}

impl Add for Tally {
    type Output = Tally;

    fn add(self, other: Tally) -> Tally {
        Tally {
            passed: self.passed + other.passed,
            failed: self.failed + other.failed,
            skipped: self.skipped + other.skipped,
        }
    }
}

/// What the lines of a test run say so far.
#[derive(Debug, Default)]
pub(crate) struct TestLog {
    suite: String,
    suite_lines: Vec<String>,
    suite_skips: Vec<String>,
    suite_insides: usize,
    /// Its process ended with a fault.
    suite_failed: bool,
    /// The last result line of the suite so far.
    suite_result: Option<(Tally, String)>,
    /// Suites that did not pass, each with all it printed.
    pub(crate) broken: Vec<Suite>,
    /// Why tests were skipped, each reason once.
    pub(crate) skip_reasons: Vec<String>,
    /// Counts over all suites that have ended.
    pub(crate) total: Tally,
}

/// One test binary and what it printed.
#[derive(Debug)]
pub(crate) struct Suite {
    /// As cargo names it: the file, or the crate of its documentation tests.
    pub(crate) name: String,
    /// Everything between its start and its result line.
    pub(crate) lines: Vec<String>,
}

impl TestLog {
    /// Takes one line in; answers a summary line of the suite that ended with it, if that has tests.
    pub(crate) fn line(&mut self, line: &str) -> Option<String> {
        if let Some(name) = suite_start(line) {
            let summary = self.finish();
            self.suite = name.to_owned();
            return summary;
        }
        if self.suite.is_empty() {
            return None;
        }
        if let Some(reason) = skip_reason(line) {
            self.suite_skips.push(reason.to_owned());
        }
        self.suite_insides += usize::from(line.starts_with("test ") && line.contains(INSIDE_MARK));
        self.suite_failed |= FAULT_MARKS.iter().any(|mark| line.starts_with(mark));
        if let Some(counts) = result_line(line) {
            self.suite_result = Some((counts, line.to_owned()));
        }
        self.suite_lines.push(line.to_owned());
        None
    }

    /// Ends the last suite and answers its summary line. One without a result line died (a signal, an
    /// abort) and counts as one failed test; so does one that failed behind its tests, such as by a leak.
    pub(crate) fn finish(&mut self) -> Option<String> {
        match self.suite_result.take() {
            Some((counts, line)) => self.end_suite(counts, &line),
            None => {
                self.abandon_suite();
                None
            }
        }
    }

    fn end_suite(&mut self, mut counts: Tally, line: &str) -> Option<String> {
        let skips = std::mem::take(&mut self.suite_skips);
        let moved = skips.len().min(counts.passed);
        if std::mem::take(&mut self.suite_failed) {
            counts.failed = counts.failed.max(1);
        }
        counts.passed -= moved;
        counts.skipped = counts
            .skipped
            .saturating_sub(std::mem::take(&mut self.suite_insides))
            + moved;
        for reason in skips {
            if !self.skip_reasons.contains(&reason) {
                self.skip_reasons.push(reason);
            }
        }
        self.total = self.total + counts;
        let name = std::mem::take(&mut self.suite);
        let lines = std::mem::take(&mut self.suite_lines);
        let seconds = line
            .rsplit("finished in ")
            .next()
            .filter(|_| line.contains("finished in "));
        let summary = (counts != Tally::default()).then(|| {
            let Tally {
                passed,
                failed,
                skipped,
            } = counts;
            format!(
                "{name}: {passed} passed, {failed} failed, {skipped} skipped, {}",
                seconds.unwrap_or("?")
            )
        });
        if counts.failed > 0 {
            self.broken.push(Suite { name, lines });
        }
        summary
    }

    fn abandon_suite(&mut self) {
        if self.suite.is_empty() {
            return;
        }
        self.total.failed += 1;
        self.suite_skips.clear();
        self.suite_insides = 0;
        self.suite_failed = false;
        let name = std::mem::take(&mut self.suite);
        let lines = std::mem::take(&mut self.suite_lines);
        self.broken.push(Suite { name, lines });
    }
}

/// `     Running unittests src/lib.rs (target/..)`, `   Doc-tests ipc_core`.
fn suite_start(line: &str) -> Option<&str> {
    let indented = line.starts_with(' ');
    let line = line.trim_start();
    let name = line
        .strip_prefix("Running ")
        .or_else(|| line.strip_prefix("Doc-tests "))?;
    indented.then(|| name.trim())
}

fn skip_reason(line: &str) -> Option<&str> {
    let line = line.trim_start();
    let marked = line.get(..SKIP_MARK.len())?.eq_ignore_ascii_case(SKIP_MARK);
    marked.then(|| line[SKIP_MARK.len()..].trim())
}

/// `test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.00s`.
fn result_line(line: &str) -> Option<Tally> {
    let counts = line.strip_prefix("test result: ")?;
    let count = |what: &str| -> Option<usize> {
        let part = counts
            .split([';', '.'])
            .map(str::trim)
            .find(|part| part.ends_with(what))?;
        part.split(' ').next()?.parse().ok()
    };
    Some(Tally {
        passed: count(" passed")?,
        failed: count(" failed")?,
        skipped: count(" ignored")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log_of(text: &str) -> TestLog {
        let mut log = TestLog::default();
        for line in text.lines() {
            log.line(line);
        }
        log.finish();
        log
    }

    #[test]
    fn results_of_all_suites_add_up() {
        let log = log_of(
            "     Running unittests src/lib.rs (target/debug/deps/a-1)\n\
             test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.10s\n\
             \n   Doc-tests a\n\
             test result: FAILED. 1 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out; finished in 1s\n",
        );
        assert_eq!(
            log.total,
            Tally {
                passed: 4,
                failed: 2,
                skipped: 1
            }
        );
        assert_eq!(log.broken.len(), 1);
        assert_eq!(log.broken[0].name, "a");
    }

    #[test]
    fn a_test_that_says_it_was_skipped_did_not_pass() {
        let log = log_of(
            "     Running tests/wire.rs (target/debug/deps/wire-1)\n\
             ---- needs_root stdout ----\n\
             SKIPPED: packet sockets need CAP_NET_RAW\n\
             test result: ok. 2 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s\n",
        );
        assert_eq!(
            log.total,
            Tally {
                passed: 1,
                failed: 0,
                skipped: 1
            }
        );
        assert_eq!(log.skip_reasons, ["packet sockets need CAP_NET_RAW"]);
    }

    #[test]
    fn the_inside_of_another_test_counts_nowhere() {
        let log = log_of(
            "     Running tests/wire.rs (target/debug/deps/wire-1)\n\
             test frames_cross ... ok\n\
             test inside ... ignored, run by frames_cross in its namespace\n\
             test by_hand ... ignored, needs two machines\n\
             test result: ok. 1 passed; 0 failed; 2 ignored; 0 measured; 0 filtered out; finished in 0s\n",
        );
        assert_eq!(
            log.total,
            Tally {
                passed: 1,
                failed: 0,
                skipped: 1
            }
        );
    }

    #[test]
    fn a_suite_that_died_before_its_result_counts_as_failed() {
        let log =
            log_of("     Running tests/crash.rs (target/debug/deps/crash-1)\nrunning 4 tests\n");
        assert_eq!(
            log.total,
            Tally {
                passed: 0,
                failed: 1,
                skipped: 0
            }
        );
        assert_eq!(log.broken[0].lines, ["running 4 tests"]);
    }

    #[test]
    fn a_suite_that_failed_behind_its_tests_counts_as_failed_and_is_shown() {
        let log = log_of(
            "     Running unittests src/lib.rs (target/debug/deps/a-1)\n\
             test result: ok. 3 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.10s\n\
             SUMMARY: AddressSanitizer: 240 byte(s) leaked in 4 allocation(s).\n\
             error: test failed, to rerun pass `-p a --lib`\n\
             \u{20}    Running tests/b.rs (target/debug/deps/b-1)\n\
             test result: ok. 1 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.10s\n",
        );
        let counted = Tally {
            passed: 4,
            failed: 1,
            skipped: 0,
        };
        assert_eq!(log.total, counted);
        assert_eq!(log.broken.len(), 1);
        assert!(log.broken[0].lines[1].contains("leaked"));
    }

    #[test]
    fn a_suite_says_what_it_did_unless_it_is_empty() {
        let mut log = TestLog::default();
        log.line("     Running a (b)");
        let result = "test result: ok. 0 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0s";
        assert_eq!(log.line(result), None);
        assert_eq!(log.line("     Running c (d)"), None);
        let result = "test result: ok. 5 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 2s";
        assert_eq!(log.line(result), None);
        assert_eq!(
            log.finish().as_deref(),
            Some("c (d): 5 passed, 0 failed, 0 skipped, 2s")
        );
    }

    #[test]
    fn the_result_of_an_inside_is_not_that_of_the_suite() {
        let log = log_of(
            "     Running tests/wire.rs (target/debug/deps/wire-1)\n\
             running 3 tests\n\
             ---- frames_cross stdout ----\n\
             running 1 test\n\
             test result: ok. 1 passed; 0 failed; 0 ignored; 0 measured; 9 filtered out; finished in 1s\n\
             test result: FAILED. 2 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out; finished in 2s\n",
        );
        assert_eq!(
            log.total,
            Tally {
                passed: 2,
                failed: 1,
                skipped: 0
            }
        );
    }
}
