//! How good the simulated wire is, in a variable of the environment that all roles find.

use std::env;

use qnet::driver::FaultPlan;

/// What says how bad the wire is.
pub(crate) const VARIABLE: &str = "QNET_TEST_WIRE";

/// A wire between two nodes.
pub(crate) struct Wire {
    /// Bytes of a frame behind its Ethernet header.
    pub(crate) mtu: usize,
    /// What goes wrong on either way.
    pub(crate) faults: FaultPlan,
}

impl Wire {
    /// The wire that the environment asks for.
    ///
    /// # Panics
    /// When it says what is none.
    pub(crate) fn chosen() -> Wire {
        let text = env::var(VARIABLE).unwrap_or_default();
        let mut mtu = 1500;
        let mut faults = Vec::new();
        for part in text.split(',') {
            match part.strip_prefix("mtu=") {
                Some(value) => mtu = value.parse().expect("an MTU is a number"),
                None => faults.push(part),
            }
        }
        let faults = faults.join(",").parse();
        Wire {
            mtu,
            faults: faults.unwrap_or_else(|error| panic!("{VARIABLE}: {error}")),
        }
    }

    /// What goes wrong with what the node of this number sends: each way has chances of its own.
    pub(crate) fn faults_of(&self, number: usize) -> FaultPlan {
        FaultPlan {
            seed: 2 * self.faults.seed + number as u64,
            ..self.faults
        }
    }
}
