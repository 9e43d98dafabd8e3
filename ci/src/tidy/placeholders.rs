//! Nothing is left to be done later.

use super::{Violation, source::Source};

/// Macros that mark unfinished or debugging code.
const MACROS: [&str; 3] = ["todo", "unimplemented", "dbg"];

/// Words in comments that mark it. Built from halves, so that this file does not break its own rule.
const WORDS: [&str; 3] = [
    concat!("FIX", "ME"),
    concat!("TO", "DO"),
    concat!("XX", "X"),
];

pub(super) fn check(source: &Source) -> Vec<Violation> {
    let tokens = source.tokens();
    let called = tokens
        .windows(2)
        .filter(|pair| MACROS.contains(&pair[0].text) && pair[1].text == "!");
    let mut found: Vec<_> = called
        .map(|pair| {
            Violation::new(
                &source.path,
                pair[0].line,
                format!("{}! left in the code", pair[0].text),
            )
        })
        .collect();
    for comment in source.comments() {
        let words = WORDS.iter().filter(|word| comment.text.contains(**word));
        found.extend(words.map(|word| {
            Violation::new(&source.path, comment.line, format!("{word} in a comment"))
        }));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unfinished_code_is_found() {
        let text = format!("fn a() {{\n    todo!()\n}}\n// {}: later\n", WORDS[0]);
        let lines: Vec<_> = check(&Source::new("a.rs", text))
            .into_iter()
            .map(|found| found.line)
            .collect();
        assert_eq!(lines, [2, 4]);
    }

    #[test]
    fn the_words_in_a_string_are_fine() {
        assert!(check(&Source::new("a.rs", "let a = \"todo!()\";\n")).is_empty());
    }
}
