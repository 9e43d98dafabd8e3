//! `#[allow]`, `#[expect]` and `#[ignore]` give their reason.

use super::{Violation, lexer::Token, source::Source};

pub(super) fn check(source: &Source) -> Vec<Violation> {
    let tokens = source.tokens();
    let starts = tokens
        .iter()
        .enumerate()
        .filter(|(_, token)| token.text == "#");
    let silent = starts.filter_map(|(at, token)| {
        let attribute = attribute(&tokens[at + 1..]);
        let what = silent_word(attribute)?;
        Some(Violation::new(&source.path, token.line, what))
    });
    silent.collect()
}

/// The tokens between the brackets of an attribute that starts after its `#`.
fn attribute<'t, 'a>(after: &'t [Token<'a>]) -> &'t [Token<'a>] {
    let open = match after {
        [first, second, ..] if first.text == "!" && second.text == "[" => 2,
        [first, ..] if first.text == "[" => 1,
        _ => return &[],
    };
    let mut depth = 1;
    let close = after[open..].iter().position(|token| {
        match token.text {
            "[" => depth += 1,
            "]" => depth -= 1,
            _ => {}
        }
        depth == 0
    });
    &after[open..open + close.unwrap_or(0)]
}

fn silent_word(attribute: &[Token<'_>]) -> Option<&'static str> {
    let has = |word: &str| attribute.iter().any(|token| token.text == word);
    match attribute.first()?.text {
        "allow" | "expect" if !has("reason") => Some("an #[allow] without `reason = \"...\"`"),
        // The string itself is no token: what is left of `ignore = "why"` is `ignore =`.
        "ignore" if !has("=") => Some("an #[ignore] without a reason: #[ignore = \"...\"]"),
        "cfg_attr" if (has("allow") || has("expect")) && !has("reason") => {
            Some("an #[allow] without `reason = \"...\"`")
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(text: &str) -> usize {
        check(&Source::new("a/src/b.rs", text)).len()
    }

    #[test]
    fn silent_attributes_are_found() {
        assert_eq!(count("#[allow(dead_code)]\nfn a() {}\n"), 1);
        assert_eq!(count("#![allow(dead_code)]\n"), 1);
        assert_eq!(count("#[test]\n#[ignore]\nfn a() {}\n"), 1);
        assert_eq!(count("#[cfg_attr(loom, allow(dead_code))]\nfn a() {}\n"), 1);
    }

    #[test]
    fn attributes_with_a_reason_are_fine() {
        assert_eq!(
            count("#[allow(unsafe_code, reason = \"system calls\")]\nmod a;\n"),
            0
        );
        assert_eq!(
            count("#[expect(\n    dead_code,\n    reason = \"x\"\n)]\nmod a;\n"),
            0
        );
        assert_eq!(count("#[ignore = \"needs two machines\"]\nfn a() {}\n"), 0);
        assert_eq!(count("#[derive(Debug)]\nstruct A;\n"), 0);
    }
}
