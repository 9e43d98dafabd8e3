//! Drives a walk: sends a connect message from server to server until one answers.

use crate::{
    Connection,
    abi::{
        Errno, Nd, Pid, Result,
        io::{CONNECT_ANSWER_LEN_MAX, Connect, ConnectAnswer, Extra, OpenFlags, Subtype},
        proc::PrefixFlags,
    },
    proc::{
        Pathname,
        client::{
            pool::{self, Address},
            served, traced,
            walk::{Hop, Next, Step, Walk},
        },
    },
    trace,
};

/// A connect message without its path.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wish<'a> {
    pub(crate) subtype: Subtype,
    pub(crate) flags: OpenFlags,
    pub(crate) mode: u32,
    pub(crate) extra: Extra<'a>,
}

impl Wish<'_> {
    /// A message of this subtype and nothing else.
    pub(crate) fn of(subtype: Subtype) -> Wish<'static> {
        Wish {
            subtype,
            flags: OpenFlags::empty(),
            mode: 0,
            extra: Extra::None,
        }
    }

    /// Whether a server that gets it twice has done what one that gets it once has.
    fn is_idempotent(&self) -> bool {
        match self.subtype {
            Subtype::Open | Subtype::Combine | Subtype::CombineClose => {
                !self.flags.contains(OpenFlags::EXCL)
            }
            Subtype::Readlink | Subtype::Access | Subtype::Resolve | Subtype::ResolveNode => true,
            Subtype::Unlink
            | Subtype::Rename
            | Subtype::Mknod
            | Subtype::Link
            | Subtype::Mount
            | Subtype::Mkdir
            | Subtype::Rmdir
            | Subtype::Symlink => false,
        }
    }
}

/// A server answered: where that was, and what it said.
pub(crate) struct Arrival {
    pub(crate) hop: Hop,
    /// What the answer came over; after an open it is the file.
    pub(crate) connection: Connection,
    pub(crate) status: i64,
    pub(crate) bytes: Vec<u8>,
}

impl Arrival {
    pub(crate) fn address(&self) -> Address {
        self.hop.address()
    }

    /// Keeps the answer alone: the connection is not a file.
    pub(crate) fn into_answer(self) -> (i64, Vec<u8>) {
        pool::put(self.hop.address(), self.connection);
        (self.status, self.bytes)
    }
}

impl Hop {
    pub(crate) fn address(&self) -> Address {
        Address {
            nd: self.nd,
            pid: self.pid,
            chid: self.chid,
        }
    }
}

/// Sends the wish to the servers that the path leads to, until one answers.
///
/// # Errors
/// What the server said, or what kept the message from it: `ESRCH` nothing answers where a server should
/// be, `ELOOP` too many redirects, and those of [`Walk`].
pub(crate) fn arrive(path: Pathname, wish: &Wish<'_>) -> Result<Arrival> {
    let mut walk = Walk::new(path.clone());
    if served::is_watched() {
        leave_procmgr(&mut walk, &path, wish)?;
    }
    follow(walk, wish)
}

/// Asks the process manager of this node, and notes if it knows nobody, or but itself where this machine has the path.
fn leave_procmgr(walk: &mut Walk, path: &Pathname, wish: &Wish<'_>) -> Result<()> {
    let asked = step(walk, wish, &|_| false);
    let leads_on = match walk.clone().poll() {
        Ok(Next::Ask(hop)) => !hop.is_procmgr_itself() || is_missing_here(path),
        Ok(Next::TranslateNode(_)) => true,
        Err(_) => false,
    };
    if leads_on && matches!(asked, Ok(Progress::On)) {
        return Ok(());
    }
    served::note_unserved();
    if let Progress::Arrived(arrival) = asked? {
        arrival.into_answer();
    }
    Err(Errno::ENOENT)
}

/// Whether this machine itself has nothing of the path.
fn is_missing_here(path: &Pathname) -> bool {
    let found = std::fs::symlink_metadata(path.as_path());
    found.is_err_and(|error| error.kind() == std::io::ErrorKind::NotFound)
}

/// As [`arrive`], from the process manager of another node on.
pub(crate) fn arrive_from(nd: Nd, path: Pathname, wish: &Wish<'_>) -> Result<Arrival> {
    follow(Walk::from_node(nd, None, path), wish)
}

/// Follows the path to a server that registered it as a name; nothing is sent to that server (PTH-6).
///
/// # Errors
/// `ENOENT` the path leads to no name, else as [`arrive`].
pub(crate) fn find_name(path: Pathname) -> Result<Address> {
    let mut walk = Walk::new(path);
    let wish = Wish::of(Subtype::Resolve);
    loop {
        match step(&mut walk, &wish, &|hop| {
            hop.flags.contains(PrefixFlags::NAME) && hop.path.is_empty()
        })? {
            Progress::Found(hop) => return Ok(hop.address()),
            Progress::Arrived(arrival) => {
                arrival.into_answer();
                return Err(Errno::ENOENT);
            }
            Progress::On => {}
        }
    }
}

/// The first server that the process manager of this node lists for the path; nothing is sent to it.
///
/// # Errors
/// `ENOENT` none, else as [`arrive`].
pub(crate) fn find_server(path: Pathname) -> Result<Hop> {
    let mut walk = Walk::new(path);
    let wish = Wish::of(Subtype::Resolve);
    loop {
        match step(&mut walk, &wish, &|hop| !hop.is_procmgr_itself())? {
            Progress::Found(hop) => return Ok(hop),
            Progress::Arrived(arrival) => {
                arrival.into_answer();
                return Err(Errno::ENOENT);
            }
            Progress::On => {}
        }
    }
}

