//! What a task ends in.

use crate::tally::Tally;

/// The verdict on one task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It did what it should.
    Passed,
    /// Something is wrong; the text says what in a few words.
    Failed(String),
    /// It could not run here; the text says why.
    Skipped(String),
    /// It has something to tell and no say in whether the run passes.
    Reported(String),
}

impl Verdict {
    /// The word in the table.
    pub(crate) fn word(&self) -> &'static str {
        match self {
            Verdict::Passed => "ok",
            Verdict::Failed(_) => "FAILED",
            Verdict::Skipped(_) => "skipped",
            Verdict::Reported(_) => "report",
        }
    }

    /// The remark beside the word.
    pub(crate) fn remark(&self) -> &str {
        match self {
            Verdict::Passed => "",
            Verdict::Failed(text) | Verdict::Skipped(text) | Verdict::Reported(text) => text,
        }
    }
}

/// The verdict and the tests that led to it.
#[derive(Clone, Debug)]
pub(crate) struct Outcome {
    /// How the task ended.
    pub(crate) verdict: Verdict,
    /// Tests that it ran.
    pub(crate) tests: Tally,
}

impl Outcome {
    /// A task without tests of its own.
    pub(crate) fn of(verdict: Verdict) -> Outcome {
        Outcome {
            verdict,
            tests: Tally::default(),
        }
    }

    /// It did what it should.
    pub(crate) fn passed() -> Outcome {
        Outcome::of(Verdict::Passed)
    }

    /// Something is wrong.
    pub(crate) fn failed(why: impl Into<String>) -> Outcome {
        Outcome::of(Verdict::Failed(why.into()))
    }

    /// It could not run here.
    pub(crate) fn skipped(why: impl Into<String>) -> Outcome {
        Outcome::of(Verdict::Skipped(why.into()))
    }

    /// Both outcomes as one: the first failure stands, tests add up.
    pub(crate) fn and(self, other: Outcome) -> Outcome {
        let tests = self.tests + other.tests;
        let verdict = match (self.verdict, other.verdict) {
            (failed @ Verdict::Failed(_), _) | (_, failed @ Verdict::Failed(_)) => failed,
            (Verdict::Passed, other) => other,
            (own, _) => own,
        };
        Outcome { verdict, tests }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_on_either_side_stands() {
        let failed = Outcome::failed("x").and(Outcome::passed());
        assert_eq!(failed.verdict, Verdict::Failed("x".into()));
        let failed = Outcome::skipped("y").and(Outcome::failed("x"));
        assert_eq!(failed.verdict, Verdict::Failed("x".into()));
    }

    #[test]
    fn what_was_skipped_in_part_shows() {
        let partly = Outcome::passed().and(Outcome::skipped("no namespaces"));
        assert_eq!(partly.verdict, Verdict::Skipped("no namespaces".into()));
    }
}
