//! A file has one subject, and its length shows when it has two.

use super::{Violation, source::Source};

/// Lines of a file above its unit tests.
const LINES_MAX: usize = 500;

/// Lines of a file with its tests, or of a file of tests.
const LINES_WITH_TESTS_MAX: usize = 700;

/// Files that may be longer, and why.
const LONGER: &[(&str, &str)] = &[];

pub(super) fn check(source: &Source) -> Vec<Violation> {
    if LONGER.iter().any(|(path, _)| source.path == *path) {
        return Vec::new();
    }
    let lines = source.text.lines().count();
    let product = source.tests_start() - 1;
    let too_long = |count: usize, max: usize, what: &str| {
        let what =
            format!("{count} lines{what}, more than {max}: which second subject can move out?");
        (count > max).then(|| Violation::new(&source.path, max, what))
    };
    let all = too_long(lines, LINES_WITH_TESTS_MAX, "");
    too_long(product, LINES_MAX, " above the tests")
        .or(all)
        .into_iter()
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(text: &str) -> usize {
        check(&Source::new("a/src/b.rs", text)).len()
    }

    #[test]
    fn a_long_file_is_found() {
        assert_eq!(count(&"fn a() {}\n".repeat(LINES_MAX + 1)), 1);
    }

    #[test]
    fn tests_count_apart() {
        let tests = "    fn a() {}\n".repeat(100);
        let file = format!(
            "{}#[cfg(test)]\nmod tests {{\n{tests}}}\n",
            "fn a() {}\n".repeat(LINES_MAX)
        );
        assert_eq!(count(&file), 0);
        let tests = "    fn a() {}\n".repeat(LINES_WITH_TESTS_MAX);
        assert_eq!(
            count(&format!("#[cfg(test)]\nmod tests {{\n{tests}}}\n")),
            1
        );
    }
}
