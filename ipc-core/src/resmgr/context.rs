//! What a function of a resource manager sees of the message it handles, and how it answers.

use crate::abi::io::DevctlAnswer;
use crate::abi::{ClientInfo, Credentials, Errno, MessageInfo, Rcvid, Result};
use crate::{Channel, ReceivedMessage};

/// How a function ended, other than with an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Done, with this status (>= 0); the bytes are those that were [`put`](Context::put).
    Done(i64),
    /// The message was taken with [`Context::defer`]; whoever has it answers.
    Later,
}

impl Answer {
    /// Done, with status 0.
    pub const OK: Answer = Answer::Done(0);
}

impl From<usize> for Answer {
    /// A count of bytes, which a message bounds far below `i64::MAX`.
    fn from(count: usize) -> Answer {
        Answer::Done(count as i64)
    }
}

/// What a function of the I/O table answers.
pub type Outcome = Result<Answer>;

/// One part of one message while it is handled.
pub struct Context<'a> {
    channel: &'a Channel,
    info: MessageInfo,
    client: ClientInfo,
    /// Gone once it was deferred.
    message: Option<ReceivedMessage>,
    reply: ReplyBytes,
    part: Part,
}

/// Where the part that is handled lies in the message.
#[derive(Clone, Copy, Default)]
pub(super) struct Part {
    pub(super) payload_start: usize,
    pub(super) payload_len: usize,
    /// Whether nothing follows it, so that it may be answered later.
    pub(super) deferrable: bool,
}

impl<'a> Context<'a> {
    pub(super) fn new(channel: &'a Channel, message: ReceivedMessage) -> Context<'a> {
        let info = message.info();
        Context {
            channel,
            info,
            client: message.client(),
            reply: ReplyBytes::new(info.dstmsglen),
            message: Some(message),
            part: Part::default(),
        }
    }

    /// The channel the message came to.
    pub fn channel(&self) -> &'a Channel {
        self.channel
    }

    /// What is known of the message.
    pub fn info(&self) -> &MessageInfo {
        &self.info
    }

    /// Who sent it.
    pub fn client(&self) -> &ClientInfo {
        &self.client
    }

    /// Whom the sender counts as on this node, by the kernel's word or this node's mapping.
    pub fn credentials(&self) -> Credentials {
        self.client.credentials
    }

    /// Bytes of the payload: what is to be written, a device command's argument.
    pub fn payload_len(&self) -> usize {
        self.part.payload_len
    }

    /// Copies the payload from `offset` on; answers how many bytes, 0 at its end. Any number of times, in any
    /// order: a payload larger than a buffer is taken in pieces.
    ///
    /// # Errors
    /// `ESRCH` when the client has gone; `EINVAL` after a [`defer`](Context::defer).
    pub fn read_payload(&self, offset: usize, into: &mut [u8]) -> Result<usize> {
        let len = into.len().min(self.part.payload_len.saturating_sub(offset));
        let start = self.part.payload_start + offset.min(self.part.payload_len);
        self.message()?.read(start, &mut into[..len])
    }

    /// The whole payload.
    ///
    /// # Errors
    /// As [`read_payload`](Context::read_payload).
    pub fn payload(&self) -> Result<Vec<u8>> {
        let bytes = self
            .message()?
            .read_vec(self.part.payload_start, self.part.payload_len)?;
        if bytes.len() == self.part.payload_len {
            Ok(bytes)
        } else {
            Err(Errno::ESRCH)
        }
    }

    /// Bytes that the client's reply buffer still takes.
    pub fn room(&self) -> usize {
        self.reply.room()
    }

    /// Appends to the reply's bytes; what is beyond the client's buffer is dropped, as a reply does.
    ///
    /// # Errors
    /// `ESRCH` when the client has gone; `EINVAL` after a [`defer`](Context::defer).
    pub fn put(&mut self, bytes: &[u8]) -> Result<()> {
        let message = self.message.as_ref().ok_or(Errno::EINVAL)?;
        self.reply.put(message, bytes)
    }

    /// Answers a device command with its own `result`, 0 or what the device defines, and `bytes`, as far as the client takes
    /// them: what [`IoFns::devctl`](super::IoFns::devctl) ends with.
    ///
    /// # Errors
    /// As [`put`](Context::put).
    pub fn answer_devctl(&mut self, result: i32, bytes: &[u8]) -> Outcome {
        let message = self.message.as_ref().ok_or(Errno::EINVAL)?;
        self.reply.put_devctl(message, result, bytes)?;
        Ok(Answer::OK)
    }

    /// Takes the message out, to be answered later and from any thread; the function then returns
    /// [`Answer::Later`].
    ///
    /// # Errors
    /// `ENOSYS` for a message that is combined with others, where an answer later cannot be.
    pub fn defer(&mut self) -> Result<Deferred> {
        if !self.part.deferrable {
            return Err(Errno::ENOSYS);
        }
        let message = self.message.take().ok_or(Errno::EINVAL)?;
        let reply = std::mem::replace(&mut self.reply, ReplyBytes::new(0));
        Ok(Deferred {
            message,
            reply,
            part: self.part,
        })
    }

