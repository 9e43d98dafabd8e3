//! Which path the next frame takes.

use super::LinkPolicy;
use super::path::{Path, PathState};
use super::peer::Address;
use super::queue::Queues;
use super::session::Session;
use crate::limits::PATHS_MAX;
use crate::{LinkId, Time};

/// Paths of a session by their index, best first: a byte for each, the first lowest. In one word, as it is made anew for
/// every frame: bytes that are read as a whole wait until the payload of the frame before has reached the cache.
#[derive(Clone, Copy)]
pub(super) struct Order {
    paths: u64,
    count: usize,
}

const _: () = assert!(PATHS_MAX <= size_of::<u64>());

impl Order {
    pub(super) fn iter(self) -> impl Iterator<Item = usize> {
        (0..self.count).map(move |at| usize::from((self.paths >> (8 * at)) as u8))
    }
}

impl Session {
    /// The state of the best paths: those and no others are in service, because a path that is not up is
    /// better than none.
    pub(super) fn service_state(&self) -> PathState {
        let states = self.paths.iter().map(|path| path.state);
        states.min().unwrap_or(PathState::Down)
    }

    /// Whether something is sent through the path at all, pings aside.
    pub(super) fn is_in_service(&self, at: usize) -> bool {
        self.paths.len() == 1 || self.paths[at].state == self.service_state()
    }

    /// Whether another path is in service and answers.
    pub(super) fn has_alternative(&self, at: usize) -> bool {
        self.paths.len() > 1
            && self.paths.iter().enumerate().any(|(other, path)| {
                other != at && path.state == PathState::Up && path.backoff == 0
            })
    }

    fn is_up(&self, link: LinkId) -> bool {
        let mut paths = self.paths.iter();
        paths.any(|path| path.address.link == link && path.state == PathState::Up)
    }

    /// Whether what has this policy may take this path now.
    pub(super) fn admits(&self, policy: LinkPolicy, at: usize) -> bool {
        let path = &self.paths[at];
        match policy {
            LinkPolicy::LoadBalance => self.is_in_service(at),
            LinkPolicy::Preferred(link) if self.is_up(link) => {
                path.address.link == link && path.state == PathState::Up
            }
            LinkPolicy::Preferred(_) => self.is_in_service(at),
            LinkPolicy::Exclusive(link) => {
                path.address.link == link && (path.state == PathState::Up || self.is_in_service(at))
            }
        }
    }

    /// The paths in the order in which they are to be offered what waits: those that answer before those
    /// in doubt, then by the time a frame is expected to take.
    pub(super) fn order(&self) -> Order {
        let count = self.paths.len();
        let paths = match count {
            1 => 0,
            _ => self.sorted(),
        };
        Order { paths, count }
    }

    fn sorted(&self) -> u64 {
        let mut paths: [u8; size_of::<u64>()] = std::array::from_fn(|at| at as u8);
        let key = |at: &u8| {
            let path = &self.paths[usize::from(*at)];
            (path.state, path.backoff, self.cost(*at), *at)
        };
        paths[..self.paths.len()].sort_unstable_by_key(key);
        u64::from_le_bytes(paths)
    }

    /// The path used last is a little better than the others: a lone caller stays where it is.
    fn cost(&self, at: u8) -> u64 {
        let cost = self.paths[usize::from(at)].cost();
        if usize::from(at) == self.last_path {
            cost - cost / 4
        } else {
            cost
        }
    }

    /// Whether a frame of what waits in `queues` may go through this path now: none while the session itself is in doubt.
    /// A path that has not answered lately is passed over while another answers.
    pub(super) fn may_carry(&self, queues: &Queues, at: usize) -> bool {
        if self.doubted_since.is_some() {
            return false;
        }
        let path = &self.paths[at];
        if let (1, Some(queue)) = (self.paths.len(), queues.only()) {
            return path.may_send() && !queue.is_empty();
        }
        let is_passed_over = path.backoff > 0 && self.has_alternative(at);
        path.may_send()
            && queues.iter().any(|(policy, queue)| {
                let has_choice = !matches!(policy, LinkPolicy::Exclusive(_));
                let waits = !queue.is_empty() && self.admits(policy, at);
                waits && !(is_passed_over && has_choice)
            })
    }

    /// The index of the path that leads to this address.
    pub(super) fn path_to(&self, address: Address) -> Option<usize> {
        self.paths.iter().position(|path| path.address == address)
    }

    /// The path that is best for something that has no policy.
    pub(super) fn best_path(&self) -> usize {
        self.order().iter().next().unwrap_or(0)
    }

    /// The path through which what came in a space is acknowledged: the one it came through, if that is
    /// in service.
    pub(super) fn way_back(&self, space: usize) -> usize {
        let via = self.spaces[space].via;
        if self.is_in_service(via) {
            via
        } else {
            self.best_path()
        }
    }

    /// The space that a frame through the path acknowledges: the one that waits most urgently; if none does,
    /// the one of what came through the same path.
    pub(super) fn acked_space(&self, now: Time, at: usize) -> usize {
        if self.spaces.len() == 1 {
            return 0;
        }
        let same = self.spaces.iter().position(|space| space.via == at);
        match (self.due_space(), same) {
            // What may wait waits for a frame through its own path.
            (Some((_, due)), Some(same))
                if due > now && self.spaces[same].received.due().is_some() =>
            {
                same
            }
            (Some((space, _)), _) => space,
            (None, same) => same.unwrap_or(0),
        }
    }

    /// The space whose packets wait longest for an acknowledgement, and since when one is due.
    pub(super) fn due_space(&self) -> Option<(usize, Time)> {
        // One path is the rule, and this is asked after every frame. Finding the least of a list goes through
        // memory in small parts that are read as a large one, which waits until the payload just copied has
        // reached the cache.
        if let [only] = self.spaces.as_slice() {
            return Some((0, only.received.due()?));
        }
        let dues = self.spaces.iter().enumerate();
        dues.filter_map(|(space, entry)| Some((space, entry.received.due()?)))
            .min_by_key(|&(_, due)| due)
    }

    /// When something came last through a link.
    pub(super) fn heard_on(&self, link: LinkId) -> Option<Time> {
        let its = self.paths.iter().filter(|path| path.address.link == link);
        its.map(|path| path.heard_at).max()
    }

    /// The paths of a link.
    pub(super) fn paths_on(&mut self, link: LinkId) -> impl Iterator<Item = &mut Path> {
        let paths = self.paths.iter_mut();
        paths.filter(move |path| path.address.link == link)
    }
}
