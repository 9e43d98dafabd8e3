//! Child: a server that speaks the protocol by hand and does one wicked thing, which its argument names.

use std::{
    os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd},
    sync::atomic::{Ordering, fence},
    thread,
    time::Duration,
};

use ipc_core::{abi::Pid, runtime_dir};
use nix::{
    fcntl::SealFlag,
    sys::socket::{
        AddressFamily, Backlog, SockFlag, SockType, UnixAddr, accept4, bind, listen, socket,
    },
};

use crate::{
    child::{argument, say},
    random::Random,
    raw::{
        ARENA_LEN, Client, Control, DONE, DONE_SET, DONE_WORDS, DOORBELL_LEN, HEAD, Memory, SLOTS,
        good_seals, memory_file, region_len,
    },
};

/// What an attach answer of no error says: scoid 1, bit 0, no flags.
const GOOD_ANSWER: [i32; 4] = [0, 1, 0, 0];

/// Longest pause between two looks at the ring.
const PAUSE: Duration = Duration::from_micros(200);

#[test]
#[ignore = "run by the tests of its victims"]
fn inside_a_hostile_server() {
    let family = AddressFamily::Unix;
    let listener = socket(family, SockType::SeqPacket, SockFlag::SOCK_CLOEXEC, None);
    let listener = listener.expect("a socket can be made");
    let path = runtime_dir().join(format!("{}.sock", Pid::current()));
    let address = UnixAddr::new(&path).expect("the path is short");
    bind(listener.as_raw_fd(), &address).expect("nobody has the name");
    listen(&listener, Backlog::MAXCONN).expect("it is bound");
    say("listening");
    // Until the victim kills it; the name is removed by whoever comes next.
    loop {
        let accepted = accept4(listener.as_raw_fd(), SockFlag::SOCK_CLOEXEC);
        // SAFETY: just made by accept4 for this process.
        let socket = unsafe { OwnedFd::from_raw_fd(accepted.expect("it listens")) };
        thread::spawn(move || be_wicked(&Control::accepted(socket), &argument()));
    }
}

fn be_wicked(control: &Control, how: &str) {
    let (_, fds) = control.receive();
    let Some(region) = fds.first() else {
        return;
    };
    let region = Memory::map(region, region_len(SLOTS, ARENA_LEN));
    let completions = fds.get(1).map(|fd| Memory::map(fd, DOORBELL_LEN));
    let doorbell = memory_file(DOORBELL_LEN, good_seals());
    if !answer_attach(control, how, &doorbell) {
        until_hung_up(control, || ());
        return;
    }
    let doorbell = Memory::map(&doorbell, DOORBELL_LEN);
    let mut random = Random(7);
    let mut position = 0;
    match how {
        "claims longer replies" => until_hung_up(control, || {
            take_each(&region, &mut position, |slot, generation| {
                let huge = [u32::MAX, 3, 0, 0, u32::MAX, 0];
                complete(&region, slot, generation, &huge);
            });
        }),
        "answers other generations" => until_hung_up(control, || {
            take_each(&region, &mut position, |slot, generation| {
                for wrong in [generation.wrapping_add(1), generation.wrapping_sub(1), 0] {
                    complete(&region, slot, wrong, &[1, 0, 0, 0, 0, 0]);
                }
            });
        }),
        "answers ahead" => until_hung_up(control, || {
            for slot in 0..SLOTS {
                let generation = region.read_u32(Client::slot(slot)) >> 4;
                let ahead = generation.wrapping_add(1) & 0x0fff_ffff;
                complete(&region, slot, ahead, &[4, 0, 0, 1, u32::MAX, 0]);
            }
        }),
        "swaps states" => until_hung_up(control, || {
            for slot in 0..SLOTS {
                let generation = region.read_u32(Client::slot(slot)) >> 4;
                for state in [2, 3, 1, 0, 15, 2] {
                    region.write_u32(Client::slot(slot), generation << 4 | state);
                    region.wake(Client::asleep(slot));
                }
            }
        }),
        "scribbles" => until_hung_up(control, || {
            for _ in 0..2000 {
                let at = random.next() as usize % (region.len() - 8);
                region.write(at, &random.next().to_ne_bytes());
            }
            region.write_u32(HEAD, random.next() as u32);
            (0..SLOTS).for_each(|slot| region.wake(Client::asleep(slot)));
            let at = random.next() as usize % (DOORBELL_LEN - 8);
            doorbell.write(at, &random.next().to_ne_bytes());
        }),
        "rings for nothing" => until_hung_up(control, || {
            let completions = completions.as_ref().expect("the victim has a queue");
            for _ in 0..100 {
                let at = random.next() as usize % (DOORBELL_LEN - 8);
                completions.write(at, &random.next().to_ne_bytes());
            }
            completions.wake(64);
        }),
        "says all are answered" => until_hung_up(control, || {
            let completions = completions.as_ref().expect("the victim has a queue");
            region.write(DONE_SET, &[0xff; 8 * DONE_WORDS]);
            // Every connection has something, and so has every word of them; then it wakes who sleeps.
            completions.write(4096, &[0xff; 4096]);
            completions.write(128, &[0xff; 64]);
            completions.write_u32(64, random.next() as u32);
            completions.wake(64);
            take_each(&region, &mut position, |slot, generation| {
                if random.next().is_multiple_of(4) {
                    complete(&region, slot, generation, &[1, 0, 0, 0, 0, 0]);
                }
            });
        }),
        "says the connection ended" => {
            region.write_u32(32, 1);
            until_hung_up(control, || {
                (0..SLOTS).for_each(|slot| region.wake(Client::asleep(slot)))
            });
        }
        "sends records" => {
            control.send(&[7; 5], &[]);
            control.send(&[0; 4000], &[]);
            until_hung_up(control, || ());
        }
        "sends descriptors" => {
            let unwanted = memory_file(UNWANTED_LEN, good_seals());
            for count in [1, 3, 200] {
                control.send(b"take these", &vec![unwanted.as_raw_fd(); count]);
            }
            until_hung_up(control, || ());
        }
        _ => until_hung_up(control, || ()),
    }
}

