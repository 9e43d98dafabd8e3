//! The configuration file.

use std::{
    fs,
    path::{Path, PathBuf},
};

use serde::Deserialize;

use crate::config::{ConfigError, UserRule};

/// The configuration file as it is written; every key may be left out.
///
/// ```toml
/// name = "magenta"
/// interface = "eth1"     # or several: ["eth1", "eth2"]
/// hosts = "/etc/qnet/hosts"
/// ethertype = 0x88B5
/// tolerance_ms = 1500
/// spin_us = 50           # for a thread with a CPU of its own:
/// cpu = "2"
/// map = "table"
/// seal = false
///
/// [[user]]
/// node = "wintermute"   # every node when left out
/// remote = 1000
/// local = 1001
/// ```
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileConfig {
    /// As `--name`.
    pub name: Option<String>,
    /// As `--interface`.
    pub interface: Option<Interfaces>,
    /// As `--runtime-dir`.
    pub runtime_dir: Option<PathBuf>,
    /// As `--hosts`.
    pub hosts: Option<PathBuf>,
    /// As `--ethertype`.
    pub ethertype: Option<u16>,
    /// As `--tolerance-ms`.
    pub tolerance_ms: Option<u64>,
    /// As `--resolve-timeout-ms`.
    pub resolve_timeout_ms: Option<u64>,
    /// As `--spin-us`.
    pub spin_us: Option<u64>,
    /// As `--cpu`.
    pub cpu: Option<String>,
    /// As `--map`.
    pub map: Option<String>,
    /// As `--seal`.
    pub seal: Option<bool>,
    /// As `--trace`.
    pub trace: Option<PathBuf>,
    /// The rules of `map = "table"`, the first that fits counts.
    #[serde(default)]
    pub user: Vec<UserRule>,
}

/// One interface, or several in order of preference.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
pub enum Interfaces {
    /// `"eth0"`
    One(String),
    /// `["eth0", "eth1"]`
    Several(Vec<String>),
}

impl Interfaces {
    /// The names.
    pub fn into_vec(self) -> Vec<String> {
        match self {
            Interfaces::One(name) => vec![name],
            Interfaces::Several(names) => names,
        }
    }
}

impl FileConfig {
    /// Reads the file.
    ///
    /// # Errors
    /// It cannot be read, is no TOML, or has a key that qnet does not know.
    pub fn read(path: &Path) -> Result<FileConfig, ConfigError> {
        let text = fs::read_to_string(path).map_err(|error| {
            ConfigError::new(format!(
                "the configuration file {} cannot be read: {error}",
                path.display()
            ))
        })?;
        toml::from_str(&text).map_err(|error| {
            ConfigError::new(format!(
                "the configuration file {} is faulty: {error}",
                path.display()
            ))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_documented_example_is_understood_and_a_misspelt_key_is_not() {
        let example = "name = \"magenta\"\ninterface = \"eth1\"\nhosts = \"/etc/qnet/hosts\"\n\
             ethertype = 0x88B5\ntolerance_ms = 1500\nspin_us = 50\ncpu = \"2\"\nmap = \"table\"\n\
             seal = false\n[[user]]\n\
             node = \"wintermute\"\nremote = 1000\nlocal = 1001\n";
        let file: FileConfig = toml::from_str(example).unwrap();
        assert_eq!(file.user.len(), 1);
        let several: FileConfig = toml::from_str("interface = [\"a\", \"b\"]").unwrap();
        assert_eq!(several.interface.unwrap().into_vec(), ["a", "b"]);
        let error = toml::from_str::<FileConfig>("toleranz_ms = 3").unwrap_err();
        assert!(error.to_string().contains("toleranz_ms"));
    }
}
