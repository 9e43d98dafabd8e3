//! Relative links of the documents lead to files that exist.

use std::{fs, io, path::Path};

use super::Violation;
use crate::workspace::Workspace;

pub(super) fn check(workspace: &Workspace) -> io::Result<Vec<Violation>> {
    let mut violations = Vec::new();
    for file in workspace.files("md")? {
        let text = fs::read_to_string(workspace.root.join(&file))?;
        let folder = workspace.root.join(file.parent().unwrap_or(Path::new("")));
        violations.extend(broken_links(&file.to_string_lossy(), &text, |link| {
            folder.join(link).exists()
        }));
    }
    Ok(violations)
}

fn broken_links(file: &str, text: &str, exists: impl Fn(&str) -> bool) -> Vec<Violation> {
    let mut violations = Vec::new();
    let mut in_code = false;
    for (at, line) in text.lines().enumerate() {
        in_code ^= line.trim_start().starts_with("```");
        if in_code {
            continue;
        }
        for link in targets(line) {
            let path = link.split('#').next().unwrap_or_default();
            let elsewhere = link.contains("://") || link.starts_with("mailto:") || path.is_empty();
            if !elsewhere && !exists(path) {
                violations.push(Violation::new(
                    file,
                    at + 1,
                    format!("the link `{link}` leads nowhere"),
                ));
            }
        }
    }
    violations
}

/// What stands in the parentheses of `[text](target)`.
fn targets(line: &str) -> impl Iterator<Item = &str> {
    line.split("](")
        .skip(1)
        .filter_map(|rest| rest.split(')').next())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_to_nothing_is_found() {
        let text = "[a](a.md) and [b](docs/b.md#c)\n[web](https://example.org) [here](#here)\n";
        let found = broken_links("README.md", text, |path| path == "a.md");
        assert_eq!(found.len(), 1);
        assert_eq!(
            found[0],
            Violation::new("README.md", 1, "the link `docs/b.md#c` leads nowhere")
        );
    }

    #[test]
    fn code_blocks_hold_no_links() {
        assert!(broken_links("a.md", "```\nx[1](y)\n```\n", |_| false).is_empty());
    }
}