/// Length of a file that nobody wants: it tells it from all others.
pub(crate) const UNWANTED_LEN: usize = 54_321 * 4096;

/// Answers an attach; false if the wicked thing was to do that badly.
fn answer_attach(control: &Control, how: &str, doorbell: &OwnedFd) -> bool {
    let encode = |words: [i32; 4]| words.map(i32::to_ne_bytes).concat();
    let unsealed = memory_file(DOORBELL_LEN, SealFlag::empty());
    let short = memory_file(4096, good_seals());
    let (pipe, _other_end) = nix::unistd::pipe().expect("a pipe can be made");
    let send = |words: [i32; 4], fds: &[RawFd]| control.send(&encode(words), fds);
    match how {
        "never answers an attach" => {}
        "hangs up" => {
            nix::sys::socket::shutdown(control.number(), nix::sys::socket::Shutdown::Both)
                .expect("it is connected")
        }
        "gives a pipe" => send(GOOD_ANSWER, &[pipe.as_raw_fd()]),
        "gives an unsealed file" => send(GOOD_ANSWER, &[unsealed.as_raw_fd()]),
        "gives a short file" => send(GOOD_ANSWER, &[short.as_raw_fd()]),
        "gives nothing" => send(GOOD_ANSWER, &[]),
        "gives too much" => send(GOOD_ANSWER, &vec![doorbell.as_raw_fd(); 200]),
        "names a bit beyond" => send([0, 1, i32::MAX, 0], &[doorbell.as_raw_fd()]),
        "answers in halves" => control.send(&[0; 8], &[doorbell.as_raw_fd()]),
        "answers at length" => control.send(&[0; 4000], &[doorbell.as_raw_fd()]),
        _ => {
            send(GOOD_ANSWER, &[doorbell.as_raw_fd()]);
            return true;
        }
    }
    false
}

fn until_hung_up(control: &Control, mut act: impl FnMut()) {
    while !control.is_hung_up() {
        act();
        thread::sleep(PAUSE);
    }
}

/// Takes the messages that were posted, and what slot and generation they claim.
fn take_each(region: &Memory, position: &mut u32, mut each: impl FnMut(u32, u32)) {
    let entry = |position| Client::entry_at(position);
    while region.read_u32(entry(*position)) == position.wrapping_add(1) {
        let at = entry(*position);
        each(region.read_u32(at + 12) % SLOTS, region.read_u32(at + 20));
        *position = position.wrapping_add(1);
    }
}

/// Writes an answer: length, status in two halves, written range, flags. Whoever sleeps until it comes is woken as it is
/// promised: those tests are about what answers say.
fn complete(region: &Memory, slot: u32, generation: u32, body: &[u32; 6]) {
    let at = Client::slot(slot);
    region.write(at + 4, &body.map(u32::to_ne_bytes).concat());
    fence(Ordering::SeqCst);
    region.write_u32(at, generation << 4 | DONE);
    fence(Ordering::SeqCst);
    region.write_u32(Client::asleep(slot), 0);
    region.wake(Client::asleep(slot));
}
