//! A node that sends garbage: frames of noise, frames cut short, frames sent before. They are counted
//! and dropped, and a transfer that goes on meanwhile does not notice.

mod support;

use std::fs;

use tools::netlab::{Frame, Lab};

use support::{lab, packet_socket, part, setting, text, transfer, until};

/// EtherType of qnet's frames.
const QNET: [u8; 2] = [0x88, 0xb5];
/// Frames of noise.
const NOISE_COUNT: u64 = 2000;
const FRAME_LEN_MAX: usize = 1514;
const FRAME_LEN_MIN: usize = 14;

#[test]
#[ignore = "run by the tests here as the part of magenta: a transfer without end"]
fn part_transfer() {
    transfer::run();
}

#[test]
#[ignore = "run by the tests here as the part of magenta: sends the frames of a file"]
fn part_send() {
    let bytes = fs::read(setting("FRAMES")).expect("the test wrote it");
    let socket = packet_socket("eth0").expect("the lab's root may");
    let mut rest = bytes.as_slice();
    while let Some((len, after)) = rest.split_first_chunk::<2>() {
        let (frame, after) = after.split_at(usize::from(u16::from_le_bytes(*len)));
        socket.send(frame).expect("the cable is plugged in");
        rest = after;
    }
}

/// Bytes without a pattern, the same on each run.
struct Noise(u64);

impl Noise {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// A frame from one address to another: noise behind its header.
    fn frame(&mut self, addresses: &[u8]) -> Vec<u8> {
        let room = FRAME_LEN_MAX - FRAME_LEN_MIN;
        let len = (self.next() % room as u64) as usize;
        let noise = (0..len).map(|_| self.next() as u8);
        addresses.iter().copied().chain(QNET).chain(noise).collect()
    }
}

/// Sends frames from magenta.
fn send(lab: &Lab, frames: &[Vec<u8>]) {
    let path = std::env::temp_dir().join(format!("netlab-frames-{}", lab.name()));
    let counted =
        |frame: &Vec<u8>| [(frame.len() as u16).to_le_bytes().to_vec(), frame.clone()].concat();
    fs::write(&path, frames.iter().flat_map(counted).collect::<Vec<u8>>()).expect("there is room");
    text(part(lab, "magenta", "part_send").env("FRAMES", &path));
    fs::remove_file(&path).expect("it is ours");
}

/// What wintermute's qnet says of itself.
fn stats(lab: &Lab) -> serde_json::Value {
    let qn = tools::netlab::Programs::find()
        .expect("the lab runs them")
        .path("qn");
    let said = text(lab.exec("wintermute", qn).args(["cat", "/net/.stats"]));
    serde_json::from_str(&said).expect("it is JSON")
}

fn dropped(lab: &Lab) -> u64 {
    let stats = stats(lab);
    let reasons = stats["dropped"].as_object().expect("reasons and counts");
    println!("dropped: {reasons:?}, link: {}", stats["link"]);
    let bad_length = stats["link"]["bad_length"].as_u64().unwrap_or(0);
    reasons
        .values()
        .filter_map(serde_json::Value::as_u64)
        .sum::<u64>()
        + bad_length
}

/// covers: NET-4
#[test]
fn garbage_is_counted_and_dropped_and_a_transfer_goes_on() {
    let Some(lab) = lab(&[]) else { return };
    let mut running = transfer::start(&lab);
    let capture = lab.capture().expect("the supervisor may capture");
    transfer::go_on(&mut running);
    let real: Vec<Frame> = capture.finish().expect("the lab is up");
    let real: Vec<Vec<u8>> = real
        .into_iter()
        .filter(|frame| frame.node == "magenta" && frame.bytes.get(12..14) == Some(&QNET))
        .map(|frame| frame.bytes)
        .take(500)
        .collect();
    assert!(!real.is_empty(), "a transfer has frames");

    let mut noise = Noise(0x5eed);
    let noisy: Vec<Vec<u8>> = (0..NOISE_COUNT)
        .map(|_| noise.frame(&real[0][..12]))
        .collect();
    let cut: Vec<Vec<u8>> = real
        .iter()
        .filter(|frame| frame.len() > FRAME_LEN_MIN + 1)
        .map(|frame| {
            let rest = (frame.len() - FRAME_LEN_MIN - 1) as u64;
            frame[..FRAME_LEN_MIN + 1 + (noise.next() % rest) as usize].to_vec()
        })
        .collect();
    let before = dropped(&lab);
    for (what, frames) in [
        ("noise", &noisy),
        ("cut short", &cut),
        ("sent before", &real),
    ] {
        println!("{what}: {} frames", frames.len());
        send(&lab, frames);
        transfer::go_on(&mut running);
    }
    running.kill();
    until(|| (dropped(&lab) > before).then_some(()));
    transfer::start(&lab).kill();
}
