//! Traced events: what client libraries, process managers and qnets wrote while the demo ran.

use std::io::{self, BufRead, BufReader};

use serde::Deserialize;

use crate::netlab::lab::Lab;

/// A message of a walk, from its sending to its answer.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub(super) struct Event {
    /// When the answer was there, CLOCK_MONOTONIC, nanoseconds.
    pub(super) t_ns: u64,
    /// Who wrote this: `client`, `procmgr` or `qnet`.
    pub(super) who: String,
    /// The process that wrote this.
    pub(super) pid: i32,
    /// The step of the walk.
    pub(super) step: String,
    /// The server's node.
    pub(super) nd: u32,
    /// The server's process.
    pub(super) spid: i32,
    /// The server's channel.
    pub(super) chid: i32,
    /// The message, for a person.
    pub(super) msg: String,
    /// Bytes sent.
    pub(super) sbytes: u64,
    /// Bytes that came back.
    pub(super) rbytes: u64,
    /// The outcome, for a person.
    pub(super) result: String,
    /// Microseconds from sending to the answer.
    pub(super) us: f64,
}

impl Event {
    /// When the message was sent, CLOCK_MONOTONIC, nanoseconds.
    pub(super) fn start_ns(&self) -> u64 {
        self.t_ns.saturating_sub((self.us * 1000.0) as u64)
    }

    /// Whether it was under way at some time of `other`.
    pub(super) fn overlaps(&self, other: &Event) -> bool {
        self.start_ns() <= other.t_ns && other.start_ns() <= self.t_ns
    }

    /// The server, as the client names it.
    pub(super) fn server(&self) -> String {
        format!("{}/{}/{}", self.nd, self.spid, self.chid)
    }

    /// Whether it opens a path.
    pub(super) fn is_connect(&self) -> bool {
        self.msg.starts_with("_IO_CONNECT")
    }

    /// Whether it writes data.
    pub(super) fn is_write(&self) -> bool {
        self.msg.starts_with("_IO_WRITE")
    }

    /// Whether it closes a file.
    pub(super) fn is_close(&self) -> bool {
        self.msg.starts_with("_IO_CLOSE")
    }
}

/// The events in a node's trace file; none if nobody wrote it.
pub(super) fn read(lab: &Lab, node: &str, writer: &str) -> io::Result<Vec<Event>> {
    let file = match lab.open(node, format!("trace/{writer}.jsonl")) {
        Ok(file) => file,
        Err(_) => return Ok(Vec::new()),
    };
    BufReader::new(file)
        .lines()
        .map(|line| parse(&line?))
        .collect()
}

fn parse(line: &str) -> io::Result<Event> {
    serde_json::from_str(line).map_err(|error| {
        io::Error::other(format!(
            "a line of a trace is not an event: {error}: {line}"
        ))
    })
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in super::super) fn event(step: &str, start_ns: u64, end_ns: u64, msg: &str) -> Event {
        let us = (end_ns - start_ns) as f64 / 1000.0;
        parse(&format!(
            "{{\"t_ns\":{end_ns},\"who\":\"client\",\"pid\":9,\"step\":\"{step}\",\"nd\":1,\"spid\":1,\"chid\":1,\
             \"node\":\"wintermute\",\"msg\":{msg:?},\"sbytes\":60,\"rbytes\":48,\"result\":\"ok\",\"us\":{us}}}"
        ))
        .expect("this is how events look")
    }

    #[test]
    fn an_event_knows_its_start_and_what_it_meets() {
        let first = event("1", 1_000, 5_000, "_IO_CONNECT open \"/net\"");
        assert_eq!(first.start_ns(), 1_000);
        assert!(first.is_connect() && !first.is_write());
        assert!(first.overlaps(&event("2a", 4_000, 9_000, "x")));
        assert!(!first.overlaps(&event("2a", 6_000, 9_000, "x")));
        assert_eq!(first.server(), "1/1/1");
    }

    #[test]
    fn a_line_that_is_no_event_is_named() {
        assert!(
            parse("{}")
                .expect_err("it is none")
                .to_string()
                .contains("{}")
        );
    }
}
