//! Every `unsafe` says why it is sound, in macros too, where clippy does not look.

use super::{Violation, lexer::Token, source::Source};

/// Lines between the comment's start and the keyword: the comment itself, attributes, the line a block is in.
const LINES_BETWEEN_MAX: usize = 12;

pub(super) fn check(source: &Source) -> Vec<Violation> {
    let comments = source.comments();
    let said_above = |line: usize, mark: &str| {
        let near = line.saturating_sub(LINES_BETWEEN_MAX)..=line;
        comments
            .iter()
            .any(|comment| near.contains(&comment.line) && comment.text.contains(mark))
    };
    let tokens = source.tokens();
    let unsafes = tokens
        .iter()
        .enumerate()
        .filter(|(_, token)| token.text == "unsafe");
    let silent = unsafes.filter(|(at, token)| match wanted(&tokens[*at + 1..]) {
        Some(marks) => !marks.iter().any(|mark| said_above(token.line, mark)),
        None => false,
    });
    let what = "`unsafe` without a `// SAFETY:` comment (or `# Safety` section) above it";
    silent
        .map(|(_, token)| Violation::new(&source.path, token.line, what))
        .collect()
}

/// What must be said above an `unsafe` that these tokens follow; nothing for a function pointer's type, an
/// attribute, or a method whose trait says it.
fn wanted(after: &[Token<'_>]) -> Option<&'static [&'static str]> {
    match after.first()?.text {
        "{" | "impl" => Some(&["SAFETY:"]),
        "trait" => Some(&["# Safety"]),
        "fn" if after.get(1)?.text != "(" => Some(&["# Safety", "SAFETY:"]),
        "extern" if after.get(1)?.text == "fn" => Some(&["# Safety", "SAFETY:"]),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(text: &str) -> usize {
        check(&Source::new("ipc-core/src/sys/a.rs", text)).len()
    }

    #[test]
    fn a_silent_unsafe_is_found() {
        assert_eq!(count("fn a() {\n    unsafe { b() }\n}\n"), 1);
        assert_eq!(count("unsafe impl Send for A {}\n"), 1);
        assert_eq!(count("/// Does it.\npub unsafe fn a() {}\n"), 1);
    }

    #[test]
    fn an_explained_unsafe_is_fine() {
        assert_eq!(
            count("fn a() {\n    // SAFETY: b has no preconditions.\n    unsafe { b() }\n}\n"),
            0
        );
        assert_eq!(
            count("/// # Safety\n///\n/// The pointer is valid.\npub unsafe fn a() {}\n"),
            0
        );
        assert_eq!(count("type A = unsafe fn(u32);\n"), 0);
    }
}
