//! What joins the nodes: the kernel's bridge, or the seeded switch where the bridge cannot do what is
//! asked.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use super::node::Node;
use crate::netlab::net::{Links, PacketSocket};
use crate::netlab::protocol::{Cut, Faults, SwitchCounters};
use crate::netlab::switch::{Port, Switch};

/// One switch, and its side of the cables of one number.
pub(super) struct Wiring {
    links: Links,
    /// The number of the cables.
    number: usize,
    bridge_name: String,
    /// The kernel has bridges.
    bridge: bool,
    faults: Option<Faults>,
    switch: Option<Switch>,
}

impl Wiring {
    /// Makes the bridge, if the kernel has any, in the network namespace of the calling thread.
    pub(super) fn new(number: usize) -> io::Result<Wiring> {
        let mut links = Links::open()?;
        let bridge_name = format!("bridge{number}");
        let made = links
            .add_bridge(&bridge_name)
            .and_then(|()| links.set_up(&bridge_name, true));
        Ok(Wiring {
            links,
            number,
            bridge_name,
            bridge: made.is_ok(),
            faults: None,
            switch: None,
        })
    }

    /// The ports and the bridge.
    pub(super) fn links(&mut self) -> &mut Links {
        &mut self.links
    }

    /// What joins the nodes: "bridge" or "seeded".
    pub(super) fn kind(&self) -> &'static str {
        if self.switch.is_some() {
            "seeded"
        } else {
            "bridge"
        }
    }

    /// Faults in force.
    pub(super) fn faults(&self) -> Option<&Faults> {
        self.faults.as_ref()
    }

    /// Sets the faults that [`Wiring::join`] is to bring about. Counts begin anew.
    pub(super) fn set_faults(&mut self, faults: Option<Faults>) {
        self.faults = faults;
        self.switch = None;
    }

    /// What the seeded switch has done.
    pub(super) fn counters(&self) -> SwitchCounters {
        self.switch
            .as_ref()
            .map_or_else(SwitchCounters::default, Switch::counters)
    }

    /// Joins the nodes in the way that their cuts and the faults ask for.
    pub(super) fn join(&mut self, nodes: &[Node]) -> io::Result<()> {
        let silent = nodes
            .iter()
            .any(|node| !matches!(node.cables[self.number].cut, Cut::None | Cut::Link));
        let seeded = !self.bridge || silent || self.faults.is_some();
        if !seeded {
            self.switch = None;
        }
        if self.bridge {
            for node in nodes {
                let bridge = (!seeded).then_some(self.bridge_name.as_str());
                let port = &node.cables[self.number].port;
                self.links.set_bridge(port, bridge)?;
            }
        }
        if seeded && self.switch.is_none() {
            let mut ports = Vec::new();
            for node in nodes {
                let cable = &node.cables[self.number];
                let socket = PacketSocket::open_port(self.links.state(&cable.port)?.index)?;
                ports.push(Port {
                    socket,
                    gate: Arc::clone(&cable.gate),
                });
            }
            self.switch = Some(Switch::start(
                ports,
                self.faults.clone().unwrap_or_default(),
            )?);
        }
        Ok(())
    }

    /// The nodes' names, and for each a packet socket at its port.
    pub(super) fn capture(&mut self, nodes: &[Node]) -> io::Result<(Vec<String>, Vec<OwnedFd>)> {
        let mut sockets = Vec::new();
        for node in nodes {
            let index = self.links.state(&node.cables[self.number].port)?.index;
            sockets.push(PacketSocket::open_capture(index)?.into_fd());
        }
        Ok((
            nodes.iter().map(|node| node.name.clone()).collect(),
            sockets,
        ))
    }
}
