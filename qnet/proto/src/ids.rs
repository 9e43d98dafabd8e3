//! The names that the engine and its caller use for nodes, links, connections and calls.

use std::fmt;

use crate::limits::NODE_NAME_LEN_MAX;

/// One of the links given in [`Config::links`](crate::Config::links), by its index there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct LinkId(pub u8);

/// An Ethernet address.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Mac(pub [u8; 6]);

impl Mac {
    /// Every station of the segment.
    pub const BROADCAST: Mac = Mac([0xff; 6]);

    /// Whether one station is named: neither a group nor nobody.
    pub fn is_unicast(self) -> bool {
        self.0[0] & 1 == 0 && self.0 != [0; 6]
    }
}

impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

impl fmt::Debug for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A remote node, numbered from 1 by the engine that uses the number: fit to be a node descriptor.
///
/// It stands for the node's *name*: it outlives sessions, partitions and restarts of that node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PeerId(pub u32);

/// A checked node name: 1..=63 bytes of `a-z A-Z 0-9 - _ .`, the first neither `-` nor `.`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NodeName {
    bytes: [u8; NODE_NAME_LEN_MAX],
    len: u8,
}

impl NodeName {
    /// Checks `name`; `None` if it cannot name a node.
    pub fn new(name: &str) -> Option<NodeName> {
        NodeName::from_bytes(name.as_bytes())
    }

    /// Checks the bytes of a name as they came over the wire.
    pub fn from_bytes(name: &[u8]) -> Option<NodeName> {
        let fits = (1..=NODE_NAME_LEN_MAX).contains(&name.len());
        let legal = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
        if !fits || !name.iter().all(legal) || matches!(name[0], b'-' | b'.') {
            return None;
        }
        let mut bytes = [0; NODE_NAME_LEN_MAX];
        bytes[..name.len()].copy_from_slice(name);
        Some(NodeName {
            bytes,
            len: name.len() as u8,
        })
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(self.as_bytes()).unwrap_or("")
    }

    /// The name as bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }
}

impl fmt::Display for NodeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for NodeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.as_str())
    }
}

macro_rules! handles {
    ($($(#[$doc:meta])* $name:ident)*) => {$(
        $(#[$doc])*
        ///
        /// The default names nothing.
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
        pub struct $name {
            pub(crate) index: u32,
            pub(crate) generation: u32,
        }

        impl $name {
            /// A small dense number, used again after this one's end: fit to index a table.
            pub fn index(self) -> usize {
                self.index as usize
            }

            /// Which use of the index this is: a stale value never names a later one.
            pub fn generation(self) -> u32 {
                self.generation
            }

            pub(crate) fn new(index: u32, generation: u32) -> $name {
                $name { index, generation }
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({}.{})"), self.index, self.generation)
            }
        }
    )*};
}

handles! {
    /// A message that a local client sent to a remote server, until its outcome was announced.
    OutboundCall
    /// A message that a remote client sent to a local server, until its reply is known to have arrived.
    InboundCall
    /// Messages that a remote client sent and that came together, until none of them is open.
    InboundRun
    /// Messages that a local client sent together, until all are answered or the run dissolves.
    OutboundRun
    /// A virtual connection of a local client to a remote channel.
    OutboundConn
    /// A virtual connection of a remote client to a local channel.
    InboundConn
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_could_be_taken_for_paths_or_options_are_refused() {
        for bad in [
            "",
            "-x",
            ".",
            "..",
            "a/b",
            "a~b",
            "a b",
            "é",
            &"x".repeat(64),
        ] {
            assert_eq!(NodeName::new(bad), None, "{bad:?}");
        }
        for good in ["magenta", "a", "n-1.lab_2", &"x".repeat(63)] {
            assert_eq!(NodeName::new(good).unwrap().as_str(), good);
        }
    }
}
