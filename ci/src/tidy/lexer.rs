//! Rust source as tokens and comments, as far as the house rules need it.
//!
//! Strings, characters and numbers are dropped: no rule looks into them. Every byte belongs to exactly one
//! token, comment or gap, and nothing here can fail: what it does not know is punctuation.

/// A word or a sign of the code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Token<'a> {
    /// 1-based.
    pub(super) line: usize,
    /// An identifier or keyword, `::`, or one character of punctuation.
    pub(super) text: &'a str,
}

/// A comment, documentation comments included, with its slashes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Comment<'a> {
    /// 1-based, where it starts.
    pub(super) line: usize,
    /// All of it.
    pub(super) text: &'a str,
}

/// What a file consists of.
#[derive(Clone, Debug, Default)]
pub(super) struct Lexed<'a> {
    /// Its code.
    pub(super) tokens: Vec<Token<'a>>,
    /// Its comments.
    pub(super) comments: Vec<Comment<'a>>,
}

/// Takes a file apart.
pub(super) fn lex(text: &str) -> Lexed<'_> {
    let mut lexed = Lexed::default();
    let (mut at, mut line) = (0, 1);
    while at < text.len() {
        let rest = &text[at..];
        let (kind, len) = next(rest);
        let piece = &rest[..len];
        match kind {
            Kind::Token => lexed.tokens.push(Token { line, text: piece }),
            Kind::Comment => lexed.comments.push(Comment { line, text: piece }),
            Kind::Gap => {}
        }
        line += piece.bytes().filter(|&byte| byte == b'\n').count();
        at += len;
    }
    lexed
}

enum Kind {
    Token,
    Comment,
    Gap,
}

/// The kind and the length in bytes of what `rest` starts with.
fn next(rest: &str) -> (Kind, usize) {
    if rest.starts_with("//") {
        return (Kind::Comment, rest.find('\n').unwrap_or(rest.len()));
    }
    if rest.starts_with("/*") {
        return (Kind::Comment, block_comment_len(rest));
    }
    if let Some(len) = string_len(rest).or_else(|| char_len(rest)) {
        return (Kind::Gap, len);
    }
    if rest.starts_with("::") {
        return (Kind::Token, 2);
    }
    let first = rest.chars().next().unwrap_or(' ');
    if first.is_whitespace() {
        return (Kind::Gap, first.len_utf8());
    }
    let word = rest.find(|c: char| !is_word(c)).unwrap_or(rest.len());
    match word {
        0 => (Kind::Token, first.len_utf8()),
        _ if first.is_ascii_digit() => (Kind::Gap, word),
        _ => (Kind::Token, word),
    }
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

fn block_comment_len(rest: &str) -> usize {
    let (mut depth, mut at) = (0, 0);
    while at < rest.len() {
        let here = &rest.as_bytes()[at..];
        if here.starts_with(b"/*") {
            depth += 1;
            at += 2;
        } else if here.starts_with(b"*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += 1;
        }
    }
    rest.len()
}

/// Plain, byte and C strings, raw or not.
fn string_len(rest: &str) -> Option<usize> {
    let prefix = ["br", "cr", "r", "b", "c", ""].into_iter().find(|prefix| {
        let after = rest.strip_prefix(prefix).unwrap_or_default();
        let opened = if prefix.ends_with('r') {
            after.trim_start_matches('#')
        } else {
            after
        };
        opened.starts_with('"')
    })?;
    let after = &rest[prefix.len()..];
    if prefix.ends_with('r') {
        let hashes = after.len() - after.trim_start_matches('#').len();
        let end = format!("\"{}", "#".repeat(hashes));
        let body = &after[hashes + 1..];
        let len = body
            .find(&end)
            .map_or(body.len(), |found| found + end.len());
        return Some(prefix.len() + hashes + 1 + len);
    }
    Some(prefix.len() + quoted_len(after, b'"'))
}

/// A character or byte literal; a lifetime is none.
fn char_len(rest: &str) -> Option<usize> {
    let prefix = if rest.starts_with("b'") { 1 } else { 0 };
    let after = &rest[prefix..];
    let mut inner = after.strip_prefix('\'')?.chars();
    let first = inner.next()?;
    (first == '\\' || inner.next() == Some('\'')).then(|| prefix + quoted_len(after, b'\''))
}

/// The length of a quoted literal with its quotes and escapes.
fn quoted_len(text: &str, quote: u8) -> usize {
    let bytes = text.as_bytes();
    let mut at = 1;
    while at < bytes.len() {
        match bytes[at] {
            b'\\' => at += 2,
            byte if byte == quote => return at + 1,
            _ => at += 1,
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<&str> {
        lex(text)
            .tokens
            .into_iter()
            .map(|token| token.text)
            .collect()
    }

    #[test]
    fn strings_and_comments_hold_no_code() {
        let text = r###"a("unsafe \" b", r#"un"safe"#, b'\'', 'x', '"') /* unsafe /* nested */ */ // unsafe"###;
        assert_eq!(words(text), ["a", "(", ",", ",", ",", ",", ")"]);
        assert_eq!(lex(text).comments.len(), 2);
    }

    #[test]
    fn a_lifetime_is_no_character() {
        assert_eq!(
            words("fn a<'b>(c: &'b d)"),
            [
                "fn", "a", "<", "'", "b", ">", "(", "c", ":", "&", "'", "b", "d", ")"
            ]
        );
    }

    #[test]
    fn lines_are_counted_through_strings_and_comments() {
        let lexed = lex("/* one\ntwo */ a\n\"three\nfour\" b");
        let lines: Vec<_> = lexed
            .tokens
            .iter()
            .map(|token| (token.text, token.line))
            .collect();
        assert_eq!(lines, [("a", 2), ("b", 4)]);
    }

    #[test]
    fn an_identifier_that_starts_like_a_string_is_one() {
        assert_eq!(
            words("broom::crate_b c r"),
            ["broom", "::", "crate_b", "c", "r"]
        );
    }

    #[test]
    fn unfinished_text_ends_with_the_file() {
        assert_eq!(words("a \"b\\"), ["a"]);
        assert_eq!(words("a /* b"), ["a"]);
    }
}
