//! A node that sends as many bad frames as the machine can: noise, frames of the fuzz corpus, frames of the
//! healthy peers' own session with bits turned over, and such frames again as they were.
//!
//! The healthy peers' goodput is compared with that beside the same frames under another EtherType, which no
//! qnet gets to see: the sender's own use of the machine is the same in both.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, BufRead};
use std::os::fd::AsRawFd;
use std::path::Path;
use std::process::Stdio;
use std::thread;
use std::time::{Duration, Instant};

use socket2::Socket;
use tools::netlab::Lab;

use crate::figures::Ratios;
use crate::leftovers::memory_kib;
use crate::meter::{Figures, Meter, start_sink};
use crate::random::{Random, count};
use crate::support::{Running, lab, packet_socket, part, setting, text};

/// EtherType of qnet's frames, and one that nobody listens to.
const QNET: u16 = 0x88b5;
const NOBODYS: u16 = 0x88b6;
/// Different frames that are sent over and over.
const FRAMES: u64 = 4096;
const FRAME_LEN_MAX: usize = 1514;
/// Addresses and EtherType.
const HEADER_LEN: usize = 14;
/// Frames of one system call.
const BATCH: usize = 64;
/// What a qnet may hold more after a blast than before, in KiB: receive buffers and tables touched for the
/// first time.
const MEMORY_GROWTH_MAX_KIB: u64 = 64 << 10;
const MESSAGE_LEN: usize = 16 << 10;
const THREADS: u32 = 4;
const NODES: [&str; 2] = ["magenta", "wintermute"];

// covers: NET-4
#[test]
fn a_flood_of_bad_frames_neither_ends_nor_stalls_anybody() {
    let Some(lab) = lab(&["--no-home", "--nodes", "magenta,wintermute,noisy"]) else {
        return;
    };
    start_sink(&lab, "wintermute", "sink");
    let path = "/net/wintermute/dev/name/local/sink";
    let mut meter = Meter::start(&lab, "magenta", path, THREADS, MESSAGE_LEN);
    let frames = frames(&lab, &mut meter);
    let mut blaster = Blaster::start(&lab, &frames);
    let span = Duration::from_millis(count("QNET_BLAST_MS", 300));
    let memory = || NODES.map(|node| memory_kib(&lab, node, "qnet"));
    let (before, dropped_before) = (memory(), dropped(&lab));
    let mut ratios = Ratios::default();
    for _ in 0..count("QNET_BLAST_BLOCKS", 1) {
        let quiet = meter.measure(span);
        let arms = [NOBODYS, QNET, QNET, NOBODYS];
        let windows = arms.map(|ethertype| blaster.beside(&mut meter, span, ethertype));
        let rate = |at: usize| windows[at].1.calls_per_s;
        ratios.add((rate(1) + rate(2)) / (rate(0) + rate(3)));
        print_block(&quiet, &arms, &windows);
        if windows.iter().any(|window| !goes_on(&window.1, span)) {
            outlast(&mut blaster, &mut meter, span);
        }
    }
    ratios.print("goodput beside the blast / beside frames nobody gets");
    let after = memory();
    println!("memory of the qnets of {NODES:?}, KiB: {before:?} -> {after:?}");
    for (before, after) in before.iter().zip(after) {
        assert!(
            after < before + MEMORY_GROWTH_MAX_KIB,
            "{before} -> {after} KiB"
        );
    }
    let reasons = dropped(&lab);
    for (reason, count) in &reasons {
        let more = count - dropped_before.get(reason).unwrap_or(&0);
        println!("  {more:>10} {reason}");
    }
    assert!(reasons.values().sum::<u64>() > dropped_before.values().sum());
    for node in lab.status().expect("the lab is up").nodes {
        let died = node
            .daemons
            .iter()
            .find(|daemon| daemon.starts != 1 || daemon.pid.is_none());
        assert!(died.is_none(), "{died:?} of {}", node.name);
    }
}

/// Whether more calls ended within a window than were under way at one time: those always count, and a stall would
/// leave it at that.
fn goes_on(figures: &Figures, span: Duration) -> bool {
    figures.calls_per_s * span.as_secs_f64() >= 2.0 * f64::from(THREADS)
}

