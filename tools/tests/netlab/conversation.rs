//! Numbered datagrams from one node to the other, and what is heard of them.

use std::collections::BTreeSet;
use std::net::UdpSocket;
use std::process::Stdio;
use std::thread;
use std::time::Duration;

use tools::netlab::Lab;

use crate::support::{Running, part, setting, text};

/// Datagrams of one conversation.
pub(crate) const COUNT: u32 = 200;
/// Datagrams that are sent without a pause: some must be there to overtake one that is held back.
const BURST: u32 = 8;
/// Datagrams behind those of a conversation, so that its end is heard: as many of them are lost and overtaken as of others.
const FAREWELLS_SENT: u32 = 100;
/// Farewells behind which nothing of the conversation comes any more.
const FAREWELLS_HEARD: usize = 20;
/// How long nothing is heard where nothing can be.
const SILENCE: Duration = Duration::from_millis(300);
/// A conversation that stops for so long has failed.
const HANG: Duration = Duration::from_secs(60);
/// Port on which the nodes talk.
const PORT: u16 = 7007;
/// All datagrams of a conversation fit into a socket's buffer up to this length; longer ones are sent
/// when the one before was answered.
const LEN_UNPACED_MAX: usize = 100;
/// Address of the second node.
pub(crate) const WINTERMUTE: &str = "10.77.0.2";

/// What wintermute hears of `COUNT` numbered datagrams of `len` bytes from magenta, in order.
pub(crate) fn heard(lab: &Lab, len: usize) -> Vec<u32> {
    hear(lab, len, true)
}

/// What wintermute hears although it should hear nothing.
pub(crate) fn heard_through_a_cut(lab: &Lab) -> Vec<u32> {
    hear(lab, 100, false)
}

fn hear(lab: &Lab, len: usize, arrives: bool) -> Vec<u32> {
    let mut listener = part(lab, "wintermute", "conversation::part_listen");
    listener.env("ARRIVES", arrives.to_string());
    let mut listener = Running::start({
        listener.stdin(Stdio::piped());
        listener
    });
    listener.next("listening");
    text(part(lab, "magenta", "conversation::part_speak").env("LEN", len.to_string()));
    if !arrives {
        listener.say("over");
    }
    let heard = listener.next("heard");
    assert!(listener.wait().success());
    heard
        .split_whitespace()
        .map(|number| number.parse().expect("a number"))
        .collect()
}

/// A UDP socket of this node.
fn socket(port: u16, patience: Duration) -> UdpSocket {
    let socket = UdpSocket::bind(("0.0.0.0", port)).expect("a node's ports are all free");
    socket
        .set_read_timeout(Some(patience))
        .expect("a constant, not zero");
    socket
}

#[test]
#[ignore = "run by the tests here as the part of wintermute in conversations"]
fn part_listen() {
    let arrives = setting("ARRIVES") == "true";
    let patience = if arrives { HANG } else { SILENCE };
    let socket = socket(PORT, patience);
    println!("listening");
    if !arrives {
        // What came until the speaker has gone is kept by the socket.
        std::io::stdin()
            .read_line(&mut String::new())
            .expect("the test says when");
    }
    let mut buffer = vec![0; 65536];
    let (mut numbers, mut farewells) = (Vec::new(), BTreeSet::new());
    while farewells.len() < FAREWELLS_HEARD {
        match socket.recv_from(&mut buffer) {
            Ok((_, speaker)) => {
                let bytes = buffer[..4].try_into().expect("four bytes");
                let number = u32::from_le_bytes(bytes);
                if number < COUNT {
                    numbers.push(number);
                } else {
                    farewells.insert(number);
                }
                // Whoever waits for that may go on; the others do not mind.
                let _ = socket.send_to(&bytes, speaker);
            }
            Err(error) => {
                assert!(!arrives, "the conversation stops: {error}");
                break;
            }
        }
    }
    let numbers: Vec<String> = numbers.iter().map(u32::to_string).collect();
    println!("heard {}", numbers.join(" "));
}

#[test]
#[ignore = "run by the tests here as the part of magenta in conversations"]
fn part_speak() {
    let len: usize = setting("LEN").parse().expect("a number");
    let socket = socket(0, HANG);
    let send = |number: u32, len: usize| {
        let mut datagram = vec![0; len];
        datagram[..4].copy_from_slice(&number.to_le_bytes());
        // A cut link is an error here and nothing else anywhere: it is what the test is about.
        let _ = socket.send_to(&datagram, (WINTERMUTE, PORT));
    };
    for number in 0..COUNT {
        send(number, len);
        if len > LEN_UNPACED_MAX {
            let answered = socket.recv(&mut [0; 4]);
            answered.expect("the one before was answered");
        } else if number % BURST == 0 {
            thread::sleep(Duration::from_millis(1));
        }
    }
    for number in COUNT..COUNT + FAREWELLS_SENT {
        thread::sleep(Duration::from_millis(1));
        send(number, LEN_UNPACED_MAX);
    }
}

/// What is heard through a cut.
pub(crate) const NOTHING: [u32; 0] = [];

/// What is heard where nothing is lost.
pub(crate) fn all() -> Vec<u32> {
    (0..COUNT).collect()
}
