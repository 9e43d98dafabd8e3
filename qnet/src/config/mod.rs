//! What qnet is told: command line, configuration file, hosts file. The command line wins.
//!
//! Knows no socket and no engine: a [`Config`] is checked values, whatever they came from.

#![forbid(unsafe_code)]

mod cpus;
mod file;
mod hosts;
mod options;
mod users;

use std::{error, fmt, path::PathBuf, time::Duration};

use qnet_proto::{NodeName, limits::LINKS_MAX};

use crate::{driver::FaultPlan, limits::SPIN_US_MAX};

pub use file::{FileConfig, Interfaces};
pub use hosts::{Host, parse_hosts};
pub use options::Options;
pub use users::{MappedUser, UserMap, UserRule};

/// Everything qnet needs to start. Holding one proves that the values are in their bounds and that the
/// hosts file could be read.
#[derive(Clone, Debug)]
pub struct Config {
    /// The name of this node.
    pub name: NodeName,
    /// The network interfaces, in order of preference: at least one, at most eight, no two alike.
    pub interfaces: Vec<String>,
    /// The node's runtime directory, if it is not the usual one.
    pub runtime_dir: Option<PathBuf>,
    /// Nodes known from the start.
    pub hosts: Vec<Host>,
    /// EtherType of the frames.
    pub ethertype: u16,
    /// How long a silent node keeps callers waiting.
    pub tolerance: Duration,
    /// How long a name is looked for.
    pub resolve_timeout: Duration,
    /// How long the network-handler thread looks for work before it sleeps.
    pub spin: Duration,
    /// The CPUs that it may run on; none named: any.
    pub cpus: Vec<usize>,
    /// Whom remote users count as.
    pub users: UserMap,
    /// Where trace lines go.
    pub trace: Option<PathBuf>,
    /// Where frames are recorded.
    pub capture: Option<PathBuf>,
    /// Whether frames carry a checksum and must.
    pub seal: bool,
    /// How bad the wire is made.
    pub faults: Option<FaultPlan>,
}

/// What is wrong with the configuration; the text names the place and the mend.
#[derive(Debug, PartialEq, Eq)]
pub struct ConfigError(String);

