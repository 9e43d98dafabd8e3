//! What the demo prints: text made of events, and of nothing else.

use std::fmt::Write;

use crate::netlab::protocol::LabStatus;

use super::event::Event;
use super::stage::{CLIENT, SERVER};
use super::take::Take;
use super::walk::Walk;
use super::wire::Frames;

/// Words for each step, after the text that this project implements.
const STEPS: [(&str, &str); 5] = [
    ("1", "whose is this path?"),
    ("2", "where does it go on?"),
    ("2a", "qnet's own: who is wintermute?"),
    ("3", "whose is the rest, over there?"),
    ("4", "straight to the server"),
];

/// The nodes and their daemons.
pub(super) fn lab(status: &LabStatus) -> String {
    let mut text = format!("Two nodes on this machine, lab {}:\n\n", status.lab);
    for node in &status.nodes {
        let daemons: Vec<String> = node
            .daemons
            .iter()
            .map(|daemon| {
                format!(
                    "{} {}",
                    daemon.name,
                    daemon.pid.map_or("-".into(), |pid| pid.to_string())
                )
            })
            .collect();
        let _ = writeln!(
            text,
            "  {:<11} {}   {}",
            node.name,
            node.mac,
            daemons.join(", ")
        );
    }
    text
}

/// The calls of the C program.
pub(super) fn excerpt(source: &str) -> String {
    let calls = source.lines().filter(|line| {
        ["= open(", "= write(", "close("]
            .iter()
            .any(|c| line.contains(c))
    });
    calls.map(|line| format!("{line}\n")).collect()
}

/// The way of the open, with the ids that were met on it.
pub(super) fn picture(walk: &Walk) -> String {
    let id = |step: &str| walk.step(step).map_or("?".into(), Event::server);
    let pid = walk.client_pid().map_or("?".into(), |pid| pid.to_string());
    let known = if walk.step("2a").is_some() {
        "-- 2a -- who is wintermute? --> qnet"
    } else {
        ""
    };
    let wire = "== qnet ==|== wire ==|== qnet ==>";
    let client = format!("client, pid {pid}");
    let blank = "";
    let mut text = format!("  {CLIENT:<48}{SERVER}\n");
    let _ = writeln!(text, "  {client:<18}--1--> procmgr {}", id("1"));
    let _ = writeln!(text, "  {blank:<18}--2--> qnet {:<9} {known}", id("2"));
    let _ = writeln!(text, "  {blank:<18}--3--> {wire} procmgr {}", id("3"));
    let _ = writeln!(text, "  {blank:<18}--4--> {wire} fs-export {}", id("4"));
    text
}

/// Every message of a walk.
pub(super) fn messages(walk: &Walk) -> String {
    let mut text = "  step  ND/PID/CHID   sent  reply        us  message\n".to_owned();
    for event in &walk.events {
        let _ = writeln!(
            text,
            "  {:<5} {:<12} {:>5} {:>6} {:>9.1}  {}\n  {:<43}-> {}",
            event.step,
            event.server(),
            event.sbytes,
            event.rbytes,
            event.us,
            event.msg,
            "",
            event.result
        );
    }
    text
}

/// What the second open did not have to ask again, and what it did.
pub(super) fn cached(takes: [&Take; 2]) -> String {
    let mut text = "Cached, and not:\n\n  step  first open         second open\n".to_owned();
    for (step, words) in STEPS {
        let [first, second] = takes.map(|take| {
            take.walk
                .step(step)
                .map_or("not asked".to_owned(), |event| {
                    format!("asked, {:.1} us", event.us)
                })
        });
        let _ = writeln!(text, "  {step:<5} {first:<18} {second:<18} {words}");
    }
    let [first, second] = takes.map(|take| take.walk.step("2a").is_some());
    if first && !second {
        text += "\n  qnet remembers who wintermute is: 2a is gone. Whose a path is may change at any moment:\n  \
                 nobody remembers that, and 1, 2 and 3 are asked by every open.\n";
    }
    text += "  Each time is that of one message, as busy as this machine was just then: a message that is not sent is what is \
             saved, whichever of two others took longer.\n";
    text
}

/// Frames on the wire, for each message of both walks.
pub(super) fn frames(takes: [&Take; 2]) -> String {
    let mut text = format!(
        "Frames of qnet on the wire (captured at the switch):\n\n  {:<6} {:<26} {:>6} {:>6} {:>7}\n",
        "step", "message", "there", "back", "bytes"
    );
    for (take, title) in takes.iter().zip(["first open", "second open"]) {
        let (counts, between) = take.by_message();
        let _ = writeln!(text, "  {title}");
        for (event, count) in counts {
            text += &frames_line(&event.step, &event.msg, count);
        }
        if between.count() > 0 {
            text += &frames_line("", "(between the messages)", between);
        }
    }
    let [first, second] = takes.map(|take| take.frames_of("3"));
    if first > second {
        let _ = writeln!(
            text,
            "\n  The first message to wintermute opened the session with it: {} frames more.",
            first - second
        );
    }
    text
}

fn frames_line(step: &str, message: &str, count: Frames) -> String {
    let Frames { there, back, bytes } = count;
    format!(
        "  {step:<6} {:<26} {there:>6} {back:>6} {bytes:>7}\n",
        verb(message)
    )
}

/// A message without its path.
fn verb(message: &str) -> &str {
    message.split('"').next().unwrap_or(message).trim_end()
}

/// What the process managers saw of all this.
pub(super) fn procmgrs(takes: [&Take; 2]) -> String {
    let mut text = "What the process managers saw meanwhile:\n\n".to_owned();
    for (take, title) in takes.iter().zip(["first open", "second open"]) {
        let walk = &take.walk;
        for (node, seen) in [(CLIENT, &walk.near_procmgr), (SERVER, &walk.far_procmgr)] {
            let connects = seen.iter().filter(|event| event.is_connect());
            let shown: Vec<&str> = connects.map(|event| verb(&event.msg)).collect();
            let data = seen
                .iter()
                .filter(|event| event.is_write() || event.is_close());
            let data = match data.count() {
                0 => "no write, no close".to_owned(),
                count => format!("{count} messages of the open file"),
            };
            let shown = shown.join(", ");
            let _ = writeln!(text, "  {title:<12} {node:<11} {shown}; {data}");
        }
    }
    text
}
