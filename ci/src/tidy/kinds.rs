//! Every file is of a kind that the project has: text, but for what fuzzers found. What a tool left behind is of none.

use std::{fs, io, path::Path};

use super::Violation;
use crate::workspace::Workspace;

/// What text is for, by the end of its file's name. A further kind is added here, with what needs it.
const TEXT_KINDS: [&str; 11] = [
    "c", "csv", "h", "lock", "lua", "md", "rs", "service", "svg", "toml", "txt",
];

pub(super) fn check(workspace: &Workspace) -> io::Result<Vec<Violation>> {
    let mut violations = Vec::new();
    for file in workspace.all_files()? {
        let what = match of_name(&file) {
            Kind::FuzzInput => None,
            Kind::Text => not_text(&fs::read(workspace.root.join(&file))?),
            Kind::None(what) => Some(what),
        };
        let at = file.to_string_lossy();
        violations.extend(what.map(|what| Violation::new(&at, 1, what)));
    }
    Ok(violations)
}

enum Kind {
    Text,
    /// Bytes of any sort.
    FuzzInput,
    /// None, for the reason given.
    None(&'static str),
}

fn of_name(file: &Path) -> Kind {
    let name = file.file_name().unwrap_or_default().as_encoded_bytes();
    if name.starts_with(b"-") {
        return Kind::None(
            "a name that begins with - is an option to every program: remove it with `rm ./-...`",
        );
    }
    let folders: Vec<_> = file.iter().collect();
    let is_input =
        |pair: &[_]| pair[0] == "fuzz" && (pair[1] == "corpus" || pair[1] == "artifacts");
    if folders.windows(2).any(is_input) {
        return Kind::FuzzInput;
    }
    let kind = file.extension().unwrap_or_default();
    if TEXT_KINDS.iter().any(|known| kind == *known) || name.starts_with(b"LICENSE-") {
        return Kind::Text;
    }
    Kind::None(
        "the project has no files of this kind: remove it, or name the kind in `ci/src/tidy/kinds.rs`",
    )
}

fn not_text(bytes: &[u8]) -> Option<&'static str> {
    let is_text = !bytes.contains(&0) && std::str::from_utf8(bytes).is_ok();
    (!is_text)
        .then_some("is not text, as its name says: what is built or measured is not kept here")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_tool_left_behind_is_found() {
        let root = tempfile::tempdir().unwrap();
        for (file, bytes) in [
            ("--", &b"PERFILE2"[..]),
            ("LICENSE-MIT", b"text"),
            ("a/perf.data", b"PERFILE2"),
            ("a/program", b"\x7fELF"),
            ("a/fine.rs", "// größer\n".as_bytes()),
            ("a/latin.md", b"gr\xf6\xdfer"),
            ("a/zero.txt", b"a\0b"),
            ("b/fuzz/corpus/x/0a1b", b"\xff\0"),
        ] {
            let path = root.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, bytes).unwrap();
        }
        let workspace = Workspace {
            root: root.path().into(),
            target: root.path().join("target"),
        };
        let found = check(&workspace).unwrap();
        let found: Vec<_> = found
            .iter()
            .map(|violation| violation.file.as_str())
            .collect();
        assert_eq!(
            found,
            ["--", "a/latin.md", "a/perf.data", "a/program", "a/zero.txt"]
        );
    }
}
