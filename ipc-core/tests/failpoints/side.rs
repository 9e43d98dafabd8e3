//! A process that is to die at a failpoint.

use std::{
    io::{BufRead, BufReader},
    os::unix::process::ExitStatusExt,
    process::{Child as Process, ChildStdout, Command, Stdio},
};

use ipc_core::{
    abi::{Chid, Pid},
    sys::failpoint::Failpoint,
};
use nix::sys::signal::Signal;

/// What the process does until it dies, or is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    Client,
    Server,
    /// With many messages in flight.
    ClientAhead,
    ServerAhead,
}

pub(crate) struct Mortal {
    process: Process,
    lines: BufReader<ChildStdout>,
}

impl Side {
    pub(crate) const ALL: [Side; 4] = [
        Side::Client,
        Side::Server,
        Side::ClientAhead,
        Side::ServerAhead,
    ];

    pub(crate) fn is_server(self) -> bool {
        matches!(self, Side::Server | Side::ServerAhead)
    }

    pub(crate) fn is_ahead(self) -> bool {
        matches!(self, Side::ClientAhead | Side::ServerAhead)
    }

    pub(crate) fn start(self, failpoint: Failpoint, server: Chid) -> Mortal {
        let test = match self {
            Side::Client => "peers::inside_a_client",
            Side::Server => "peers::inside_a_server",
            Side::ClientAhead => "ahead::inside_a_client",
            Side::ServerAhead => "ahead::inside_a_server",
        };
        let own = std::env::current_exe().expect("this program has a file");
        let mut process = Command::new(own)
            .args([
                "--exact",
                test,
                "--ignored",
                "--nocapture",
                "--test-threads=1",
            ])
            .env("QNET_FAILPOINT", format!("{failpoint:?}"))
            .env("IPC_CORE_TEST_ARGUMENT", server.to_string())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("a process can be started");
        let lines = BufReader::new(process.stdout.take().expect("it was piped"));
        Mortal { process, lines }
    }
}

impl Mortal {
    pub(crate) fn pid(&self) -> Pid {
        Pid::from(&self.process)
    }

    /// The next line that the process says, unless it died.
    pub(crate) fn said(&mut self) -> Option<String> {
        loop {
            let mut line = String::new();
            if self.lines.read_line(&mut line).expect("it is text") == 0 {
                return None;
            }
            if let Some((_, said)) = line.trim_end().split_once('@') {
                return Some(said.to_owned());
            }
        }
    }

    /// Waits for the end: a failpoint's, or that of a process that did not pass it and had no other trouble.
    pub(crate) fn was_killed(mut self) -> bool {
        while self.said().is_some() {}
        let status = self.process.wait().expect("it was not waited for before");
        let killed = status.signal() == Some(Signal::SIGKILL as i32);
        assert!(killed || status.success(), "{status}");
        killed
    }
}
