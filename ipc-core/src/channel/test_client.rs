//! A client without a process of its own, for tests that look at a channel from inside.

use std::{
    path::PathBuf,
    sync::{Arc, OnceLock},
    time::Duration,
};

use crate::{
    abi::{ChannelFlags, Chid, ClientInfo, Coid, Credentials, Nd, Pid, PulseCode},
    channel::{Inner, attached::Attached, ended::Ended, state::State, stats::Counters},
    process::Life,
    shm::{Doorbell, Layout, MessageEntry, Producer, PulseEntry, Region},
    spin::{Spin, SpinPolicy},
    sync::Mutex,
    sys::seqpacket::{Listener, Seqpacket},
};

/// A client's end of its connection.
pub(super) struct Client {
    /// What the channel calls it.
    pub(super) index: u32,
    pub(super) attached: Arc<Attached>,
    pub(super) doorbell: Arc<Doorbell>,
    bit: u32,
    producer: Producer,
}

/// A channel that no registry knows, whose receivers do not look before they sleep.
pub(super) fn channel(flags: ChannelFlags) -> Arc<Inner> {
    let ended = Arc::<Ended>::default();
    let state = State::new(flags, Arc::clone(&ended)).expect("memory");
    let inner = Inner {
        chid: Chid(1),
        flags,
        process: Life::current(),
        state: Mutex::new(state),
        ended,
        counters: Counters::default(),
        spin: Spin::from_environment(),
    };
    inner.spin.set(SpinPolicy::Never);
    Arc::new(inner)
}

impl Client {
    /// Attaches with so many slots and no arena.
    pub(super) fn attach(channel: &Inner, slots: u32) -> Client {
        let credentials = Credentials { uid: 0, gid: 0 };
        let info = ClientInfo {
            nd: Nd::LOCAL,
            pid: Pid::current(),
            credentials,
        };
        let mut attached = None;
        let mut state = channel.lock();
        let (index, bell) = state
            .add(info, nix::unistd::geteuid().as_raw(), |scoid| {
                let layout = Layout::new(slots, 0).expect("a layout");
                let (region, _) = Region::create(layout).expect("memory");
                let made = Arc::new(Attached {
                    id: Attached::new_id(),
                    region,
                    client: info,
                    coid: Coid(1),
                    scoid,
                    may_pulse: true,
                    srcnd: Nd::LOCAL,
                    target: None,
                    completions: None,
                    socket: socket(),
                    head_hint: Default::default(),
                    events: Default::default(),
                });
                attached = Some(Arc::clone(&made));
                made
            })
            .expect("there is room");
        let (doorbell, _) = state.bells.doorbell(bell);
        Client {
            index,
            attached: attached.expect("it was made"),
            doorbell: Arc::clone(doorbell),
            bit: bell.bit,
            producer: Producer::default(),
        }
    }

    /// Posts a message of 8 bytes, and rings.
    pub(super) fn send(&mut self, slot: u32, generation: u32) {
        self.post(&MessageEntry::small(slot, generation, 8));
    }

    /// As [`send`](Self::send), for who wants nothing but a status.
    pub(super) fn tell(&mut self, slot: u32, generation: u32) {
        self.post(&MessageEntry {
            reply_len: 0,
            ..MessageEntry::small(slot, generation, 8)
        });
    }

    fn post(&mut self, entry: &MessageEntry) {
        let region = &self.attached.region;
        self.producer.post_message(region, entry, &[0; 8]);
        self.doorbell.ring(self.bit);
    }

    pub(super) fn send_pulse(&mut self) {
        let pulse = PulseEntry {
            priority: 9,
            code: PulseCode(1),
            value: 7,
            stamp_ns: 0,
        };
        let region = &self.attached.region;
        self.producer
            .post_pulse(region, &pulse)
            .expect("there is room");
        self.doorbell.ring(self.bit);
    }
}

/// What a connection hangs up by; nobody does here.
fn socket() -> Arc<Seqpacket> {
    static SOCKET: OnceLock<Arc<Seqpacket>> = OnceLock::new();
    let connect = || {
        let name = format!("ipc-core-test-{}.sock", std::process::id());
        let path: PathBuf = std::env::temp_dir().join(name);
        let _listener = Listener::bind(&path).expect("the name is free");
        let socket = Seqpacket::connect(&path, Duration::from_secs(5)).expect("it listens");
        std::fs::remove_file(path).expect("it was made");
        Arc::new(socket)
    };
    Arc::clone(SOCKET.get_or_init(connect))
}
