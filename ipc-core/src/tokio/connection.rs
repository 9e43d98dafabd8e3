//! A connection whose senders are tasks.

use std::{fmt, ops::Deref, sync::Arc};

use ::tokio::{sync::oneshot, task};

use crate::{
    abi::{Chid, Coid, Errno, Nd, Pid, Priority, PulseCode, Result, ServerInfo},
    connection::{AttachOptions, Connection, Loan, LoanReply, Reply, Token},
    tokio::{
        dispatcher::Dispatcher,
        places::{Place, Places},
    },
    typed::{Plain, TypedReply},
};

/// A connection that tasks send through; any number of them at once, each send a transaction of its own
/// (SND-3). Dropping it detaches.
///
/// A timeout is tokio's: `timeout(duration, connection.send(..))`. As many messages are in flight as the
/// connection has slots; senders beyond wait their turn, in the order in which they came. Only who needs more of
/// the arena than is free may be passed by who needs less.
pub struct AsyncConnection {
    places: Arc<Places>,
    dispatcher: Arc<Dispatcher>,
}

/// A reply that lies where the server put it. Dropping it lets its place be used again.
#[derive(Debug)]
pub struct InPlaceReply<'a> {
    /// Empty only while it is dropped.
    reply: Option<LoanReply>,
    places: &'a Arc<Places>,
}

/// A submitted message. Dropped before its answer came, it asks the server to let go of it.
struct InFlight<'a> {
    connection: &'a AsyncConnection,
    token: Token,
    answer: oneshot::Receiver<Result<LoanReply>>,
    answered: bool,
}

impl AsyncConnection {
    /// Attaches to channel `chid` of process `pid` (0: this process) on node `nd`. The waiting is done on
    /// one of the runtime's threads for blocking work.
    ///
    /// # Errors
    /// As [`Connection::attach`].
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    #[doc(alias = "ConnectAttach")]
    pub async fn attach(nd: Nd, pid: Pid, chid: Chid) -> Result<AsyncConnection> {
        AsyncConnection::attach_with(nd, pid, chid, AttachOptions::default()).await
    }

