//! Attaching to local servers on behalf of remote clients, off the network-handler thread: a server
//! that is stopped makes an attach wait.

mod lines;

use std::{
    fs,
    os::unix::fs::MetadataExt,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    thread,
};

use ipc_core::{
    AttachOptions, CompletionQueue, Connection, SpeaksFor,
    abi::{AttachFlags, Chid, Errno, Nd, Pid, Result},
    runtime_dir,
};
use qnet_proto::InboundConn;

use self::lines::Lines;
use crate::{
    bridge::mailbox::{Mailbox, Request},
    limits::{ATTACH_THREADS_MAX, REMOTE_SLOTS},
};

/// One attach to be made.
#[derive(Clone, Debug)]
pub(super) struct Attach {
    /// For whom, as the engine knows it.
    pub(super) conn: InboundConn,
    /// Lives as long as somebody has a use for the connection.
    pub(super) wanted: Weak<()>,
    /// The server's process.
    pub(super) pid: Pid,
    /// The server's channel.
    pub(super) chid: Chid,
    /// The remote client.
    pub(super) client: SpeaksFor,
}

/// A connection that speaks for a remote client.
pub(crate) struct Attached {
    /// The connection.
    pub(super) connection: Connection,
    /// Whether the client, as whom it counts here, may send pulses to the server: qnet itself often may,
    /// being root, and must not lend that right (PLS-3).
    pub(super) may_pulse: bool,
}

impl Attach {
    fn make(&self, queue: &CompletionQueue) -> Result<Attached> {
        let options = AttachOptions {
            flags: AttachFlags::SIDE_CHANNEL,
            slots: REMOTE_SLOTS,
            queue: Some(queue),
            speaks_for: Some(self.client),
            ..AttachOptions::default()
        };
        let connection = Connection::attach_with(Nd::LOCAL, self.pid, self.chid, &options)?;
        let uid = self.client.credentials.uid;
        let may_pulse = uid == 0 || server_uid(self.pid) == Some(uid);
        Ok(Attached {
            connection,
            may_pulse,
        })
    }
}

/// The user a local process runs as; the process manager runs as the owner of the node.
fn server_uid(pid: Pid) -> Option<u32> {
    let path = match pid {
        Pid::PROCMGR => runtime_dir(),
        pid => format!("/proc/{pid}").into(),
    };
    fs::metadata(path).ok().map(|metadata| metadata.uid())
}

/// Makes attaches on helper threads, which live only while there is something to attach.
#[derive(Clone)]
pub(super) struct Attacher(Arc<Inner>);

struct Inner {
    queue: Arc<CompletionQueue>,
    mailbox: Mailbox,
    work: Mutex<Work>,
}

#[derive(Default)]
struct Work {
    lines: Lines,
    threads: usize,
}

impl Attacher {
    /// Answers of submitted messages come out of `queue`, outcomes of attaches go to `mailbox`.
    pub(super) fn new(queue: Arc<CompletionQueue>, mailbox: Mailbox) -> Attacher {
        Attacher(Arc::new(Inner {
            queue,
            mailbox,
            work: Mutex::default(),
        }))
    }

    /// Starts an attach; [`Request::Attached`] tells how it ended, unless nobody wants to know any more.
    pub(super) fn start(&self, attach: Attach) {
        let mut work = self.0.work();
        if let Err(refused) = work.lines.push(attach) {
            drop(work);
            return self.refuse(refused.conn);
        }
        if work.threads < ATTACH_THREADS_MAX
            && let Some(first) = work.lines.next()
        {
            work.threads += 1;
            drop(work);
            self.start_thread(first);
        }
    }

    /// Answers an attach with EAGAIN.
    pub(super) fn refuse(&self, conn: InboundConn) {
        self.0.refuse(conn);
    }

    fn start_thread(&self, first: Attach) {
        let inner = Arc::clone(&self.0);
        let (conn, pid) = (first.conn, first.pid);
        let started = thread::Builder::new()
            .name("qnet-attach".into())
            .stack_size(256 << 10)
            .spawn(move || inner.run(first));
        if let Err(error) = started {
            tracing::warn!("no thread for an attach: {error}");
            self.refuse(conn);
            self.0.give_up(pid);
        }
    }
}

impl Inner {
    fn run(&self, first: Attach) {
        let mut next = Some(first);
        while let Some(attach) = next {
            let (conn, outcome) = (attach.conn, attach.make(&self.queue));
            self.mailbox.put(Request::Attached { conn, outcome });
            let mut work = self.work();
            work.lines.end(attach.pid);
            next = work.lines.next();
            if next.is_none() {
                work.threads -= 1;
            }
        }
    }

    /// There is no thread for an attach to this server. Without any the attaches that wait would wait for ever.
    fn give_up(&self, pid: Pid) {
        let mut work = self.work();
        work.lines.end(pid);
        work.threads -= 1;
        if work.threads > 0 {
            return;
        }
        let waiting = work.lines.drain();
        drop(work);
        for attach in waiting {
            self.refuse(attach.conn);
        }
    }

    fn refuse(&self, conn: InboundConn) {
        let outcome = Err(Errno::EAGAIN);
        self.mailbox.put(Request::Attached { conn, outcome });
    }

    fn work(&self) -> MutexGuard<'_, Work> {
        self.work.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
