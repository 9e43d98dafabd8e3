//! The entries of the tables: a fixed part each, and for some a text.

use zerocopy::{
    FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned,
    little_endian::{I32, U16, U32, U64},
};

use super::{Entry, PrefixFlags, RegistrationId, Table, split_bytes, split_head};
use crate::abi::{ChannelFlags, ChannelStats, Chid, Coid, Errno, Nd, Pid, Result, Tid};

/// A registered prefix or name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NameEntry {
    /// Names the registration.
    pub id: RegistrationId,
    /// The path, bytes as registered after normalisation.
    pub path: Vec<u8>,
    /// The server's process.
    pub pid: Pid,
    /// The server's channel.
    pub chid: Chid,
    /// What the server wants back in each connect.
    pub handle: u64,
    /// How it is matched and ordered.
    pub flags: PrefixFlags,
    /// The user the server runs as.
    pub uid: u32,
}

#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct NameBody {
    /// [`RegistrationId`]
    id: U64,
    /// The server's handle.
    handle: U64,
    /// The server's process.
    pid: I32,
    /// The server's channel.
    chid: I32,
    /// [`PrefixFlags`]
    flags: U32,
    /// The server's user.
    uid: U32,
    /// Bytes of the path that follows.
    path_len: U16,
    /// 0
    reserved: U16,
}
const _: () = assert!(size_of::<NameBody>() == 36);

impl Entry for NameEntry {
    const TABLE: Table = Table::Names;

    fn pack(&self, out: &mut Vec<u8>) {
        let body = NameBody {
            id: self.id.0.into(),
            handle: self.handle.into(),
            pid: self.pid.0.into(),
            chid: self.chid.0.into(),
            flags: self.flags.bits().into(),
            uid: self.uid.into(),
            path_len: (self.path.len() as u16).into(),
            reserved: 0.into(),
        };
        out.extend_from_slice(body.as_bytes());
        out.extend_from_slice(&self.path);
    }

    fn parse(bytes: &[u8]) -> Result<(Self, &[u8])> {
        let (body, rest) = split_head::<NameBody>(bytes)?;
        let (path, rest) = split_bytes(rest, body.path_len.get().into())?;
        let entry = NameEntry {
            id: RegistrationId(body.id.get()),
            path: path.to_vec(),
            pid: Pid(body.pid.get()),
            chid: Chid(body.chid.get()),
            handle: body.handle.get(),
            flags: PrefixFlags::from_bits_retain(body.flags.get()),
            uid: body.uid.get(),
        };
        Ok((entry, rest))
    }
}

/// A process of the node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProcessEntry {
    /// Its pid, also for the process manager itself.
    pub pid: Pid,
    /// Its user.
    pub uid: u32,
    /// Its group.
    pub gid: u32,
    /// Channels it owns.
    pub channels: u32,
    /// Prefixes and names it registered.
    pub prefixes: u32,
    /// Its command name.
    pub name: String,
}

#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct ProcessBody {
    /// The process.
    pid: I32,
    /// Its user.
    uid: U32,
    /// Its group.
    gid: U32,
    /// Channels it owns.
    channels: U32,
    /// Prefixes it registered.
    prefixes: U32,
    /// Bytes of the name that follows.
    name_len: U16,
    /// 0
    reserved: U16,
}
const _: () = assert!(size_of::<ProcessBody>() == 24);

impl Entry for ProcessEntry {
    const TABLE: Table = Table::Processes;

    fn pack(&self, out: &mut Vec<u8>) {
        let name = &self.name.as_bytes()[..self.name.len().min(u16::MAX.into())];
        let body = ProcessBody {
            pid: self.pid.0.into(),
            uid: self.uid.into(),
            gid: self.gid.into(),
            channels: self.channels.into(),
            prefixes: self.prefixes.into(),
            name_len: (name.len() as u16).into(),
            reserved: 0.into(),
        };
        out.extend_from_slice(body.as_bytes());
        out.extend_from_slice(name);
    }

    fn parse(bytes: &[u8]) -> Result<(Self, &[u8])> {
        let (body, rest) = split_head::<ProcessBody>(bytes)?;
        let (name, rest) = split_bytes(rest, body.name_len.get().into())?;
        let entry = ProcessEntry {
            pid: Pid(body.pid.get()),
            uid: body.uid.get(),
            gid: body.gid.get(),
            channels: body.channels.get(),
            prefixes: body.prefixes.get(),
            name: String::from_utf8_lossy(name).into_owned(),
        };
        Ok((entry, rest))
    }
}

/// A channel of the node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChannelEntry {
    /// Who owns it.
    pub pid: Pid,
    /// Its id.
    pub chid: Chid,
    /// What it was created with.
    pub flags: ChannelFlags,
    /// Threads that wait in receive.
    pub receive_blocked: u32,
    /// Messages not yet received.
    pub send_blocked: u32,
    /// Messages received and not yet answered.
    pub reply_blocked: u32,
}

