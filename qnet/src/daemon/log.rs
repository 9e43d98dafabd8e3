//! The log: `tracing` events, one line each, on standard error.

use std::io::{self, IsTerminal};

use clap::{Args, ValueEnum};
use tracing_subscriber::EnvFilter;

/// How much is logged and in which form; flatten it into a daemon's options.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Log")]
pub struct LogOptions {
    /// What to log: error, warn, info, debug, trace, or a filter such as `info,qnet::driver=debug`
    #[arg(long, value_name = "LEVEL", env = "QNET_LOG", default_value = "info")]
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
/// A filter that cannot be parsed is reported there and replaced by `info`. A second use has no effect.
pub fn init_logging(options: &LogOptions) {
    let (filter, fault) = match EnvFilter::try_new(&options.log_level) {
        Ok(filter) => (filter, None),
        Err(error) => (EnvFilter::new("info"), Some(error)),
    };
    let events = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal());
    let installed = match options.log_format {
        LogFormat::Text => events.try_init(),
        LogFormat::Plain => events.without_time().with_target(false).try_init(),
        LogFormat::Json => events.json().try_init(),
    };
    if let (Some(error), Ok(())) = (fault, installed) {
        tracing::warn!(
            "--log-level {:?} is not a filter ({error}): logging at level info",
            options.log_level
        );
    }
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
    fn a_second_set_up_and_a_bad_filter_are_survived() {
        let options = LogOptions {
            log_level: "no=such=filter".to_owned(),
            ..LogOptions::default()
        };
        init_logging(&options);
        init_logging(&options);
    }
}
