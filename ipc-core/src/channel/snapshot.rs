//! The status of a process: its channels, and who is blocked on them.

use zerocopy::{FromBytes, FromZeros, Immutable, IntoBytes, KnownLayout};

use crate::{
    abi::{
        ChannelFlags, ChannelStats, Chid, Coid, Credentials, Errno, Nd, Pid, Rcvid, Result, Tid,
        limits::{ATTACH_TIMEOUT, CHANNELS_MAX, CONTROL_LEN_MAX, SNAPSHOT_THREADS_MAX},
    },
    channel::{
        Inner,
        attached::{Attached, InFlight},
        registry,
    },
    process::{connect, control::Record},
    sys::{clock, runtime_dir, seqpacket::Seqpacket},
};

/// What a process says of itself at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProcessSnapshot {
    /// Its channels, by id.
    pub channels: Vec<ChannelSnapshot>,
}

/// One channel at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChannelSnapshot {
    /// The channel.
    pub chid: Chid,
    /// What it was created with.
    pub flags: ChannelFlags,
    /// Threads that are RECEIVE-blocked on it.
    pub receivers: usize,
    /// Connections to it.
    pub connections: usize,
    /// Clients that are SEND-blocked, all of them; [`blocked`](Self::blocked) lists at most
    /// [`SNAPSHOT_THREADS_MAX`] of both kinds.
    pub send_blocked: usize,
    /// Clients that are REPLY-blocked, all of them.
    pub reply_blocked: usize,
    /// Pulses that wait.
    pub pulses: usize,
    /// What happened on it; `None` from a process whose library does not tell.
    pub stats: Option<ChannelStats>,
    /// The blocked clients.
    pub blocked: Vec<BlockedThread>,
}

/// A client thread that waits for a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlockedThread {
    /// Its node, as this node numbers it.
    pub nd: Nd,
    /// Its process.
    pub pid: Pid,
    /// The thread.
    pub tid: Tid,
    /// Through which of its connections it sent.
    pub coid: Coid,
    /// At what priority.
    pub priority: u8,
    /// The receive id, if it is REPLY-blocked; it is SEND-blocked without one.
    pub rcvid: Option<Rcvid>,
}

#[repr(C)]
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout)]
struct ChannelRecord {
    /// 0 ends the list.
    chid: i32,
    flags: u32,
    receivers: u32,
    connections: u32,
    send_blocked: u32,
    reply_blocked: u32,
    pulses: u32,
    /// Bytes of [`ChannelStats`] that follow; 0 from a process whose library does not tell.
    counters_len: u32,
}

#[repr(C)]
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout)]
struct ThreadRecord {
    nd: u32,
    pid: i32,
    tid: i32,
    coid: i32,
    priority: u32,
    reserved: u32,
    /// 0 when SEND-blocked.
    rcvid: i64,
}

const _: () = assert!(
    size_of::<ChannelRecord>()
        + size_of::<ChannelStats>()
        + SNAPSHOT_THREADS_MAX * size_of::<ThreadRecord>()
        <= CONTROL_LEN_MAX
);

/// Asks a process of this node for its channels and who is blocked on them.
///
/// # Errors
/// `ESRCH` when it has no channels, `EPERM` when it belongs to another user, `ETIMEDOUT` when it is
/// stopped.
pub fn snapshot(pid: Pid) -> Result<ProcessSnapshot> {
    ask(pid).map_err(|error| match error {
        // It died while it was asked.
        Errno::ECONNRESET | Errno::EPIPE => Errno::ESRCH,
        other => other,
    })
}

fn ask(pid: Pid) -> Result<ProcessSnapshot> {
    let (socket, _) = connect(Nd::LOCAL, pid)?;
    socket.send(&Record::Status.encode(), &[])?;
    let mut snapshot = ProcessSnapshot::default();
    let mut bytes = vec![0; CONTROL_LEN_MAX];
    let deadline_ns = clock::deadline_ns(ATTACH_TIMEOUT);
    loop {
        if clock::monotonic_ns() > deadline_ns {
            return Err(Errno::ETIMEDOUT);
        }
        let len = socket.receive(&mut bytes)?.len;
        if len == 0 {
            return Err(Errno::EPERM);
        }
        match parse(&bytes[..len])? {
            Some(_) if snapshot.channels.len() == CHANNELS_MAX => return Err(Errno::EPROTO),
            Some(channel) => snapshot.channels.push(channel),
            None => return Ok(snapshot),
        }
    }
}

/// The answer to a status record, as far as it is not sent yet: one record for each channel, and an end. A
/// channel that comes or goes meanwhile is in it or not.
#[derive(Debug)]
pub(super) struct Answer {
    /// The last channel that was sent.
    sent: i32,
}

/// How far an answer got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answered {
    All,
    /// The asker has so much to read that there is no room for more.
    NoRoom,
}

