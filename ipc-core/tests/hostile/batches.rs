//! Clients that aim at what a server does in batches: the look at an entry before it is taken, the order that the
//! client vouches for, the messages that a batch holds without a receive id.

use std::sync::atomic::{AtomicBool, Ordering};

use crate::{
    floods::{beside, beside_each, must_not_know_the_secret},
    random::Random,
    raw::{ARENA_LEN, Client, HONEST, Header, RISE, SLOTS, cancel},
    scribble,
    server::Server,
};

/// Changes kind, priority and flags of entries, and the word that says whether they are in order, between the look
/// and the use.
pub(crate) fn flip_kinds(server: &Server, stop: &AtomicBool) {
    let mut random = Random(21);
    while !stop.load(Ordering::Relaxed) {
        let mut client = Client::attach(server.chid());
        for slot in 0..SLOTS {
            client.post(&Header { slot, ..HONEST }, b"hello");
        }
        for _ in 0..500 {
            let pick = random.next();
            let at = Client::entry_at(pick as u32 % (2 * SLOTS)) + 8;
            let kind = if pick & 256 == 0 { 1 } else { 2 };
            client.region.write(at, &[kind, (pick >> 16) as u8]);
            client.region.write(at + 2, &[(pick >> 24) as u8 & 15, 0]);
            client.region.write_u32(RISE, (pick >> 32) as u32 % 16);
            client.doorbell.wake(64);
        }
        must_not_know_the_secret(&client);
    }
}

/// Posts messages of falling and rising priorities and says each time that they are in order.
pub(crate) fn vouch_for_no_order(server: &Server, stop: &AtomicBool) {
    let mut random = Random(22);
    while !stop.load(Ordering::Relaxed) {
        let mut client = Client::attach(server.chid());
        for round in 1..200 {
            client.region.write_u32(RISE, 0x8000_0000);
            let header = Header {
                slot: round % SLOTS,
                generation: round,
                priority: random.next() as u8,
                ..HONEST
            };
            client.post(&header, b"hello");
            client.doorbell.wake(64);
        }
        must_not_know_the_secret(&client);
    }
}

/// Leaves, or wants its messages back, while a batch holds them; their answers lie on top of one another.
pub(crate) fn leave_in_the_middle(server: &Server, stop: &AtomicBool) {
    let mut random = Random(23);
    while !stop.load(Ordering::Relaxed) {
        let mut client = Client::attach(server.chid());
        for slot in 0..SLOTS {
            let header = Header {
                flags: 0,
                slot,
                len: ARENA_LEN,
                reply_len: ARENA_LEN - 1,
                reply_offset: slot % 2,
                ..HONEST
            };
            client.post(&header, b"");
            client.doorbell.wake(64);
        }
        for _ in 0..random.next() % 40 {
            let pick = random.next();
            let wish = 1 + (pick >> 8) as u32 % 3;
            client
                .control
                .try_send(&cancel(pick as u32 % SLOTS, 1, wish));
        }
        must_not_know_the_secret(&client);
    }
}

// covers: DTH-1
#[test]
fn kinds_and_priorities_that_change_between_look_and_use_hurt_nobody_else() {
    beside_each(flip_kinds);
}

// covers: RCV-1
#[test]
fn who_vouches_for_an_order_that_is_none_hurts_nobody_else() {
    beside_each(vouch_for_no_order);
}

// covers: DTH-2, RPL-1
#[test]
fn who_leaves_in_the_middle_of_a_batch_hurts_nobody_else() {
    beside_each(leave_in_the_middle);
}

// covers: DTH-1
#[test]
fn a_client_that_scribbles_over_its_region_hurts_nobody_else_in_a_batch() {
    beside(&Server::in_batches(), |server, stop| {
        scribble::scribble_regions(server, 5, stop);
    });
}
