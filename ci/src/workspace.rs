//! Where things are: the root of the workspace, its target directory, its source files.

use std::{
    env, fs, io,
    path::{Path, PathBuf},
    process::Command,
};

/// The checked-out project.
#[derive(Clone, Debug)]
pub(crate) struct Workspace {
    /// The folder of the workspace's `Cargo.toml`.
    pub(crate) root: PathBuf,
    /// Where cargo puts what it builds.
    pub(crate) target: PathBuf,
}

impl Workspace {
    /// The workspace that this program was built from.
    ///
    /// # Errors
    ///
    /// When its folder has been moved or removed since.
    pub(crate) fn locate() -> Result<Workspace, String> {
        let own = env::var_os("CARGO_MANIFEST_DIR")
            .map_or_else(|| env!("CARGO_MANIFEST_DIR").into(), PathBuf::from);
        let root = own.parent().map(Path::to_path_buf).unwrap_or_default();
        if !root.join("Cargo.toml").is_file() {
            return Err(format!(
                "no Cargo.toml in {}: start it as `cargo ci` inside the project",
                root.display()
            ));
        }
        let target =
            env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from);
        Ok(Workspace { root, target })
    }

    /// A command of the cargo that started this program, in the root folder and without input.
    pub(crate) fn cargo(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        command.args(arguments).current_dir(&self.root);
        command
    }

    /// Files of the project with this extension, relative to the root, sorted.
    ///
    /// # Errors
    ///
    /// When a folder cannot be read.
    pub(crate) fn files(&self, extension: &str) -> io::Result<Vec<PathBuf>> {
        let mut found = self.all_files()?;
        found.retain(|path| path.extension().is_some_and(|found| found == extension));
        Ok(found)
    }

    /// Files of the project, relative to the root, sorted: all but hidden ones and what is built.
    ///
    /// # Errors
    ///
    /// When a folder cannot be read.
    pub(crate) fn all_files(&self) -> io::Result<Vec<PathBuf>> {
        let mut found = Vec::new();
        collect(&self.root, &self.target, &mut found)?;
        for path in &mut found {
            *path = path.strip_prefix(&self.root).unwrap_or(path).to_path_buf();
        }
        found.sort();
        Ok(found)
    }
}

fn collect(folder: &Path, target: &Path, found: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let (path, name) = (entry.path(), entry.file_name());
        let hidden = name.as_encoded_bytes().starts_with(b".");
        if hidden || path == target || name == "target" {
            continue;
        }
        if entry.file_type()?.is_dir() {
            collect(&path, target, found)?;
        } else {
            found.push(path);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_found_outside_of_target_and_hidden_folders_only() {
        let root = tempfile::tempdir().expect("a temporary folder");
        for file in ["a/b/one.rs", "target/two.rs", ".git/three.rs", "a/four.md"] {
            let path = root.path().join(file);
            fs::create_dir_all(path.parent().expect("has a parent")).expect("made");
            fs::write(path, "").expect("written");
        }
        let workspace = Workspace {
            root: root.path().into(),
            target: root.path().join("target"),
        };
        assert_eq!(
            workspace.files("rs").expect("readable"),
            [PathBuf::from("a/b/one.rs")]
        );
    }
}
