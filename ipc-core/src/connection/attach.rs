//! Attaching: make a region, find the server's process, hand the region over.

use std::{
    os::fd::AsFd,
    sync::{
        Arc,
        atomic::{AtomicI32, Ordering},
    },
};

use zerocopy::{FromBytes, FromZeros};

use crate::{
    abi::{
        AttachFlags, ChannelFlags, Chid, Coid, Credentials, Errno, Nd, Pid, Result, Scoid,
        ServerInfo,
        limits::{ARENA_LEN_DEFAULT, SLOTS_DEFAULT},
    },
    connection::{
        CompletionQueue,
        completions::Seat,
        link::{Link, LinkParts},
    },
    process::{
        self,
        control::{self, Attach, Record},
    },
    shm::{BITS_MAX, Doorbell, Layout, Region},
    sys::{
        failpoint::{self, Failpoint},
        seqpacket::Seqpacket,
    },
};

/// What a client may choose when it attaches.
#[derive(Clone, Copy, Debug)]
pub struct AttachOptions<'a> {
    /// Flags.
    pub flags: AttachFlags,
    /// Messages that can be in flight at once: a power of two up to
    /// [`crate::abi::limits::SLOTS_MAX`]. Senders beyond wait for a free slot.
    pub slots: u32,
    /// Bytes of the arena, a multiple of 4096 up to [`crate::abi::limits::ARENA_LEN_MAX`]: bounds the
    /// messages and replies of more than a cache line that are in flight together.
    pub arena_len: u32,
    /// Where the answers to submitted messages come out.
    pub queue: Option<&'a CompletionQueue>,
    /// The remote client that the owner of the node speaks for.
    pub speaks_for: Option<SpeaksFor>,
}

/// A client on another node, as this node knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SpeaksFor {
    /// Its node.
    pub nd: Nd,
    /// Its process there.
    pub pid: Pid,
    /// What it calls its connection.
    pub coid: Coid,
    /// This node, as it numbers it: what its server finds as `srcnd` (RCV-6).
    pub srcnd: Nd,
    /// Whom it counts as here.
    pub credentials: Credentials,
}

impl Default for AttachOptions<'_> {
    fn default() -> Self {
        AttachOptions {
            flags: AttachFlags::empty(),
            slots: SLOTS_DEFAULT,
            arena_len: ARENA_LEN_DEFAULT,
            queue: None,
            speaks_for: None,
        }
    }
}

pub(super) fn attach(
    nd: Nd,
    pid: Pid,
    chid: Chid,
    options: &AttachOptions<'_>,
) -> Result<Arc<Link>> {
    let pid = if pid == Pid::SELF && nd.is_local() {
        Pid::current()
    } else {
        pid
    };
    let layout = Layout::new(options.slots, options.arena_len)?;
    // Before the server is bothered: it does not wait long for those who connected.
    let (region, region_fd) = Region::create(layout)?;
    failpoint::pass(Failpoint::RegionMade);
    let (socket, server) = process::connect(nd, pid)?;
    failpoint::pass(Failpoint::AttachConnected);
    let coid = match options.flags.contains(AttachFlags::SIDE_CHANNEL) {
        true => side_channel_id(),
        // The socket's descriptor is the connection's: its number cannot be anybody else's.
        false => Coid(socket.fd().number()),
    };
    let seat = options
        .queue
        .map(|queue| queue.inner().reserve(server.uid))
        .transpose()?;
    let record = Record::Attach(describe(nd, pid, chid, options, coid, seat.as_ref()));
    let mut fds = vec![region_fd.as_fd()];
    fds.extend(seat.iter().map(|seat| seat.fd().as_fd()));
    let sent = match socket.send(&record.encode(), &fds) {
        // The server hung up; it may have said why before.
        Err(Errno::EPIPE | Errno::ECONNRESET) => Ok(()),
        sent => sent,
    };
    failpoint::pass(Failpoint::AttachSent);
    let answered = sent.and_then(|()| read_answer(&socket));
    let (answer, doorbell) = answered.map_err(|error| match error {
        // It died with the connection still in its queue.
        Errno::ECONNRESET if !nd.is_local() => Errno::ENETDOWN,
        Errno::ECONNRESET => Errno::ESRCH,
        other => other,
    })?;
    failpoint::pass(Failpoint::AttachAnswered);
    let info = ServerInfo {
        nd,
        pid,
        chid,
        scoid: Scoid(answer.scoid),
        coid,
    };
    let channel_flags = ChannelFlags::from_bits_truncate(answer.channel_flags);
    Link::start(LinkParts {
        region,
        socket,
        info,
        channel_flags,
        doorbell,
        bit: answer.bit,
        foreign: server.uid != nix::unistd::geteuid().as_raw(),
        seat,
    })
}

fn describe(
    nd: Nd,
    pid: Pid,
    chid: Chid,
    options: &AttachOptions<'_>,
    coid: Coid,
    seat: Option<&Seat>,
) -> Attach {
    let mut attach = Attach {
        nd: nd.0,
        pid: pid.0,
        chid: chid.0,
        coid: coid.0,
        flags: options.flags.bits(),
        slots: options.slots,
        arena_len: options.arena_len,
        completion_bit: seat.map_or(control::NO_BIT, Seat::bit),
        ..Attach::new_zeroed()
    };
    if let Some(client) = options.speaks_for {
        attach.flags |= AttachFlags::SPEAKS_FOR.bits();
        attach.nd = client.srcnd.0;
        attach.coid = client.coid.0;
        attach.for_nd = client.nd.0;
        attach.for_pid = client.pid.0;
        attach.for_uid = client.credentials.uid;
        attach.for_gid = client.credentials.gid;
    }
    attach
}

fn read_answer(socket: &Seqpacket) -> Result<(control::Attached, Doorbell)> {
    let mut bytes = [0; size_of::<control::Attached>()];
    let record = match socket.receive(&mut bytes) {
        Err(error @ (Errno::ETIMEDOUT | Errno::EMFILE | Errno::EMSGSIZE)) => return Err(error),
        // A death is told once, and before what the server sent last.
        Err(_) => socket.receive(&mut bytes),
        received => received,
    };
    let record = match record {
        Ok(record) if record.len > 0 => record,
        _ => return Err(Errno::ECONNRESET),
    };
    let answer =
        control::Attached::read_from_bytes(&bytes[..record.len]).map_err(|_| Errno::EPROTO)?;
    if answer.errno != 0 {
        return Err(Errno(answer.errno));
    }
    let fd = record.fds.into_iter().next().ok_or(Errno::EPROTO)?;
    if answer.bit >= BITS_MAX {
        return Err(Errno::EPROTO);
    }
    Ok((answer, Doorbell::open(fd)?))
}

fn side_channel_id() -> Coid {
    static NEXT: AtomicI32 = AtomicI32::new(0);
    let id = NEXT.fetch_add(1, Ordering::Relaxed) & (Coid::SIDE_CHANNEL - 1);
    Coid(Coid::SIDE_CHANNEL | id)
}
