//! The house rules, checked: one rule per file, each with an example that breaks it.
//!
//! A rule sees the sources as tokens and comments ([`source`]), so that a word in a string or a comment
//! breaks nothing. It says where it is broken and what to do instead.

use std::{fmt, io};

use crate::workspace::Workspace;

mod attributes;
mod kinds;
mod layers;
mod length;
mod lexer;
mod limits;
mod links;
mod manifests;
mod paths;
mod placeholders;
pub(crate) mod requirements;
mod safety;
mod source;
mod unsafe_places;

use source::Source;

/// One place where a rule is broken.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Violation {
    file: String,
    line: usize,
    what: String,
}

impl Violation {
    fn new(file: &str, line: usize, what: impl Into<String>) -> Violation {
        Violation {
            file: file.to_owned(),
            line,
            what: what.into(),
        }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.file, self.line, self.what)
    }
}

/// A rule over one source file.
type Rule = fn(&Source) -> Vec<Violation>;

const RULES: [Rule; 7] = [
    attributes::check,
    layers::check,
    length::check,
    limits::check,
    placeholders::check,
    safety::check,
    unsafe_places::check,
];

/// Checks every rule on every file.
///
/// # Errors
///
/// When a file cannot be read.
pub(crate) fn check(workspace: &Workspace) -> io::Result<Vec<Violation>> {
    let sources = source::read_all(workspace)?;
    let mut violations: Vec<_> = RULES
        .iter()
        .flat_map(|rule| sources.iter().flat_map(rule))
        .collect();
    violations.extend(kinds::check(workspace)?);
    violations.extend(links::check(workspace)?);
    violations.extend(manifests::check(workspace)?);
    violations.extend(requirements::check(workspace, &sources)?);
    violations.sort();
    Ok(violations)
}
