//! Where the peers' program lies, and how it is built.

use std::path::{Path, PathBuf};
use std::process::Command;

/// What to type to have the peers.
pub const BUILD_COMMAND: &str = "cargo run --release -p benches -- peers";

/// The program, whether it has been built or not.
pub(super) fn program() -> PathBuf {
    target_dir().join("release/peers")
}

/// Whether it has been built.
pub fn is_built() -> bool {
    program().is_file()
}

/// Builds it, or brings it up to date.
///
/// # Errors
/// When cargo cannot be run, or does not succeed: its own messages say why.
pub fn build() -> crate::Result<()> {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("peers/Cargo.toml");
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let status = Command::new(cargo)
        .args(["build", "--release", "--manifest-path"])
        .arg(&manifest)
        .arg("--target-dir")
        .arg(target_dir())
        .status()
        .map_err(|fault| format!("cannot run cargo: {fault}; peers are built by it"))?;
    if status.success() {
        Ok(())
    } else {
        Err(format!(
            "the peers do not build ({status}); they need a C and C++ compiler and their crates from the registry"
        )
        .into())
    }
}

/// `target/peers`, beside the profile directory in which the running program lies.
fn target_dir() -> PathBuf {
    let program = std::env::current_exe().unwrap_or_default();
    let profile = program
        .ancestors()
        .find(|dir| matches!(name(dir), Some("release" | "debug")));
    let target = profile.and_then(Path::parent).map(Path::to_path_buf);
    target
        .unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../target"))
        .join("peers")
}

fn name(dir: &Path) -> Option<&str> {
    dir.file_name()?.to_str()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_program_lies_beside_the_profile_of_the_one_that_runs() {
        let program = program();
        assert!(
            program.ends_with("peers/release/peers"),
            "{}",
            program.display()
        );
        assert!(!target_dir().starts_with(env!("CARGO_MANIFEST_DIR")));
    }
}
