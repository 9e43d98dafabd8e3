//! A lab as a value: up while it is held, gone when it is dropped or its holder dies.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use nix::sys::signal::Signal;
use nix::unistd::Pid;

use super::capture::Capture;
use super::cli::NOT_PERMITTED;
use super::control::{self, Control};
use super::programs::Programs;
use super::protocol::{Answer, Cut, Entrance, Faults, LabStatus, Order};

/// What [`Lab::up`] is to make. Every option has the default of `netlab up`.
#[derive(Clone, Debug, Default)]
pub struct LabOptions {
    /// Name of the lab; by default one that no other has.
    pub name: Option<String>,
    /// Further arguments of `netlab up`, such as `--mtu 9000`.
    pub arguments: Vec<String>,
}

/// Lines of each daemon's log that are shown of a lab that a panic brings down.
const LOG_LINES: usize = 12;

/// A running lab of this process.
#[derive(Debug)]
pub struct Lab {
    name: String,
    netlab: PathBuf,
    supervisor: Pid,
    /// While its standard input is open the lab stays up, so the kernel ends the lab with us.
    starter: Child,
}

impl Lab {
    /// Brings a lab up and waits until its daemons are ready.
    ///
    /// # Errors
    /// PermissionDenied: this user may not make namespaces here. Others: what `netlab up` says.
    pub fn up(options: &LabOptions) -> io::Result<Lab> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = options.name.clone().unwrap_or_else(|| {
            format!(
                "{}-{}",
                std::process::id(),
                COUNT.fetch_add(1, Ordering::Relaxed)
            )
        });
        let bare = options
            .arguments
            .iter()
            .any(|argument| argument == "--bare");
        let programs = if bare {
            Programs::unchecked()?
        } else {
            Programs::find()?
        };
        let netlab = programs.path("netlab");
        let mut command = Command::new(&netlab);
        // What is up to date need not be brought up to date again for each lab.
        command.env_remove("CARGO");
        command
            .args(["--lab", &name, "up", "--tied", "--quiet"])
            .args(&options.arguments);
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        let mut starter = command.spawn().map_err(|error| {
            io::Error::new(error.kind(), format!("{}: {error}", netlab.display()))
        })?;
        let mut complaint = String::new();
        if let Some(mut stderr) = starter.stderr.take() {
            stderr.read_to_string(&mut complaint)?;
        }
        let status = wait_keeping_stdin(&mut starter)?;
        if !status.success() {
            let kind = match status.code() {
                Some(code) if code == i32::from(NOT_PERMITTED) => io::ErrorKind::PermissionDenied,
                _ => io::ErrorKind::Other,
            };
            return Err(io::Error::new(
                kind,
                complaint.trim().trim_start_matches("netlab: ").to_owned(),
            ));
        }
        let supervisor = Control::connect(&name)?.supervisor();
        Ok(Lab {
            name,
            netlab,
            supervisor,
            starter,
        })
    }

    /// The lab's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Pid of the supervisor, as this process sees it.
    pub fn supervisor(&self) -> Pid {
        self.supervisor
    }

    /// A command that will run on a node: add arguments and redirections, then run it.
    pub fn exec(&self, node: &str, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new(&self.netlab);
        command
            .args(["--lab", &self.name, "exec", node, "--"])
            .arg(program);
        command
    }

    /// How everything is.
    ///
    /// # Errors
    /// The supervisor is gone.
    pub fn status(&self) -> io::Result<LabStatus> {
        match self.order(&Order::Status)? {
            Answer::Status(status) => Ok(status),
            other => Err(unexpected(&other)),
        }
    }

    /// Cuts a node off.
    ///
    /// # Errors
    /// No such node.
    pub fn cut(&self, node: &str, cut: Cut) -> io::Result<()> {
        self.order(&Order::Cut {
            node: node.into(),
            link: None,
            cut,
        })
        .map(|_| ())
    }

    /// Cuts one link of a node, 0 being eth0, or heals it (`Cut::None`).
    ///
    /// # Errors
    /// No such node or link.
    pub fn cut_link(&self, node: &str, link: usize, cut: Cut) -> io::Result<()> {
        self.order(&Order::Cut {
            node: node.into(),
            link: Some(link),
            cut,
        })
        .map(|_| ())
    }

    /// Undoes [`Lab::cut`].
    ///
    /// # Errors
    /// No such node.
    pub fn heal(&self, node: &str) -> io::Result<()> {
        self.order(&Order::Heal {
            node: Some(node.into()),
            link: None,
        })
        .map(|_| ())
    }

    /// Injects faults, or stops doing so.
    ///
    /// # Errors
    /// The seeded switch cannot be started.
    pub fn faults(&self, faults: Option<Faults>) -> io::Result<()> {
        self.order(&Order::Faults { faults }).map(|_| ())
    }

    /// Sends a signal to a daemon; returns after SIGKILL when it is gone.
    ///
    /// # Errors
    /// No such daemon, or it does not run.
    pub fn kill(&self, node: &str, daemon: &str, signal: Signal) -> io::Result<()> {
        let order = Order::Kill {
            node: node.into(),
            daemon: daemon.into(),
            signal: signal as i32,
        };
        self.order(&order).map(|_| ())
    }

    /// Starts a daemon again and waits until it is ready.
    ///
    /// # Errors
    /// It did not start; the end of its log is quoted.
    pub fn restart(&self, node: &str, daemon: &str) -> io::Result<()> {
        self.order(&Order::Restart {
            node: node.into(),
            daemon: daemon.into(),
        })
        .map(|_| ())
    }

    /// Starts a server beside the node's daemons and waits until it is ready.
    ///
    /// # Errors
    /// It did not start; the end of its log is quoted.
    pub fn serve(&self, node: &str, daemon: &str, command: Vec<String>) -> io::Result<()> {
        self.order(&Order::Serve {
            node: node.into(),
            daemon: daemon.into(),
            command,
        })
        .map(|_| ())
    }

    /// A node's directory, as processes on nodes see it. Its parts: `run`, `log`, `trace`, `home`
    /// (what is exported unless a directory of the host is) and `work` (for anybody).
    ///
    /// # Errors
    /// No such node.
    pub fn dir(&self, node: &str) -> io::Result<PathBuf> {
        match self.order(&Order::Enter { node: node.into() })? {
            Answer::Entrance(Entrance { dir, .. }) => Ok(dir),
            other => Err(unexpected(&other)),
        }
    }

    /// Opens a file below a node's directory, on the host's side: no part of the project is asked.
    ///
    /// # Errors
    /// No such node or file.
    pub fn open(&self, node: &str, path: impl AsRef<Path>) -> io::Result<File> {
        open(&self.name, node, path.as_ref())
    }

    /// Starts to record the frames that the nodes send.
    ///
    /// # Errors
    /// The supervisor has no right to packet sockets.
    pub fn capture(&self) -> io::Result<Capture> {
        Capture::start(&self.name)
    }

    /// The ends of the daemons' logs, for whoever wants to know what went wrong in a lab that is about to go.
    fn last_words(&self) -> String {
        let Ok(status) = self.status() else {
            return "its supervisor is gone\n".into();
        };
        let mut words = format!("{:?}, {:?}\n", status.faults, status.counters);
        for node in &status.nodes {
            for daemon in &node.daemons {
                let path = format!("log/{}.log", daemon.name);
                let log = self.open(&node.name, path).and_then(io::read_to_string);
                let log = log.unwrap_or_else(|error| error.to_string());
                let lines: Vec<&str> = log.lines().collect();
                let state = daemon.ended.as_deref().unwrap_or("running");
                words += &format!("{} on {} ({state}):\n", daemon.name, node.name);
                for line in &lines[lines.len().saturating_sub(LOG_LINES)..] {
                    words += &format!("    {line}\n");
                }
            }
        }
        words
    }

    fn order(&self, order: &Order) -> io::Result<Answer> {
        Control::connect(&self.name)?
            .order(order)
            .map(|(answer, _)| answer)
    }
}

