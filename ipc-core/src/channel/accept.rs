//! Clients at the door: accepting, the checks of attach, cancels, hang-ups.
//!
//! Runs on the monitor thread and never waits for a client.

use std::{
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    sync::{Arc, Mutex, PoisonError, Weak, atomic::AtomicU32},
};

use zerocopy::{FromZeros, IntoBytes};

use crate::{
    abi::{AttachFlags, ChannelFlags, Chid, ClientInfo, Coid, Credentials, Errno, Nd, Pid, Result},
    channel::{Inner, attached::Attached, events::Window, registry, snapshot},
    process::{
        Monitor, Next, Presence, Watch, WatchId,
        control::{self, Attach, Cancel, Record},
    },
    shm::{BITS_MAX, Doorbell, Layout, Region},
    sys::{runtime_dir, seqpacket::Seqpacket},
};

/// Accepts whoever connects to one listening socket.
pub(super) struct Acceptor {
    presence: Presence,
    /// Given up for a moment when descriptors run out, to turn a client away instead of spinning on it.
    spare: Mutex<Option<OwnedFd>>,
}

/// A connected client process, attached or not yet.
struct Peer {
    socket: Arc<Seqpacket>,
    pid: Pid,
    credentials: Credentials,
    place: Mutex<Option<Place>>,
}

/// Which connection of which channel a client's socket stands for.
struct Place {
    channel: Weak<Inner>,
    index: u32,
}

/// Bytes of the longest record that a client sends.
const RECORD_LEN_MAX: usize = 8 + size_of::<Attach>();

impl Acceptor {
    pub(super) fn new(presence: Presence) -> Result<Acceptor> {
        Ok(Acceptor {
            presence,
            spare: Mutex::new(Some(spare_fd()?)),
        })
    }

    /// Takes the client that waits and hangs up on it, with the descriptor kept for that.
    fn turn_away(&self) -> Result<()> {
        let mut spare = self.spare.lock().unwrap_or_else(PoisonError::into_inner);
        *spare = None;
        let turned_away = self.presence.listener().try_accept().map(drop);
        *spare = spare_fd().ok();
        turned_away
    }
}

impl Watch for Acceptor {
    fn fd(&self) -> BorrowedFd<'_> {
        self.presence.listener().fd().as_fd()
    }

    fn ready(self: Arc<Self>, _: WatchId) -> Next {
        match self.presence.listener().try_accept() {
            Ok(socket) => {
                // A client that cannot be looked after is hung up on, which tells it so.
                let _ = admit(socket);
            }
            Err(Errno::EMFILE | Errno::ENFILE) => {
                // With no descriptor left even for that, the next round tries again.
                let _ = self.turn_away();
            }
            // Whoever waited has gone.
            Err(_) => {}
        }
        Next::Keep
    }
}

fn admit(socket: Seqpacket) -> Result<()> {
    let (pid, credentials) = socket.peer()?;
    let socket = Arc::new(socket);
    let peer = Peer {
        socket,
        pid,
        credentials,
        place: Mutex::new(None),
    };
    Monitor::current()?.add(Arc::new(peer)).map(drop)
}

impl Watch for Peer {
    fn fd(&self) -> BorrowedFd<'_> {
        self.socket.fd().as_fd()
    }

    fn ready(self: Arc<Self>, _: WatchId) -> Next {
        let mut bytes = [0; RECORD_LEN_MAX];
        let handled = match self.socket.try_receive(&mut bytes) {
            Ok(record) if record.len > 0 => self.handle(&bytes[..record.len], record.fds),
            Err(Errno::EAGAIN) => return Next::Keep,
            Ok(_) | Err(_) => Err(Errno::ECONNRESET),
        };
        if handled.is_ok() {
            return Next::Keep;
        }
        self.leave();
        Next::Remove
    }
}

impl Peer {
    fn handle(&self, bytes: &[u8], fds: Vec<OwnedFd>) -> Result<()> {
        match Record::parse(bytes)? {
            Record::Attach(attach) => self.attach(&attach, fds),
            Record::Cancel(cancel) => self.cancel(&cancel),
            Record::EventsTaken(count) => self.events_taken(count),
            // Only servers say this.
            Record::Event(_) => Err(Errno::EBADMSG),
            Record::Status => snapshot::answer(&self.socket, self.credentials),
        }
    }

    fn attach(&self, attach: &Attach, fds: Vec<OwnedFd>) -> Result<()> {
        let outcome = self.try_attach(attach, fds);
        let (answer, doorbell) = match &outcome {
            Ok((answer, doorbell)) => (*answer, Some(doorbell)),
            Err(error) => {
                let mut answer = control::Attached::new_zeroed();
                answer.errno = error.0;
                (answer, None)
            }
        };
        let fds: Vec<_> = doorbell.iter().map(|fd| fd.as_fd()).collect();
        self.socket.try_send(answer.as_bytes(), &fds)?;
        outcome.map(drop)
    }

