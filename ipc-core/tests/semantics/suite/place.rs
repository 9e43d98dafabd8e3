//! Where the two sides of a test are: on one node, or on two.
//!
//! Between two nodes this process is a server of the one and a client of the other: its channels are found
//! in the server's runtime directory, its connections go through the client's. So every test, also one that
//! plays both sides in threads of its own, has a network between them.

use std::{env, fmt::Display, fs, os::unix::fs::symlink, path::PathBuf, sync::OnceLock};

use ipc_core::{
    AttachOptions, Channel, Connection,
    abi::{ChannelFlags, Chid, Errno, Nd, Pid, Result},
    set_runtime_dir,
};

use crate::suite::child::{self, Child, tell_children};

/// Tells children where their sides are.
const VARIABLE: &str = "IPC_CORE_TEST_NODES";

/// Two nodes, as the client's side of the suite sees them.
#[derive(Clone, Debug)]
pub(crate) struct TwoNodes {
    /// What the client's node calls the server's.
    pub(crate) nd: Nd,
    /// What the server's node calls the client's.
    pub(crate) back: Nd,
    /// The runtime directory of the client's node.
    pub(crate) client_dir: PathBuf,
    /// The runtime directory of the server's node.
    pub(crate) server_dir: PathBuf,
}

/// What may differ between two nodes, all of it, each with its reason. An attach, besides, may succeed
/// before the server is known (NET-2): [`refused`] looks at both.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Difference {
    /// Files, mappings, forks and users of one node.
    OneNode,
    /// `server_info` names the client as its own node's qnet does.
    ScoidOfQnet,
}

impl Difference {
    fn why(self) -> &'static str {
        match self {
            Difference::OneNode => "the test is about what one node alone has",
            Difference::ScoidOfQnet => {
                "the attach answers before the server does (NET-2), so its scoid is the one that the \
                 client's own qnet gave"
            }
        }
    }
}

/// Whether a test leaves out, between two nodes, what is different there; says so.
pub(crate) fn differs(difference: Difference) -> bool {
    let differs = nodes().is_some();
    if differs {
        println!("left out between two nodes: {}", difference.why());
    }
    differs
}

/// Settles where the sides are, before the first channel or connection.
pub(crate) fn nodes() -> Option<&'static TwoNodes> {
    static PLACE: OnceLock<Option<TwoNodes>> = OnceLock::new();
    let place = PLACE.get_or_init(|| {
        let nodes = env::var(VARIABLE).map_or_else(|_| crate::two_nodes(), parse);
        nodes.inspect(|nodes| {
            be_on_both(nodes);
            tell_children(VARIABLE, nodes.encode());
        })
    });
    place.as_ref()
}

/// What the client's node calls the server's.
pub(crate) fn server_nd() -> Nd {
    nodes().map_or(Nd::LOCAL, |nodes| nodes.nd)
}

/// What the server's node calls the client's.
pub(crate) fn client_nd() -> Nd {
    nodes().map_or(Nd::LOCAL, |nodes| nodes.back)
}

/// A channel, on the server's node.
pub(crate) fn create(flags: ChannelFlags) -> Channel {
    nodes();
    Channel::create(flags).expect("a channel can be made")
}

/// Attaches from the client's node to a process of the server's, 0 being this one.
pub(crate) fn attach(pid: Pid, chid: Chid) -> Result<Connection> {
    attach_with(pid, chid, &AttachOptions::default())
}

/// As [`attach`], with options.
pub(crate) fn attach_with(pid: Pid, chid: Chid, options: &AttachOptions<'_>) -> Result<Connection> {
    match nodes() {
        None => Connection::attach_with(Nd::LOCAL, pid, chid, options),
        Some(nodes) => {
            let pid = if pid == Pid::SELF {
                Pid::current()
            } else {
                pid
            };
            Connection::attach_with(nodes.nd, pid, chid, options)
        }
    }
}

/// Why nobody can be talked to there: between two nodes it is the first send that tells (NET-2).
pub(crate) fn refused(pid: Pid, chid: Chid) -> Errno {
    let attached = attach(pid, chid);
    if nodes().is_none() {
        return attached.map(drop).expect_err("nobody is there");
    }
    let connection = attached.expect("nothing is known yet");
    let sent = connection.send(b"anybody?", &mut []);
    sent.expect_err("nobody is there")
}

/// Runs the ignored test of this name in a process that knows where the sides are, as this one does from then on.
pub(crate) fn start(test: &str, argument: impl Display) -> Child {
    nodes();
    Child::start(test, argument)
}

/// As [`start`], as a user without privileges; says why where that cannot be.
pub(crate) fn start_as_nobody(test: &str, argument: impl Display) -> Option<Child> {
    nodes();
    Child::start_as_nobody(test, argument)
}

/// As [`start`], to its end.
pub(crate) fn run_alone(test: &str) {
    nodes();
    child::run_alone(test);
}

impl TwoNodes {
    fn encode(&self) -> String {
        let dirs = [&self.client_dir, &self.server_dir].map(|dir| dir.display());
        format!("{} {} {} {}", self.nd, self.back, dirs[0], dirs[1])
    }
}

fn parse(variable: String) -> Option<TwoNodes> {
    let mut words = variable.split(' ');
    let mut nd = || Some(Nd(words.next()?.parse().ok()?));
    let (nd, back) = (nd()?, nd()?);
    let mut dir = || words.next().map(PathBuf::from);
    Some(TwoNodes {
        nd,
        back,
        client_dir: dir()?,
        server_dir: dir()?,
    })
}

/// Makes this process a server of the one node and a client of the other.
fn be_on_both(nodes: &TwoNodes) {
    set_runtime_dir(nodes.server_dir.clone());
    // The first channel is what makes the process listen, in the directory of that moment.
    drop(Channel::create(ChannelFlags::empty()).expect("a channel can be made"));
    // Who is blocked on the channels is asked through the directory that is in force.
    let name = format!("{}.sock", Pid::current());
    let (here, there) = (nodes.client_dir.join(&name), nodes.server_dir.join(&name));
    let _ = fs::remove_file(&here);
    symlink(there, here).expect("the client's node has room for a name");
    set_runtime_dir(nodes.client_dir.clone());
}
