//! Threads that receive on one channel, in every order that the memory model allows, by loom: each finds what came
//! for it, whoever was woken. It is the product's own receive, from the ring to the futex.

use std::{
    path::PathBuf,
    sync::{Arc, OnceLock},
};

use loom::thread;

use super::*;
use crate::{
    abi::{Coid, Credentials, Nd, Pid, Tid},
    channel::attached::Attached,
    process::Life,
    shm::{Claim, Doorbell, EntryFlags, Layout, MessageEntry, Producer, PulseEntry, Region},
    spin::SpinPolicy,
    sys::seqpacket::{Listener, Seqpacket},
};

/// Messages in flight; the ring has room for as many pulses beside them.
const SLOTS: u32 = 2;

/// Words of stack that a receive takes; what loom gives a thread unasked is less.
const STACK_LEN: usize = 1 << 15;

fn model(test: impl Fn() + Sync + Send + 'static) {
    let test = Arc::new(test);
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(2);
    builder.check(move || {
        // On a thread whose stack is long enough.
        let test = Arc::clone(&test);
        spawn(move || test()).join().expect("no panic");
    });
}

fn spawn<T: Send + 'static>(act: impl FnOnce() -> T + Send + 'static) -> thread::JoinHandle<T> {
    let spawned = thread::Builder::new().stack_size(STACK_LEN).spawn(act);
    spawned.expect("loom has room for it")
}

/// A client's end of its connection.
struct Client {
    attached: Arc<Attached>,
    doorbell: Arc<Doorbell>,
    bit: u32,
    producer: Producer,
}

/// A channel whose receivers do not look before they sleep, and a client of it.
fn channel() -> (Arc<Inner>, Client) {
    let ended = Arc::<Ended>::default();
    let flags = ChannelFlags::empty();
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
    let client = attach(&inner);
    (Arc::new(inner), client)
}

fn attach(channel: &Inner) -> Client {
    let credentials = Credentials { uid: 0, gid: 0 };
    let info = ClientInfo {
        nd: Nd::LOCAL,
        pid: Pid::current(),
        credentials,
    };
    let mut attached = None;
    let mut state = channel.lock();
    let (_, bell) = state
        .add(info, nix::unistd::geteuid().as_raw(), |scoid| {
            let (region, _) =
                Region::create(Layout::new(SLOTS, 0).expect("a layout")).expect("memory");
            let made = Arc::new(Attached {
                id: 1,
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
        attached: attached.expect("it was made"),
        doorbell: Arc::clone(doorbell),
        bit: bell.bit,
        producer: Producer::default(),
    }
}

/// What a connection hangs up by; nobody does here.
fn socket() -> Arc<Seqpacket> {
    static SOCKET: OnceLock<Arc<Seqpacket>> = OnceLock::new();
    let connect = || {
        let name = format!("ipc-core-loom-{}.sock", std::process::id());
        let path: PathBuf = std::env::temp_dir().join(name);
        let _listener = Listener::bind(&path).expect("the name is free");
        let socket = Seqpacket::connect(&path, Duration::from_secs(5)).expect("it listens");
        std::fs::remove_file(path).expect("it was made");
        Arc::new(socket)
    };
    Arc::clone(SOCKET.get_or_init(connect))
}

impl Client {
    fn send(&mut self, slot: u32, generation: u32) {
        let entry = MessageEntry {
            flags: EntryFlags::INLINE | EntryFlags::REPLY_INLINE,
            priority: 9,
            slot,
            generation,
            tid: Tid(1),
            stamp_ns: 0,
            len: 8,
            reply_len: 8,
            message: Claim::default(),
            reply: Claim::default(),
        };
        let region = &self.attached.region;
        self.producer.post_message(region, &entry, &[0; 8]);
        self.doorbell.ring(self.bit);
    }

    fn send_pulse(&mut self) {
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

/// Receives without answering: what a dropped message does is none of this.
fn receive(channel: &Arc<Inner>, want: Want) -> Result<bool> {
    let received = receive::receive(channel, want, None)?;
    Ok(match received {
        Received::Message(message) => {
            message.into_rcvid();
            true
        }
        Received::Pulse(_) => false,
    })
}

/// A channel all of whose words and lines were used once: loom wants them made before threads share them.
fn used_channel() -> (Arc<Inner>, Client) {
    let (channel, mut client) = channel();
    for generation in 0..SLOTS {
        client.send(generation, 1);
        client.send_pulse();
        for _ in 0..2 {
            receive(&channel, Want::Anything).expect("it is there");
        }
    }
    let mut state = channel.lock();
    let ids: Vec<Rcvid> = state.table.reply_blocked().map(|(id, _)| id).collect();
    for id in ids {
        state.answer(id).expect("it waits");
    }
    drop(state);
    let bell = Arc::clone(&client.doorbell);
    bell.prepare_sleep(1);
    bell.kick();
    bell.cancel_sleep();
    (channel, client)
}

// SYNC(doorbell), by two masks: the second ring may come while the first wakes somebody.
// covers: RCV-2
#[test]
fn two_that_sleep_on_a_channel_get_the_two_messages_that_come() {
    model(|| {
        let (channel, mut client) = used_channel();
        let receivers = [(); 2].map(|()| {
            let channel = Arc::clone(&channel);
            spawn(move || receive(&channel, Want::Anything))
        });
        client.send(0, 2);
        client.send(1, 2);
        for receiver in receivers {
            assert_eq!(receiver.join().expect("no panic"), Ok(true));
        }
    });
}

// SYNC(doorbell), by two masks: whoever is woken for what it does not want wakes the other.
// covers: RCV-4, CHN-1
#[test]
fn one_that_sleeps_for_pulses_beside_one_that_takes_anything_keeps_nothing_from_it() {
    model(|| {
        let (channel, mut client) = used_channel();
        let for_pulses = {
            let channel = Arc::clone(&channel);
            spawn(move || receive(&channel, Want::Pulse))
        };
        let for_anything = {
            let channel = Arc::clone(&channel);
            spawn(move || {
                let mut pulses = 0;
                while receive(&channel, Want::Anything) == Ok(false) {
                    pulses += 1;
                }
                pulses
            })
        };
        client.send_pulse();
        client.send(0, 2);
        let taken = for_anything.join().expect("no panic");
        if taken > 0 {
            // Nothing is left for the other.
            channel.close();
        }
        let expected = if taken > 0 {
            Err(Errno::ESRCH)
        } else {
            Ok(false)
        };
        assert_eq!(for_pulses.join().expect("no panic"), expected);
    });
}

// SYNC(doorbell), by two masks: the ringer wakes by the mask of the last to wait, whatever that wants.
// covers: RCV-4
#[test]
fn a_message_that_wakes_who_sleeps_for_pulses_reaches_who_sleeps_for_anything() {
    model(|| {
        let (channel, mut client) = used_channel();
        let [for_anything, for_pulses] = [Want::Anything, Want::Pulse].map(|want| {
            let channel = Arc::clone(&channel);
            spawn(move || receive(&channel, want))
        });
        client.send(0, 2);
        assert_eq!(for_anything.join().expect("no panic"), Ok(true));
        client.send_pulse();
        assert_eq!(for_pulses.join().expect("no panic"), Ok(false));
    });
}
