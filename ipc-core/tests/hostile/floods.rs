//! More of everything than anybody needs: entries again and again, cancels, attaches, questions. And lengths that
//! change between the look and the use.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    thread,
};

use ipc_core::{
    Connection,
    abi::{Nd, Pid},
};

use crate::{
    honest::{Honest, SECRET},
    random::Random,
    raw::{ARENA_LEN, Client, Control, HONEST, Header, SLOTS, cancel, header},
    server::Server,
};

/// How often the honest clients have all their messages answered beside an attack: some forty each time.
const ROUNDS: u8 = 25;

/// What a hostile client does until it is told to stop.
pub(crate) type Attack = fn(&Server, &AtomicBool);

/// Ends an attack also when what runs beside it fails.
pub(crate) struct Stop<'a>(pub(crate) &'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Runs an attack until the honest clients have had so many messages answered beside it.
pub(crate) fn beside(server: &Server, attack: Attack) {
    let mut honest = Honest::attach(server);
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| attack(server, &stop));
        let _at_end = Stop(&stop);
        for round in 0..ROUNDS {
            honest.must_be_served(round);
        }
    });
    server.must_serve();
}

/// As [`beside`], with each kind of server.
pub(crate) fn beside_each(attack: Attack) {
    beside(&Server::start(), attack);
    beside(&Server::in_batches(), attack);
}

pub(crate) fn must_not_know_the_secret(client: &Client) {
    assert!(!client.region.contains(SECRET), "bytes of another client");
    assert!(!client.doorbell.contains(SECRET), "bytes of another client");
}

/// Posts good entries over and over, old ones among them, and never looks at an answer.
pub(crate) fn replay(server: &Server, stop: &AtomicBool) {
    let mut random = Random(11);
    while !stop.load(Ordering::Relaxed) {
        let mut client = Client::attach(server.chid());
        for round in 0..500 {
            let slot = random.next() as u32 % SLOTS;
            let generation = 1 + round / 8;
            client.post(
                &Header {
                    slot,
                    generation,
                    ..HONEST
                },
                b"again",
            );
            if random.next().is_multiple_of(4) {
                // Every entry that was ever posted, as if it were new.
                let now = client.position;
                for back in 1..2 * SLOTS {
                    let old = now.wrapping_add(back);
                    client
                        .region
                        .write_u32(Client::entry_at(old), old.wrapping_add(1));
                }
            }
            client.doorbell.wake(64);
        }
        must_not_know_the_secret(&client);
    }
}

/// Changes lengths, offsets and slots of entries while the server reads them.
pub(crate) fn flip_lengths(server: &Server, stop: &AtomicBool) {
    while !stop.load(Ordering::Relaxed) {
        let mut client = Client::attach(server.chid());
        let arena = Header {
            flags: 0,
            len: 16,
            ..HONEST
        };
        for slot in 0..SLOTS {
            client.post(&Header { slot, ..arena }, b"");
        }
        for round in 0..2000_u32 {
            for position in 0..SLOTS {
                let at = Client::entry_at(position);
                let len = if round % 2 == 0 { 16 } else { u32::MAX };
                client.region.write_u32(at + 32, len);
                client.region.write_u32(at + 36, len);
                client
                    .region
                    .write_u32(at + 40, if round % 2 == 0 { 0 } else { ARENA_LEN });
                client
                    .region
                    .write_u32(at + 12, if round % 3 == 0 { position } else { 1 << 30 });
            }
        }
        must_not_know_the_secret(&client);
    }
}

/// Sends pulses as fast as they are taken.
pub(crate) fn flood_pulses(server: &Server, stop: &AtomicBool) {
    let client = Connection::attach(Nd::LOCAL, Pid::SELF, server.chid()).expect("it accepts");
    while !stop.load(Ordering::Relaxed) {
        // Most find the queue full.
        let _ = client.send_pulse(Some(1), ipc_core::abi::PulseCode(5), 0);
    }
}

/// Wishes to leave messages that exist, and those that do not, without a pause.
pub(crate) fn storm_of_cancels(server: &Server, stop: &AtomicBool) {
    while !stop.load(Ordering::Relaxed) {
        let mut client = Client::attach(server.chid());
        client.post(&HONEST, b"hello");
        for number in 0..2000_u32 {
            let record = cancel(number % (2 * SLOTS), number % 3, 1 + number % 3);
            client.control.try_send(&record);
        }
        must_not_know_the_secret(&client);
    }
}

/// Attaches and leaves, a hundred at a time.
pub(crate) fn flood_attaches(server: &Server, stop: &AtomicBool) {
    while !stop.load(Ordering::Relaxed) {
        let clients: Vec<Client> = (0..100).map(|_| Client::attach(server.chid())).collect();
        clients.iter().for_each(must_not_know_the_secret);
    }
}

/// Asks for the status of the process without ever reading an answer.
pub(crate) fn ask_without_listening(_: &Server, stop: &AtomicBool) {
    while !stop.load(Ordering::Relaxed) {
        let askers: Vec<Control> = (0..20).map(|_| Control::connect()).collect();
        for _ in 0..100 {
            for asker in &askers {
                asker.try_send(&header(3));
            }
        }
    }
}

// covers: DTH-1
#[test]
fn entries_that_come_again_hurt_nobody_else() {
    beside_each(replay);
}

#[test]
fn lengths_that_change_between_check_and_use_hurt_nobody_else() {
    beside_each(flip_lengths);
}

#[test]
fn floods_of_pulses_hurt_nobody_else() {
    beside_each(flood_pulses);
}

#[test]
fn storms_of_cancels_hurt_nobody_else() {
    beside_each(storm_of_cancels);
}

#[test]
fn floods_of_attaches_hurt_nobody_else() {
    beside_each(flood_attaches);
}

#[test]
fn questions_whose_answers_nobody_reads_hurt_nobody_else() {
    beside_each(ask_without_listening);
}
