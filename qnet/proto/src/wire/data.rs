//! Records that carry bytes of messages and replies.

use zerocopy::byteorder::network_endian::{I32, I64, U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::{FrameBuilder, Malformed, Record, RecordType, split, zero};
use crate::ConnectInfo;
use crate::limits::MESSAGE_LEN_MAX;

/// Flag of message and pulse records: the connect follows the fixed part.
pub(super) const FLAG_CONNECT: u8 = 0x01;

/// Flag of message records: the client wants to know when its server receives the message.
const FLAG_REPORT: u8 = 0x02;
/// Flag of message records: the number of pulses that go before the message follows.
const FLAG_PULSES: u8 = 0x04;

/// Which end of a virtual connection is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The end whose node counted the connection.
    Client,
    /// The other end.
    Server,
}

#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct RawMessage {
    call: U64,
    conn: U64,
    len: U32,
    reply_len: U32,
    tid: I32,
    priority: u8,
    flags: u8,
    reserved: U16,
}

#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct RawConnect {
    server_pid: I32,
    server_chid: I32,
    client_pid: I32,
    coid: I32,
    uid: U32,
    gid: U32,
    srcnd: U32,
    revision: U16,
    answers_back: u8,
    reserved: u8,
}

#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct RawReply {
    call: U64,
    status: I64,
    len: U32,
    sent_len: U32,
    offset: U32,
}

#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct RawFragment {
    call: U64,
    offset: U32,
}

const _: () = assert!(size_of::<RawMessage>() == 32);
const _: () = assert!(size_of::<RawConnect>() == 32);
const _: () = assert!(size_of::<RawReply>() == 28);
const _: () = assert!(size_of::<RawFragment>() == 12);

/// The begin of a message; its first bytes follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MessageHead {
    /// The call: counted from 0 by the client's node, per session, without gaps.
    pub call: u64,
    /// The virtual connection: counted in the same way.
    pub conn: u64,
    /// Bytes of the whole message.
    pub len: u32,
    /// Bytes that the client's reply buffer takes.
    pub reply_len: u32,
    /// The client's thread.
    pub tid: i32,
    /// The priority.
    pub priority: u8,
    /// Whether the client wants to know when its server receives the message: a [`ReceivedRecord`] tells it.
    ///
    /// [`ReceivedRecord`]: super::ReceivedRecord
    pub reports: bool,
    /// Pulses of the connection that its server gets before the message; 0 as well when it is known to have all of them.
    pub pulses: u64,
}

/// Who speaks through a virtual connection; repeated until it is known to have arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Connect {
    /// Who to whom.
    pub info: ConnectInfo,
    /// Counts the changes of credentials; the newest holds (serial arithmetic).
    pub revision: u16,
    /// Whether answers go back through the link the message came through, as long as that is up.
    pub answers_back: bool,
}

/// The begin of a reply; bytes from `offset` on follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReplyHead {
    /// The call.
    pub call: u64,
    /// The server's status.
    pub status: i64,
    /// Where the last extent of the reply ends.
    pub len: u32,
    /// Bytes of all extents together: when so many are placed the reply is complete.
    pub sent_len: u32,
    /// Where the bytes of this record belong.
    pub offset: u32,
}

/// Bytes of a message or reply somewhere behind its begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fragment<'a> {
    /// The call.
    pub call: u64,
    /// Where the bytes belong.
    pub offset: u32,
    /// The bytes, at least one.
    pub bytes: &'a [u8],
}

impl MessageHead {
    /// Bytes of the record behind its header, without those of the message.
    pub const fn fixed_len(with_connect: bool, with_pulses: bool) -> usize {
        let connect_len = if with_connect {
            size_of::<RawConnect>()
        } else {
            0
        };
        let pulses_len = if with_pulses { size_of::<U64>() } else { 0 };
        size_of::<RawMessage>() + connect_len + pulses_len
    }

