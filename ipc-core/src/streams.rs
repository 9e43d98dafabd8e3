//! Messages and replies as the standard library's streams, over the memory they lie in.
//!
//! Each read and write is bounded by the message or the buffer, and moves bytes between the caller and
//! shared memory without a buffer in between. Small pieces are better put together first: wrap a stream
//! in [`std::io::BufReader`] or [`std::io::BufWriter`].

use std::io::{self, Read, Write};

use crate::{
    channel::ReceivedMessage,
    connection::{Loan, LoanReply},
};

/// Reads a received message from its start.
#[derive(Debug)]
pub struct MessageReader<'a> {
    message: &'a ReceivedMessage,
    offset: usize,
}

/// Writes a client's reply buffer from its start, in place, while the client waits.
#[derive(Debug)]
pub struct ReplyWriter<'a> {
    message: &'a ReceivedMessage,
    offset: usize,
}

/// Writes a loan from its start, in place.
#[derive(Debug)]
pub struct LoanWriter<'a> {
    loan: &'a mut Loan,
    offset: usize,
}

/// Reads the reply to a loan from its start.
#[derive(Debug)]
pub struct LoanReader<'a> {
    reply: &'a LoanReply,
    offset: usize,
}

impl ReceivedMessage {
    /// The message as a stream; reads fail with `ESRCH` once the client is no longer REPLY-blocked.
    pub fn reader(&self) -> MessageReader<'_> {
        MessageReader {
            message: self,
            offset: 0,
        }
    }

    /// The client's reply buffer as a stream: what is written there is part of the reply, also of
    /// `reply(status, &[])`. It takes [`reply_len_max`](Self::reply_len_max) bytes and then no more.
    pub fn writer(&self) -> ReplyWriter<'_> {
        ReplyWriter {
            message: self,
            offset: 0,
        }
    }
}

impl Loan {
    /// The message as a stream; it takes [`len`](Self::len) bytes and then no more.
    pub fn writer(&mut self) -> LoanWriter<'_> {
        LoanWriter {
            loan: self,
            offset: 0,
        }
    }
}

impl LoanReply {
    /// The reply as a stream.
    pub fn reader(&self) -> LoanReader<'_> {
        LoanReader {
            reply: self,
            offset: 0,
        }
    }
}

impl ReplyWriter<'_> {
    /// Bytes written so far.
    pub fn written(&self) -> usize {
        self.offset
    }
}

impl Read for MessageReader<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let len = self.message.read(self.offset, into)?;
        self.offset += len;
        Ok(len)
    }
}

impl Write for ReplyWriter<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let len = self.message.write(self.offset, bytes)?;
        self.offset += len;
        Ok(len)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Write for LoanWriter<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let len = self.loan.write(self.offset, bytes);
        self.offset += len;
        Ok(len)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Read for LoanReader<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let len = self.reply.read(self.offset, into);
        self.offset += len;
        Ok(len)
    }
}