impl Answer {
    /// # Errors
    /// `EPERM` unless `asker` is the own user, the owner of the node or root.
    pub(super) fn to(asker: Credentials) -> Result<Answer> {
        let own = asker.uid == nix::unistd::geteuid().as_raw();
        if own || runtime_dir::is_node_owner(&runtime_dir::runtime_dir(), asker.uid) {
            Ok(Answer { sent: 0 })
        } else {
            Err(Errno::EPERM)
        }
    }

    /// Sends what there is room for.
    pub(super) fn send(&mut self, socket: &Seqpacket) -> Result<Answered> {
        loop {
            let next = registry::after(Chid(self.sent));
            let record = match &next {
                Some(channel) => encode(channel),
                None => ChannelRecord::new_zeroed().as_bytes().to_vec(),
            };
            match (socket.try_send(&record, &[]), next) {
                (Ok(()), Some(channel)) => self.sent = channel.chid.0,
                (Ok(()), None) => return Ok(Answered::All),
                (Err(Errno::EAGAIN), _) => return Ok(Answered::NoRoom),
                (Err(error), _) => return Err(error),
            }
        }
    }
}

fn encode(channel: &Inner) -> Vec<u8> {
    let mut state = channel.lock();
    // What no receiver has looked at yet is SEND-blocked all the same.
    state.drain();
    state.adopt_leased();
    let send_blocked = state.table.send_blocked().count();
    let record = ChannelRecord {
        chid: channel.chid.0,
        flags: channel.flags.bits(),
        receivers: state.sleepers.len() as u32,
        connections: state.connection_count() as u32,
        send_blocked: send_blocked as u32,
        reply_blocked: state.table.reply_blocked_count() as u32,
        pulses: state.table.pulses_queued() as u32,
        counters_len: size_of::<ChannelStats>() as u32,
    };
    let mut bytes = record.as_bytes().to_vec();
    let counters = state.counts.with(&channel.counters);
    bytes.extend_from_slice(counters.as_bytes());
    let queued = state.table.send_blocked().map(|message| (0, message));
    let received = state
        .table
        .reply_blocked()
        .map(|(id, message)| (id.0, message));
    for (rcvid, message) in queued.chain(received).take(SNAPSHOT_THREADS_MAX) {
        let record = thread_record(rcvid, state.attached(message), message);
        bytes.extend_from_slice(record.as_bytes());
    }
    bytes
}

fn thread_record(rcvid: i64, attached: &Attached, message: &InFlight) -> ThreadRecord {
    ThreadRecord {
        nd: attached.client.nd.0,
        pid: attached.client.pid.0,
        tid: message.entry.tid.0,
        coid: attached.coid.0,
        priority: u32::from(message.entry.priority),
        reserved: 0,
        rcvid,
    }
}

fn parse(bytes: &[u8]) -> Result<Option<ChannelSnapshot>> {
    let (record, mut rest) = ChannelRecord::read_from_prefix(bytes).map_err(|_| Errno::EBADMSG)?;
    if record.chid == 0 {
        return Ok(None);
    }
    let stats = match record.counters_len as usize {
        0 => None,
        len => {
            let (counters, tail) = rest.split_at_checked(len).ok_or(Errno::EBADMSG)?;
            rest = tail;
            let stats = ChannelStats::read_from_prefix(counters);
            Some(stats.map_err(|_| Errno::EBADMSG)?.0)
        }
    };
    let mut blocked = Vec::new();
    while !rest.is_empty() {
        let (thread, tail) = ThreadRecord::read_from_prefix(rest).map_err(|_| Errno::EBADMSG)?;
        rest = tail;
        blocked.push(BlockedThread {
            nd: Nd(thread.nd),
            pid: Pid(thread.pid),
            tid: Tid(thread.tid),
            coid: Coid(thread.coid),
            priority: thread.priority.min(255) as u8,
            rcvid: (thread.rcvid != 0).then_some(Rcvid(thread.rcvid)),
        });
    }
    Ok(Some(ChannelSnapshot {
        chid: Chid(record.chid),
        flags: ChannelFlags::from_bits_truncate(record.flags),
        receivers: record.receivers as usize,
        connections: record.connections as usize,
        send_blocked: record.send_blocked as usize,
        reply_blocked: record.reply_blocked as usize,
        pulses: record.pulses as usize,
        stats,
        blocked,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(counters_len: u32) -> ChannelRecord {
        ChannelRecord {
            chid: 3,
            counters_len,
            ..ChannelRecord::new_zeroed()
        }
    }

    #[test]
    fn counters_are_read_back_and_may_be_missing_but_not_cut_short() {
        let stats = ChannelStats {
            messages: 1,
            wakes_sent: 4,
            spins_lost: 7,
            faults: 10,
            ..ChannelStats::default()
        };
        let len = size_of::<ChannelStats>();
        let whole = [record(len as u32).as_bytes(), stats.as_bytes()].concat();
        assert_eq!(parse(&whole).unwrap().unwrap().stats, Some(stats));
        let without = record(0);
        assert_eq!(parse(without.as_bytes()).unwrap().unwrap().stats, None);
        assert_eq!(parse(&whole[..whole.len() - 1]), Err(Errno::EBADMSG));
    }
}
