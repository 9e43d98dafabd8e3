//! What children say, one JSON object a line, and what they are told, one word or two a line.

use std::io::{self, BufRead, Write};

use serde::{Deserialize, Serialize};

use super::{account::Counts, resources::Resources};

/// A line of a child.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Line {
    /// A server serves these channels.
    Ready { chids: Vec<i32> },
    /// A client's books, all threads together.
    Look(Counts),
    /// A client has detached everything.
    ClientRests {
        counts: Counts,
        /// None before its first connection: what the library keeps from then on is no leak.
        resources: Option<Resources>,
    },
    /// A server has no connection any more.
    ServerRests {
        served: Served,
        resources: Resources,
    },
    /// Something is not as it must be.
    Violation(String),
}

/// What a server counted itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Served {
    pub(super) messages: u64,
    pub(super) pulses: u64,
    /// Answers that reached a client that still waited.
    pub(super) answers: u64,
    /// Answers that came too late.
    pub(super) late: u64,
}

/// A line for a child.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Command {
    /// Say a `Look`.
    Look,
    /// Come to rest and say so.
    Rest,
    /// Go on.
    Go,
    /// The channels there are: process and channel.
    Servers(Vec<(i32, i32)>),
}

impl Command {
    pub(super) fn encode(&self) -> String {
        match self {
            Command::Look => "look\n".to_owned(),
            Command::Rest => "rest\n".to_owned(),
            Command::Go => "go\n".to_owned(),
            Command::Servers(channels) => {
                let places: Vec<_> = channels
                    .iter()
                    .map(|(pid, chid)| format!("{pid}/{chid}"))
                    .collect();
                format!("servers {}\n", places.join(" "))
            }
        }
    }

    pub(super) fn parse(line: &str) -> Option<Command> {
        let mut words = line.split_whitespace();
        match words.next()? {
            "look" => Some(Command::Look),
            "rest" => Some(Command::Rest),
            "go" => Some(Command::Go),
            "servers" => {
                let place = |word: &str| {
                    let (pid, chid) = word.split_once('/')?;
                    Some((pid.parse().ok()?, chid.parse().ok()?))
                };
                words
                    .map(place)
                    .collect::<Option<_>>()
                    .map(Command::Servers)
            }
            _ => None,
        }
    }
}

/// Child: says a line.
pub(super) fn say(line: &Line) {
    let mut text = serde_json::to_string(line).expect("invariant: a line is plain data");
    text.push('\n');
    // A supervisor that is gone needs no answer: the child ends with its standard input.
    let _ = io::stdout().lock().write_all(text.as_bytes());
}

/// Child: says what is wrong.
pub(super) fn violation(what: impl Into<String>) {
    say(&Line::Violation(what.into()));
}

/// Child: what it is told, until the supervisor is gone.
pub(super) fn commands() -> impl Iterator<Item = Command> {
    let lines = io::stdin().lock().lines().map_while(Result::ok);
    lines.filter_map(|line| Command::parse(&line))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_parsed_as_encoded() {
        for command in [
            Command::Look,
            Command::Rest,
            Command::Go,
            Command::Servers(vec![]),
            Command::Servers(vec![(7, 1), (8, 2)]),
        ] {
            assert_eq!(Command::parse(&command.encode()), Some(command));
        }
        assert_eq!(Command::parse("servers 7"), None);
    }
}
