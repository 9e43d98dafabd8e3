//! What tells a file from all others: the device number, made one of this node's.
//!
//! Servers number devices for themselves, each as if it were alone: without this, programs that compare device and
//! inode (find, cp, diff, du) would take files of two nodes, or of two servers, for one. The layout of a device
//! number is Linux's: major 12 bits and minor 20 bits below 2^32, which is all a kernel gives out.

use crate::{
    abi::{
        Nd, Pid,
        io::{Stat, StatVfs},
    },
    proc::client::pool::Address,
};

/// The first of the four majors for servers without a device of their own: above all that Linux assigns (511).
const SERVER_MAJOR: u64 = 0xffc;
/// Bits of a minor number, and of the process id that stands there.
const MINOR_BITS: u32 = 20;
/// Above a device of this node's: the node descriptor.
const NODE_SHIFT: u32 = 32;

/// The attributes as the server gave them, with the device by which this node knows that server's.
pub(super) fn seen_from_here(said: Stat, server: Address) -> Stat {
    Stat {
        dev: device(said.dev, server.nd, server.pid),
        ..said
    }
}

/// As [`seen_from_here`], of a file system.
pub(super) fn file_system_seen_from_here(said: StatVfs, server: Address) -> StatVfs {
    StatVfs {
        id: device(said.id, server.nd, server.pid),
        ..said
    }
}

/// A device of a server: 0 stands for the server itself. One of this node's keeps the number that the kernel gave it,
/// so that a file exported here is the same file as the host's.
fn device(said: u64, nd: Nd, pid: Pid) -> u64 {
    let on_its_node = if said == 0 { of_server(pid) } else { said };
    on_its_node ^ u64::from(nd.without_policy().0) << NODE_SHIFT
}

/// Linux's process ids have 22 bits: 20 stand in the minor number, 2 choose the major.
fn of_server(pid: Pid) -> u64 {
    let pid = u64::from(pid.0.cast_unsigned());
    let (major, minor) = (
        SERVER_MAJOR + (pid >> MINOR_BITS & 0b11),
        pid & ((1 << MINOR_BITS) - 1),
    );
    nix::libc::makedev(major as u32, minor as u32)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    // covers: PTH-8
    #[test]
    fn devices_of_servers_and_nodes_differ() {
        let mut seen = HashSet::new();
        for nd in [Nd::LOCAL, Nd(1), Nd(2), Nd(4095)] {
            for pid in [Pid::PROCMGR, Pid(7), Pid(1 << 20 | 7), Pid((1 << 22) - 1)] {
                assert!(seen.insert(device(0, nd, pid)));
            }
            for host in [0x1a, 0x801, 0x10_3005] {
                assert!(seen.insert(device(host, nd, Pid(7))));
            }
        }
    }

    // covers: PTH-8
    #[test]
    fn a_device_of_this_node_keeps_its_number() {
        assert_eq!(device(0xfe01, Nd::LOCAL, Pid(7)), 0xfe01);
    }

    // covers: PTH-8
    #[test]
    fn the_way_to_a_node_makes_no_other_file() {
        let preferred = Nd(1 << (Nd::NODE_BITS + 4) | 3);
        assert_eq!(
            device(5, preferred, Pid(7)),
            device(5, Nd(3), Pid(7)),
            "the same node by a link of its own"
        );
    }
}
