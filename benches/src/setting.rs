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
