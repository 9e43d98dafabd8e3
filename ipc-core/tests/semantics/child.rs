//! Child processes: an ignored test of this binary, run in a process of its own.
//!
//! The child says lines that start with `@`; the rest of its output is the harness's.

use std::{
    fmt::Display,
    io::{self, BufRead, BufReader, Write},
    os::unix::process::CommandExt,
    process::{self, ChildStdout, Command, Stdio},
    sync::OnceLock,
};

use ipc_core::abi::{Chid, Pid};

const ARGUMENT: &str = "IPC_CORE_TEST_ARGUMENT";

/// The user that Debian calls nobody; any id without rights would do.
pub(crate) const NOBODY: u32 = 65534;

/// What every child finds in its environment.
static TOLD: OnceLock<(&str, String)> = OnceLock::new();

/// Has every child find this in its environment.
pub(crate) fn tell_children(variable: &'static str, value: String) {
    TOLD.set((variable, value)).expect("said once");
}

/// The name of a test that is named from the module beside this one, or from the crate.
fn full_name(test: &str) -> String {
    if let Some(name) = test.strip_prefix("crate::") {
        return name.to_owned();
    }
    let here = module_path!().split("::").skip(1);
    let mut path: Vec<_> = here.collect();
    path.pop();
    path.push(test);
    path.join("::")
}

/// A running child. Killed when it is dropped.
pub(crate) struct Child {
    process: process::Child,
    lines: BufReader<ChildStdout>,
}

impl Child {
    /// Runs the ignored test of this name.
    pub(crate) fn start(test: &str, argument: impl Display) -> Child {
        let own = std::env::current_exe().expect("this program has a file");
        Child::run(&mut Command::new(own), test, argument).expect("a child can be started")
    }

    /// As [`start`](Self::start), as a user without privileges; says why where that cannot be.
    pub(crate) fn start_as_nobody(test: &str, argument: impl Display) -> Option<Child> {
        if !nix::unistd::geteuid().is_root() {
            println!("skipped: only root can start a process of another user");
            return None;
        }
        // The build folder may be where other users cannot go.
        let own = std::env::current_exe().expect("this program has a file");
        let copy = std::env::temp_dir().join(format!("ipc-core-{}-{test}", std::process::id()));
        std::fs::copy(own, &copy).expect("the temporary folder has room");
        // Another user's own node would be another one.
        let mut command = Command::new(&copy);
        command.env("QNET_RUNTIME_DIR", ipc_core::runtime_dir());
        command.uid(NOBODY).gid(NOBODY);
        let child = loop {
            match Child::run(&mut command, test, &argument) {
                // A child that another test just forked still holds the copy open for writing.
                Err(error) if error.kind() == io::ErrorKind::ExecutableFileBusy => {}
                other => break other,
            }
        };
        std::fs::remove_file(&copy).expect("it was just made");
        Some(child.expect("a child can be started"))
    }

    fn run(command: &mut Command, test: &str, argument: impl Display) -> io::Result<Child> {
        command.envs(TOLD.get().cloned());
        let test = full_name(test);
        let mut process = command
            .args([
                "--exact",
                &test,
                "--ignored",
                "--nocapture",
                "--test-threads=1",
            ])
            .env(ARGUMENT, argument.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let lines = BufReader::new(process.stdout.take().expect("it was piped"));
        Ok(Child { process, lines })
    }

    /// The next line the child says.
    pub(crate) fn said(&mut self) -> String {
        loop {
            let mut line = String::new();
            let read = self
                .lines
                .read_line(&mut line)
                .expect("the child's output is text");
            assert!(
                read > 0,
                "the child ended without saying what was waited for"
            );
            // The harness does not end its own line before the test's first.
            if let Some((_, said)) = line.trim_end().split_once('@') {
                return said.to_owned();
            }
        }
    }

    /// The next line, which is a channel id.
    pub(crate) fn said_chid(&mut self) -> Chid {
        Chid(self.said().parse().expect("the child said a channel id"))
    }

    /// Says a line to the child, which waits for one in [`wait_for_parent`].
    #[allow(dead_code, reason = "some test binaries do not need it")]
    pub(crate) fn tell(&mut self, line: &str) {
        let stdin = self.process.stdin.as_mut().expect("it was piped");
        writeln!(stdin, "{line}").expect("the child reads");
    }

    /// The child's process id.
    pub(crate) fn pid(&self) -> Pid {
        Pid::from(&self.process)
    }

    /// Kills the child as `kill -9` does, and waits until it is gone.
    pub(crate) fn kill(&mut self) {
        self.process
            .kill()
            .expect("the child was not waited for before");
        self.process
            .wait()
            .expect("the child was not waited for before");
    }

    /// Waits for the child's end; its test must have passed.
    pub(crate) fn end(mut self) {
        drop(self.process.stdin.take());
        let status = self
            .process
            .wait()
            .expect("the child was not waited for before");
        assert!(status.success(), "the child's test failed: {status}");
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        // It is gone already if the test said so.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Child: says a line to the parent.
pub(crate) fn say(line: impl Display) {
    println!("@{line}");
}

/// Child: what the parent gave it.
pub(crate) fn argument() -> String {
    std::env::var(ARGUMENT).expect("started by a parent")
}

/// Child: the parent's process.
pub(crate) fn parent() -> Pid {
    Pid::from(std::os::unix::process::parent_id())
}

/// Child: waits until the parent lets it end, or is gone.
pub(crate) fn wait_for_parent() {
    let mut line = String::new();
    std::io::stdin()
        .read_line(&mut line)
        .expect("the parent's pipe can be read");
}

/// Runs the ignored test of this name in a process of its own, to its end.
pub(crate) fn run_alone(test: &str) {
    Child::start(test, "").end();
}