impl Drop for Lab {
    /// Brings the lab down. If a panic does it, says first what the daemons logged last: their logs go with the lab.
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("lab {}: {}", self.name, self.last_words());
        }
        // Without its end of the pipe the supervisor would go, too; this way it is known to be gone.
        if Control::connect(&self.name)
            .and_then(|control| control.order(&Order::Down))
            .is_err()
        {
            drop(self.starter.stdin.take());
        }
        control::wait_gone(self.supervisor);
    }
}

/// Opens a file below the directory of a node of a lab.
///
/// # Errors
/// No such lab, node or file.
pub(super) fn open(lab: &str, node: &str, path: &Path) -> io::Result<File> {
    let order = Order::Open {
        node: node.into(),
        path: path.into(),
    };
    let (_, fds) = Control::connect(lab)?.order(&order)?;
    let fd = fds.into_iter().next();
    fd.map(File::from)
        .ok_or_else(|| io::Error::other("the supervisor answered without the file"))
}

/// [`Child::wait`] closes the child's standard input; this does not.
fn wait_keeping_stdin(starter: &mut Child) -> io::Result<ExitStatus> {
    let stdin = starter.stdin.take();
    let status = starter.wait();
    starter.stdin = stdin;
    status
}

fn unexpected(answer: &Answer) -> io::Error {
    io::Error::other(format!(
        "the supervisor gave an answer to something else: {answer:?}"
    ))
}