    pub(super) fn message(&self) -> Result<&ReceivedMessage> {
        self.message.as_ref().ok_or(Errno::EINVAL)
    }

    pub(super) fn enter(&mut self, part: Part) {
        self.part = part;
    }

    /// Answers the message as its functions decided.
    ///
    /// # Errors
    /// `ESRCH` when the client has gone or has not waited.
    pub(super) fn finish(self, outcome: Outcome) -> Result<()> {
        let Some(message) = self.message else {
            return Ok(());
        };
        match outcome {
            Ok(Answer::Done(status)) => self.reply.send(message, status),
            // A function that says so without having deferred has lost the message: the client must not wait.
            Ok(Answer::Later) => message.error(Errno::EIO),
            Err(errno) => message.error(errno),
        }
    }
}

/// A message that is answered later. Dropped unanswered, its client gets EIO.
pub struct Deferred {
    message: ReceivedMessage,
    reply: ReplyBytes,
    part: Part,
}

impl Deferred {
    /// The message's receive id: what the pulse of an unblock request carries.
    pub fn rcvid(&self) -> Rcvid {
        self.message.rcvid()
    }

    /// Copies the payload from `offset` on, as [`Context::read_payload`].
    ///
    /// # Errors
    /// `ESRCH` when the client has gone.
    pub fn read_payload(&self, offset: usize, into: &mut [u8]) -> Result<usize> {
        let len = into.len().min(self.part.payload_len.saturating_sub(offset));
        let start = self.part.payload_start + offset.min(self.part.payload_len);
        self.message.read(start, &mut into[..len])
    }

    /// Bytes that the client's reply buffer still takes.
    pub fn room(&self) -> usize {
        self.reply.room()
    }

    /// Appends to the reply's bytes, as [`Context::put`].
    ///
    /// # Errors
    /// `ESRCH` when the client has gone.
    pub fn put(&mut self, bytes: &[u8]) -> Result<()> {
        self.reply.put(&self.message, bytes)
    }

    /// Answers with a status and what was put.
    ///
    /// # Errors
    /// `ESRCH` when the client has gone.
    pub fn reply(self, status: i64) -> Result<()> {
        self.reply.send(self.message, status)
    }

    /// Answers a device command, as [`Context::answer_devctl`].
    ///
    /// # Errors
    /// `ESRCH` when the client has gone.
    pub fn reply_devctl(mut self, result: i32, bytes: &[u8]) -> Result<()> {
        self.reply.put_devctl(&self.message, result, bytes)?;
        self.reply(0)
    }

    /// Answers with an error.
    ///
    /// # Errors
    /// `ESRCH` when the client has gone.
    pub fn error(self, errno: Errno) -> Result<()> {
        self.message.error(errno)
    }
}

/// The bytes of a reply: small ones are kept until the reply, so that they travel with it; large ones go to
/// the client's buffer piece by piece.
struct ReplyBytes {
    kept: Vec<u8>,
    /// Bytes already in the client's buffer.
    written: usize,
    len_max: usize,
}

/// Bytes of a reply that are kept until it is sent.
const KEPT_LEN: usize = 4096;

impl ReplyBytes {
    fn new(len_max: usize) -> ReplyBytes {
        ReplyBytes {
            kept: Vec::new(),
            written: 0,
            len_max,
        }
    }

    fn room(&self) -> usize {
        self.len_max - self.written - self.kept.len()
    }

    fn put(&mut self, message: &ReceivedMessage, bytes: &[u8]) -> Result<()> {
        let bytes = &bytes[..bytes.len().min(self.room())];
        if self.written == 0 && self.kept.len() + bytes.len() <= KEPT_LEN {
            self.kept.extend_from_slice(bytes);
            return Ok(());
        }
        self.flush(message)?;
        self.write(message, bytes)
    }

    fn put_devctl(&mut self, message: &ReceivedMessage, result: i32, bytes: &[u8]) -> Result<()> {
        let room = self.room().saturating_sub(DevctlAnswer::LEN);
        let bytes = &bytes[..bytes.len().min(room)];
        // A message bounds its reply far below `u32::MAX`.
        let len = bytes.len() as u32;
        self.put(message, &DevctlAnswer { result, len }.encode())?;
        self.put(message, bytes)
    }

    fn flush(&mut self, message: &ReceivedMessage) -> Result<()> {
        let kept = std::mem::take(&mut self.kept);
        self.write(message, &kept)
    }

    fn write(&mut self, message: &ReceivedMessage, bytes: &[u8]) -> Result<()> {
        let mut rest = bytes;
        while !rest.is_empty() {
            let count = message.write(self.written, rest)?;
            if count == 0 {
                // The client's buffer is smaller than its message said; the rest is dropped.
                self.len_max = self.written;
                break;
            }
            self.written += count;
            rest = &rest[count..];
        }
        Ok(())
    }

    fn send(self, message: ReceivedMessage, status: i64) -> Result<()> {
        message.reply(status, &self.kept)
    }
}
