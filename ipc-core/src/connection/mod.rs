//! The client side: attaching, sending, waiting for the answer.
//!
//! ```text
//! ticket (slot, arena blocks) -> message into the region -> entry -> doorbell -> wait on the slot
//! ```
//!
//! The one invariant: a slot and its blocks are used again only after the server answered them or the
//! connection is gone; who stops waiting earlier leaves them abandoned until then.

mod attach;
mod completions;
mod events;
mod link;
mod loan;
mod pipeline;
mod posting;
mod priority;
mod send;
mod signals;
mod submitted;
mod timed;
mod timeout;
mod unsaid;

use std::{
    io::{IoSlice, IoSliceMut},
    sync::Arc,
};

use link::Link;
pub use {
    attach::{AttachOptions, SpeaksFor},
    completions::{Completion, CompletionQueue, Taken, Token},
    events::{Event, EventForwarder, EventReceipt},
    loan::{Loan, LoanReply},
    pipeline::{Answered, Pipeline, PipelineOptions, PipelinedReply},
    priority::{priority, set_priority},
    signals::heeding_signals,
    submitted::ShortMessage,
    timeout::{BlockedStates, Timeout},
};

use crate::{
    abi::{ChannelFlags, Chid, Coid, Errno, Nd, Pid, Priority, PulseCode, Result, ServerInfo},
    srr::Wish,
    sys::futex::Wake,
};

/// A connection to a channel, of this process or another, on this node or another.
///
/// Any number of threads may send through one connection at once; each send is a transaction of its
/// own (SND-3). Dropping it detaches.
#[doc(alias = "ConnectAttach")]
#[derive(Debug)]
pub struct Connection(Arc<Link>);

/// How a send ended well.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Reply {
    /// What the server gave to `reply`, not negative.
    pub status: i64,
    /// Bytes at the start of the reply buffer that the server may have written.
    pub len: usize,
}

impl Connection {
    /// Attaches to channel `chid` of process `pid` (0: this process) on node `nd`.
    ///
    /// # Errors
    /// `ESRCH` no such process or channel, `EPERM` not allowed or not who it claims to be, `EMFILE` no descriptor
    /// left here, `EAGAIN` none left at the server or no thread left here, `ENOMEM` no memory on either side, `EFBIG`
    /// this process may not make a file of the region's size (`RLIMIT_FSIZE`), `ENETDOWN` another node and no
    /// qnet on this one, `ETIMEDOUT` the server's process is stopped.
    pub fn attach(nd: Nd, pid: Pid, chid: Chid) -> Result<Connection> {
        Connection::attach_with(nd, pid, chid, &AttachOptions::default())
    }

    /// As [`attach`](Self::attach), with options.
    ///
    /// # Errors
    /// Also `EINVAL` for options out of bounds.
    pub fn attach_with(
        nd: Nd,
        pid: Pid,
        chid: Chid,
        options: &AttachOptions<'_>,
    ) -> Result<Connection> {
        attach::attach(nd, pid, chid, options).map(Connection)
    }

    /// Sends `message` and waits for the reply, which is copied to `reply` as far as it fits (SND-1).
    ///
    /// # Errors
    /// What the server gave to `error`; `ESRCH` the server died or destroyed its channel meanwhile;
    /// `EBADF` the connection is no longer live; `EINTR` a signal; `EMSGSIZE` longer than
    /// [`crate::abi::limits::MSG_LEN_MAX`]; `EHOSTDOWN` and its like for another node.
    #[doc(alias = "MsgSend")]
    pub fn send(&self, message: &[u8], reply: &mut [u8]) -> Result<Reply> {
        send::send(
            &self.0,
            &[IoSlice::new(message)],
            &mut [IoSliceMut::new(reply)],
            None,
        )
    }

    /// As [`send`](Self::send), giving up after `timeout` (TMO-1, CHN-2).
    ///
    /// # Errors
    /// Also `ETIMEDOUT`.
    #[doc(alias = "TimerTimeout")]
    pub fn send_timeout(
        &self,
        message: &[u8],
        reply: &mut [u8],
        timeout: impl Into<Timeout>,
    ) -> Result<Reply> {
        let parts = [IoSlice::new(message)];
        send::send(
            &self.0,
            &parts,
            &mut [IoSliceMut::new(reply)],
            Some(timeout.into()),
        )
    }