    /// As [`attach`](Self::attach), with options.
    ///
    /// # Errors
    /// As [`Connection::attach_with`]; `EINVAL` for options with a queue: the answers come out here.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub async fn attach_with(
        nd: Nd,
        pid: Pid,
        chid: Chid,
        options: AttachOptions<'static>,
    ) -> Result<AsyncConnection> {
        if options.queue.is_some() {
            return Err(Errno::EINVAL);
        }
        let attached = task::spawn_blocking(move || {
            let dispatcher = Dispatcher::current()?;
            let options = AttachOptions {
                queue: Some(&dispatcher.queue),
                ..options
            };
            let connection = Connection::attach_with(nd, pid, chid, &options)?;
            Ok::<_, Errno>((connection, dispatcher))
        });
        // The runtime shuts down: whoever waits for this goes with it.
        let (connection, dispatcher) = attached.await.map_err(|_| Errno::ECANCELED)??;
        let places = Places::new(connection);
        // The connection keeps what is to be done at its end, and must not so keep itself.
        let at_end = Arc::downgrade(&places);
        let see_off = move || at_end.upgrade().iter().for_each(Places::serve);
        places.connection.on_end(Box::new(see_off));
        Ok(AsyncConnection { places, dispatcher })
    }

    /// Sends `message` and waits for the reply, which is copied to `reply` as far as it fits (SND-1).
    ///
    /// # Errors
    /// As [`Connection::send`].
    #[doc(alias = "MsgSend")]
    pub async fn send(&self, message: &[u8], reply: &mut [u8]) -> Result<Reply> {
        let fill = |loan: &mut Loan| {
            loan.write(0, message);
        };
        let answer = self.send_in_place(message.len(), reply.len(), fill).await?;
        let (replied, (start, end)) = answer.extents();
        // Bytes that the server did not write stay as they are, as with a blocking send.
        answer.read(0, &mut reply[..replied]);
        if end > start {
            answer.read(start, &mut reply[start..end]);
        }
        Ok(answer.reply())
    }

    /// Sends a value and waits for one; see [`Connection::send_typed`].
    ///
    /// # Errors
    /// As [`Connection::send_typed`].
    pub async fn send_typed<M: Plain, R: Plain>(&self, message: &M) -> Result<TypedReply<R>> {
        let mut value = R::new_zeroed();
        let reply = self.send(message.as_bytes(), value.as_mut_bytes()).await?;
        if reply.len != size_of::<R>() {
            return Err(Errno::EBADMSG);
        }
        let status = reply.status;
        Ok(TypedReply { status, value })
    }

    /// Sends a message of `len` bytes that `fill` writes where the server reads it, and waits for a reply
    /// of at most `reply_len` bytes, which is read where the server put it: no copy on this side. `fill`
    /// runs again when the server asks for the message again (RPL-3).
    ///
    /// # Errors
    /// As [`Connection::send`].
    pub async fn send_in_place(
        &self,
        len: usize,
        reply_len: usize,
        fill: impl Fn(&mut Loan),
    ) -> Result<InPlaceReply<'_>> {
        loop {
            let mut place = self.places.reserve(len, reply_len).await?;
            // Should it panic, somebody else gets the place.
            fill(place.loan());
            match self.submit(place)?.answer().await {
                Err(Errno::ERESTART) => {}
                outcome => return outcome,
            }
        }
    }

    /// Sends a pulse; never waits. See [`Connection::send_pulse`].
    ///
    /// # Errors
    /// As [`Connection::send_pulse`].
    #[doc(alias = "MsgSendPulse")]
    pub fn send_pulse(
        &self,
        priority: Option<Priority>,
        code: PulseCode,
        value: i64,
    ) -> Result<()> {
        self.connection().send_pulse(priority, code, value)
    }

    /// What this process calls the connection.
    pub fn coid(&self) -> Coid {
        self.connection().coid()
    }

    /// Whom the connection leads to.
    #[doc(alias = "ConnectServerInfo")]
    pub fn server_info(&self) -> ServerInfo {
        self.connection().server_info()
    }

    /// Whether the server was there a moment ago.
    pub fn is_alive(&self) -> bool {
        self.connection().is_alive()
    }

    /// Ends the connection: tasks that wait on it get `EBADF` (CHN-7).
    #[doc(alias = "ConnectDetach")]
    pub fn detach(&self) {
        self.connection().detach();
    }

    fn submit(&self, place: Place) -> Result<InFlight<'_>> {
        let (token, answer) = self.dispatcher.expect(Arc::downgrade(&self.places));
        if let Err(error) = self.connection().submit(place.into_loan(), token) {
            self.dispatcher.forget(token);
            self.places.serve();
            return Err(error);
        }
        Ok(InFlight {
            connection: self,
            token,
            answer,
            answered: false,
        })
    }

    fn connection(&self) -> &Connection {
        &self.places.connection
    }
}

impl Drop for AsyncConnection {
    fn drop(&mut self) {
        // Somebody may be giving a place back at this moment, and keeps the connection that long.
        self.detach();
    }
}

impl<'a> InFlight<'a> {
    async fn answer(mut self) -> Result<InPlaceReply<'a>> {
        let outcome = (&mut self.answer).await;
        self.answered = true;
        let places = &self.connection.places;
        match outcome.expect("invariant: the dispatcher answers what it expects") {
            Ok(reply) => Ok(InPlaceReply {
                reply: Some(reply),
                places,
            }),
            Err(errno) => {
                places.serve();
                Err(errno)
            }
        }
    }
}

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        if self.answered {
            return;
        }
        self.answer.close();
        match self.answer.try_recv() {
            Ok(answered) => {
                drop(answered);
                self.connection.places.serve();
            }
            // One that is being answered, or whose connection has ended, needs no letting go.
            Err(_) => drop(self.connection.connection().unblock(self.token)),
        }
    }
}

/// How the send ended, and the reply's bytes.
impl Deref for InPlaceReply<'_> {
    type Target = LoanReply;

    fn deref(&self) -> &LoanReply {
        self.reply.as_ref().expect("invariant: held until dropped")
    }
}

impl Drop for InPlaceReply<'_> {
    fn drop(&mut self) {
        drop(self.reply.take());
        self.places.serve();
    }
}

impl fmt::Debug for AsyncConnection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.connection().fmt(f)
    }
}
