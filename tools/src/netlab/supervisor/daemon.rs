//! A daemon of a node: started, waited for until it is ready, signalled, buried.

use std::fs::OpenOptions;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::WaitStatus;
use nix::unistd::Pid;

use super::node::Namespaces;
use crate::netlab::protocol::DaemonStatus;
use crate::netlab::sys;

/// A daemon that is not ready after this time is believed stuck.
const READY_TIMEOUT: Duration = Duration::from_secs(20);
/// Lines of a daemon's log that an error quotes.
const QUOTED_LINES: usize = 6;

/// A daemon, running or not.
pub(super) struct Daemon {
    pub(super) name: String,
    command: Vec<String>,
    pid: Option<Pid>,
    ended: Option<String>,
    starts: u32,
}

/// Where a daemon is to run.
pub(super) struct Place<'a> {
    pub(super) node: &'a str,
    pub(super) dir: &'a Path,
    pub(super) namespaces: &'a Arc<Namespaces>,
    pub(super) environment: Vec<(String, String)>,
}

/// A daemon that was started and is not ready yet.
pub(super) struct Starting {
    what: String,
    process: OwnedFd,
    notices: UnixDatagram,
    notices_path: PathBuf,
    log: PathBuf,
}

impl Daemon {
    /// A daemon that was never started; `command` is a program and its arguments.
    pub(super) fn new(name: &str, command: Vec<String>) -> Daemon {
        Daemon {
            name: name.to_owned(),
            command,
            pid: None,
            ended: None,
            starts: 0,
        }
    }

    /// Its pid, while it lives.
    pub(super) fn pid(&self) -> Option<Pid> {
        self.pid
    }

    /// Starts the process. Its output goes to a log file that outlives it; its walk's events, if it
    /// traces, to a trace file.
    pub(super) fn start(&mut self, place: &Place<'_>) -> io::Result<Starting> {
        let log = place.dir.join("log").join(format!("{}.log", self.name));
        let notices_path = place.dir.join(format!("{}.notify", self.name));
        let _ = std::fs::remove_file(&notices_path);
        let notices = UnixDatagram::bind(&notices_path)?;
        let output = OpenOptions::new().create(true).append(true).open(&log)?;
        let mut command = Command::new(&self.command[0]);
        command.args(&self.command[1..]).current_dir(place.dir);
        command.envs(place.environment.iter().map(|(name, value)| (name, value)));
        command.env("NOTIFY_SOCKET", &notices_path);
        command.env(
            "QNET_TRACE",
            place.dir.join("trace").join(format!("{}.jsonl", self.name)),
        );
        command
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output);
        place.namespaces.apply(&mut command);
        let what = format!("{} on {}", self.name, place.node);
        let child = command.spawn().map_err(|error| {
            io::Error::new(
                error.kind(),
                format!("{what} ({}): {error}", self.command[0]),
            )
        })?;
        let pid = Pid::from_raw(child.id() as i32);
        self.pid = Some(pid);
        self.ended = None;
        self.starts += 1;
        let process = sys::pidfd_open(pid)?;
        Ok(Starting {
            what,
            process,
            notices,
            notices_path,
            log,
        })
    }

    /// Sends a signal; false: there is no process.
    pub(super) fn signal(&self, signal: Signal) -> bool {
        self.pid.is_some_and(|pid| kill(pid, signal).is_ok())
    }

    /// Notes that the process has ended.
    pub(super) fn bury(&mut self, status: WaitStatus) {
        self.pid = None;
        self.ended = Some(match status {
            WaitStatus::Exited(_, code) => format!("exit code {code}"),
            WaitStatus::Signaled(_, signal, _) => format!("killed by {signal}"),
            other => format!("{other:?}"),
        });
    }

    /// How it is.
    pub(super) fn status(&self) -> DaemonStatus {
        DaemonStatus {
            name: self.name.clone(),
            pid: self.pid.map(Pid::as_raw),
            ended: self.ended.clone(),
            starts: self.starts,
        }
    }
}

impl Starting {
    /// Waits until the daemon says that it is ready.
    ///
    /// # Errors
    /// It ended, or said nothing for a long time; the end of its log is quoted.
    pub(super) fn wait_ready(&self) -> io::Result<()> {
        let deadline = Instant::now() + READY_TIMEOUT;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let mut events = [
                PollFd::new(self.notices.as_fd(), PollFlags::POLLIN),
                PollFd::new(self.process.as_fd(), PollFlags::POLLIN),
            ];
            let timeout = PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX);
            match poll(&mut events, timeout) {
                Err(nix::Error::EINTR) => continue,
                Err(errno) => return Err(errno.into()),
                Ok(0) => {
                    return Err(self.failure(
                        "did not get ready: it sent no READY=1 to the socket that NOTIFY_SOCKET names, as sd_notify and \
                         systemd-notify do; a program that never does is started by: netlab exec NODE -- PROGRAM &",
                    ));
                }
                Ok(_) => {}
            }
            let happened =
                |event: &PollFd<'_>| event.revents().is_some_and(|events| !events.is_empty());
            if happened(&events[0]) {
                let mut notice = [0; 512];
                let len = self.notices.recv(&mut notice)?;
                if notice[..len]
                    .split(|&byte| byte == b'\n')
                    .any(|line| line == b"READY=1")
                {
                    return Ok(());
                }
            } else if happened(&events[1]) {
                return Err(self.failure("ended before it was ready"));
            }
        }
    }

    fn failure(&self, what: &str) -> io::Error {
        let log = std::fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        let tail = lines[lines.len().saturating_sub(QUOTED_LINES)..].join("\n    ");
        io::Error::other(format!(
            "{} {what}; the end of its log:\n    {tail}",
            self.what
        ))
    }
}

impl Drop for Starting {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.notices_path);
    }
}
