//! Every limit of a package stands in its `limits.rs`, with its relations to the others asserted.
//!
//! A limit that follows from a format stands beside the format: one that is computed from the size of a
//! structure, and one whose relation to the format is asserted in the same file.

use super::{Violation, lexer::Token, source::Source};

/// Packages that carry limits others rely on; tools of one program keep theirs beside their use.
const PACKAGES: [&str; 3] = ["ipc-core/src/", "qnet/src/", "qnet/proto/src/"];

pub(super) fn check(source: &Source) -> Vec<Violation> {
    let concerned = PACKAGES
        .iter()
        .any(|package| source.path.starts_with(package));
    if !concerned || source.path.ends_with("/limits.rs") {
        return Vec::new();
    }
    let tokens = source.product_tokens();
    let consts = tokens
        .windows(2)
        .enumerate()
        .filter(|(_, pair)| pair[0].text == "const" && is_limit(pair[1].text))
        .filter(|(at, pair)| !follows_from_a_format(&tokens, *at, pair[1].text));
    consts
        .map(|(_, pair)| {
            let what = format!("the limit `{}` belongs into limits.rs", pair[1].text);
            Violation::new(&source.path, pair[1].line, what)
        })
        .collect()
}

/// Whether the constant declared at `at` is computed from a size, or is related to something by a
/// `const _: () = assert!(..)` of the file.
fn follows_from_a_format(tokens: &[Token<'_>], at: usize, name: &str) -> bool {
    let mut declared = tokens[at..].iter().take_while(|token| token.text != ";");
    let is_computed = declared.any(|token| token.text == "size_of");
    let mut asserts = tokens
        .windows(2)
        .enumerate()
        .filter(|(_, pair)| pair[0].text == "const" && pair[1].text == "_");
    let is_asserted = asserts.any(|(start, _)| {
        let mut assertion = tokens[start..].iter().take_while(|token| token.text != ";");
        assertion.any(|token| token.text == name)
    });
    is_computed || is_asserted
}

fn is_limit(name: &str) -> bool {
    ["_MAX", "_MIN", "_LIMIT", "_PER_ROUND"]
        .iter()
        .any(|end| name.ends_with(end))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_elsewhere_is_found() {
        let text = "const A: u32 = 1;\npub const NAME_LEN_MAX: usize = 255;\n\
                    const FRAMES_PER_ROUND: usize = 256;\n";
        let found = check(&Source::new("ipc-core/src/shm/ring.rs", text));
        let lines: Vec<_> = found.iter().map(|found| found.line).collect();
        assert_eq!(lines, [2, 3]);
    }

    #[test]
    fn a_limit_that_follows_from_a_format_stands_beside_it() {
        let text = "const A_MAX: usize = 8 + size_of::<B>();\n\
                    const C_MAX: usize = 96;\nconst _: () = assert!(32 + C_MAX == SLOT_LEN);\n\
                    const D_MAX: usize = 5;\n";
        let found = check(&Source::new("ipc-core/src/shm/slot.rs", text));
        let lines: Vec<_> = found.iter().map(|found| found.line).collect();
        assert_eq!(lines, [4]);
    }

    #[test]
    fn a_limit_in_its_file_is_fine() {
        let text = "pub const NAME_LEN_MAX: usize = 255;\n";
        assert!(check(&Source::new("ipc-core/src/abi/limits.rs", text)).is_empty());
    }
}
