//! Replays the corpora of the fuzz targets.

use std::fs;
use std::path::Path;

use qnet_proto::{Cancel, Errno, Event, Pulse, wire::Frame};

use crate::frame;
use crate::pair::{MS, Pair};
use crate::session;

fn corpus() -> std::path::PathBuf {
    corpus_of("frame")
}

fn corpus_of(target: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../fuzz/corpus")
        .join(target)
}

#[test]
fn the_corpus_of_sessions_does_no_harm() {
    let mut seen = Vec::new();
    for entry in fs::read_dir(corpus_of("session")).expect("the corpus is part of the sources") {
        let bytes = fs::read(entry.expect("a readable folder").path()).expect("a readable file");
        seen.push(session::check(&bytes));
    }
    assert!(seen.len() >= 10, "only {} files", seen.len());
    type Did = fn(&session::Seen) -> bool;
    let what: [(&str, Did); 3] = [
        ("share records among messages", |seen| seen.records > 0),
        ("send messages together", |seen| seen.sent > 0),
        ("keep messages together", |seen| seen.kept > 0),
    ];
    for (what, did) in what {
        let count = seen.iter().filter(|seen| did(seen)).count();
        assert!(count >= 10, "only {count} {what}");
    }
}

#[test]
fn the_corpus_of_frames_does_no_harm() {
    let mut count = 0;
    for entry in fs::read_dir(corpus()).expect("the corpus is part of the sources") {
        let path = entry.expect("a readable folder").path();
        let bytes = fs::read(&path).expect("a readable file");
        frame::check(&bytes);
        count += 1;
        // Of those that the engine wrote itself, each cut and each single damaged byte, too.
        let is_own = path.extension().is_some_and(|ending| ending == "bin");
        if is_own && let Err(why) = Frame::parse(&bytes, 0x88b5, false) {
            panic!("{path:?} is of another format ({why:?}): write the corpus anew");
        }
        for cut in 0..if is_own { bytes.len() } else { 0 } {
            frame::check(&bytes[..cut]);
            let mut damaged = bytes.clone();
            damaged[cut] ^= 0x41;
            frame::check(&damaged);
        }
    }
    assert!(count >= 10, "only {count} files");
}

/// Writes the corpus anew: run by hand after the format changes.
#[test]
#[ignore = "run by hand: writes the corpus into the source tree"]
fn write_the_corpus() {
    let mut pair = Pair::new(1500);
    pair.nodes[0].engine.announce(pair.now);
    let nobody = qnet_proto::NodeName::new("nobody").expect("legal");
    pair.nodes[0]
        .engine
        .resolve(pair.now, nobody)
        .expect("room");
    pair.run(20 * MS, |_| false);
    let conn = pair.connect();
    pair.call(conn, b"a small message");
    pair.call(conn, &[1; 40_000]);
    for _ in 0..3 {
        pair.send(conn, &[]);
        pair.send(conn, b"alike");
        pair.send(conn, b"alike");
    }
    pair.run(20 * MS, |_| false);
    pair.echoes = false;
    let call = pair.send(conn, b"to be cancelled");
    let pulse = Pulse {
        code: 1,
        priority: 10,
        value: -1,
    };
    pair.nodes[0]
        .engine
        .pulse_server(pair.now, conn, pulse)
        .expect("room");
    pair.send(conn, b"after a pulse");
    pair.run(10 * MS, |_| false);
    pair.send_as(conn, b"to be told of", true);
    pair.run(10 * MS, |_| false);
    let (told, ..) = *pair.nodes[1].bytes.said.last().expect("it came");
    pair.nodes[1].engine.received(pair.now, told);
    pair.run(10 * MS, |_| false);
    pair.nodes[0]
        .engine
        .cancel(pair.now, call, Cancel::Unblock(Errno::EINTR))
        .expect("it waits");
    pair.run(10 * MS, |_| false);
    let requested = |event: &Event| match event {
        Event::CancelRequested { call, .. } => Some(*call),
        _ => None,
    };
    let inbound = pair.nodes[1]
        .events
        .iter()
        .find_map(requested)
        .expect("asked");
    pair.nodes[1]
        .engine
        .error(pair.now, inbound, Errno::EINTR)
        .expect("it waits");
    pair.run(10 * MS, |_| false);
    pair.nodes[0].engine.detach(pair.now, conn).expect("live");
    pair.run(10 * MS, |_| false);
    pair.nodes[0].engine.bye(pair.now);
    pair.pump(0);
    fs::create_dir_all(corpus()).expect("a writable tree");
    let mut kinds = std::collections::BTreeSet::new();
    for (at, (_, frame)) in pair.sent.iter().enumerate() {
        // One frame for each sequence of record types.
        let parsed = Frame::parse(frame, 0x88b5, false).expect("sound");
        let kind = parsed
            .records()
            .map(|record| format!("{:?}", std::mem::discriminant(&record.expect("sound"))));
        if kinds.insert(kind.collect::<Vec<_>>()) {
            fs::write(corpus().join(format!("{at:03}.bin")), frame).expect("a writable tree");
        }
    }
}
