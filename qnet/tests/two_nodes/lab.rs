//! The two nodes, what runs on them, and a client of them.

use std::{
    env, fs,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use ipc_core::{
    Connection,
    abi::{
        Chid, Errno, Nd, Pid,
        io::{Connect, Subtype},
    },
    set_runtime_dir,
};

use nix::sys::{
    signal::Signal,
    wait::{WaitPidFlag, WaitStatus, waitpid},
};

use crate::support::make_veth;

/// The channel on which qnet's resource-manager thread answers: its second.
pub(crate) const NET: Chid = Chid(2);

/// What has not come after so long never does.
pub(crate) const GIVE_UP: Duration = Duration::from_secs(60);

/// A child process that is killed when the test ends, however it does.
pub(crate) struct Process(pub(crate) Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Process {
    pub(crate) fn pid(&self) -> Pid {
        Pid(self.0.id().cast_signed())
    }

    pub(crate) fn signal(&self, signal: Signal) {
        nix::sys::signal::kill(nix::unistd::Pid::from_raw(self.pid().0), signal).unwrap();
    }

    /// Stops it, and waits until all its threads have stopped: on a busy machine that takes a moment.
    pub(crate) fn stop(&self) {
        self.signal(Signal::SIGSTOP);
        let pid = nix::unistd::Pid::from_raw(self.pid().0);
        let stopped = waitpid(pid, Some(WaitPidFlag::WUNTRACED));
        assert_eq!(stopped, Ok(WaitStatus::Stopped(pid, Signal::SIGSTOP)));
    }
}

/// A node: its runtime directory, its stand-in for a process manager, its qnet.
pub(crate) struct TestNode {
    pub(crate) dir: PathBuf,
    pub(crate) server: Process,
    pub(crate) qnet: Process,
}

pub(crate) fn start(mut command: Command) -> Process {
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let process = Process(child);
    let ready = lines.find(|line| line.as_ref().is_ok_and(|line| line.contains("ready: ")));
    assert!(ready.is_some(), "{command:?} did not become ready");
    // The rest of its output must not fill the pipe.
    std::thread::spawn(move || lines.for_each(drop));
    process
}

pub(crate) fn role(name: &str, dir: &Path) -> Command {
    let mut command = Command::new(env::current_exe().unwrap());
    command
        .args(["--exact", name, "--ignored", "--nocapture"])
        .env("QNET_RUNTIME_DIR", dir);
    command
}

pub(crate) fn start_qnet(dir: &Path, interface: &str, name: &str, more: &[&str]) -> Process {
    let mut command = Command::new(env!("CARGO_BIN_EXE_qnet"));
    command
        .args([
            "--interface",
            interface,
            "--name",
            name,
            "--map",
            "identity",
        ])
        .args(["--resolve-timeout-ms", "300", "--log-level", "debug"])
        .args(more)
        .env("QNET_RUNTIME_DIR", dir);
    if !more.contains(&"--tolerance-ms") {
        // On a busy machine a node that lives may be silent for a while.
        command.args(["--tolerance-ms", "6000"]);
    }
    start(command)
}

impl TestNode {
    pub(crate) fn start(root: &Path, interface: &str, name: &str, more: &[&str]) -> TestNode {
        let dir = root.join(name);
        fs::create_dir(&dir).unwrap();
        let server = start(role("server::role_server", &dir));
        let qnet = start_qnet(&dir, interface, name, more);
        TestNode { dir, server, qnet }
    }
}

pub(crate) fn resolve(qnet: Pid, name: &str) -> Result<Nd, Errno> {
    let manager = Connection::attach(Nd::LOCAL, qnet, NET)?;
    let message = Connect::new(Subtype::ResolveNode, name.as_bytes()).encode()?;
    let reply = manager.send(&message, &mut [])?;
    Ok(Nd(reply.status as u32))
}

pub(crate) fn attach(nd: Nd) -> Connection {
    Connection::attach(nd, Pid::PROCMGR, Chid::PROCMGR).unwrap()
}

pub(crate) fn echo(connection: &Connection, len: usize, salt: u8) {
    let message: Vec<u8> = (0..len)
        .map(|i| (i * 31) as u8 ^ (i >> 8) as u8 ^ salt)
        .collect();
    let mut reply = vec![0; len];
    let answer = connection.send(&message, &mut reply).unwrap();
    assert_eq!((answer.status, answer.len), (len as i64, len));
    assert!(message == reply, "{len} bytes came back changed");
}

/// Resolves the name of a node that is there. It may not answer in the time that a question has: the carriers of new
/// interfaces come up to a second late, and a busy machine takes its time.
pub(crate) fn resolve_in_time(qnet: Pid, name: &str) -> Nd {
    let started = Instant::now();
    loop {
        match resolve(qnet, name) {
            Ok(nd) => return nd,
            Err(errno) => assert_eq!(errno, Errno::ENOENT),
        }
        assert!(started.elapsed() < GIVE_UP, "{name} never answers");
    }
}

/// How many messages the server has received that it never answers.
pub(crate) fn kept(connection: &Connection) -> i64 {
    connection
        .send(b"how many are kept?", &mut [])
        .unwrap()
        .status
}

/// Waits until the server has received one more that it never answers.
pub(crate) fn until_more_are_kept(connection: &Connection, before: i64) {
    let started = Instant::now();
    while kept(connection) == before {
        assert!(started.elapsed() < GIVE_UP, "it is not received");
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Makes two nodes that know each other and, on this process's side, a client of the first.
pub(crate) fn two_nodes(mtu: usize, more: &[&str]) -> (tempfile::TempDir, TestNode, TestNode) {
    make_veth(mtu);
    let root = tempfile::tempdir().unwrap();
    let magenta = TestNode::start(root.path(), "va", "magenta", more);
    let wintermute = TestNode::start(root.path(), "vb", "wintermute", more);
    set_runtime_dir(wintermute.dir.clone());
    resolve_in_time(wintermute.qnet.pid(), "magenta");
    set_runtime_dir(magenta.dir.clone());
    resolve_in_time(magenta.qnet.pid(), "wintermute");
    (root, magenta, wintermute)
}
