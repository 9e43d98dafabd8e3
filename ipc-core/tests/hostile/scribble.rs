//! Random bytes over everything a client can map, while the server reads it.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    thread,
};

use ipc_core::{
    Connection,
    abi::{Nd, Pid},
};

use crate::{
    random::Random,
    raw::{ARENA_LEN, Client, HONEST, Header, SLOTS},
    server::{Server, must_echo},
};

/// Attaches again and again and scribbles over the region each time, until told to stop.
pub(crate) fn scribble_regions(server: &Server, seed: u64, stop: &AtomicBool) -> u32 {
    let mut random = Random(seed);
    let mut lives = 0;
    while !stop.load(Ordering::Relaxed) {
        let mut client = Client::attach(server.chid());
        lives += 1;
        for _ in 0..200 {
            let mut header = HONEST;
            let pick = random.next();
            // Somewhere in the ring's first round, where the server has not been yet or was just now.
            client.position = (pick >> 48) as u32 % (2 * SLOTS);
            match pick % 4 {
                0 => header.slot = (pick >> 8) as u32 % SLOTS,
                1 => {
                    header = Header {
                        flags: 0,
                        len: (pick >> 8) as u32 % ARENA_LEN,
                        ..HONEST
                    }
                }
                2 => header.flags = (pick >> 8) as u16,
                _ => header.len = (pick >> 8) as u32,
            }
            client.post(&header, &pick.to_ne_bytes());
            for _ in 0..8 {
                let at = random.next() as usize % (client.region.len() - 8);
                client.region.write(at, &random.next().to_ne_bytes());
            }
            // Slot states that the server never wrote, and its own published head.
            let slot = Client::slot((pick >> 40) as u32 % SLOTS);
            client.region.write_u32(slot, random.next() as u32);
            client.region.write_u32(64, random.next() as u32);
            client
                .region
                .write(Client::arena(), &random.next().to_ne_bytes());
        }
    }
    lives
}

// covers: DTH-1
#[test]
fn a_client_that_scribbles_over_its_region_hurts_nobody_else() {
    let server = Server::start();
    let stop = AtomicBool::new(false);
    let honest = Connection::attach(Nd::LOCAL, Pid::SELF, server.chid()).expect("it accepts");
    thread::scope(|scope| {
        let seeds = [1_u64, 2];
        let (server, stop) = (&server, &stop);
        let scribblers =
            seeds.map(|seed| scope.spawn(move || scribble_regions(server, seed, stop)));
        let mut round = 0_u32;
        while round < 400 || server.faults() == 0 {
            must_echo(&honest, round as u8);
            round += 1;
        }
        stop.store(true, Ordering::Relaxed);
        for scribbler in scribblers {
            assert!(scribbler.join().expect("no panic") > 0);
        }
    });
    server.must_serve();
}

#[test]
fn a_client_that_scribbles_over_the_doorbell_does_not_break_the_server() {
    let server = Server::start();
    let mut random = Random(3);
    for _ in 0..50 {
        let client = Client::attach(server.chid());
        for _ in 0..100 {
            let at = random.next() as usize % (client.doorbell.len() - 8);
            client.doorbell.write(at, &random.next().to_ne_bytes());
        }
    }
    // Clients of this user share the doorbell and may have lost a wake-up by it; the server itself is
    // woken by its own process.
}
