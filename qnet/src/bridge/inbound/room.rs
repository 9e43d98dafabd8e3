//! How many connections of remote clients this node takes: each is a connection of this process, too, and other nodes
//! must not use up what its own programs need.

use std::{collections::HashMap, fs, sync::Arc};

use ipc_core::abi::{Chid, Pid};
use nix::sys::resource::{Resource, getrlimit};

use crate::limits::{REMOTE_CONNECTIONS_PER_SERVER, REMOTE_SHARE};

/// A place for one connection. It is free again when this is dropped.
pub(super) type Seat = Arc<()>;

/// The places, by server.
#[derive(Debug)]
pub(super) struct Room {
    /// Each with one holder more than it has seats taken.
    servers: HashMap<(Pid, Chid), Seat>,
    /// Of all servers together; one that is taken holds it.
    all: Seat,
    most: usize,
}

impl Room {
    /// As much room as this process may lend out.
    pub(super) fn new() -> Room {
        let (files, _) = getrlimit(Resource::RLIMIT_NOFILE).unwrap_or((1024, 1024));
        let files = usize::try_from(files).unwrap_or(usize::MAX);
        let mappings = fs::read_to_string("/proc/sys/vm/max_map_count");
        let mappings = mappings.ok().and_then(|text| text.trim().parse().ok());
        Room::of(files.min(mappings.unwrap_or(usize::MAX)) / REMOTE_SHARE)
    }

    fn of(most: usize) -> Room {
        Room {
            servers: HashMap::new(),
            all: Seat::default(),
            most,
        }
    }

    /// A place for one more connection to this server.
    pub(super) fn take(&mut self, pid: Pid, chid: Chid) -> Option<[Seat; 2]> {
        let taken = |seat: &Seat| Arc::strong_count(seat) - 1;
        if taken(&self.all) >= self.most {
            return None;
        }
        // Servers that nobody has a connection to any more.
        if self.servers.len() > 64 + 2 * taken(&self.all) {
            self.servers.retain(|_, seat| taken(seat) > 0);
        }
        let server = self.servers.entry((pid, chid)).or_default();
        (taken(server) < REMOTE_CONNECTIONS_PER_SERVER)
            .then(|| [Arc::clone(&self.all), Arc::clone(server)])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_server_takes_half_of_what_its_channel_accepts_and_others_have_room_beside() {
        let mut room = Room::of(usize::MAX);
        let mut seats: Vec<_> = (0..REMOTE_CONNECTIONS_PER_SERVER)
            .map_while(|_| room.take(Pid(1), Chid(1)))
            .collect();
        assert_eq!(seats.len(), REMOTE_CONNECTIONS_PER_SERVER);
        assert!(room.take(Pid(1), Chid(1)).is_none());
        assert!(room.take(Pid(1), Chid(2)).is_some());
        seats.pop();
        assert!(room.take(Pid(1), Chid(1)).is_some());
    }

    #[test]
    fn all_servers_together_have_a_bound_and_those_left_leave_nothing_behind() {
        let mut room = Room::of(3);
        let seats: Vec<_> = (0..9)
            .map_while(|pid| room.take(Pid(pid), Chid(1)))
            .collect();
        assert_eq!(seats.len(), 3);
        drop(seats);
        for pid in 0..10_000 {
            assert!(room.take(Pid(pid), Chid(1)).is_some());
            assert!(room.servers.len() <= 66, "{}", room.servers.len());
        }
    }
}
