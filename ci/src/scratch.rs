//! Folders of one test run, and what must not outlive it: files, and processes.

use std::{
    env, fs, io,
    os::unix::fs::PermissionsExt,
    path::PathBuf,
    process::{self, Command},
    thread,
    time::{Duration, Instant},
};

/// Carries the run's folder in the environment of everything that the run starts.
const MARK: &str = "QNET_CI_RUN";

/// How long a process may take to end that was told to, or that notices that its parent has gone, on a busy machine.
const GRACE: Duration = Duration::from_secs(60);

/// A folder for temporary files and a runtime directory, of a single run. They go with the value.
///
/// Names of killed processes stay in the runtime directory until somebody comes by, as they may. Nothing may stay in
/// the folder for temporary files.
pub(crate) struct Scratch {
    folder: PathBuf,
}

impl Scratch {
    /// # Errors
    ///
    /// Why the folders cannot be made.
    pub(crate) fn new() -> io::Result<Scratch> {
        let name = format!("qnet-ci-{}", process::id());
        let scratch = Scratch {
            folder: env::temp_dir().join(name),
        };
        for folder in [scratch.temporary(), scratch.runtime()] {
            fs::create_dir_all(&folder)?;
            // Some tests run programs as another user.
            fs::set_permissions(&folder, fs::Permissions::from_mode(0o1777))?;
        }
        Ok(scratch)
    }

    /// Has a command and what it starts use the folders.
    pub(crate) fn lend(&self, command: &mut Command) {
        command
            .env(MARK, &self.folder)
            .env("TMPDIR", self.temporary())
            .env("QNET_RUNTIME_DIR", self.runtime());
    }

    /// What is left of what ran in the folders, a line for each; waits a while for processes that are ending.
    pub(crate) fn left_behind(&self) -> Vec<String> {
        self.left_after(GRACE)
    }

    fn left_after(&self, grace: Duration) -> Vec<String> {
        let deadline = Instant::now() + grace;
        while !self.processes().is_empty() && Instant::now() < deadline {
            thread::sleep(Duration::from_millis(20));
        }
        let files = fs::read_dir(self.temporary()).into_iter().flatten();
        let files = files
            .flatten()
            .map(|entry| entry.path().display().to_string());
        self.processes().into_iter().chain(files).collect()
    }

    fn temporary(&self) -> PathBuf {
        self.folder.join("tmp")
    }

    fn runtime(&self) -> PathBuf {
        self.folder.join("run")
    }

    /// Living processes that were started by the run.
    fn processes(&self) -> Vec<String> {
        let mark = format!("{MARK}={}", self.folder.display());
        let is_ours = |entry: &fs::DirEntry| {
            let environment = fs::read(entry.path().join("environ")).unwrap_or_default();
            environment
                .split(|byte| *byte == 0)
                .any(|variable| variable == mark.as_bytes())
        };
        let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
        let ours = processes.filter(is_ours).map(|entry| {
            let name = fs::read_to_string(entry.path().join("comm")).unwrap_or_default();
            let pid = entry.file_name();
            format!("process {} ({})", pid.display(), name.trim())
        });
        ours.collect()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        match fs::remove_dir_all(&self.folder) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                println!("    not removed: {}: {error}", self.folder.display());
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_and_processes_of_a_run_are_found_and_nothing_else() {
        let scratch = Scratch::new().expect("there is room");
        let folder = scratch.folder.clone();
        let shell = |script| {
            let mut shell = Command::new("sh");
            scratch.lend(shell.args(["-c", script]));
            shell.spawn().expect("there is a shell")
        };
        let ended = shell("touch $QNET_RUNTIME_DIR/1.sock").wait();
        assert!(ended.expect("it was started").success());
        assert_eq!(scratch.left_behind(), [] as [&str; 0]);
        let mut sleeper = shell("touch $TMPDIR/file; exec sleep 600");
        let comm = format!("/proc/{}/comm", sleeper.id());
        while fs::read_to_string(&comm).expect("it lives") != "sleep\n" {
            let ended = sleeper.try_wait().expect("it was started");
            assert_eq!(ended, None, "it sleeps for minutes");
            thread::sleep(Duration::from_millis(5));
        }
        let found = scratch.left_after(Duration::from_millis(100));
        sleeper.kill().expect("it sleeps");
        sleeper.wait().expect("it was killed");
        let process = format!("process {} (sleep)", sleeper.id());
        assert_eq!(found, [process, format!("{}/tmp/file", folder.display())]);
        drop(scratch);
        assert!(!folder.exists());
    }
}