fn follow(mut walk: Walk, wish: &Wish<'_>) -> Result<Arrival> {
    loop {
        if let Progress::Arrived(arrival) = step(&mut walk, wish, &|_| false)? {
            return Ok(arrival);
        }
    }
}

enum Progress {
    On,
    Found(Hop),
    Arrived(Arrival),
}

fn step(walk: &mut Walk, wish: &Wish<'_>, is_found: &dyn Fn(&Hop) -> bool) -> Result<Progress> {
    let hop = match walk.poll()? {
        Next::TranslateNode(name) => {
            walk.handle_node(translate(&name))?;
            return Ok(Progress::On);
        }
        Next::Ask(hop) if is_found(&hop) => return Ok(Progress::Found(hop)),
        Next::Ask(hop) => hop,
    };
    let (connection, answer, bytes) = match ask(&hop, wish, walk.redirects()) {
        Ok(answered) => answered,
        Err(errno) => {
            walk.handle_error(errno)?;
            return Ok(Progress::On);
        }
    };
    match answer {
        ConnectAnswer::Done { status } => {
            return Ok(Progress::Arrived(Arrival {
                hop,
                connection,
                status,
                bytes,
            }));
        }
        ConnectAnswer::Redirect(redirect) => walk.handle_redirect(&hop, &redirect)?,
        ConnectAnswer::Symlink(symlink) => walk.handle_symlink(&hop, &symlink)?,
    }
    pool::put(hop.address(), connection);
    Ok(Progress::On)
}

/// This node's descriptor for a node, from the manager of `/net` (PTH-4).
///
/// # Errors
/// `ENOENT` no such node or no qnet, `EOVERFLOW` a descriptor that is none.
#[doc(alias = "netmgr_strtond")]
pub fn translate(node: &str) -> Result<Nd> {
    if node.contains('/') {
        return Err(Errno::EINVAL);
    }
    let mut walk = Walk::new(Pathname::ROOT.join(format!("net/{node}").as_bytes())?);
    let wish = Wish::of(Subtype::ResolveNode);
    loop {
        // A node that is named by another node again would never end.
        if matches!(walk.clone().poll()?, Next::TranslateNode(_)) {
            return Err(Errno::ELOOP);
        }
        if let Progress::Arrived(arrival) = step(&mut walk, &wish, &|_| false)? {
            let (status, _) = arrival.into_answer();
            return u32::try_from(status).map(Nd).map_err(|_| Errno::EOVERFLOW);
        }
    }
}

/// What a server that answered is asked over, and said.
pub(super) type Asked = (Connection, ConnectAnswer, Vec<u8>);

fn ask(hop: &Hop, wish: &Wish<'_>, redirects: u32) -> Result<Asked> {
    let connect = Connect {
        subtype: wish.subtype,
        flags: wish.flags,
        mode: wish.mode,
        handle: hop.handle,
        redirects,
        path: &hop.path,
        extra: wish.extra,
    };
    let message = connect.encode()?;
    let started = trace::start();
    let asked = exchange(hop, wish, &message);
    if let Some(started) = started {
        traced::connect(hop, wish.subtype, message.len(), started, &asked);
    }
    asked
}

fn exchange(hop: &Hop, wish: &Wish<'_>, message: &[u8]) -> Result<Asked> {
    let (mut connection, is_used) = pool::take(hop.address())?;
    let mut answered = send_connect(&connection, message);
    // Its server died while it was idle: what answers now, if anything, is another process.
    if let Err(errno) = answered
        && is_used
        && !connection.is_alive()
        && may_repeat(hop, wish, errno)
    {
        connection = pool::attach(hop.address())?;
        answered = send_connect(&connection, message);
    }
    match answered {
        Ok((answer, bytes)) => Ok((connection, answer, bytes)),
        Err(errno) => {
            pool::put(hop.address(), connection);
            Err(errno)
        }
    }
}

/// Whether sending again cannot do a thing twice: nothing was sent, or doing it twice is doing it once.
fn may_repeat(hop: &Hop, wish: &Wish<'_>, errno: Errno) -> bool {
    match errno {
        Errno::EBADF => true,
        Errno::ESRCH => hop.is_resolver() || wish.is_idempotent(),
        _ => false,
    }
}

fn send_connect(connection: &Connection, message: &[u8]) -> Result<(ConnectAnswer, Vec<u8>)> {
    let mut bytes = vec![0; CONNECT_ANSWER_LEN_MAX];
    let reply = send_until_done(|| connection.send(message, &mut bytes))?;
    bytes.truncate(reply.len);
    let answer = ConnectAnswer::parse(reply.status, &bytes)?;
    Ok((answer, bytes))
}

/// Sends again for as long as the server asks for that (RPL-3).
pub(crate) fn send_until_done<T>(mut send: impl FnMut() -> Result<T>) -> Result<T> {
    loop {
        match send() {
            Err(Errno::ERESTART) => {}
            done => return done,
        }
    }
}

impl Hop {
    /// Whether this is a process manager, as resolver or with a directory of its own.
    fn is_procmgr_itself(&self) -> bool {
        self.pid == Pid::PROCMGR && matches!(self.step, Step::Procmgr | Step::RemoteProcmgr)
    }
}