    /// Writes the record and returns room for the first `bytes_len` bytes of the message.
    pub fn emit<'b>(
        &self,
        frame: &'b mut FrameBuilder<'_>,
        connect: Option<&Connect>,
        bytes_len: usize,
    ) -> Option<&'b mut [u8]> {
        let raw = self.raw(connect.is_some());
        let connect = connect.map(Connect::raw);
        let second = connect.as_ref().map_or(&[][..], |raw| raw.as_bytes());
        let fixed = [raw.as_bytes(), second];
        if self.pulses == 0 {
            return frame.push(RecordType::Message, fixed, bytes_len);
        }
        let pulses = U64::from(self.pulses);
        let tail_len = size_of_val(&pulses) + bytes_len;
        let tail = frame.push(RecordType::Message, fixed, tail_len)?;
        let (before, bytes) = tail.split_at_mut(size_of_val(&pulses));
        before.copy_from_slice(pulses.as_bytes());
        Some(bytes)
    }

    /// Writes the record of `count` messages, of which this is the first head, and returns room for their bytes. The
    /// head asks for no report and names no pulses.
    pub fn emit_run<'b>(
        &self,
        frame: &'b mut FrameBuilder<'_>,
        count: usize,
    ) -> Option<&'b mut [u8]> {
        let raw = self.raw(false);
        let bytes_len = count * self.len as usize;
        frame.push(RecordType::Messages, [raw.as_bytes(), &[]], bytes_len)
    }

    fn raw(&self, with_connect: bool) -> RawMessage {
        RawMessage {
            call: self.call.into(),
            conn: self.conn.into(),
            len: self.len.into(),
            reply_len: self.reply_len.into(),
            tid: self.tid.into(),
            priority: self.priority,
            flags: flag(FLAG_CONNECT, with_connect)
                | flag(FLAG_REPORT, self.reports)
                | flag(FLAG_PULSES, self.pulses > 0),
            reserved: 0.into(),
        }
    }

    pub(super) fn parse(body: &[u8]) -> Result<Record<'_>, Malformed> {
        let (raw, rest) = split::<RawMessage>(body)?;
        let (connect, rest) = Connect::parse(raw.flags & !(FLAG_REPORT | FLAG_PULSES), rest)?;
        let mut head = raw.head()?;
        head.reports = raw.flags & FLAG_REPORT != 0;
        let mut bytes = rest;
        if raw.flags & FLAG_PULSES != 0 {
            let (pulses, rest) = split::<U64>(rest)?;
            (head.pulses, bytes) = (pulses.get(), rest);
            // Who names none says so by leaving the field out.
            if head.pulses == 0 {
                return Err(Malformed::Value);
            }
        }
        if bytes.len() > head.len as usize {
            return Err(Malformed::Value);
        }
        Ok(Record::Message {
            head,
            connect,
            bytes,
        })
    }

    pub(super) fn parse_run(body: &[u8]) -> Result<Record<'_>, Malformed> {
        let (raw, bytes) = split::<RawMessage>(body)?;
        zero(raw.flags)?;
        let head = raw.head()?;
        // So that what a record makes its receiver do is bounded by its length.
        let is_whole = head.len > 0 && bytes.len().is_multiple_of(head.len as usize);
        if !is_whole || bytes.is_empty() || head.call.checked_add(bytes.len() as u64).is_none() {
            return Err(Malformed::Value);
        }
        Ok(Record::Messages { head, bytes })
    }
}

impl RawMessage {
    /// What stands in it, flags aside.
    fn head(&self) -> Result<MessageHead, Malformed> {
        zero(self.reserved)?;
        let head = MessageHead {
            call: self.call.get(),
            conn: self.conn.get(),
            len: self.len.get(),
            reply_len: self.reply_len.get(),
            tid: self.tid.get(),
            priority: self.priority,
            reports: false,
            pulses: 0,
        };
        let too_long =
            head.len as usize > MESSAGE_LEN_MAX || head.reply_len as usize > MESSAGE_LEN_MAX;
        match too_long {
            true => Err(Malformed::Value),
            false => Ok(head),
        }
    }
}

