//! The walk of a path from server to server, without the sending (design: the walk).
//!
//! A pure machine: [`Walk::poll`] says whom to ask next and for which path, the `handle_` functions take
//! what came of it. Servers still to be asked stand on a stack, so that a redirect is followed before the
//! rest of the list that led to it.
//!
//! ```text
//!   poll -> Ask(hop) -> handle_error | handle_redirect | handle_symlink | (done: the hop answers)
//!        -> TranslateNode(name) -> handle_node
//! ```
//! Invariant: each redirect and each symbolic link uses up the budget, so that every walk ends.

#![forbid(unsafe_code)]

use crate::{
    abi::{
        Chid, Errno, Nd, Pid, Result,
        io::{Redirect, RedirectServer, Symlink},
        limits::REDIRECTS_MAX,
        proc::PrefixFlags,
    },
    proc::Pathname,
};

/// The prefix under which a node's qnet serves.
const NET: &[u8] = b"/net";

/// Whom a walk asks, as traces number it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Step {
    /// The process manager of this node.
    Procmgr,
    /// The resource manager of this node's qnet.
    Net,
    /// The process manager of another node.
    RemoteProcmgr,
    /// The server that the path leads to.
    Server,
}

/// A server to ask, and what for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Hop {
    /// The server's node, as this node numbers it.
    pub(crate) nd: Nd,
    /// Its process.
    pub(crate) pid: Pid,
    /// Its channel.
    pub(crate) chid: Chid,
    /// What it registered with the prefix.
    pub(crate) handle: u64,
    /// The flags of its prefix.
    pub(crate) flags: PrefixFlags,
    /// What to ask it for.
    pub(crate) path: Vec<u8>,
    /// What it is to the walk.
    pub(crate) step: Step,
    /// The other node's name, where it is known.
    pub(crate) node: Option<String>,
    /// Where its answers that are symbolic links start again.
    root: Root,
}

/// A process manager and the path that it was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Root {
    nd: Nd,
    node: Option<String>,
    path: Pathname,
}

/// What a walk needs next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// Send the connect message to this server.
    Ask(Hop),
    /// Find this node's descriptor for the node of this name.
    TranslateNode(String),
}

/// A server that is still to be asked; its node may not have been translated yet.
#[derive(Clone, Debug)]
struct Candidate {
    hop: Hop,
    untranslated: Option<String>,
}

/// A path on its way to the server that answers for it.
#[derive(Clone, Debug)]
pub(crate) struct Walk {
    /// The next to ask is the last.
    candidates: Vec<Candidate>,
    redirects: usize,
    first_error: Option<Errno>,
}

impl Walk {
    /// A walk that starts at the process manager of this node.
    pub(crate) fn new(path: Pathname) -> Walk {
        Walk::from_node(Nd::LOCAL, None, path)
    }

    /// A walk that starts at the process manager of another node.
    pub(crate) fn from_node(nd: Nd, node: Option<String>, path: Pathname) -> Walk {
        let start = Candidate {
            hop: Root { nd, node, path }.hop(),
            untranslated: None,
        };
        Walk {
            candidates: vec![start],
            redirects: 0,
            first_error: None,
        }
    }

    /// What to do next.
    ///
    /// # Errors
    /// All servers have been asked: the error of the first that had one, which is that of the longest
    /// prefix; `ENOENT` when none had.
    pub(crate) fn poll(&mut self) -> Result<Next> {
        match self.candidates.last() {
            None => Err(self.first_error.unwrap_or(Errno::ENOENT)),
            Some(Candidate {
                untranslated: Some(name),
                ..
            }) => Ok(Next::TranslateNode(name.clone())),
            Some(_) => Ok(Next::Ask(self.candidates.pop().expect("it has a last").hop)),
        }
    }

    /// Redirects and symbolic links followed so far.
    pub(crate) fn redirects(&self) -> u32 {
        self.redirects as u32
    }

    /// A server answered with an error, or could not be asked.
    ///
    /// # Errors
    /// The same, unless it is one on which the next server is asked (PTH-1).
    pub(crate) fn handle_error(&mut self, errno: Errno) -> Result<()> {
        if !goes_on(errno) {
            return Err(errno);
        }
        self.first_error.get_or_insert(errno);
        Ok(())
    }

    /// A server named others to ask.
    ///
    /// # Errors
    /// `ELOOP` the budget is used up, `EBADMSG` a list that leads nowhere.
    pub(crate) fn handle_redirect(&mut self, from: &Hop, redirect: &Redirect) -> Result<()> {
        self.use_budget()?;
        let hops = redirect
            .servers
            .iter()
            .map(|server| candidate(from, redirect, server));
        let hops: Vec<_> = hops.collect::<Result<_>>()?;
        self.candidates.extend(hops.into_iter().rev());
        Ok(())
    }

    /// A server met a symbolic link: the walk starts again at the process manager of its node.
    ///
    /// # Errors
    /// `ELOOP` the budget is used up, `EBADMSG` a link elsewhere than in the path, `EXDEV` a relative link
    /// below a path that has no name of its own, and those of [`Pathname::parse`].
    pub(crate) fn handle_symlink(&mut self, from: &Hop, symlink: &Symlink) -> Result<()> {
        self.use_budget()?;
        let path = link_path(from, symlink)?;
        let root = Root {
            path: Pathname::parse(&path)?,
            ..from.root.clone()
        };
        self.candidates = vec![Candidate {
            hop: root.hop(),
            untranslated: None,
        }];
        Ok(())
    }

