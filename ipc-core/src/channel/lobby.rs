//! Clients that connected and have not said what they want: how many of them one user may have.
//!
//! Whoever keeps connections open without a word costs the server a descriptor each. So nobody may for long,
//! and a user's newcomers push out that user's own: clients of others do not notice.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Mutex, MutexGuard},
};

use nix::{
    sys::resource::{Resource, getrlimit},
    unistd::geteuid,
};

use crate::{
    abi::{
        Errno, Result,
        limits::{UNATTACHED_MAX, UNATTACHED_PER_USER_MAX},
    },
    process::WatchId,
    sys::mutex::lock,
};

/// The clients of one process, attached and not yet.
#[derive(Debug, Default)]
pub(super) struct Lobby(Mutex<Rooms>);

#[derive(Debug, Default)]
struct Rooms {
    /// Who has not attached yet, by arrival: a later one has a greater id.
    silent: BTreeMap<WatchId, u32>,
    /// Attached clients of each user.
    attached: HashMap<u32, usize>,
}

impl Lobby {
    /// Lets a client of user `uid` in; answers who has to go for it.
    #[must_use = "whoever is pushed out is to be hung up on"]
    pub(super) fn enter(&self, id: WatchId, uid: u32) -> Option<WatchId> {
        let mut rooms = self.rooms();
        rooms.silent.insert(id, uid);
        let of_user = rooms.silent.values().filter(|of| **of == uid).count();
        if of_user > UNATTACHED_PER_USER_MAX {
            rooms.push_out(uid)
        } else if rooms.silent.len() > UNATTACHED_MAX {
            rooms.push_out_one()
        } else {
            None
        }
    }

    /// Makes room when the process has no descriptor left: who has been silent longest, of the user who has
    /// most of such clients. `None` when nobody is silent.
    pub(super) fn make_room(&self) -> Option<WatchId> {
        self.rooms().push_out_one()
    }

    /// A client attaches.
    ///
    /// # Errors
    /// `EAGAIN` for a stranger's client when the stranger has half of the descriptors that all others leave of
    /// those this process may open. Its own user and root may have all of them.
    pub(super) fn attach(&self, id: WatchId, uid: u32) -> Result<()> {
        let mut rooms = self.rooms();
        if uid != 0 && uid != geteuid().as_raw() {
            let (open_max, _) = getrlimit(Resource::RLIMIT_NOFILE)?;
            let of_user = rooms.attached.get(&uid).copied().unwrap_or_default();
            let of_others = rooms.attached.values().sum::<usize>() - of_user;
            let left = usize::try_from(open_max)
                .unwrap_or(usize::MAX)
                .saturating_sub(of_others);
            if of_user >= left / 2 {
                return Err(Errno::EAGAIN);
            }
        }
        rooms.silent.remove(&id);
        *rooms.attached.entry(uid).or_default() += 1;
        Ok(())
    }

    /// An attached client goes.
    pub(super) fn detach(&self, uid: u32) {
        let mut rooms = self.rooms();
        if let Some(count) = rooms.attached.get_mut(&uid) {
            *count -= 1;
            if *count == 0 {
                rooms.attached.remove(&uid);
            }
        }
    }

    /// A client goes that never attached.
    pub(super) fn leave(&self, id: WatchId) {
        self.rooms().silent.remove(&id);
    }

    fn rooms(&self) -> MutexGuard<'_, Rooms> {
        lock(&self.0)
    }
}

impl Rooms {
    fn push_out_one(&mut self) -> Option<WatchId> {
        let mut counts: HashMap<u32, usize> = HashMap::new();
        for uid in self.silent.values() {
            *counts.entry(*uid).or_default() += 1;
        }
        let (uid, _) = counts.into_iter().max_by_key(|(_, count)| *count)?;
        self.push_out(uid)
    }

    fn push_out(&mut self, uid: u32) -> Option<WatchId> {
        let oldest = self.silent.iter().find(|(_, of)| **of == uid);
        let oldest = oldest.map(|(id, _)| *id)?;
        self.silent.remove(&oldest);
        Some(oldest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(number: usize) -> WatchId {
        WatchId::for_test(number as u64)
    }

    #[test]
    fn a_users_newcomers_push_out_that_users_own_and_nobody_elses() {
        let lobby = Lobby::default();
        assert_eq!(lobby.enter(id(0), 7), None);
        for silent in 1..=UNATTACHED_PER_USER_MAX {
            assert_eq!(lobby.enter(id(silent), 8), None);
        }
        assert_eq!(lobby.enter(id(9999), 8), Some(id(1)));
        lobby.leave(id(2));
        assert_eq!(lobby.enter(id(10_000), 8), None);
        assert_eq!(
            lobby.make_room(),
            Some(id(3)),
            "the user with most of them pays"
        );
    }

    #[test]
    fn a_stranger_gets_half_of_what_others_leave_and_the_own_user_all() {
        let lobby = Lobby::default();
        let own = geteuid().as_raw();
        let strangers = [own + 1, own + 2];
        let (open_max, _) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
        let open_max = open_max as usize;
        let fill = |uid| {
            (0..)
                .take_while(|_| lobby.attach(id(0), uid).is_ok())
                .count()
        };
        let first = fill(strangers[0]);
        assert_eq!(first, open_max / 2);
        assert_eq!(fill(strangers[1]), (open_max - first) / 2);
        assert_eq!(lobby.attach(id(0), own), Ok(()));
        assert_eq!(lobby.attach(id(0), strangers[1]), Err(Errno::EAGAIN));
        (0..first).for_each(|_| lobby.detach(strangers[0]));
        assert_eq!(lobby.attach(id(0), strangers[1]), Ok(()));
    }
}
