//! One node for a test: a runtime directory of its own, a process manager, and whatever serves on it.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// A node; ends with everything on it.
pub(crate) struct Node {
    folder: tempfile::TempDir,
    process_manager: Option<Daemon>,
}

impl Node {
    /// A node without a process manager.
    pub(crate) fn without_process_manager() -> Node {
        let folder = tempfile::tempdir().unwrap();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
        fs::create_dir(folder.path().join("run")).unwrap();
        let node = Node {
            folder,
            process_manager: None,
        };
        fs::create_dir(node.host()).unwrap();
        node
    }

    /// A node whose process manager is ready.
    pub(crate) fn start() -> Node {
        let mut node = Node::without_process_manager();
        node.process_manager = Some(node.daemon(Command::new(env!("CARGO_BIN_EXE_procmgr"))));
        node
    }

    /// A directory to export.
    pub(crate) fn host(&self) -> PathBuf {
        self.folder.path().join("host")
    }

    /// A place for what a test makes and does not export.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The runtime directory.
    pub(crate) fn runtime(&self) -> PathBuf {
        self.folder.path().join("run")
    }

    /// `fs-export` of the directory to export under `prefix`, ready.
    pub(crate) fn export(&self, prefix: &str) -> Daemon {
        self.daemon(self.export_command(prefix))
    }

    /// The command that exports.
    pub(crate) fn export_command(&self, prefix: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_fs-export"));
        command.arg(self.host()).arg(prefix);
        self.on_node(&mut command);
        command
    }

    /// Starts a daemon on the node and waits for its ready line.
    pub(crate) fn daemon(&self, mut command: Command) -> Daemon {
        self.on_node(&mut command);
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().unwrap())
            .read_line(&mut line)
            .unwrap();
        assert!(
            line.starts_with("ready: "),
            "{:?} says {line:?}",
            command.get_program()
        );
        Daemon(child)
    }

    /// Compiles a C program.
    pub(crate) fn compile(&self, source: &str, name: &str) -> PathBuf {
        let program = self.folder().join(name);
        let mut cc = Command::new("cc");
        cc.args(["-Wall", "-Werror", "-O1", "-I"])
            .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/node"))
            .arg("-o")
            .arg(&program)
            .args(["-x", "c", "-", "-lpthread"]);
        let mut child = cc
            .stdin(Stdio::piped())
            .spawn()
            .expect("a C compiler is installed: apt install gcc");
        let mut input = child.stdin.take().unwrap();
        input.write_all(source.as_bytes()).unwrap();
        drop(input);
        assert!(child.wait().unwrap().success(), "{name} does not compile");
        program
    }

    /// A program that knows nothing of the node, under the preload library.
    pub(crate) fn preloaded(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new(program);
        command.env("LD_PRELOAD", self.library()).env("LC_ALL", "C");
        self.on_node(&mut command);
        command
    }

    /// Runs a script in which `$D` is `/qnet-test`, as a folder that is exported there; answers what it printed.
    #[track_caller]
    pub(crate) fn script(&self, shell: &str, text: &str) -> String {
        let mut command = self.preloaded(shell);
        command.args(["-c", text]).env("D", "/qnet-test");
        let output = command.output().unwrap();
        assert!(
            output.status.success() && output.stderr.is_empty(),
            "{shell}: {text}: {}",
            said(&output)
        );
        String::from_utf8(output.stdout).unwrap()
    }

    /// The preload library where every user may read it.
    fn library(&self) -> PathBuf {
        let copy = self.folder.path().join("libqnet_preload.so");
        if !copy.exists() {
            fs::copy(build_library(), &copy).unwrap();
            fs::set_permissions(&copy, fs::Permissions::from_mode(0o755)).unwrap();
        }
        copy
    }

    fn on_node(&self, command: &mut Command) {
        command
            .env("QNET_RUNTIME_DIR", self.runtime())
            .env_remove("QNET_TRACE");
    }
}

/// The preload library of this workspace. No test target of this package depends on it, so that cargo is asked.
fn build_library() -> PathBuf {
    let programs = Path::new(env!("CARGO_BIN_EXE_fs-export")).parent().unwrap();
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["build", "--quiet", "--package", "qnet-preload"]);
    cargo.arg("--target-dir").arg(programs.parent().unwrap());
    if programs.ends_with("release") {
        cargo.arg("--release");
    }
    let built = cargo
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .status()
        .unwrap();
    assert!(built.success(), "{cargo:?} failed");
    programs.join("libqnet_preload.so")
}

/// A daemon that ends with the test, if the test has not ended it.
pub(crate) struct Daemon(Child);

impl Daemon {
    /// Its process id.
    pub(crate) fn id(&self) -> u32 {
        self.0.id()
    }

    /// Asks it to stop and waits until it has.
    pub(crate) fn stop(mut self) -> ExitStatus {
        self.signal(Signal::SIGTERM);
        self.0.wait().unwrap()
    }

    /// Kills it at whatever it is doing.
    pub(crate) fn kill(mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }

    fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.0.id().cast_signed()), signal).unwrap();
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // Both fail only for one that has ended already.
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

/// What a program said, for the message of a failed test.
pub(crate) fn said(output: &Output) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    format!(
        "{}: {}{}",
        output.status,
        text(&output.stdout),
        text(&output.stderr)
    )
}
