//! The stage: a lab with a file on wintermute, and a compiled C program on magenta.

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use crate::netlab::lab::{Lab, LabOptions};
use crate::netlab::programs::Programs;

/// The client's node.
pub(super) const CLIENT: &str = "magenta";
/// The file's node.
pub(super) const SERVER: &str = "wintermute";
/// The file, below wintermute's directory in the lab.
pub(super) const FILE: &str = "home/rk/filename";
/// How the program is started, for a person.
pub(super) const LAUNCH: &str = "qn run --";
/// The program, as it is compiled.
pub(super) const SOURCE: &str = include_str!("client.c");

/// How often a cable just plugged in is looked at.
const CARRIER_INTERVAL: Duration = Duration::from_millis(5);

/// A lab that is ready for the walk.
pub(super) struct Stage {
    pub(super) lab: Lab,
    work: PathBuf,
    trace: PathBuf,
    programs: Programs,
}

impl Stage {
    /// Brings the lab up, makes the file, compiles the program.
    pub(super) fn set() -> io::Result<Stage> {
        let programs = Programs::find()?;
        // A node that comes up says so, and the others remember it. What is shown here begins before
        // magenta knows of wintermute.
        let arguments = ["--home", SERVER, "--unplugged", SERVER]
            .map(str::to_owned)
            .to_vec();
        let lab = Lab::up(&LabOptions {
            name: None,
            arguments,
        })?;
        let dir = lab.dir(CLIENT)?;
        let stage = Stage {
            work: dir.join("work"),
            trace: dir.join("trace"),
            lab,
            programs,
        };
        stage.make_file()?;
        stage.compile()?;
        stage.plug_in()?;
        Ok(stage)
    }

    fn plug_in(&self) -> io::Result<()> {
        self.lab.heal(SERVER)?;
        while !self
            .lab
            .status()?
            .nodes
            .iter()
            .all(|node| node.link.carrier)
        {
            std::thread::sleep(CARRIER_INTERVAL);
        }
        Ok(())
    }

    fn make_file(&self) -> io::Result<()> {
        let path = self.lab.dir(SERVER)?.join(FILE);
        let script = "mkdir -p \"$(dirname \"$0\")\" && : > \"$0\"";
        succeed(self.lab.exec(SERVER, "sh").args(["-c", script]).arg(path))?;
        Ok(())
    }

    fn compile(&self) -> io::Result<()> {
        let compiler = std::env::var_os("CC").unwrap_or_else(|| "cc".into());
        let mut command = self.lab.exec(CLIENT, "env");
        command
            // A compiler that is killed leaves its temporary files behind: these go with the lab.
            .arg(format!("TMPDIR={}", self.work.display()))
            .arg(&compiler)
            .args(["-Wall", "-Wextra", "-O1", "-x", "c", "-", "-o"])
            .arg(self.work.join("client"));
        let mut running = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        if let Some(mut stdin) = running.stdin.take() {
            // A compiler that is not there does not read; its exit code says it better.
            let _ = stdin.write_all(SOURCE.as_bytes());
        }
        let output = running.wait_with_output()?;
        match output.status.code() {
            Some(0) => Ok(()),
            Some(127) => Err(io::Error::other(format!(
                "no C compiler: {} cannot be run. Install one (apt install gcc libc6-dev) or name it in CC",
                compiler.display()
            ))),
            _ => Err(failure("the C compiler", &output)),
        }
    }

    /// Runs the program on magenta; its walk is traced under `name`.
    pub(super) fn run_client(&self, name: &str) -> io::Result<Output> {
        let trace = self.trace.join(format!("{name}.jsonl"));
        let mut command = self.lab.exec(CLIENT, "env");
        command.arg(format!("QNET_TRACE={}", trace.display()));
        command
            .arg(self.programs.path("qn"))
            .args(["run", "--"])
            .arg(self.work.join("client"));
        command.output()
    }
}

/// Runs a command that must succeed.
fn succeed(command: &mut Command) -> io::Result<Output> {
    let output = command.output()?;
    if output.status.success() {
        return Ok(output);
    }
    Err(failure(&format!("{command:?}"), &output))
}

fn failure(what: &str, output: &Output) -> io::Error {
    let said = String::from_utf8_lossy(&output.stderr);
    io::Error::other(format!("{what}: {}: {}", output.status, said.trim()))
}