/// A window in which hardly a call ended may be a stall, or a machine that is busy elsewhere: blasts for longer and
/// longer, until calls go on under it. What never does is for whoever limits the time of the whole run.
fn outlast(blaster: &mut Blaster, meter: &mut Meter, span: Duration) {
    let mut span = 2 * span;
    loop {
        let (_, figures) = blaster.beside(meter, span, QNET);
        println!("beside a blast of {span:?}: {figures:.0?}");
        if goes_on(&figures, span) {
            return;
        }
        span *= 2;
    }
}

fn print_block(quiet: &Figures, arms: &[u16; 4], windows: &[(f64, Figures); 4]) {
    println!(
        "without a blaster: {:>9.0} calls/s, p99 {:.0} us",
        quiet.calls_per_s, quiet.p99_us
    );
    for (ethertype, (sent, figures)) in arms.iter().zip(windows) {
        println!(
            "beside {sent:>9.0} frames/s of EtherType {ethertype:#06x}: {:>7.0} calls/s, p50 {:.0} us, p99 {:.0} us",
            figures.calls_per_s, figures.p50_us, figures.p99_us
        );
    }
}

/// The frames to send, for both of the healthy nodes.
fn frames(lab: &Lab, meter: &mut Meter) -> Vec<Vec<u8>> {
    let capture = lab.capture().expect("the supervisor may capture");
    meter.measure(Duration::from_millis(30));
    let real = capture.finish().expect("the lab is up").into_iter();
    let real: Vec<Vec<u8>> = real
        .map(|frame| frame.bytes)
        .filter(|bytes| bytes.get(12..HEADER_LEN) == Some(&QNET.to_be_bytes()))
        .collect();
    assert!(!real.is_empty(), "calls have frames");
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../qnet/fuzz/corpus/frame");
    let corpus = fs::read_dir(corpus).expect("the corpus is part of the sources");
    let corpus: Vec<Vec<u8>> = corpus
        .map(|entry| fs::read(entry.expect("a listing").path()).expect("a file"))
        .filter(|bytes| (HEADER_LEN..=FRAME_LEN_MAX).contains(&bytes.len()))
        .collect();
    let own = own_station(lab);
    let mut random = Random::from_setting();
    let mut make = |number: u64| {
        let pick = |from: &[Vec<u8>], random: &mut Random| {
            from[random.below(from.len() as u64) as usize].clone()
        };
        let station: [u8; 6] = pick(&real, &mut random)[..6].try_into().expect("six");
        let mut frame = match number % 4 {
            0 => (0..HEADER_LEN as u64 + random.below(1400))
                .map(|_| random.next() as u8)
                .collect(),
            1 => pick(&corpus, &mut random),
            _ => pick(&real, &mut random),
        };
        if number % 4 != 3 {
            for _ in 0..1 + random.below(4) {
                let bit = random.below(8 * frame.len() as u64);
                frame[(bit / 8) as usize] ^= 1 << (bit % 8);
            }
        }
        // Whatever it is, it goes where the real ones go, now and then to everybody. It comes from where it
        // comes from: a switch that is told otherwise misleads the real ones, and no qnet can help that.
        frame[..6].copy_from_slice(&station);
        if number.is_multiple_of(64) {
            frame[..6].fill(0xff);
        }
        frame[6..12].copy_from_slice(&own);
        frame
    };
    (0..FRAMES).map(&mut make).collect()
}

/// The address of the noisy node.
fn own_station(lab: &Lab) -> [u8; 6] {
    let status = lab.status().expect("the lab is up");
    let noisy = status.nodes.iter().find(|node| node.name == "noisy");
    let octets = noisy.expect("it is one of three").mac.split(':');
    let octets: Vec<u8> = octets
        .map(|octet| u8::from_str_radix(octet, 16).expect("hexadecimal"))
        .collect();
    octets.try_into().expect("six octets")
}

/// Frames dropped by both healthy nodes, by reason.
fn dropped(lab: &Lab) -> BTreeMap<String, u64> {
    let mut sums = BTreeMap::new();
    for node in NODES {
        let said = text(lab.exec(node, "qn").args(["cat", "/net/.stats"]));
        let stats: serde_json::Value = serde_json::from_str(&said).expect("it is JSON");
        let reasons = stats["dropped"].as_object().expect("reasons and counts");
        for (reason, count) in reasons {
            *sums.entry(reason.clone()).or_default() += count.as_u64().unwrap_or(0);
        }
    }
    sums
}

