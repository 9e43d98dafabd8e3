//! A node's process manager and qnet, as sides of an arm that have no part in its rounds.

use std::fs::File;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use ipc_core::Connection;
use ipc_core::abi::{Chid, Nd, Pid};
use qnet::config::{Config, Options};

use crate::method::{Arm, Seat, silent};
use crate::nodes::{INTERFACE, Node};
use crate::setting::{Setting, Wait};
use crate::sys::fork::set_env;
use crate::sys::loss;

/// Which side of a remote arm is the qnet of the server's node; its notice tells its process id.
pub(super) const SERVER_QNET: usize = 1;
/// The same of the client's node: the server and its own process manager lie between.
pub(super) const CLIENT_QNET: usize = 4;

/// Qnet's own, and one beside that of the rulers.
const ETHERTYPES: [u16; 2] = [0x88B5, 0x88B7];

/// How long a daemon may take to start.
const PATIENCE: Duration = Duration::from_secs(10);

/// Adds the two daemons of the node named `name`, on the CPU of `seat`, to `arm`.
///
/// # Errors
/// What keeps one of them from starting.
pub(super) fn start(
    arm: Arm,
    seat: Seat,
    node: &Node,
    name: &str,
    dir: &Path,
    setting: &Setting,
) -> crate::Result<Arm> {
    let wait = setting.wait;
    std::fs::create_dir_all(dir)?;
    arm.seat(
        Seat {
            name: "procmgr",
            ..seat
        },
        |_| {
            enter(node, dir, wait)?;
            // The ready notice is for whoever starts a daemon by itself.
            nix::unistd::dup2_stdout(File::create("/dev/null")?)?;
            let dir = dir.to_path_buf();
            thread::spawn(move || {
                if let Err(fault) = tools::procmgr::serve_node(&dir) {
                    eprintln!("benches: procmgr: {fault}");
                }
            });
            retry(|| Ok(Connection::attach(Nd::LOCAL, Pid::PROCMGR, Chid::PROCMGR)?))?;
            Ok(silent(|_| Ok(())))
        },
    )?
    .seat(
        Seat {
            name: "qnet",
            ..seat
        },
        |stage| {
            enter(node, dir, wait)?;
            let options = Options {
                interface: vec![INTERFACE.to_owned()],
                name: Some(name.to_owned()),
                runtime_dir: Some(dir.to_path_buf()),
                // Two arms on one wire must not hear each other.
                ethertype: Some(ETHERTYPES[setting.instance as usize]),
                map: Some("identity".to_owned()),
                ..Options::default()
            };
            let daemon = qnet::node::Node::start(Config::load(&options)?)?;
            if setting.load.loss > 0.0 {
                loss::lose_frames(setting.load.loss)?;
            }
            stage.notice[0] = u64::from(std::process::id());
            Ok(silent(move |_| {
                // Both threads run for as long as this side lives.
                let _ = &daemon;
                Ok(())
            }))
        },
    )
}

/// Makes the calling process one of the node's.
pub(super) fn enter(node: &Node, dir: &Path, wait: Wait) -> crate::Result<()> {
    set_env("QNET_RUNTIME_DIR", dir.as_os_str());
    if wait == Wait::Block {
        set_env("QNET_SPIN", "never".as_ref());
    }
    node.enter()
}

/// Tries until it works; nodes and daemons take a moment to find each other.
pub(super) fn retry<T>(mut act: impl FnMut() -> crate::Result<T>) -> crate::Result<T> {
    let end = Instant::now() + PATIENCE;
    loop {
        match act() {
            Err(_) if Instant::now() < end => thread::sleep(Duration::from_millis(5)),
            outcome => return outcome,
        }
    }
}