    fn try_attach(
        &self,
        attach: &Attach,
        fds: Vec<OwnedFd>,
    ) -> Result<(control::Attached, Arc<OwnedFd>)> {
        let mut place = self.place.lock().unwrap_or_else(PoisonError::into_inner);
        if place.is_some() {
            return Err(Errno::EALREADY);
        }
        let mut fds = fds.into_iter();
        let region_fd = fds.next().ok_or(Errno::EINVAL)?;
        let region = Region::open(region_fd, Layout::new(attach.slots, attach.arena_len)?)?;
        let completions = match attach.completion_bit {
            control::NO_BIT => None,
            bit if bit < BITS_MAX => Some((Doorbell::open(fds.next().ok_or(Errno::EINVAL)?)?, bit)),
            _ => return Err(Errno::EINVAL),
        };
        let local = attach.nd == Nd::LOCAL.0;
        let channel = registry::find(Chid(attach.chid), local)?;
        if channel.flags().contains(ChannelFlags::PRIVATE) && self.pid != Pid::current() {
            return Err(Errno::EPERM);
        }
        let client = self.client(attach)?;
        let uid = client.credentials.uid;
        let may_pulse = uid == 0 || uid == nix::unistd::geteuid().as_raw();
        let target = (!local).then_some((Nd(attach.nd), Pid(attach.pid), Chid(attach.chid)));
        let (index, bell, scoid, doorbell) = {
            let mut state = channel.lock();
            let mut given = Default::default();
            let (index, bell) = state.add(client, self.credentials.uid, |scoid| {
                given = scoid;
                Arc::new(Attached {
                    id: Attached::new_id(),
                    region,
                    client,
                    coid: Coid(attach.coid),
                    scoid,
                    may_pulse,
                    target,
                    completions,
                    socket: Arc::clone(&self.socket),
                    head_hint: AtomicU32::new(0),
                    events: Window::default(),
                })
            })?;
            (index, bell, given, Arc::clone(state.bells.doorbell(bell).1))
        };
        *place = Some(Place {
            channel: Arc::downgrade(&channel),
            index,
        });
        let answer = control::Attached {
            errno: 0,
            scoid: scoid.0,
            bit: bell.bit,
            channel_flags: channel.flags().bits(),
        };
        Ok((answer, doorbell))
    }

    /// Whom the connection counts as: its process, or whom the owner of the node speaks for.
    fn client(&self, attach: &Attach) -> Result<ClientInfo> {
        let flags = AttachFlags::from_bits(attach.flags).ok_or(Errno::EINVAL)?;
        if !flags.contains(AttachFlags::SPEAKS_FOR) {
            let (pid, credentials) = (self.pid, self.credentials);
            return Ok(ClientInfo {
                nd: Nd::LOCAL,
                pid,
                credentials,
            });
        }
        if !runtime_dir::is_node_owner(&runtime_dir::runtime_dir(), self.credentials.uid) {
            return Err(Errno::EPERM);
        }
        Ok(ClientInfo {
            nd: Nd(attach.for_nd),
            pid: Pid(attach.for_pid),
            credentials: Credentials {
                uid: attach.for_uid,
                gid: attach.for_gid,
            },
        })
    }

    fn cancel(&self, cancel: &Cancel) -> Result<()> {
        let place = self.place.lock().unwrap_or_else(PoisonError::into_inner);
        let place = place.as_ref().ok_or(Errno::EBADMSG)?;
        let wish = cancel.wish()?;
        if let Some(channel) = place.channel.upgrade() {
            let mut state = channel.lock();
            state.drain(&channel.counters);
            state.cancel(place.index, cancel.slot, cancel.generation, wish);
        }
        Ok(())
    }

    fn events_taken(&self, count: u32) -> Result<()> {
        let place = self.place.lock().unwrap_or_else(PoisonError::into_inner);
        let place = place.as_ref().ok_or(Errno::EBADMSG)?;
        match place.channel.upgrade() {
            Some(channel) => channel.lock().events_taken(place.index, count),
            None => Ok(()),
        }
    }

    fn leave(&self) {
        let place = self
            .place
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(place) = place
            && let Some(channel) = place.channel.upgrade()
        {
            channel.lock().remove(place.index, &channel.counters);
        }
    }
}

fn spare_fd() -> Result<OwnedFd> {
    std::fs::File::open("/dev/null")
        .map(OwnedFd::from)
        .map_err(|error| Errno::of(&error))
}