    /// The descriptor of the node that [`Next::TranslateNode`] asked for, or why there is none.
    ///
    /// # Errors
    /// As [`Walk::handle_error`].
    pub(crate) fn handle_node(&mut self, nd: Result<Nd>) -> Result<()> {
        let mut candidate = self
            .candidates
            .pop()
            .expect("a node was asked for on behalf of a candidate");
        match nd {
            Ok(nd) => {
                candidate.hop.place_on(nd, candidate.untranslated.take());
                self.candidates.push(candidate);
                Ok(())
            }
            Err(errno) => self.handle_error(errno),
        }
    }

    fn use_budget(&mut self) -> Result<()> {
        if self.redirects >= REDIRECTS_MAX {
            return Err(Errno::ELOOP);
        }
        self.redirects += 1;
        Ok(())
    }
}

impl Root {
    fn hop(self) -> Hop {
        Hop {
            nd: self.nd,
            pid: Pid::PROCMGR,
            chid: Chid::PROCMGR,
            handle: 0,
            flags: PrefixFlags::empty(),
            path: self.path.to_bytes(),
            step: if self.nd.is_local() {
                Step::Procmgr
            } else {
                Step::RemoteProcmgr
            },
            node: self.node.clone(),
            root: self,
        }
    }
}

impl Hop {
    /// Whether the server resolves paths and is not itself the file: the process managers, and qnet for
    /// what lies below `/net`.
    pub(crate) fn is_resolver(&self) -> bool {
        match self.step {
            Step::Procmgr | Step::RemoteProcmgr => self.handle == 0,
            Step::Net => !self.path.is_empty(),
            Step::Server => false,
        }
    }

    /// Whether both lead to the same server and prefix.
    pub(crate) fn is_same_server(&self, other: &Hop) -> bool {
        let key = |hop: &Hop| (hop.nd, hop.pid, hop.chid, hop.handle);
        key(self) == key(other)
    }

    fn is_procmgr(&self) -> bool {
        (self.pid, self.chid) == (Pid::PROCMGR, Chid::PROCMGR)
    }

    fn place_on(&mut self, nd: Nd, node: Option<String>) {
        self.nd = nd;
        self.node = node;
        self.step = match () {
            () if self.is_procmgr() && nd.is_local() => Step::Procmgr,
            () if self.is_procmgr() => Step::RemoteProcmgr,
            () => Step::Server,
        };
        if self.is_procmgr() && self.handle == 0 {
            self.root.nd = nd;
            self.root.node.clone_from(&self.node);
        }
    }
}

/// Whether the client asks the next server after this error (PTH-1).
pub(crate) fn goes_on(errno: Errno) -> bool {
    const SINGLE: [Errno; 6] = [
        Errno::EROFS,
        Errno::ENOSYS,
        Errno::ENOENT,
        Errno::ENXIO,
        Errno::ESRCH,
        Errno::EBADFSYS,
    ];
    SINGLE.contains(&errno) || (Errno::ENETDOWN..=Errno::EHOSTUNREACH).contains(&errno)
}

fn candidate(from: &Hop, redirect: &Redirect, server: &RedirectServer) -> Result<Candidate> {
    let path = redirect.rest(server).to_vec();
    let mut hop = Hop {
        nd: from.nd,
        pid: server.pid,
        chid: server.chid,
        handle: server.handle,
        flags: PrefixFlags::from_bits_retain(server.flags),
        path,
        step: Step::Server,
        node: None,
        root: from.root.clone(),
    };
    if hop.is_procmgr() && hop.handle == 0 {
        hop.root.path = Pathname::parse(&hop.path).map_err(|_| Errno::EBADMSG)?;
        hop.path = hop.root.path.to_bytes();
    }
    let is_net =
        from.nd.is_local() && server.nd.is_local() && redirect.path[..server.prefix_len] == *NET;
    let untranslated = match (&server.node_name, server.nd.is_local()) {
        (_, true) => {
            hop.place_on(from.nd, from.node.clone());
            None
        }
        (name, false) if from.nd.is_local() => {
            hop.place_on(server.nd, name.clone());
            None
        }
        (Some(name), false) => Some(name.clone()),
        (None, false) => return Err(Errno::EBADMSG),
    };
    if is_net && !hop.is_procmgr() {
        hop.step = Step::Net;
    }
    Ok(Candidate { hop, untranslated })
}

/// The path that a symbolic link makes of the one that was asked for, on the node of who was asked.
fn link_path(from: &Hop, symlink: &Symlink) -> Result<Vec<u8>> {
    let sent = &from.path;
    let before = sent.get(..symlink.link_start).ok_or(Errno::EBADMSG)?;
    let behind = sent.get(symlink.link_end..).ok_or(Errno::EBADMSG)?;
    if symlink.target.starts_with(b"/") {
        return Ok([&symlink.target, behind].concat());
    }
    let whole = from.root.path.to_bytes();
    let covered = whole.strip_suffix(sent.as_slice()).ok_or(Errno::EXDEV)?;
    Ok([covered, before, &symlink.target, behind].concat())
}

#[cfg(test)]
mod tests;
