//! The hosts file: nodes that are known without asking the segment.

use std::{fs, path::Path};

use qnet_proto::{LinkId, Mac, NodeName};

use crate::config::ConfigError;

/// One line of the hosts file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Host {
    /// The node's name.
    pub name: NodeName,
    /// Its address.
    pub mac: Mac,
    /// Behind which of this node's links.
    pub link: LinkId,
}

pub(super) fn read(path: &Path, interfaces: &[String]) -> Result<Vec<Host>, ConfigError> {
    let text = fs::read_to_string(path).map_err(|error| {
        ConfigError::new(format!(
            "the hosts file {} cannot be read: {error}",
            path.display()
        ))
    })?;
    parse_hosts(&text, interfaces)
        .map_err(|error| ConfigError::new(format!("the hosts file {}, {error}", path.display())))
}

/// Reads lines `name mac [interface]`; `#` starts a comment. Without an interface the first of `interfaces`
/// is meant; what is behind none of them is left out. A node has a line for each of its addresses.
///
/// # Errors
/// The number of the first faulty line, and what it should look like.
pub fn parse_hosts(text: &str, interfaces: &[String]) -> Result<Vec<Host>, ConfigError> {
    let mut hosts: Vec<Host> = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let fault = |what: &str| {
            ConfigError::new(format!(
                "line {}: {what}; a line reads: wintermute 02:00:00:00:00:02 [eth0]",
                index + 1
            ))
        };
        let line = line.split('#').next().unwrap_or_default();
        let words: Vec<&str> = line.split_whitespace().collect();
        let (name, mac, link) = match *words {
            [] => continue,
            [name, mac] => (name, mac, interfaces.first().map_or("", String::as_str)),
            [name, mac, link] => (name, mac, link),
            _ => return Err(fault("two or three words are expected")),
        };
        let name = NodeName::new(name).ok_or_else(|| fault("the name cannot name a node"))?;
        let mac = parse_mac(mac)
            .filter(|mac| mac.is_unicast())
            .ok_or_else(|| fault("the second word is not a station's hardware address"))?;
        let Some(at) = interfaces.iter().position(|known| known == link) else {
            continue;
        };
        let link = LinkId(at as u8);
        if hosts
            .iter()
            .any(|host| host.name == name && host.link == link)
        {
            return Err(fault(
                "the name stands in an earlier line with this interface too",
            ));
        }
        hosts.push(Host { name, mac, link });
    }
    Ok(hosts)
}

fn parse_mac(text: &str) -> Option<Mac> {
    let mut mac = [0; 6];
    let mut parts = text.split(':');
    for byte in &mut mac {
        let part = parts.next().filter(|part| part.len() == 2)?;
        *byte = u8::from_str_radix(part, 16).ok()?;
    }
    parts.next().is_none().then_some(Mac(mac))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_comments_and_interfaces() {
        let text = "# the lab\nwintermute 02:00:00:00:00:02\n\nstraylight 02:00:00:00:0A:ff eth0 # third\n\
                    elsewhere 02:00:00:00:00:09 eth7\n";
        let hosts = parse_hosts(text, &["eth0".to_owned()]).unwrap();
        assert_eq!(hosts.len(), 2);
        assert_eq!(hosts[1].name.as_str(), "straylight");
        assert_eq!(hosts[1].mac, Mac([2, 0, 0, 0, 10, 255]));
    }

    #[test]
    fn a_node_has_a_line_for_each_of_its_addresses() {
        let text = "w 02:00:00:00:00:02\nw 02:00:00:00:01:02 eth1\nw 02:00:00:00:02:02 eth7\n";
        let hosts = parse_hosts(text, &["eth0".to_owned(), "eth1".to_owned()]).unwrap();
        let links: Vec<_> = hosts.iter().map(|host| host.link).collect();
        assert_eq!(links, [LinkId(0), LinkId(1)]);
    }

    #[test]
    fn a_faulty_line_is_named() {
        for bad in [
            "x",
            "x 02:00:00:00:00",
            "x 02:00:00:00:00:02:03",
            "x 2:0:0:0:0:2",
            "x ff:ff:ff:ff:ff:ff",
            "-x 02:00:00:00:00:02",
            "a b c d",
            "good 02:00:00:00:00:03",
        ] {
            let error = parse_hosts(
                &format!("good 02:00:00:00:00:02\n{bad}\n"),
                &["e".to_owned()],
            )
            .unwrap_err();
            assert!(error.to_string().contains("line 2"), "{error}");
        }
    }
}
