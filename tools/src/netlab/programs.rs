//! The programs a node runs, found beside netlab's own executable.

use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use serde::{Deserialize, Serialize};

/// Programs that a node cannot do without.
const NEEDED: [&str; 4] = ["procmgr", "qnet", "fs-export", "qn"];
/// The library that lets unmodified programs walk to `/net`.
const PRELOAD: &str = "libqnet_preload.so";
/// The packages that they are parts of.
const PACKAGES: [&str; 3] = ["tools", "qnet", "qnet-preload"];

/// The directory in which the project's programs stand side by side.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Programs {
    dir: PathBuf,
}

impl Programs {
    /// Finds the programs; run by cargo, brings them up to date first.
    ///
    /// # Errors
    /// A program is missing; the error names the command that builds it.
    pub fn find() -> io::Result<Programs> {
        static FOUND: OnceLock<Result<PathBuf, String>> = OnceLock::new();
        let found = FOUND.get_or_init(|| find_dir().map_err(|error| error.to_string()));
        found
            .clone()
            .map(|dir| Programs { dir })
            .map_err(io::Error::other)
    }

    /// Where programs are looked for, whether they are there or not.
    ///
    /// # Errors
    /// The kernel does not say which file this process runs.
    pub fn unchecked() -> io::Result<Programs> {
        Ok(Programs { dir: own_dir()? })
    }

    /// The directory of the programs.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Path of a program.
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }
}

/// The directory of this executable, or the one above it for a test in `deps`.
fn own_dir() -> io::Result<PathBuf> {
    let own = std::env::current_exe()?;
    let dir = own.parent().unwrap_or(Path::new("/"));
    let is_deps = dir.file_name().is_some_and(|name| name == "deps");
    Ok(if is_deps {
        dir.parent().unwrap_or(dir)
    } else {
        dir
    }
    .to_path_buf())
}

fn find_dir() -> io::Result<PathBuf> {
    let dir = own_dir()?;
    if let Some(cargo) = std::env::var_os("CARGO") {
        let status = build(Path::new(&cargo), &dir).status()?;
        if !status.success() {
            return Err(io::Error::other(format!(
                "the programs of a node could not be built ({status}); the messages above say why"
            )));
        }
    }
    let missing: Vec<&str> = NEEDED
        .into_iter()
        .chain([PRELOAD])
        .filter(|name| !dir.join(name).exists())
        .collect();
    if missing.is_empty() {
        return Ok(dir);
    }
    let release = if profile_option(&dir).is_some() {
        " --release"
    } else {
        ""
    };
    Err(io::Error::new(
        io::ErrorKind::NotFound,
        format!(
            "{} not found in {}; a lab runs them on each node. Build them with: \
             cargo build{release} -p {}",
            missing.join(", "),
            dir.display(),
            PACKAGES.join(" -p "),
        ),
    ))
}

/// `cargo build` of what a node runs, in the profile this executable was built with. Cargo's own
/// output goes to standard error, so that the standard output stays ours.
fn build(cargo: &Path, dir: &Path) -> Command {
    let mut command = Command::new(cargo);
    // The whole workspace is selected, as it is by `cargo run` and `cargo ci`: another selection has
    // other features, and would build everything a second time.
    command.args(["build", "--workspace", "--lib"]);
    for program in NEEDED {
        command.args(["--bin", program]);
    }
    if let Some((option, value)) = profile_option(dir) {
        command.args([option, &value]);
    }
    if let Some(manifest) = std::env::var_os("CARGO_MANIFEST_DIR") {
        command.current_dir(manifest);
    }
    command.stdin(Stdio::null()).stdout(io::stderr());
    command
}

/// The option that selects the profile whose directory is `dir`; none for the default one.
fn profile_option(dir: &Path) -> Option<(&'static str, String)> {
    match dir.file_name()?.to_str()? {
        "debug" => None,
        profile => Some(("--profile", profile.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_profile_is_that_of_the_directory() {
        assert_eq!(profile_option(Path::new("/t/debug")), None);
        let release = ("--profile", "release".to_owned());
        assert_eq!(profile_option(Path::new("/t/release")), Some(release));
    }
}
