//! Every package takes the workspace's lints, and every dependency its version from the workspace.

use std::{fs, io};

use super::Violation;
use crate::workspace::Workspace;

pub(super) fn check(workspace: &Workspace) -> io::Result<Vec<Violation>> {
    let mut violations = Vec::new();
    for file in workspace.files("toml")? {
        if !file.ends_with("Cargo.toml") {
            continue;
        }
        let text = fs::read_to_string(workspace.root.join(&file))?;
        if !is_workspace(&text) {
            violations.extend(of_package(&file.to_string_lossy(), &text));
        }
    }
    Ok(violations)
}

/// The project's root, and what is a workspace of its own beside it: fuzz targets, which need another
/// toolchain, and the benchmark's peers, of which no other build is to know. Neither can inherit.
fn is_workspace(text: &str) -> bool {
    text.lines().any(|line| line == "[workspace]")
}

fn of_package(file: &str, text: &str) -> Vec<Violation> {
    let mut violations = Vec::new();
    if !text.contains("[lints]\nworkspace = true") {
        violations.push(Violation::new(
            file,
            1,
            "does not take the workspace's lints: `[lints] workspace = true`",
        ));
    }
    let mut in_dependencies = false;
    for (at, line) in text.lines().enumerate() {
        if line.starts_with('[') {
            in_dependencies = line.trim_end_matches(']').ends_with("dependencies");
        } else if in_dependencies
            && line.contains('=')
            && !line.trim_start().starts_with('#')
            && !line.contains("workspace")
        {
            let what = format!(
                "`{}` takes its version from elsewhere than the workspace",
                line.trim()
            );
            violations.push(Violation::new(file, at + 1, what));
        }
    }
    violations
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINTS: &str = "[lints]\nworkspace = true\n";

    #[test]
    fn a_workspace_of_its_own_inherits_nothing() {
        assert!(is_workspace("[workspace]\n[package]\nname = \"a\"\n"));
        assert!(!is_workspace("[lints]\nworkspace = true\n"));
    }

    #[test]
    fn a_package_without_the_lints_is_found() {
        assert_eq!(
            of_package("a/Cargo.toml", "[package]\nname = \"a\"\n").len(),
            1
        );
    }

    #[test]
    fn a_version_of_its_own_is_found() {
        let text = format!("{LINTS}[dev-dependencies]\nlibc.workspace = true\nrand = \"0.9\"\n");
        let found = of_package("a/Cargo.toml", &text);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].line, 5);
    }

    #[test]
    fn versions_of_the_workspace_are_fine() {
        let text = format!(
            "{LINTS}[dependencies]\nnix = {{ workspace = true, features = [\"fs\"] }}\n[[bin]]\nname = \"b\"\n"
        );
        assert!(of_package("a/Cargo.toml", &text).is_empty());
    }
}