impl ConfigError {
    pub(crate) fn new(text: impl Into<String>) -> ConfigError {
        ConfigError(text.into())
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl error::Error for ConfigError {}

impl Config {
    /// Puts the configuration together: options first, then the file they name, then defaults.
    ///
    /// # Errors
    /// A file that cannot be read or understood, a value out of its bounds, no interface, no node name.
    pub fn load(options: &Options) -> Result<Config, ConfigError> {
        let file = match &options.config {
            Some(path) => FileConfig::read(path)?,
            None => FileConfig::default(),
        };
        let named = match options.interface.is_empty() {
            true => file.interface.map(Interfaces::into_vec).unwrap_or_default(),
            false => options.interface.clone(),
        };
        let interfaces = check_interfaces(named)?;
        let hosts = match options.hosts.as_ref().or(file.hosts.as_ref()) {
            Some(path) => hosts::read(path, &interfaces)?,
            None => Vec::new(),
        };
        let ethertype = options.ethertype.or(file.ethertype).unwrap_or(0x88b5);
        check_ethertype(ethertype)?;
        Ok(Config {
            name: node_name(options.name.clone().or(file.name))?,
            interfaces,
            runtime_dir: options.runtime_dir.clone().or(file.runtime_dir),
            hosts,
            ethertype,
            tolerance: duration(
                "tolerance",
                options.tolerance_ms.or(file.tolerance_ms).unwrap_or(1500),
                100..=60_000,
            )?,
            resolve_timeout: duration(
                "resolve-timeout",
                options
                    .resolve_timeout_ms
                    .or(file.resolve_timeout_ms)
                    .unwrap_or(1000),
                10..=60_000,
            )?,
            spin: spin(options.spin_us.or(file.spin_us).unwrap_or(0))?,
            cpus: match options.cpu.as_deref().or(file.cpu.as_deref()) {
                Some(list) => cpus::parse(list)?,
                None => Vec::new(),
            },
            users: users::load(options.map.as_deref().or(file.map.as_deref()), file.user)?,
            trace: options.trace.clone().or(file.trace),
            capture: options.capture.clone(),
            seal: options.seal || file.seal.unwrap_or(false),
            faults: options.faults,
        })
    }
}

fn check_interfaces(names: Vec<String>) -> Result<Vec<String>, ConfigError> {
    if names.is_empty() {
        return Err(ConfigError::new(
            "no network interface is named; name one: --interface eth0 (see `ip link`), or \
             `interface = \"eth0\"` in the configuration file",
        ));
    }
    if names.len() > LINKS_MAX {
        return Err(ConfigError::new(format!(
            "{} network interfaces are named; qnet uses at most {LINKS_MAX}: name fewer with --interface",
            names.len()
        )));
    }
    let twice = |at: &usize| names[..*at].contains(&names[*at]);
    if let Some(at) = (0..names.len()).find(twice) {
        return Err(ConfigError::new(format!(
            "the network interface {} is named twice; name each once with --interface",
            names[at]
        )));
    }
    Ok(names)
}

fn node_name(given: Option<String>) -> Result<NodeName, ConfigError> {
    let (text, from_host) = match given {
        Some(name) => (name, false),
        None => (host_name()?, true),
    };
    NodeName::new(&text).ok_or_else(|| {
        let source = if from_host { "the host name" } else { "the node name" };
        ConfigError::new(format!(
            "{source} {text:?} cannot name a node: 1 to 63 letters, digits, '-', '_' or '.', the first \
             neither '-' nor '.'; give another: --name magenta"
        ))
    })
}

/// The host's name up to its first dot: what people call the machine.
fn host_name() -> Result<String, ConfigError> {
    let name = nix::unistd::gethostname().map_err(|errno| {
        ConfigError::new(format!(
            "the host name cannot be read ({errno}); give one: --name magenta"
        ))
    })?;
    let name = name.to_string_lossy();
    Ok(name.split('.').next().unwrap_or_default().to_owned())
}

fn check_ethertype(ethertype: u16) -> Result<(), ConfigError> {
    // Below 0x600 the field is a length (IEEE 802.3).
    if ethertype < 0x600 {
        return Err(ConfigError::new(format!(
            "EtherType {ethertype:#06x} would be read as a length; choose 0x0600 to 0xffff, such as \
             0x88b5 or 0x88b6, which IEEE left for local use"
        )));
    }
    Ok(())
}

fn spin(us: u64) -> Result<Duration, ConfigError> {
    if us > SPIN_US_MAX {
        return Err(ConfigError::new(format!(
            "--spin-us {us} is out of bounds; choose 0 to {SPIN_US_MAX} us: who waits longer than that \
             gains nothing by it"
        )));
    }
    Ok(Duration::from_micros(us))
}

fn duration(
    what: &str,
    ms: u64,
    bounds: std::ops::RangeInclusive<u64>,
) -> Result<Duration, ConfigError> {
    if !bounds.contains(&ms) {
        return Err(ConfigError::new(format!(
            "{what} of {ms} ms is out of bounds; choose {} to {} ms",
            bounds.start(),
            bounds.end()
        )));
    }
    Ok(Duration::from_millis(ms))
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        options: Options,
    }

    fn load(line: &str) -> Result<Config, ConfigError> {
        let line = std::iter::once("qnet").chain(line.split_whitespace());
        Config::load(&Line::try_parse_from(line).unwrap().options)
    }

    #[test]
    fn an_interface_is_all_that_must_be_said() {
        let config = load("--interface en0 --name magenta").unwrap();
        assert_eq!(config.ethertype, 0x88b5);
        assert_eq!(config.tolerance, Duration::from_millis(1500));
        assert_eq!(config.users, UserMap::RootSquash);
        assert_eq!((config.spin, config.cpus), (Duration::ZERO, Vec::new()));
        assert!(
            load("--name magenta")
                .unwrap_err()
                .to_string()
                .contains("--interface")
        );
    }

    // covers: NET-8
    #[test]
    fn several_interfaces_are_named_in_order_of_preference_and_each_once() {
        for line in [
            "--interface en1 --interface en0 --name a",
            "--interface en1,en0 --name a",
        ] {
            assert_eq!(load(line).unwrap().interfaces, ["en1", "en0"]);
        }
        let twice = load("--interface e --interface e --name a").unwrap_err();
        assert!(twice.to_string().contains("twice"));
        let many = load("--interface a,b,c,d,e,f,g,h,i --name a").unwrap_err();
        assert!(many.to_string().contains("at most 8"));
    }

    #[test]
    fn the_command_line_wins_over_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("qnet.toml");
        std::fs::write(
            &path,
            "name = \"wintermute\"\ninterface = \"en1\"\nethertype = 0x88b6\ntolerance_ms = 300\n\
             spin_us = 20\ncpu = \"1\"\nmap = \"identity\"\n",
        )
        .unwrap();
        let config = load(&format!(
            "--config {} --name magenta --cpu 0",
            path.display()
        ))
        .unwrap();
        assert_eq!(
            (config.spin, config.cpus),
            (Duration::from_micros(20), vec![0])
        );
        assert_eq!(config.name.as_str(), "magenta");
        assert_eq!(
            (config.interfaces.as_slice(), config.ethertype),
            (&["en1".to_owned()][..], 0x88b6)
        );
        assert_eq!(config.users, UserMap::Identity);
    }

    #[test]
    fn values_out_of_bounds_are_refused_with_the_bounds() {
        for (line, word) in [
            ("--interface e --name .x", "--name"),
            ("--interface e --name a --ethertype 0x100", "0x88b5"),
            ("--interface e --name a --tolerance-ms 1", "60000"),
            ("--interface e --name a --map anyone", "root-squash"),
            ("--interface e --name a --spin-us 10001", "10000"),
            ("--interface e --name a --cpu x", "lscpu"),
            (
                "--interface e --name a --hosts /nonexistent",
                "/nonexistent",
            ),
            (
                "--interface e --name a --config /nonexistent",
                "/nonexistent",
            ),
        ] {
            let text = load(line).unwrap_err().to_string();
            assert!(text.contains(word), "{text}");
        }
    }
}
