//! The link as its thread uses it, over a loopback pair.

mod bells;
mod frames;
mod messages;
mod resting;
mod sleeping;

use std::time::Duration;

use super::RingLink;
use crate::driver::{Doorbell, FrameSocket, Link, LinkError, Mac, Poke};

const ETHERTYPE: u16 = 0x88b5;

/// Two rings on one wire; `None`, with the reason printed, where io_uring is refused.
fn pair(mtu: usize, bells: Vec<Box<dyn Doorbell>>) -> Option<(RingLink, RingLink, Poke)> {
    let (one, two) = FrameSocket::loopback_pair(mtu, ETHERTYPE).unwrap();
    let poke = Poke::new().unwrap();
    let open = |socket, poke, bells| match RingLink::open(socket, poke, bells) {
        Ok(link) => Some(link),
        Err(error @ LinkError::RingRefused(_)) => {
            println!("skipped: {error}");
            None
        }
        Err(error) => panic!("{error}"),
    };
    let one = open(one, poke.clone(), bells)?;
    Some((one, open(two, Poke::new().unwrap(), Vec::new())?, poke))
}

fn send(link: &mut RingLink, to: Mac, ethertype: u16, payload: &[u8]) {
    let from = link.mac();
    let frame = link.frame_buffer().expect("a free buffer");
    frame[..6].copy_from_slice(&to.0);
    frame[6..12].copy_from_slice(&from.0);
    frame[12..14].copy_from_slice(&ethertype.to_be_bytes());
    frame[14..14 + payload.len()].copy_from_slice(payload);
    link.queue(14 + payload.len());
}

fn flush(link: &mut RingLink) {
    link.wait(Some(Duration::ZERO)).unwrap();
}

fn receive(link: &mut RingLink) -> Vec<u8> {
    loop {
        if let Some(frame) = link.next_frame() {
            return frame[14..].to_vec();
        }
        link.wait(None).unwrap();
    }
}
