//! The setting of one comparison: what ruler and product have in common.

use std::path::Path;

use crate::method::{Arm, Seat};
use crate::nodes::{Node, Nodes};
use crate::sys::clock::Clock;

/// Where the two ends run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Placement {
    /// Both on one CPU.
    Same,
    /// Each on a CPU of its own.
    Across,
}

impl Placement {
    /// As the table and the JSON show it.
    pub fn name(self) -> &'static str {
        match self {
            Placement::Same => "same CPU",
            Placement::Across => "across CPUs",
        }
    }
}

/// How the two ends wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    /// By polling only.
    Spin,
    /// In the kernel only.
    Block,
    /// As the product does by default.
    Adaptive,
}

impl Wait {
    /// As the table and the JSON show it.
    pub fn name(self) -> &'static str {
        match self {
            Wait::Spin => "spin",
            Wait::Block => "block",
            Wait::Adaptive => "adaptive",
        }
    }
}

/// How much is asked of the arms, and under which conditions.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Load {
    /// Clients at once.
    pub clients: u32,
    /// Messages that one client keeps in flight, where the arm does so.
    pub depth: u32,
    /// Connections that are attached and idle.
    pub idle: u32,
    /// Share of frames lost in each direction, 0 to 1.
    pub loss: f64,
    /// Payload bytes of a frame between the two nodes; 0 for one node.
    pub mtu: u32,
    /// Rounds a second that are asked for, whether or not they can be had; 0: one after the other.
    pub rate: u32,
}

impl Load {
    /// One client on one node, and nothing else.
    pub const ONE: Load = Load {
        clients: 1,
        depth: 64,
        idle: 0,
        loss: 0.0,
        mtu: 0,
        rate: 0,
    };
    /// One client, its server on the other node, ordinary Ethernet.
    pub const REMOTE: Load = Load {
        mtu: 1500,
        ..Load::ONE
    };
}

/// What ruler and product have in common.
#[derive(Clone, Copy, Debug)]
pub struct Setting<'a> {
    /// The clock of all sides.
    pub clock: Clock,
    /// The CPUs in use: the client's first.
    pub cpus: [usize; 2],
    /// Where the ends run.
    pub placement: Placement,
    /// How they wait.
    pub wait: Wait,
    /// Payload bytes, each way unless the plan says otherwise.
    pub bytes: usize,
    /// Clients, loss, frame size and the like.
    pub load: Load,
    /// Which of two arms at a time this is: two that are the product must not meet.
    pub instance: u32,
    /// Where product processes of one node find each other.
    pub runtime_dir: &'a Path,
    /// The two nodes, for the network goals.
    pub nodes: Option<&'a Nodes>,
}

impl<'a> Setting<'a> {
    /// The client's node and the server's.
    ///
    /// # Errors
    /// When the plan is one for a single node.
    pub fn nodes(&self) -> crate::Result<[&'a Node; 2]> {
        Ok(self
            .nodes
            .ok_or("this arm needs two nodes")?
            .ends
            .each_ref())
    }

    /// The measuring end.
    pub fn client(&self) -> Seat {
        Seat {
            name: "client",
            cpu: self.cpus[0],
        }
    }

    /// The answering end.
    pub fn server(&self) -> Seat {
        let cpu = self.cpus[usize::from(self.placement == Placement::Across)];
        Seat {
            name: "server",
            cpu,
        }
    }

    /// An arm without processes.
    pub fn arm(&self, name: &'static str) -> Arm {
        Arm::new(name, self.clock)
    }
}
