//! The numbered requirements of `ipc-core/docs/semantics.md` and the tests that cite them.
//!
//! A test cites what it covers in a comment: `// covers: SND-3, RCV-1`. Citing a number that does not exist
//! breaks a rule; a requirement that no test cites fails `cargo ci coverage`.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
};

use super::{
    Violation,
    source::{self, Source},
};
use crate::workspace::Workspace;

const DOCUMENT: &str = "ipc-core/docs/semantics.md";

/// How a comment that cites requirements begins.
const CITES: &str = "covers:";

/// Which requirements tests cite.
#[derive(Debug, Default)]
pub(crate) struct Coverage {
    /// Requirement and the files that cite it, in the document's order.
    pub(crate) covered: Vec<(String, Vec<String>)>,
    /// Requirements that nothing cites, in the document's order.
    pub(crate) uncovered: Vec<String>,
}

/// Reads document and tests.
///
/// # Errors
///
/// A sentence that says what cannot be read.
pub(crate) fn coverage(workspace: &Workspace) -> Result<Coverage, String> {
    let read = || -> io::Result<Coverage> {
        let document = fs::read_to_string(workspace.root.join(DOCUMENT))?;
        Ok(coverage_of(
            &requirements(&document),
            &source::read_all(workspace)?,
        ))
    };
    read().map_err(|error| format!("cannot read {DOCUMENT} or the sources: {error}"))
}

pub(super) fn check(workspace: &Workspace, sources: &[Source]) -> io::Result<Vec<Violation>> {
    let document = fs::read_to_string(workspace.root.join(DOCUMENT))?;
    Ok(unknown_citations(&requirements(&document), sources))
}

fn coverage_of(requirements: &[String], sources: &[Source]) -> Coverage {
    let mut citing: BTreeMap<String, BTreeSet<&str>> = BTreeMap::new();
    for source in sources {
        for (id, _) in citations(source) {
            citing.entry(id).or_default().insert(&source.path);
        }
    }
    let mut coverage = Coverage::default();
    for id in requirements {
        match citing.get(id) {
            Some(files) => {
                let files = files.iter().map(|&file| file.to_owned()).collect();
                coverage.covered.push((id.clone(), files));
            }
            None => coverage.uncovered.push(id.clone()),
        }
    }
    coverage
}

fn unknown_citations(requirements: &[String], sources: &[Source]) -> Vec<Violation> {
    let unknown = |source: &Source| {
        let citations = citations(source)
            .into_iter()
            .filter(|(id, _)| !requirements.contains(id));
        let violation = |(id, line)| {
            Violation::new(
                &source.path,
                line,
                format!("{DOCUMENT} has no requirement {id}"),
            )
        };
        citations.map(violation).collect::<Vec<_>>()
    };
    sources.iter().flat_map(unknown).collect()
}

/// `## Send (SND)` opens a group, each numbered item at the start of a line is one requirement of it.
fn requirements(document: &str) -> Vec<String> {
    let mut group = "";
    let mut found = Vec::new();
    for line in document.lines() {
        if let Some(heading) = line.strip_prefix("## ") {
            group = heading
                .rsplit_once('(')
                .and_then(|(_, rest)| rest.strip_suffix(')'))
                .unwrap_or_default();
        } else if !group.is_empty()
            && let Some((number, _)) = line.split_once(". ")
            && number.parse::<u32>().is_ok()
        {
            found.push(format!("{group}-{number}"));
        }
    }
    found
}

/// The requirements that the comments of a file cite, each with its line.
fn citations(source: &Source) -> Vec<(String, usize)> {
    let mut found = Vec::new();
    for comment in source.comments() {
        let plain = comment.text.trim_start_matches(['/', '!', ' ']);
        if let Some(list) = plain.strip_prefix(CITES) {
            let ids = list
                .split([',', ' '])
                .map(|id| id.trim_end_matches('.'))
                .filter(|id| !id.is_empty());
            found.extend(ids.map(|id| (id.to_owned(), comment.line)));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    const DOC: &str = "# Semantics\n\n1. not one\n\n## Send (SND)\n1. `send` blocks.\n2. More\n   lines. 3. not one.\n## Notes\n1. none\n";

    #[test]
    fn requirements_are_the_numbered_items_of_groups() {
        assert_eq!(requirements(DOC), ["SND-1", "SND-2"]);
    }

    #[test]
    fn what_no_test_cites_is_uncovered() {
        let sources = [Source::new(
            "a/tests/b.rs",
            "// covers: SND-2, SND-9\nfn a() {}\n",
        )];
        let coverage = coverage_of(&requirements(DOC), &sources);
        assert_eq!(coverage.uncovered, ["SND-1"]);
        assert_eq!(
            coverage.covered,
            [("SND-2".to_owned(), vec!["a/tests/b.rs".to_owned()])]
        );
    }

    #[test]
    fn citing_what_does_not_exist_is_found() {
        let sources = [Source::new(
            "a/tests/b.rs",
            "fn a() {\n    // covers: SND-9\n}\n",
        )];
        let found = unknown_citations(&requirements(DOC), &sources);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].line, 2);
    }
}
