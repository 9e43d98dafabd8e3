//! A source file as the rules see it.

use std::{fs, io};

use super::lexer::{self, Comment, Token};
use crate::workspace::Workspace;

/// One Rust file of the project.
#[derive(Clone, Debug)]
pub(super) struct Source {
    /// Relative to the root, with `/`.
    pub(super) path: String,
    /// All of it.
    pub(super) text: String,
}

impl Source {
    /// A file by path and content.
    pub(super) fn new(path: impl Into<String>, text: impl Into<String>) -> Source {
        Source {
            path: path.into(),
            text: text.into(),
        }
    }

    /// Code, tests included.
    pub(super) fn tokens(&self) -> Vec<Token<'_>> {
        lexer::lex(&self.text).tokens
    }

    /// Code that is not test code.
    pub(super) fn product_tokens(&self) -> Vec<Token<'_>> {
        let end = self.tests_start();
        self.tokens()
            .into_iter()
            .filter(|token| token.line < end)
            .collect()
    }

    /// Comments, documentation included.
    pub(super) fn comments(&self) -> Vec<Comment<'_>> {
        lexer::lex(&self.text).comments
    }

    /// The line where the file's unit tests start (they stand last); one past its end when it has none,
    /// its first when all of it is test code.
    pub(super) fn tests_start(&self) -> usize {
        if self.is_test_file() {
            return 1;
        }
        let lines: Vec<_> = self.text.lines().collect();
        let starts = |at: &usize| {
            lines[*at].starts_with("#[cfg(") && lines[*at].contains("test") && {
                let next = lines[at + 1..].iter().find(|line| !line.starts_with("#["));
                next.is_some_and(|line| line.starts_with("mod ") && line.ends_with('{'))
            }
        };
        (0..lines.len()).find(starts).unwrap_or(lines.len()) + 1
    }

    /// Whether the whole file is test code.
    pub(super) fn is_test_file(&self) -> bool {
        let in_folder = |name: &str| self.path.split('/').any(|part| part == name);
        in_folder("tests") || self.path.ends_with("/tests.rs") || self.path.ends_with("_tests.rs")
    }
}

/// Every Rust file of the project.
///
/// # Errors
///
/// When one cannot be read.
pub(super) fn read_all(workspace: &Workspace) -> io::Result<Vec<Source>> {
    let read = |path: std::path::PathBuf| {
        let text = fs::read_to_string(workspace.root.join(&path))?;
        Ok(Source::new(path.to_string_lossy(), text))
    };
    workspace.files("rs")?.into_iter().map(read).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unit_tests_are_no_product_code() {
        let source = Source::new(
            "a/src/b.rs",
            "fn one() {}\n\n#[cfg(test)]\nmod tests {\n    fn two() {}\n}\n",
        );
        assert_eq!(source.tests_start(), 3);
        assert!(
            source
                .product_tokens()
                .iter()
                .all(|token| token.text != "two")
        );
    }

    #[test]
    fn a_single_item_for_tests_does_not_end_the_product_code() {
        let source = Source::new("a/src/b.rs", "#[cfg(test)]\nfn probe() {}\nfn one() {}\n");
        assert!(
            source
                .product_tokens()
                .iter()
                .any(|token| token.text == "one")
        );
    }

    #[test]
    fn files_below_tests_are_test_code() {
        assert_eq!(
            Source::new("a/tests/b.rs", "fn one() {}\n").tests_start(),
            1
        );
    }
}