    /// As [`send`](Self::send), gathering the message from `parts` and scattering the reply (SND-4).
    ///
    /// # Errors
    /// Also `EOVERFLOW` for a total that overflows.
    #[doc(alias = "MsgSendv")]
    pub fn send_vectored(
        &self,
        parts: &[IoSlice<'_>],
        reply: &mut [IoSliceMut<'_>],
    ) -> Result<Reply> {
        send::send(&self.0, parts, reply, None)
    }

    /// Sends a pulse; never blocks (PLS-1). Without a priority the caller's own counts.
    ///
    /// # Errors
    /// `EAGAIN` when as many as the connection has slots are waiting; `EINVAL` for a code of the
    /// system; `EPERM` for a server of another user unless privileged (PLS-3); `EBADF`.
    #[doc(alias = "MsgSendPulse")]
    pub fn send_pulse(
        &self,
        priority: Option<Priority>,
        code: PulseCode,
        value: i64,
    ) -> Result<()> {
        self.0.check_pulse(code)?;
        self.0
            .post_pulse(priority.unwrap_or_else(priority::priority), code, value)
    }

    /// A buffer in the region for a message of `len` bytes and a reply of up to `reply_len`: what is
    /// written there is sent without another copy.
    ///
    /// # Errors
    /// `EMSGSIZE` when it can never be had, `EAGAIN` when slots or arena are in use, `EBADF`.
    pub fn loan(&self, len: usize, reply_len: usize) -> Result<Loan> {
        Loan::new(&self.0, len, reply_len)
    }

    /// Bytes of the connection's memory that long messages and replies have had set aside since it was last
    /// [given back](Self::give_back): no more is kept for them. 0 once the connection has ended.
    pub fn kept_len(&self) -> usize {
        self.0.arena_used().unwrap_or(0)
    }

    /// Bytes of the connection's memory that messages and replies have set aside at the moment: those under way, loans and
    /// replies that are held, and what nobody waits for any more and the server has not answered. 0 once the connection
    /// has ended.
    pub fn held_len(&self) -> usize {
        self.0.arena_held().unwrap_or(0)
    }

    /// Gives the memory of long messages and replies back to the system. The next ones get new memory, page by page. For
    /// who has many connections that were busy once: otherwise each keeps it until it ends.
    ///
    /// # Errors
    /// `EAGAIN` while a message is under way, or a loan or reply is held, that has a place there; `EBADF`.
    pub fn give_back(&self) -> Result<()> {
        self.0.give_arena_back()
    }

    /// Sends what is in the loan and waits; the reply is read where the server put it.
    ///
    /// # Errors
    /// As [`send`](Self::send); `EINVAL` for a loan of another connection.
    pub fn send_loan(&self, loan: Loan) -> Result<LoanReply> {
        self.check_own(&loan)?;
        loan::send(loan, None)
    }

    /// Sends what is in the loan without waiting. The answer comes out of the completion queue that
    /// the connection was attached with, under `token`. `ERESTART` from the server comes out as it is:
    /// who submits decides whether and when to send again.
    ///
    /// # Errors
    /// `EINVAL` for a connection without a queue or a loan of another connection, `EBADF`.
    pub fn submit(&self, loan: Loan, token: Token) -> Result<()> {
        self.enqueue(loan, token)?;
        self.0.ring();
        Ok(())
    }

    /// As [`submit`](Self::submit), but the server is told only by the next [`flush`](Self::flush), or whatever
    /// else is sent; one that looks finds the message at once.
    ///
    /// # Errors
    /// As [`submit`](Self::submit).
    pub fn enqueue(&self, loan: Loan, token: Token) -> Result<()> {
        self.check_own(&loan)?;
        completions::enqueue(loan, token, false)
    }

    /// As [`enqueue`](Self::enqueue); the queue also says when a thread of the server receives the message:
    /// [`CompletionQueue::take_apart`].
    ///
    /// # Errors
    /// As [`submit`](Self::submit).
    pub fn enqueue_reporting(&self, loan: Loan, token: Token) -> Result<()> {
        self.check_own(&loan)?;
        completions::enqueue(loan, token, true)
    }

    /// As [`enqueue`](Self::enqueue) for each of `messages`, in their order, without a loan and under one lock. All
    /// are sent with the calling thread's priority. Answers how many found a place: the first that does not ends
    /// the run, and is the first of the next.
    ///
    /// # Errors
    /// Why the first of them was not sent: `EMSGSIZE` longer than 80 bytes, else as [`loan`](Self::loan) and
    /// [`submit`](Self::submit).
    pub fn enqueue_run<'a>(
        &self,
        messages: impl IntoIterator<Item = ShortMessage<'a>>,
    ) -> Result<usize> {
        self.0.seat().ok_or(Errno::EINVAL)?;
        self.0.enqueue_run(messages.into_iter())
    }

    /// Tells the server of everything [`enqueue`](Self::enqueue)d so far.
    pub fn flush(&self) {
        if self.0.is_of_this_process() {
            self.0.ring();
        }
    }

    /// As [`flush`](Self::flush), but leaves it to the caller to wake the server, soon, if it sleeps.
    pub fn flush_quietly(&self) -> Option<Wake> {
        self.0.is_of_this_process().then(|| self.0.owed_ring())?
    }

    /// Tells the server that the sender of the submitted message `token` wants out: a SEND-blocked
    /// one is withdrawn, a REPLY-blocked one announced or given up (CHN-2). A server's process that is stopped learns
    /// of it when it goes on. The completion still comes.
    ///
    /// # Errors
    /// `ESRCH` when no such message is in flight, `EBADF`.
    pub fn unblock(&self, token: Token) -> Result<()> {
        completions::cancel(&self.0, token, Wish::Both)
    }

    /// Takes the submitted message `token` back if no thread of the server has received it; else it goes on.
    /// The completion comes in either case: `EINTR`, and [`let_go`](crate::Completion::let_go), for one that was taken
    /// back.
    ///
    /// # Errors
    /// `ESRCH` when no such message is in flight, `EBADF`.
    pub fn withdraw(&self, token: Token) -> Result<()> {
        completions::cancel(&self.0, token, Wish::SendBlocked)
    }

    /// What this process calls the connection.
    pub fn coid(&self) -> Coid {
        self.0.info.coid
    }

    /// Whom the connection leads to.
    #[doc(alias = "ConnectServerInfo")]
    pub fn server_info(&self) -> ServerInfo {
        self.0.info
    }

    /// What the server's channel was created with; where the server is on another node, what the channel of this node's
    /// router was, which stands for it here.
    pub fn channel_flags(&self) -> ChannelFlags {
        self.0.channel_flags
    }

    /// Whether the connection's socket is kept through an `exec`, and with it the connection at the server.
    ///
    /// # Errors
    /// `EBADF` the program closed the socket.
    pub(crate) fn survive_exec(&self, survives: bool) -> Result<()> {
        self.0.socket.survive_exec(survives)
    }

    /// What tells the connection's socket from other files.
    pub(crate) fn socket_print(&self) -> u64 {
        self.0.socket.fd().print()
    }

    /// Whether the server was there a moment ago.
    pub fn is_alive(&self) -> bool {
        self.0.check_live().is_ok()
    }

    /// Runs `act` once when the connection ends for whatever reason: on the monitor thread, or on the thread that
    /// [detaches](Self::detach); on the caller's, at once, if it has ended. Only where the program closed the
    /// connection's descriptor it runs on whichever thread notices, within its send. It must not block. A panic in it
    /// is reported as one of a thread, and goes no further.
    pub fn on_end(&self, act: Box<dyn FnOnce() + Send>) {
        self.0.on_end(act);
    }

    /// Ends the connection: threads that are blocked on it get `EBADF` (CHN-7).
    #[doc(alias = "ConnectDetach")]
    pub fn detach(&self) {
        self.0.detach();
    }

    /// How long senders look for their answer before they sleep.
    pub fn set_spin(&self, policy: crate::spin::SpinPolicy) {
        self.0.spin.set(policy);
    }

    fn link(&self) -> &Arc<Link> {
        &self.0
    }

    fn check_own(&self, loan: &Loan) -> Result<()> {
        if loan.is_of(&self.0) {
            Ok(())
        } else {
            Err(Errno::EINVAL)
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.0.detach();
    }
}