#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct ChannelBody {
    /// The owner.
    pid: I32,
    /// The channel.
    chid: I32,
    /// [`ChannelFlags`]
    flags: U32,
    /// Threads in receive.
    receive_blocked: U32,
    /// Messages waiting to be received.
    send_blocked: U32,
    /// Messages waiting to be answered.
    reply_blocked: U32,
}
const _: () = assert!(size_of::<ChannelBody>() == 24);

impl Entry for ChannelEntry {
    const TABLE: Table = Table::Channels;

    fn pack(&self, out: &mut Vec<u8>) {
        let body = ChannelBody {
            pid: self.pid.0.into(),
            chid: self.chid.0.into(),
            flags: self.flags.bits().into(),
            receive_blocked: self.receive_blocked.into(),
            send_blocked: self.send_blocked.into(),
            reply_blocked: self.reply_blocked.into(),
        };
        out.extend_from_slice(body.as_bytes());
    }

    fn parse(bytes: &[u8]) -> Result<(Self, &[u8])> {
        let (body, rest) = split_head::<ChannelBody>(bytes)?;
        let entry = ChannelEntry {
            pid: Pid(body.pid.get()),
            chid: Chid(body.chid.get()),
            flags: ChannelFlags::from_bits_retain(body.flags.get()),
            receive_blocked: body.receive_blocked.get(),
            send_blocked: body.send_blocked.get(),
            reply_blocked: body.reply_blocked.get(),
        };
        Ok((entry, rest))
    }
}

/// What happened on a channel. Those of processes that do not tell are left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CountersEntry {
    /// Who owns the channel.
    pub pid: Pid,
    /// Its id.
    pub chid: Chid,
    /// What happened on it.
    pub stats: ChannelStats,
}

#[derive(FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
struct CountersBody {
    /// The owner.
    pid: I32,
    /// The channel.
    chid: I32,
    /// What happened on it.
    stats: ChannelStats,
}
const _: () = assert!(size_of::<CountersBody>() == 88);

impl Entry for CountersEntry {
    const TABLE: Table = Table::Counters;

    fn pack(&self, out: &mut Vec<u8>) {
        let body = CountersBody {
            pid: self.pid.0.into(),
            chid: self.chid.0.into(),
            stats: self.stats,
        };
        out.extend_from_slice(body.as_bytes());
    }

    fn parse(bytes: &[u8]) -> Result<(Self, &[u8])> {
        let (body, rest) = split_head::<CountersBody>(bytes)?;
        let entry = CountersEntry {
            pid: Pid(body.pid.get()),
            chid: Chid(body.chid.get()),
            stats: body.stats,
        };
        Ok((entry, rest))
    }
}

/// The state a thread is blocked in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u32)]
pub enum BlockState {
    /// Its message has not been received.
    Send = 1,
    /// It waits for a message or pulse.
    Receive = 2,
    /// Its message has been received and not answered.
    Reply = 3,
}

/// A blocked thread, and the channel it is blocked on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlockedEntry {
    /// How it is blocked.
    pub state: BlockState,
    /// The node of the blocked thread.
    pub nd: Nd,
    /// Its process.
    pub pid: Pid,
    /// The thread; 0 where the channel's owner does not know it.
    pub tid: Tid,
    /// The connection it sent on; 0 for a receiver.
    pub coid: Coid,
    /// Whose channel it is blocked on.
    pub on_pid: Pid,
    /// The channel.
    pub on_chid: Chid,
    /// The priority of the message; 0 for a receiver.
    pub priority: u32,
}

#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct BlockedBody {
    /// [`BlockState`]
    state: U32,
    /// The client's node.
    nd: U32,
    /// The blocked process.
    pid: I32,
    /// The blocked thread.
    tid: I32,
    /// Its connection.
    coid: I32,
    /// The channel's owner.
    on_pid: I32,
    /// The channel.
    on_chid: I32,
    /// Of the message.
    priority: U32,
}
const _: () = assert!(size_of::<BlockedBody>() == 32);

impl Entry for BlockedEntry {
    const TABLE: Table = Table::Blocked;

    fn pack(&self, out: &mut Vec<u8>) {
        let body = BlockedBody {
            state: (self.state as u32).into(),
            nd: self.nd.0.into(),
            pid: self.pid.0.into(),
            tid: self.tid.0.into(),
            coid: self.coid.0.into(),
            on_pid: self.on_pid.0.into(),
            on_chid: self.on_chid.0.into(),
            priority: self.priority.into(),
        };
        out.extend_from_slice(body.as_bytes());
    }

    fn parse(bytes: &[u8]) -> Result<(Self, &[u8])> {
        let (body, rest) = split_head::<BlockedBody>(bytes)?;
        let state = match body.state.get() {
            1 => BlockState::Send,
            2 => BlockState::Receive,
            3 => BlockState::Reply,
            _ => return Err(Errno::EBADMSG),
        };
        let entry = BlockedEntry {
            state,
            nd: Nd(body.nd.get()),
            pid: Pid(body.pid.get()),
            tid: Tid(body.tid.get()),
            coid: Coid(body.coid.get()),
            on_pid: Pid(body.on_pid.get()),
            on_chid: Chid(body.on_chid.get()),
            priority: body.priority.get(),
        };
        Ok((entry, rest))
    }
}