/// The part on the noisy node.
struct Blaster(Running);

impl Blaster {
    fn start(lab: &Lab, frames: &[Vec<u8>]) -> Blaster {
        let path = std::env::temp_dir().join(format!("netlab-blast-{}", lab.name()));
        let counted =
            |frame: &Vec<u8>| [(frame.len() as u16).to_le_bytes().to_vec(), frame.clone()].concat();
        let bytes: Vec<u8> = frames.iter().flat_map(counted).collect();
        fs::write(&path, bytes).expect("there is room");
        let mut command = part(lab, "noisy", "blast::part_blast");
        command.env("FRAMES", &path).stdin(Stdio::piped());
        let mut running = Running::start(command);
        running.next("ready to blast");
        fs::remove_file(&path).expect("it is ours");
        Blaster(running)
    }

    /// Measures beside the blast; answers frames per second, and what was measured.
    fn beside(&mut self, meter: &mut Meter, span: Duration, ethertype: u16) -> (f64, Figures) {
        // It starts a little before the measurement and ends a little after.
        let margin = span / 8;
        let whole = span + 2 * margin;
        self.0.say(&format!("{} {ethertype}", whole.as_millis()));
        thread::sleep(margin);
        let figures = meter.measure(span);
        let sent: f64 = self.0.next("sent").parse().expect("a number");
        (sent / whole.as_secs_f64(), figures)
    }
}

impl Drop for Blaster {
    fn drop(&mut self) {
        self.0.kill();
    }
}

#[test]
#[ignore = "run by the tests here as the part of noisy: sends frames as fast as it can"]
fn part_blast() {
    let bytes = fs::read(setting("FRAMES")).expect("the test wrote it");
    let mut frames = Vec::new();
    let mut rest = bytes.as_slice();
    while let Some((len, after)) = rest.split_first_chunk::<2>() {
        let (frame, after) = after.split_at(usize::from(u16::from_le_bytes(*len)));
        frames.push(frame.to_vec());
        rest = after;
    }
    let socket = packet_socket("eth0").expect("the lab's root may");
    println!("ready to blast");
    for line in io::stdin().lock().lines() {
        let line = line.expect("text");
        let (span, ethertype) = line.split_once(' ').expect("two numbers");
        let ethertype: u16 = ethertype.parse().expect("a number");
        for frame in &mut frames {
            frame[12..HEADER_LEN].copy_from_slice(&ethertype.to_be_bytes());
        }
        let span = Duration::from_millis(span.parse().expect("milliseconds"));
        println!("sent {}", blast(&socket, &mut frames, span));
    }
}

/// Sends the frames in turn; how many the kernel took.
fn blast(socket: &Socket, frames: &mut [Vec<u8>], span: Duration) -> u64 {
    let mut parts: Vec<libc::iovec> = frames
        .iter_mut()
        .map(|frame| libc::iovec {
            iov_base: frame.as_mut_ptr().cast(),
            iov_len: frame.len(),
        })
        .collect();
    let mut messages: Vec<libc::mmsghdr> = parts
        .iter_mut()
        .map(|part| {
            // SAFETY: all zeroes is a message header without address, parts and control data.
            let mut message: libc::mmsghdr = unsafe { std::mem::zeroed() };
            message.msg_hdr.msg_iov = part;
            message.msg_hdr.msg_iovlen = 1;
            message
        })
        .collect();
    let (end, mut sent) = (Instant::now() + span, 0);
    for batch in (0..messages.len() / BATCH).cycle() {
        if Instant::now() >= end {
            break;
        }
        let batch = &mut messages[batch * BATCH..][..BATCH];
        // SAFETY: the descriptor is open, `batch` has as many headers as are stated, and each points to one
        // part of a frame; frames and parts are borrowed for the whole function and nobody moves them.
        let taken =
            unsafe { libc::sendmmsg(socket.as_raw_fd(), batch.as_mut_ptr(), BATCH as u32, 0) };
        // A full queue takes fewer, or none: the next batch comes at once.
        sent += u64::try_from(taken).unwrap_or(0);
    }
    sent
}