impl Connect {
    pub(super) fn raw(&self) -> impl IntoBytes + Immutable + use<> {
        RawConnect {
            server_pid: self.info.server_pid.into(),
            server_chid: self.info.server_chid.into(),
            client_pid: self.info.client_pid.into(),
            coid: self.info.coid.into(),
            uid: self.info.uid.into(),
            gid: self.info.gid.into(),
            srcnd: self.info.srcnd.into(),
            revision: self.revision.into(),
            answers_back: u8::from(self.answers_back),
            reserved: 0,
        }
    }

    /// Takes the connect off `rest` if `flags` says that there is one.
    pub(super) fn parse(flags: u8, rest: &[u8]) -> Result<(Option<Connect>, &[u8]), Malformed> {
        zero(flags & !FLAG_CONNECT)?;
        if flags & FLAG_CONNECT == 0 {
            return Ok((None, rest));
        }
        let (raw, rest) = split::<RawConnect>(rest)?;
        zero(raw.reserved)?;
        zero(raw.answers_back & !1)?;
        let info = ConnectInfo {
            server_pid: raw.server_pid.get(),
            server_chid: raw.server_chid.get(),
            client_pid: raw.client_pid.get(),
            coid: raw.coid.get(),
            uid: raw.uid.get(),
            gid: raw.gid.get(),
            srcnd: raw.srcnd.get(),
        };
        Ok((
            Some(Connect {
                info,
                revision: raw.revision.get(),
                answers_back: raw.answers_back != 0,
            }),
            rest,
        ))
    }
}

impl ReplyHead {
    /// Bytes of the record behind its header, without those of the reply.
    pub const FIXED_LEN: usize = size_of::<RawReply>();

    /// Writes the record and returns room for `bytes_len` bytes of the reply.
    pub fn emit<'b>(
        &self,
        frame: &'b mut FrameBuilder<'_>,
        bytes_len: usize,
    ) -> Option<&'b mut [u8]> {
        let raw = RawReply {
            call: self.call.into(),
            status: self.status.into(),
            len: self.len.into(),
            sent_len: self.sent_len.into(),
            offset: self.offset.into(),
        };
        frame.push(RecordType::Reply, [raw.as_bytes(), &[]], bytes_len)
    }

    pub(super) fn parse(body: &[u8]) -> Result<Record<'_>, Malformed> {
        let (raw, bytes) = split::<RawReply>(body)?;
        let head = ReplyHead {
            call: raw.call.get(),
            status: raw.status.get(),
            len: raw.len.get(),
            sent_len: raw.sent_len.get(),
            offset: raw.offset.get(),
        };
        let end = head.offset as usize + bytes.len();
        let sound = head.len as usize <= MESSAGE_LEN_MAX
            && head.sent_len <= head.len
            && bytes.len() <= head.sent_len as usize
            && end <= head.len as usize;
        if sound {
            Ok(Record::Reply { head, bytes })
        } else {
            Err(Malformed::Value)
        }
    }
}

impl<'a> Fragment<'a> {
    /// Bytes of the record behind its header, without those of message or reply.
    pub const FIXED_LEN: usize = size_of::<RawFragment>();

    /// Writes a record of type `kind` and returns room for its bytes.
    pub fn emit<'b>(
        frame: &'b mut FrameBuilder<'_>,
        kind: RecordType,
        call: u64,
        offset: u32,
        bytes_len: usize,
    ) -> Option<&'b mut [u8]> {
        let (call, offset) = (call.to_be_bytes(), offset.to_be_bytes());
        frame.push_inlined(kind, [&call, &offset], bytes_len)
    }

    pub(super) fn parse(body: &'a [u8]) -> Result<Fragment<'a>, Malformed> {
        let (raw, bytes) = split::<RawFragment>(body)?;
        let offset = raw.offset.get();
        if bytes.is_empty() || offset as usize + bytes.len() > MESSAGE_LEN_MAX {
            return Err(Malformed::Value);
        }
        Ok(Fragment {
            call: raw.call.get(),
            offset,
            bytes,
        })
    }
}

fn flag(flag: u8, is_set: bool) -> u8 {
    if is_set { flag } else { 0 }
}
