//! The paths that code names: `a::b::c` in an expression or a type, and every branch of a `use` tree.

use super::lexer::Token;

/// A path and where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Named {
    /// Segments joined by `::`.
    pub(super) path: String,
    /// 1-based.
    pub(super) line: usize,
}

impl Named {
    /// Whether this is `prefix` or something below it.
    pub(super) fn is_below(&self, prefix: &str) -> bool {
        self.path
            .strip_prefix(prefix)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
    }
}

/// All paths of at least two segments, and every `use`d one.
pub(super) fn named(tokens: &[Token<'_>]) -> Vec<Named> {
    let mut found = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        if tokens[at].text == "use" {
            at = use_tree(tokens, at + 1, "", &mut found);
        } else if is_segment(&tokens[at]) {
            at = plain_path(tokens, at, &mut found);
        } else {
            at += 1;
        }
    }
    found
}

fn is_segment(token: &Token<'_>) -> bool {
    token
        .text
        .starts_with(|c: char| c.is_alphabetic() || c == '_')
}

fn plain_path(tokens: &[Token<'_>], start: usize, found: &mut Vec<Named>) -> usize {
    let mut path = tokens[start].text.to_owned();
    let mut at = start + 1;
    while at + 1 < tokens.len() && tokens[at].text == "::" && is_segment(&tokens[at + 1]) {
        path.push_str("::");
        path.push_str(tokens[at + 1].text);
        at += 2;
    }
    if at > start + 1 {
        found.push(Named {
            path,
            line: tokens[start].line,
        });
    }
    at
}

/// Reads one branch of a `use` tree below `prefix`; answers where it ends.
fn use_tree(tokens: &[Token<'_>], mut at: usize, prefix: &str, found: &mut Vec<Named>) -> usize {
    let mut path = prefix.to_owned();
    while let Some(token) = tokens.get(at) {
        match token.text {
            "::" => {}
            "{" => return use_group(tokens, at + 1, &path, found),
            "as" => at += 1,
            "*" => {}
            _ if is_segment(token) => {
                if !path.is_empty() {
                    path.push_str("::");
                }
                path.push_str(token.text);
            }
            _ => break,
        }
        at += 1;
    }
    let line = tokens
        .get(at.saturating_sub(1))
        .map_or(0, |token| token.line);
    found.push(Named { path, line });
    at
}

fn use_group(tokens: &[Token<'_>], mut at: usize, prefix: &str, found: &mut Vec<Named>) -> usize {
    while let Some(token) = tokens.get(at) {
        match token.text {
            "}" => return at + 1,
            "," => at += 1,
            _ => {
                let end = use_tree(tokens, at, prefix, found);
                // Something that is no use tree: go on rather than stay.
                at = end.max(at + 1);
            }
        }
    }
    at
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::lexer::lex;

    fn paths(text: &str) -> Vec<String> {
        named(&lex(text).tokens)
            .into_iter()
            .map(|named| named.path)
            .collect()
    }

    #[test]
    fn every_branch_of_a_use_tree_is_a_path() {
        let text =
            "use std::{fs, io::{self, Read as _}, time::Instant};\nuse crate::abi::*;\npub use a;";
        let expected = [
            "std::fs",
            "std::io::self",
            "std::io::Read",
            "std::time::Instant",
            "crate::abi",
            "a",
        ];
        assert_eq!(paths(text), expected);
    }

    #[test]
    fn paths_in_code_are_found() {
        assert_eq!(
            paths("let t = std::time::Instant::now(); x.y(b)"),
            ["std::time::Instant::now"]
        );
    }

    #[test]
    fn below_means_whole_segments() {
        let named = Named {
            path: "std::fs_extra".into(),
            line: 1,
        };
        assert!(!named.is_below("std::fs"));
        let named = Named {
            path: "std::fs::File".into(),
            line: 1,
        };
        assert!(named.is_below("std::fs") && named.is_below("std"));
    }
}
