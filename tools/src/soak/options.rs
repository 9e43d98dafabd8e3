//! The command line.

use std::{path::PathBuf, time::Duration};

use clap::{Parser, Subcommand};

/// Local message passing under all its loads at once, watched
///
/// Servers with several receiving threads and clients of several threads do everything the library can:
/// messages from 0 bytes to 1 MiB, vectored, in loans, submitted and collected, with timeouts and priorities,
/// pulses, answers that come late or never, detaching under blocked threads; and processes are killed at
/// random. All the while every look checks `sends == replies + errors + in flight`, each byte of each message
/// and reply is checked, and at each rest descriptors, mappings, threads and the channels' own counters.
#[derive(Parser, Debug)]
#[command(name = "ipc-soak", version, after_help = AFTER_HELP)]
pub(super) struct Options {
    /// How long: a number with s, m, h or d
    #[arg(long, value_name = "TIME", default_value = "1m", value_parser = duration)]
    pub(super) duration: Duration,

    /// What the children choose from; without it, one is chosen and printed
    #[arg(long)]
    pub(super) seed: Option<u64>,

    /// Server processes
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..=64))]
    pub(super) servers: u32,

    /// Client processes
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=256))]
    pub(super) clients: u32,

    /// Threads of each client, and receiving threads of each of a server's channels
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=64))]
    pub(super) threads: u32,

    /// A process is killed about so often; 0s: none
    #[arg(long, value_name = "TIME", default_value = "1500ms", value_parser = duration)]
    pub(super) kill_every: Duration,

    /// All clients detach so often, and what is left over is counted
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = duration)]
    pub(super) rest_every: Duration,

    /// A send that takes longer has been forgotten
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = duration)]
    pub(super) stall: Duration,

    /// Write the result as JSON to this file, `-` for standard output
    #[arg(long, value_name = "FILE")]
    pub(super) json: Option<PathBuf>,

    #[command(subcommand)]
    pub(super) role: Option<Role>,
}

const AFTER_HELP: &str = "\
The first server and the first client are never killed, so that what leaks slowly shows on them.
Exit code 0 if nothing was found, 1 if something was, 2 if it could not run. Ctrl-C ends it early and \
cleanly, with the result so far.";

/// What a process of the soak is, unless it is the supervisor.
#[derive(Subcommand, Debug)]
pub(super) enum Role {
    /// A server child
    #[command(hide = true)]
    Server { seed: u64, threads: u32 },
    /// A client child
    #[command(hide = true)]
    Client { seed: u64, threads: u32 },
}

/// A number and its unit.
fn duration(text: &str) -> Result<Duration, String> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let number: u64 = digits
        .parse()
        .map_err(|_| "a number with ms, s, m, h or d, as in 12h".to_owned())?;
    let unit_ms = match &text[digits.len()..] {
        "ms" => 1,
        "s" => 1000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return Err("the unit is ms, s, m, h or d".to_owned()),
    };
    let ms = number.checked_mul(unit_ms);
    ms.map(Duration::from_millis)
        .ok_or_else(|| "longer than anybody waits".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_a_number_and_a_unit() {
        assert_eq!(duration("12h"), Ok(Duration::from_secs(43_200)));
        assert_eq!(duration("1500ms"), Ok(Duration::from_millis(1500)));
        for bad in ["", "h", "12", "12 h", "-1s", "1w", "99999999999999999999s"] {
            assert!(duration(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_command_line_is_sound() {
        use clap::CommandFactory;
        Options::command().debug_assert();
    }
}
