//! Clients at the door: accepting, the checks of attach, cancels, hang-ups.
//!
//! Runs on the monitor thread and never waits for a client.

use std::{
    os::fd::{AsFd, OwnedFd},
    sync::{
        Arc, Mutex, OnceLock, Weak,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
};

use zerocopy::{FromZeros, IntoBytes};

use crate::{
    abi::{
        AttachFlags, ChannelFlags, Chid, ClientInfo, Coid, Credentials, Errno, Nd, Pid, Result,
        limits::{DOOR_REST, UNATTACHED_TIMEOUT},
    },
    channel::{
        Inner,
        attached::Attached,
        events::Window,
        lobby::Lobby,
        registry,
        snapshot::{Answer, Answered},
    },
    process::{
        Monitor, Next, Presence, Watch, WatchId,
        control::{self, Attach, Cancel, Record},
    },
    shm::{BITS_MAX, Doorbell, Layout, Region},
    sys::{
        descriptor::Descriptor,
        failpoint::{self, Failpoint},
        mutex::lock,
        runtime_dir,
        seqpacket::Seqpacket,
    },
};

/// Accepts whoever connects to one listening socket.
pub(super) struct Acceptor {
    presence: Presence,
    lobby: Arc<Lobby>,
    /// Given up for a moment when descriptors run out, to tell a client so instead of leaving it waiting.
    spare: Mutex<Option<Descriptor>>,
}

/// A connected client process, attached or not yet.
struct Peer {
    socket: Arc<Seqpacket>,
    pid: Pid,
    credentials: Credentials,
    lobby: Arc<Lobby>,
    id: OnceLock<WatchId>,
    attached: AtomicBool,
    place: Mutex<Option<Place>>,
    /// What is left of the answer to a status record.
    answer: Mutex<Option<Answer>>,
}

/// Which connection of which channel a client's socket stands for.
struct Place {
    channel: Weak<Inner>,
    index: u32,
}

/// Bytes of the longest record that a client sends.
const RECORD_LEN_MAX: usize = 8 + size_of::<Attach>();

impl Acceptor {
    pub(super) fn new(presence: Presence, lobby: Arc<Lobby>) -> Result<Acceptor> {
        Ok(Acceptor {
            presence,
            lobby,
            spare: Mutex::new(Some(spare_fd()?)),
        })
    }

    /// With no descriptor left: one more client has its turn at the cost of one that says nothing, or is told
    /// to come again.
    fn accept_without_descriptors(&self) -> Next {
        if let Some(silent) = self.lobby.make_room() {
            hang_up(silent);
            return Next::Keep;
        }
        match self.turn_away() {
            Ok(()) | Err(Errno::EAGAIN) => Next::Keep,
            // Not even that: whoever waits, waits until a descriptor is free.
            Err(_) => Next::Rest(DOOR_REST),
        }
    }

    /// Takes the client that waits, says why it cannot stay and hangs up on it, with the descriptor kept for
    /// that.
    fn turn_away(&self) -> Result<()> {
        let mut spare = lock(&self.spare);
        *spare = None;
        let turned_away = self.presence.listener().try_accept();
        let told = turned_away.map(|socket| {
            // One that does not wait for it has gone.
            let _ = socket.try_send(refusal(Errno::EAGAIN).as_bytes(), &[]);
        });
        *spare = spare_fd().ok();
        told
    }
}

impl Watch for Acceptor {
    fn fd(&self) -> &Descriptor {
        self.presence.listener().fd()
    }

    fn ready(self: Arc<Self>, _: WatchId) -> Next {
        match self.presence.listener().try_accept() {
            Ok(socket) => {
                failpoint::pass(Failpoint::Accepted);
                // A client that cannot be looked after is hung up on, which tells it so.
                let _ = admit(socket, &self.lobby);
                Next::Keep
            }
            Err(Errno::EMFILE | Errno::ENFILE) => self.accept_without_descriptors(),
            // No memory for one more: as with descriptors, but there is nothing to give up.
            Err(Errno::ENOMEM | Errno::ENOBUFS) => Next::Rest(DOOR_REST),
            Err(Errno::EBADF) => Next::Remove,
            // Whoever waited has gone.
            Err(_) => Next::Keep,
        }
    }

    fn overdue(self: Arc<Self>) -> Next {
        let mut spare = lock(&self.spare);
        if spare.is_none() {
            *spare = spare_fd().ok();
        }
        Next::Keep
    }
}

fn admit(socket: Seqpacket, lobby: &Arc<Lobby>) -> Result<()> {
    let (pid, credentials) = socket.peer()?;
    let peer = Arc::new(Peer {
        socket: Arc::new(socket),
        pid,
        credentials,
        lobby: Arc::clone(lobby),
        id: OnceLock::new(),
        attached: AtomicBool::new(false),
        place: Mutex::new(None),
        answer: Mutex::new(None),
    });
    let watch = Arc::<Peer>::clone(&peer);
    let id = Monitor::current()?.add_until(watch, Some(UNATTACHED_TIMEOUT))?;
    peer.id.set(id).expect("invariant: added once");
    if let Some(silent) = lobby.enter(id, credentials.uid) {
        hang_up(silent);
    }
    Ok(())
}

fn hang_up(id: WatchId) {
    if let Ok(monitor) = Monitor::current() {
        monitor.remove(id);
    }
}

/// The answer to an attach that failed.
fn refusal(why: Errno) -> control::Attached {
    let mut answer = control::Attached::new_zeroed();
    answer.errno = why.0;
    answer
}

impl Watch for Peer {
    fn fd(&self) -> &Descriptor {
        self.socket.fd()
    }

    fn ready(self: Arc<Self>, _: WatchId) -> Next {
        match self.take_one() {
            Ok(next) => next,
            Err(_) => {
                self.leave();
                Next::Remove
            }
        }
    }

    /// It said nothing for too long.
    fn overdue(self: Arc<Self>) -> Next {
        self.leave();
        Next::Remove
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        if self.attached.load(Ordering::Relaxed) {
            self.lobby.detach(self.credentials.uid);
        } else if let Some(id) = self.id.get() {
            self.lobby.leave(*id);
        }
    }
}

impl Peer {
    /// Takes one record, or goes on with an answer that found no room.
    fn take_one(&self) -> Result<Next> {
        if lock(&self.answer).is_some() {
            return self.go_on_answering();
        }
        let mut bytes = [0; RECORD_LEN_MAX];
        match self.socket.try_receive(&mut bytes) {
            Ok(record) if record.len > 0 => self.handle(&bytes[..record.len], record.fds),
            Err(Errno::EAGAIN) => Ok(Next::Keep),
            Err(Errno::EMFILE) => {
                // A client that has gone by now has nothing to be told.
                let _ = self.socket.try_send(refusal(Errno::EAGAIN).as_bytes(), &[]);
                Err(Errno::EMFILE)
            }
            Ok(_) | Err(_) => Err(Errno::ECONNRESET),
        }
    }

    fn handle(&self, bytes: &[u8], fds: Vec<OwnedFd>) -> Result<Next> {
        match Record::parse(bytes)? {
            Record::Attach(attach) => self.attach(&attach, fds).map(|()| Next::Settled),
            Record::Cancel(cancel) => self.cancel(&cancel).map(|()| Next::Keep),
            Record::EventsTaken(count) => self.events_taken(count).map(|()| Next::Keep),
            // Only servers say this.
            Record::Event(_) => Err(Errno::EBADMSG),
            Record::Status => {
                *lock(&self.answer) = Some(Answer::to(self.credentials)?);
                self.go_on_answering()
            }
        }
    }

    fn go_on_answering(&self) -> Result<Next> {
        let mut answer = lock(&self.answer);
        let rest = answer.as_mut().map(|answer| answer.send(&self.socket));
        match rest.transpose()? {
            Some(Answered::NoRoom) => Ok(Next::AwaitRoom),
            Some(Answered::All) | None => {
                *answer = None;
                Ok(Next::Keep)
            }
        }
    }

    fn attach(&self, attach: &Attach, fds: Vec<OwnedFd>) -> Result<()> {
        let outcome = self.try_attach(attach, fds);
        let (answer, doorbell) = match &outcome {
            Ok((answer, doorbell)) => (*answer, Some(doorbell)),
            Err(error) => (refusal(*error), None),
        };
        let fds: Vec<_> = doorbell.iter().map(|fd| fd.as_fd()).collect();
        self.socket.try_send(answer.as_bytes(), &fds)?;
        failpoint::pass(Failpoint::AttachTold);
        outcome.map(drop)
    }

    fn try_attach(
        &self,
        attach: &Attach,
        fds: Vec<OwnedFd>,
    ) -> Result<(control::Attached, Arc<Descriptor>)> {
        let mut place = lock(&self.place);
        if place.is_some() {
            return Err(Errno::EALREADY);
        }
        failpoint::pass(Failpoint::AttachTaken);
        let mut fds = fds.into_iter();
        let region_fd = fds.next().ok_or(Errno::EINVAL)?;
        let region = Region::open(region_fd, Layout::new(attach.slots, attach.arena_len)?)?;
        failpoint::pass(Failpoint::AttachMapped);
        let completions = match attach.completion_bit {
            control::NO_BIT => None,
            bit if bit < BITS_MAX => Some((Doorbell::open(fds.next().ok_or(Errno::EINVAL)?)?, bit)),
            _ => return Err(Errno::EINVAL),
        };
        let speaks_for = attach.flags & AttachFlags::SPEAKS_FOR.bits() != 0;
        let local = attach.nd == Nd::LOCAL.0 || speaks_for;
        let channel = registry::find(Chid(attach.chid), local)?;
        if channel.flags().contains(ChannelFlags::PRIVATE) && self.pid != Pid::current() {
            return Err(Errno::EPERM);
        }
        let client = self.client(attach)?;
        let uid = client.credentials.uid;
        let may_pulse = uid == 0 || uid == nix::unistd::geteuid().as_raw();
        let target = (!local).then_some((Nd(attach.nd), Pid(attach.pid), Chid(attach.chid)));
        let srcnd = Nd(attach.nd);
        let id = self.id.get().expect("invariant: watched, so it has an id");
        self.lobby.attach(*id, self.credentials.uid)?;
        self.attached.store(true, Ordering::Relaxed);
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
                    srcnd,
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
        failpoint::pass(Failpoint::AttachEntered);
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
        let place = lock(&self.place);
        let place = place.as_ref().ok_or(Errno::EBADMSG)?;
        let wish = cancel.wish()?;
        failpoint::pass(Failpoint::CancelTaken);
        if let Some(channel) = place.channel.upgrade() {
            let mut state = channel.lock();
            state.drain();
            // The wish may be here before the ring that tells of its message.
            state.drain_connection(place.index);
            state.cancel(place.index, cancel.slot, cancel.generation, wish);
        }
        Ok(())
    }

    fn events_taken(&self, count: u32) -> Result<()> {
        let place = lock(&self.place);
        let place = place.as_ref().ok_or(Errno::EBADMSG)?;
        match place.channel.upgrade() {
            Some(channel) => channel.lock().events_taken(place.index, count),
            None => Ok(()),
        }
    }

    fn leave(&self) {
        let place = lock(&self.place).take();
        if let Some(place) = place
            && let Some(channel) = place.channel.upgrade()
        {
            failpoint::pass(Failpoint::HangUpSeen);
            channel.lock().remove(place.index);
            failpoint::pass(Failpoint::HangUpHeeded);
        }
    }
}

fn spare_fd() -> Result<Descriptor> {
    let null = std::fs::File::open("/dev/null").map_err(|error| Errno::of(&error))?;
    Descriptor::keep(null.into())
}
