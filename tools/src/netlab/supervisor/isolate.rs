//! Out of the host's namespaces and into the lab's own.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::net::{SocketAddr, UnixListener};
use std::path::Path;

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use nix::unistd::{ForkResult, Gid, Uid, dup2_stderr, dup2_stdin, dup2_stdout, setsid};

use super::LAB_DIR;
use crate::netlab::{control, sys};

/// Which of the two processes one is after the split.
pub(super) enum Side {
    /// The process that wants a lab.
    Caller,
    /// Process 1 of the lab, or what kept it from becoming that.
    Supervisor(io::Result<Isolated>),
}

/// Holding one proves to be process 1 of a pid namespace, in mount and network namespaces of one's own.
pub(super) struct Isolated {
    /// The control socket; its name lives in the host's network namespace.
    pub(super) listener: UnixListener,
    /// The lab has a user namespace.
    pub(super) user_namespace: bool,
}

/// Makes the namespaces and the supervisor's process.
pub(super) fn enter_new_namespaces(lab: &str) -> io::Result<Side> {
    let address = control::address(lab)?;
    let user_namespace = leave_namespaces()?;
    match sys::fork_single_threaded()? {
        ForkResult::Parent { .. } => Ok(Side::Caller),
        ForkResult::Child => {
            let settled = settle(lab, &address);
            Ok(Side::Supervisor(settled.map(|listener| Isolated {
                listener,
                user_namespace,
            })))
        }
    }
}

/// Unshares what the supervisor is to be born into; true: with a user namespace.
fn leave_namespaces() -> io::Result<bool> {
    let flags = CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_NEWPID;
    let (uid, gid) = (Uid::effective(), Gid::effective());
    if uid.is_root() && unshare(flags).is_ok() {
        return Ok(false);
    }
    unshare(CloneFlags::CLONE_NEWUSER).map_err(|errno| not_permitted("a user namespace", errno))?;
    map_ids(uid, gid).map_err(|error| {
        io::Error::new(
            error.kind(),
            format!("mapping user {uid} to the lab's root: {error}"),
        )
    })?;
    unshare(flags).map_err(|errno| not_permitted("mount and pid namespaces", errno))?;
    Ok(true)
}

fn not_permitted(what: &str, errno: nix::Error) -> io::Error {
    let exists = |path: &str| Path::new(path).exists();
    let advice = if errno == nix::Error::ENOSPC {
        "sysctl user.max_user_namespaces=15000"
    } else if exists("/proc/sys/kernel/apparmor_restrict_unprivileged_userns") {
        "sysctl kernel.apparmor_restrict_unprivileged_userns=0"
    } else if exists("/proc/sys/kernel/unprivileged_userns_clone") {
        "sysctl kernel.unprivileged_userns_clone=1"
    } else {
        "in a container, run that with --privileged"
    };
    let text = format!(
        "cannot make {what}: {errno}. A lab lives in namespaces of its own, and this system does not \
         let user {} make them. Run netlab as root, or allow it: {advice}",
        Uid::effective()
    );
    io::Error::new(io::ErrorKind::PermissionDenied, text)
}

fn map_ids(uid: Uid, gid: Gid) -> io::Result<()> {
    write_once("/proc/self/setgroups", "deny")?;
    write_once("/proc/self/uid_map", &format!("0 {uid} 1"))?;
    write_once("/proc/self/gid_map", &format!("0 {gid} 1"))
}

/// The kernel takes these files in a single write.
fn write_once(path: &str, text: &str) -> io::Result<()> {
    OpenOptions::new()
        .write(true)
        .open(path)?
        .write_all(text.as_bytes())
}

/// What process 1 does first.
fn settle(lab: &str, address: &SocketAddr) -> io::Result<UnixListener> {
    let listener = UnixListener::bind_addr(address).map_err(|error| {
        let text = match error.kind() {
            io::ErrorKind::AddrInUse => format!(
                "there is a lab {lab:?} already. Use it, give this one another name with --lab, or \
                 end that one: netlab --lab {lab} down"
            ),
            _ => format!("the control socket of lab {lab:?}: {error}"),
        };
        io::Error::new(error.kind(), text)
    })?;
    setsid()?;
    unshare(CloneFlags::CLONE_NEWNET)
        .map_err(|errno| not_permitted("a network namespace", errno))?;
    make_mounts()?;
    redirect_standard_streams()?;
    std::env::set_current_dir("/")?;
    Ok(listener)
}

fn make_mounts() -> io::Result<()> {
    let none = None::<&str>;
    let slave = MsFlags::MS_REC | MsFlags::MS_SLAVE;
    mount(none, "/", none, slave, none).map_err(|errno| mount_error("/", errno))?;
    let plain = MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
    // Where a container masks parts of /proc, a new one is refused. The old one then stays: it shows
    // the host's pids, which only `ps` on a node minds.
    if let Err(errno) = mount(Some("proc"), "/proc", Some("proc"), plain, none) {
        tracing::debug!(%errno, "no /proc of the lab's own");
    }
    mount(
        Some("netlab"),
        LAB_DIR,
        Some("tmpfs"),
        plain,
        Some("mode=1777"),
    )
    .map_err(|errno| mount_error(LAB_DIR, errno))
}

fn mount_error(path: &str, errno: nix::Error) -> io::Error {
    let text = format!("cannot mount on {path} in the lab's mount namespace: {errno}");
    io::Error::new(io::Error::from(errno).kind(), text)
}

/// The supervisor outlives the command that started it and must not hold its terminal or pipes.
fn redirect_standard_streams() -> io::Result<()> {
    let null = OpenOptions::new().read(true).open("/dev/null")?;
    let log = fs::File::create(Path::new(LAB_DIR).join("supervisor.log"))?;
    dup2_stdin(&null)?;
    dup2_stdout(&log)?;
    dup2_stderr(&log)?;
    Ok(())
}
