//! The run's own directory, and what lies in shared memory under its name.

use std::fs;
use std::path::Path;

use tempfile::TempDir;

const PREFIX: &str = "benches-";
/// Where POSIX shared memory appears; peers name theirs after the run's directory. The directory itself lies
/// there too: a file system on a disk may make whoever removes a file wait for it.
const SHARED_MEMORY: &str = "/dev/shm";

/// A directory for sockets and files of products and peers; dropping it removes all of that.
#[derive(Debug)]
pub(super) struct Scratch {
    dir: TempDir,
}

impl Scratch {
    /// Makes it; what runs left that were killed before goes first.
    pub(super) fn new() -> crate::Result<Scratch> {
        sweep(&std::env::temp_dir(), owner_is_gone);
        sweep(Path::new(SHARED_MEMORY), owner_is_gone);
        let prefix = format!("{PREFIX}{}-", std::process::id());
        let dir = tempfile::Builder::new()
            .prefix(&prefix)
            .tempdir_in(SHARED_MEMORY);
        let dir = dir.or_else(|_| tempfile::Builder::new().prefix(&prefix).tempdir())?;
        Ok(Scratch { dir })
    }

    pub(super) fn path(&self) -> &Path {
        self.dir.path()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let own = self.dir.path().file_name().unwrap_or_default();
        let own = own.to_string_lossy().into_owned();
        sweep(Path::new(SHARED_MEMORY), |name| name.starts_with(&own));
    }
}

/// Removes the entries of `dir` whose names `ours` accepts; another user's stay, which is as it should be.
fn sweep(dir: &Path, ours: impl Fn(&str) -> bool) {
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        let path = entry.path();
        if ours(&entry.file_name().to_string_lossy()) {
            let _ = if path.is_dir() {
                fs::remove_dir_all(path)
            } else {
                fs::remove_file(path)
            };
        }
    }
}

fn owner_is_gone(name: &str) -> bool {
    let owner = name
        .strip_prefix(PREFIX)
        .and_then(|rest| rest.split('-').next())
        .and_then(|pid| pid.parse::<u32>().ok());
    owner.is_some_and(|pid| !Path::new(&format!("/proc/{pid}")).exists())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_a_dead_run_left_is_swept() {
        let ours = format!("{PREFIX}{}-x", std::process::id());
        assert!(!owner_is_gone(&ours) && !owner_is_gone("benches-") && !owner_is_gone("other-1-x"));
        // Above the largest process id that Linux gives.
        assert!(owner_is_gone("benches-4194305-x"));
    }

    #[test]
    fn a_run_takes_its_shared_memory_along() {
        let scratch = Scratch::new().expect("a directory");
        let name = scratch.path().file_name().expect("it has a name");
        let file = format!("{}-peer.data", name.to_string_lossy());
        let file = Path::new(SHARED_MEMORY).join(file);
        fs::write(&file, b"x").expect("shared memory is writable");
        drop(scratch);
        assert!(!file.exists());
    }
}
