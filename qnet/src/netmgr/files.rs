//! `/net` as files: the directory of the nodes known, and the statistics.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc},
    time::Duration,
};

use ipc_core::{
    abi::{
        Errno, Nd, Result,
        io::{
            Access, Connect, ConnectAnswer, DirEntry, FileType, OpenFlags, ReadKind, Stat, Subtype,
        },
    },
    resmgr::{Attr, ConnectFns, Context, IoFns, Ocb, Opened, Outcome, ino_of_name},
};
use qnet_proto::NodeName;
use serde::Serialize;

use crate::{
    bridge::{Mailbox, Request, Statistics},
    driver::{Recording, Tap},
    limits::REMOTE_FRAME_LEN,
    netmgr::{PREFIX, names::NetPath},
};

/// The name of the statistics below `/net`. No node can have it, and the directory does not list it.
const STATISTICS: &[u8] = b".stats";
/// The name under which whoever may see everybody's data reads the frames that come and go while it is open, as a
/// pcapng file that never ends.
const CAPTURE: &[u8] = b".capture";
/// The network-handler thread never waits; an answer that takes this long will not come.
const ANSWER_TIME: Duration = Duration::from_secs(1);

/// What `/net` is made of: the names known here, and the way to the thread that knows the rest.
pub(super) struct Net {
    own: NodeName,
    /// The names of this node's links.
    interfaces: Vec<String>,
    mailbox: Mailbox,
    known: Mutex<HashMap<NodeName, Nd>>,
    directory: Arc<Attr>,
    /// Those of the directory that this node's name leads to below `/net`.
    within_itself: Arc<Attr>,
    statistics: Arc<Attr>,
    capture: Arc<Attr>,
    tap: Tap,
}

/// What a path below `/net` names, if nobody else answers for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum OwnName {
    Directory,
    /// `/net` through the own node's name, which is a file of its own: who walks all it finds would walk in a circle.
    WithinItself,
    Statistics,
    Capture,
}

/// What the resource-manager thread is made of.
pub(crate) struct NetSetup {
    /// The name of this node.
    pub(crate) own: NodeName,
    /// The names of its links.
    pub(crate) links: Vec<String>,
    /// The way to the network-handler thread.
    pub(crate) mailbox: Mailbox,
    /// Where its frames can be had.
    pub(crate) tap: Tap,
}

/// What one open of `/net` or the statistics goes on reading: their content at the open.
pub(super) enum NetFile {
    /// The names of the nodes.
    Directory(Vec<String>),
    /// JSON text.
    Statistics(Vec<u8>),
    /// The frames since the open; none where it was opened for something else than reading.
    Capture(Option<Recording>),
}

#[derive(Serialize)]
struct Report<'a> {
    node: &'a str,
    #[serde(flatten)]
    statistics: Statistics,
}

impl Net {
    pub(super) fn new(setup: NetSetup) -> Net {
        Net {
            own: setup.own,
            interfaces: setup.links,
            mailbox: setup.mailbox,
            tap: setup.tap,
            known: Mutex::default(),
            directory: Attr::directory(0o555),
            within_itself: Attr::directory(0o555),
            statistics: Attr::file(0o444),
            capture: Attr::device(0o400),
        }
    }

    fn own_name(&self, path: &[u8]) -> Option<OwnName> {
        match path {
            b"" => return Some(OwnName::Directory),
            STATISTICS => return Some(OwnName::Statistics),
            CAPTURE => return Some(OwnName::Capture),
            _ => {}
        }
        let path = NetPath::parse(path).ok()?;
        let rest = path.rest.strip_suffix(b"/").unwrap_or(path.rest);
        let is_within = rest == PREFIX.as_bytes() && self.nd_for(&path) == Ok(Nd::LOCAL);
        is_within.then_some(OwnName::WithinItself)
    }

    /// The descriptor for a path, with the policy it names.
    fn nd_for(&self, path: &NetPath<'_>) -> Result<Nd> {
        let nd = self.nd_of(path.node).ok_or(Errno::ENOENT)?;
        path.descriptor(nd, &self.interfaces)
    }

    /// The descriptor of a node, if it is known here.
    pub(super) fn nd_of(&self, name: NodeName) -> Option<Nd> {
        if name == self.own {
            return Some(Nd::LOCAL);
        }
        self.known().get(&name).copied()
    }

    /// Remembers a node: its descriptor stays the same for the life of qnet.
    pub(super) fn learn(&self, name: NodeName, nd: Nd) {
        self.known().insert(name, nd);
    }

    /// The node that a connect message is about and that is not known yet.
    pub(super) fn unknown_node(&self, connect: &Connect<'_>) -> Option<NodeName> {
        let path = NetPath::parse(connect.path).ok()?;
        self.nd_of(path.node).is_none().then_some(path.node)
    }

