//! Typed messages: plain structures instead of byte slices.
//!
//! A [`Plain`] type has one layout and no invalid bytes, so whatever a hostile peer sends is a value of
//! it, and every length is checked. The bytes are copied out once, and only the copy is looked at.
//!
//! ```
//! use ipc_core::{Channel, Connection, Received, abi::{ChannelFlags, Nd, Pid}};
//! use zerocopy::{FromBytes, Immutable, IntoBytes};
//!
//! #[repr(C)]
//! #[derive(FromBytes, IntoBytes, Immutable)]
//! struct Sum { left: u32, right: u32 }
//!
//! let channel = Channel::create(ChannelFlags::empty())?;
//! let chid = channel.chid();
//! let server = std::thread::spawn(move || -> ipc_core::abi::Result<()> {
//!     let Received::Message(message) = channel.receive()? else { panic!("no pulse was sent") };
//!     let sum: Sum = message.read_typed()?;
//!     message.reply_typed(0, &(u64::from(sum.left) + u64::from(sum.right)))
//! });
//! let connection = Connection::attach(Nd::LOCAL, Pid::SELF, chid)?;
//! let reply = connection.send_typed::<_, u64>(&Sum { left: 40, right: 2 })?;
//! assert_eq!(reply.value, 42);
//! server.join().unwrap()?;
//! # Ok::<(), ipc_core::abi::Errno>(())
//! ```

use zerocopy::{FromBytes, Immutable, IntoBytes};

use crate::{
    abi::{Errno, Result},
    channel::ReceivedMessage,
    connection::{Connection, Loan, LoanReply, Timeout},
};

/// A type that messages and replies can be: any bytes of its size are a value of it, it has no padding
/// and nothing that changes behind a reference. Derive zerocopy's three traits and it is one.
pub trait Plain: FromBytes + IntoBytes + Immutable {}

impl<T: FromBytes + IntoBytes + Immutable> Plain for T {}

/// A typed answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct TypedReply<R> {
    /// What the server gave to `reply`, not negative.
    pub status: i64,
    /// What it replied.
    pub value: R,
}

impl Connection {
    /// Sends a value and waits for one (SND-1).
    ///
    /// # Errors
    /// As [`send`](Self::send); `EBADMSG` when the server's reply has another length than `R`.
    #[doc(alias = "MsgSend")]
    pub fn send_typed<M: Plain, R: Plain>(&self, message: &M) -> Result<TypedReply<R>> {
        let mut value = R::new_zeroed();
        let reply = self.send(message.as_bytes(), value.as_mut_bytes())?;
        whole(reply.len, &value)?;
        let status = reply.status;
        Ok(TypedReply { status, value })
    }

    /// As [`send_typed`](Self::send_typed), giving up after `timeout` (TMO-1).
    ///
    /// # Errors
    /// Also `ETIMEDOUT`.
    pub fn send_typed_timeout<M: Plain, R: Plain>(
        &self,
        message: &M,
        timeout: impl Into<Timeout>,
    ) -> Result<TypedReply<R>> {
        let mut value = R::new_zeroed();
        let reply = self.send_timeout(message.as_bytes(), value.as_mut_bytes(), timeout)?;
        whole(reply.len, &value)?;
        let status = reply.status;
        Ok(TypedReply { status, value })
    }
}

impl ReceivedMessage {
    /// The message as a value.
    ///
    /// # Errors
    /// `EBADMSG` when the client sent another number of bytes than `T` has; `ESRCH` when it is no longer
    /// REPLY-blocked.
    pub fn read_typed<T: Plain>(&self) -> Result<T> {
        if self.len() != size_of::<T>() {
            return Err(Errno::EBADMSG);
        }
        self.read_typed_at(0)
    }

    /// The value at `offset` of the message, such as a header that bytes follow.
    ///
    /// # Errors
    /// `EBADMSG` when the message ends before the value does; `ESRCH` when the client is no longer
    /// REPLY-blocked.
    pub fn read_typed_at<T: Plain>(&self, offset: usize) -> Result<T> {
        let mut value = T::new_zeroed();
        let len = self.read(offset, value.as_mut_bytes())?;
        whole(len, &value)?;
        Ok(value)
    }

    /// Unblocks the client: `status` becomes its send's status and `value` its reply (RPL-1).
    ///
    /// # Errors
    /// `EMSGSIZE` when the client's reply buffer is too short for it, and then the client gets `EMSGSIZE`
    /// too; otherwise as [`reply`](Self::reply).
    pub fn reply_typed<R: Plain>(self, status: i64, value: &R) -> Result<()> {
        if self.reply_len_max() < size_of::<R>() {
            self.error(Errno::EMSGSIZE)?;
            return Err(Errno::EMSGSIZE);
        }
        self.reply(status, value.as_bytes())
    }

    /// Copies `value` to `offset` of the client's reply buffer without unblocking it.
    ///
    /// # Errors
    /// `EMSGSIZE` when it does not lie inside the buffer, of which the part that does was written;
    /// `ESRCH` when the client is no longer REPLY-blocked.
    pub fn write_typed<T: Plain>(&self, offset: usize, value: &T) -> Result<()> {
        match self.write(offset, value.as_bytes())? {
            len if len == size_of::<T>() => Ok(()),
            _ => Err(Errno::EMSGSIZE),
        }
    }
}

impl Loan {
    /// Copies `value` to `offset` of the message.
    ///
    /// # Errors
    /// `EMSGSIZE` when it does not lie inside; the part that does was written.
    pub fn write_typed<T: Plain>(&mut self, offset: usize, value: &T) -> Result<()> {
        match self.write(offset, value.as_bytes()) {
            len if len == size_of::<T>() => Ok(()),
            _ => Err(Errno::EMSGSIZE),
        }
    }
}

impl LoanReply {
    /// The value at `offset` of the reply.
    ///
    /// # Errors
    /// `EBADMSG` when the reply ends before the value does.
    pub fn read_typed<T: Plain>(&self, offset: usize) -> Result<T> {
        let mut value = T::new_zeroed();
        let len = self.read(offset, value.as_mut_bytes());
        whole(len, &value)?;
        Ok(value)
    }
}

fn whole<T>(len: usize, _: &T) -> Result<()> {
    if len == size_of::<T>() {
        Ok(())
    } else {
        Err(Errno::EBADMSG)
    }
}
