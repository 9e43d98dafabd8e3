//! The log: `tracing` events, one line each, on standard error.

use std::{
    env,
    ffi::OsString,
    io::{self, IsTerminal},
};

use clap::{Args, ValueEnum};
use tracing_subscriber::EnvFilter;

/// What `--log-level` takes, for all or for a part.
const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];

/// How much is logged and in which form; flatten it into a daemon's options.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Log")]
pub struct LogOptions {
    /// What to log: error, warn, info, debug, trace, or a filter such as `info,qnet::driver=debug`
    #[arg(
        long, value_name = "LEVEL", env = "QNET_LOG", default_value = "info", value_parser = parse_filter
    )]
    pub log_level: String,

    /// The form of a line on standard error
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t = LogFormat::Text)]
    pub log_format: LogFormat,
}

impl Default for LogOptions {
    fn default() -> LogOptions {
        LogOptions {
            log_level: "info".to_owned(),
            log_format: LogFormat::Text,
        }
    }
}

/// The form of a log line.
#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// Time, level, where from, what.
    Text,
    /// Level and what: for a log that is stamped by who collects it.
    Plain,
    /// One JSON object.
    Json,
}

/// Sends this process's events to standard error in the form that `options` ask for.
///
/// Options that did not come from a command line may hold what is no filter; `info` takes its place. A second
/// use has no effect.
pub fn init_logging(options: &LogOptions) {
    let filter = EnvFilter::try_new(&options.log_level).unwrap_or_else(|_| EnvFilter::new("info"));
    let events = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .with_ansi(wants_colour(
            io::stderr().is_terminal(),
            env::var_os("NO_COLOR"),
        ));
    // A second subscriber is refused, and the first stays.
    let _ = match options.log_format {
        LogFormat::Text => events.try_init(),
        LogFormat::Plain => events.without_time().with_target(false).try_init(),
        LogFormat::Json => events.json().try_init(),
    };
}

/// Colour is for terminals whose user has not set `NO_COLOR` to anything (<https://no-color.org>).
fn wants_colour(is_terminal: bool, no_color: Option<OsString>) -> bool {
    is_terminal && no_color.is_none_or(|value| value.is_empty())
}

/// Takes a level, or a filter whose every part ends in a level: `tracing` itself takes any word for the name of a
/// module, and then logs nothing.
fn parse_filter(text: &str) -> Result<String, String> {
    let wrong = |part: &str| {
        format!(
            "{part:?} is none of {}; a part of the program has a level of its own by PART=LEVEL, as in \
             info,qnet::driver=debug",
            LEVELS.join(", ")
        )
    };
    for part in text.split(',') {
        let level = part.rsplit_once('=').map_or(part, |(_, level)| level);
        if !LEVELS.iter().any(|known| known.eq_ignore_ascii_case(level)) {
            return Err(wrong(part));
        }
    }
    EnvFilter::try_new(text).map_err(|error| error.to_string())?;
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Daemon {
        #[command(flatten)]
        log: LogOptions,
    }

    #[test]
    fn options_are_flattened_into_a_daemons_own() {
        let daemon = Daemon::parse_from(["x", "--log-level", "debug", "--log-format", "json"]);
        assert_eq!(daemon.log.log_level, "debug");
        assert_eq!(daemon.log.log_format, LogFormat::Json);
    }

    #[test]
    fn a_word_that_is_no_level_is_refused_with_those_that_are() {
        for wrong in ["frob", "info,frob", "qnet=loud", "", "info,", "a=b=c"] {
            let refused = Daemon::try_parse_from(["x", "--log-level", wrong]);
            let told = refused.err().expect(wrong).to_string();
            assert!(told.contains("warn, info, debug"), "{told}");
        }
        for right in ["off", "WARN", "info,qnet::driver=debug", "x[y]=trace"] {
            let taken = Daemon::try_parse_from(["x", "--log-level", right]);
            assert_eq!(taken.expect(right).log.log_level, right);
        }
    }

    #[test]
    fn colour_is_for_terminals_of_those_who_want_it() {
        assert!(wants_colour(true, None) && wants_colour(true, Some(OsString::new())));
        assert!(!wants_colour(true, Some("1".into())) && !wants_colour(false, None));
    }

    #[test]
    fn a_second_set_up_and_a_bad_filter_are_survived() {
        let options = LogOptions {
            log_level: "no=such=filter".to_owned(),
            ..LogOptions::default()
        };
        init_logging(&options);
        init_logging(&options);
    }
}