    fn known(&self) -> MutexGuard<'_, HashMap<NodeName, Nd>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn ask<T>(&self, request: impl FnOnce(mpsc::SyncSender<T>) -> Request) -> Result<T> {
        let (to, from) = mpsc::sync_channel(1);
        self.mailbox.put(request(to));
        from.recv_timeout(ANSWER_TIME).map_err(|_| Errno::EIO)
    }

    /// The nodes known; none for clients of other nodes, which reach each by their own `/net` (PTH-8).
    fn directory(&self, client: Nd) -> Result<NetFile> {
        if !client.is_local() {
            return Ok(NetFile::Directory(Vec::new()));
        }
        let nodes = self.ask(Request::Nodes)?;
        let others = nodes.iter().map(|node| node.name.to_string());
        let mut names: Vec<String> = others.chain([self.own.to_string()]).collect();
        names.sort();
        names.dedup();
        Ok(NetFile::Directory(names))
    }

    fn recording(&self, flags: OpenFlags, is_here: bool) -> Result<Option<Recording>> {
        if !flags.access().contains(Access::READ) {
            return Ok(None);
        }
        let frame_len_max = if is_here {
            usize::MAX
        } else {
            REMOTE_FRAME_LEN
        };
        let recording = self.tap.record(frame_len_max);
        recording.map(Some).ok_or(Errno::EBUSY)
    }

    fn statistics(&self) -> Result<NetFile> {
        let report = Report {
            node: self.own.as_str(),
            statistics: self.ask(Request::Statistics)?,
        };
        let mut text = serde_json::to_vec_pretty(&report).map_err(|_| Errno::EIO)?;
        text.push(b'\n');
        Ok(NetFile::Statistics(text))
    }
}

impl ConnectFns for Net {
    type State = NetFile;

    fn open(&self, context: &mut Context<'_>, connect: &Connect<'_>) -> Result<Opened<NetFile>> {
        let name = Connect {
            path: b"",
            ..*connect
        };
        match self.own_name(connect.path).ok_or(Errno::ENOENT)? {
            OwnName::Directory => {
                let nodes = self.directory(context.client().nd)?;
                open_directory(context, connect.flags, &self.directory, nodes)
            }
            OwnName::WithinItself => {
                let nodes = NetFile::Directory(Vec::new());
                open_directory(context, connect.flags, &self.within_itself, nodes)
            }
            OwnName::Statistics => {
                Opened::device(context, &name, &self.statistics, self.statistics()?)
            }
            OwnName::Capture => {
                // The rights first: whoever lacks them must not learn whether somebody records.
                self.capture
                    .check_access(context.credentials(), connect.flags.access())?;
                let is_here = context.client().nd.is_local();
                let recording = self.recording(connect.flags, is_here)?;
                let file = NetFile::Capture(recording);
                Opened::device(context, &name, &self.capture, file)
            }
        }
    }

    /// Whatever lies below a node is for that node's process manager.
    fn pass_on(&self, _: &mut Context<'_>, connect: &Connect<'_>) -> Result<Option<ConnectAnswer>> {
        if self.own_name(connect.path).is_some() || connect.subtype == Subtype::ResolveNode {
            return Ok(None);
        }
        let path = NetPath::parse(connect.path)?;
        let nd = self.nd_for(&path)?;
        Ok(Some(ConnectAnswer::Redirect(path.redirect(nd))))
    }

    fn resolve_node(&self, _: &mut Context<'_>, connect: &Connect<'_>) -> Result<u32> {
        let path = NetPath::parse(connect.path)?;
        self.nd_for(&path).map(|nd| nd.0)
    }
}

impl IoFns for Net {
    fn read(
        &self,
        context: &mut Context<'_>,
        ocb: &Arc<Ocb<NetFile>>,
        len: usize,
        kind: ReadKind,
    ) -> Outcome {
        match ocb.state() {
            NetFile::Statistics(text) => ocb.read_from(context, text, len, kind),
            NetFile::Capture(recording) => {
                if kind != ReadKind::Next {
                    return Err(Errno::ESPIPE);
                }
                let recording = recording.as_ref().ok_or(Errno::EBADF)?;
                let bytes = recording.take(len.min(context.room()));
                context.put(&bytes)?;
                Ok(bytes.len().into())
            }
            NetFile::Directory(names) => read_names(context, ocb, names, len, kind),
        }
    }

    fn stat(&self, _: &mut Context<'_>, ocb: &Arc<Ocb<NetFile>>) -> Result<Stat> {
        let size = match ocb.state() {
            NetFile::Statistics(text) => text.len(),
            NetFile::Directory(names) => names.len(),
            NetFile::Capture(_) => 0,
        };
        Ok(Stat {
            size: size as u64,
            ..ocb.attr().stat()
        })
    }
}

fn open_directory(
    context: &Context<'_>,
    flags: OpenFlags,
    attr: &Arc<Attr>,
    nodes: NetFile,
) -> Result<Opened<NetFile>> {
    if flags.contains(OpenFlags::CREAT) {
        return Err(Errno::EISDIR);
    }
    attr.check_access(context.credentials(), flags.access())?;
    let ocb = Ocb::new(context, flags, Arc::clone(attr), nodes);
    Ok(Opened::File(ocb))
}

/// Entries from the offset on, which counts names.
fn read_names(
    context: &mut Context<'_>,
    ocb: &Ocb<NetFile>,
    names: &[String],
    len: usize,
    kind: ReadKind,
) -> Outcome {
    let entries = (1..).zip(names).map(|(next, name)| DirEntry {
        // As where a disk is mounted: the directory that is found there has the number its own server gives it.
        ino: ino_of_name(name.as_bytes()),
        next,
        file_type: FileType::Directory,
        name: name.as_bytes(),
    });
    ocb.list_from(context, entries, len, kind)
}
