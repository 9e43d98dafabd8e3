//! Which connection is which OCB: the table behind RMG-2.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::abi::{Coid, Errno, MessageInfo, Nd, Pid, Result, Scoid};

/// Names one connection of one client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Key {
    pub(super) nd: Nd,
    pub(super) pid: Pid,
    pub(super) scoid: Scoid,
    pub(super) coid: Coid,
}

impl Key {
    pub(super) fn of(info: &MessageInfo) -> Key {
        Key {
            nd: info.nd,
            pid: info.pid,
            scoid: info.scoid,
            coid: info.coid,
        }
    }
}

/// The bindings of one dispatch: connection -> OCB, many to one.
///
/// Invariant: an OCB is handed back for closing exactly once, when its last binding goes.
pub(super) struct Bindings<T>(Mutex<Table<T>>);

struct Table<T> {
    bound: HashMap<Key, Bound<T>>,
    /// Opens under way, by client: a client that goes meanwhile must not leave a binding behind.
    opening: HashMap<Scoid, Opening>,
}

struct Bound<T> {
    ocb: Arc<T>,
    /// Held by the bindings of one OCB and by nothing else: its count is theirs.
    shares: Arc<()>,
}

impl<T> Bound<T> {
    /// The OCB for closing, if this was its last binding.
    fn into_last(self) -> Option<Arc<T>> {
        Arc::into_inner(self.shares).map(|()| self.ocb)
    }
}

#[derive(Default)]
struct Opening {
    count: usize,
    client_gone: bool,
}

/// What is left to do when a client has gone or an open has ended.
pub(super) struct Departure<T> {
    /// OCBs whose last binding went.
    pub(super) closed: Vec<Arc<T>>,
    /// Whether nothing speaks for the client any more, so that its scoid may be freed.
    pub(super) detach: bool,
}

impl<T> Default for Bindings<T> {
    fn default() -> Bindings<T> {
        Bindings(Mutex::new(Table {
            bound: HashMap::new(),
            opening: HashMap::new(),
        }))
    }
}

impl<T> Bindings<T> {
    /// The OCB of a connection.
    ///
    /// # Errors
    /// `EBADF` for an unknown binding.
    pub(super) fn find(&self, key: &Key) -> Result<Arc<T>> {
        self.lock()
            .bound
            .get(key)
            .map(|bound| Arc::clone(&bound.ocb))
            .ok_or(Errno::EBADF)
    }

    /// The key under which a process has bound a connection, whatever the server calls the process.
    ///
    /// # Errors
    /// `EBADF` for an unknown binding.
    pub(super) fn key_of_process(&self, nd: Nd, pid: Pid, coid: Coid) -> Result<Key> {
        let table = self.lock();
        let mut keys = table.bound.keys();
        keys.find(|key| (key.nd, key.pid, key.coid) == (nd, pid, coid))
            .copied()
            .ok_or(Errno::EBADF)
    }

    /// Announces that a message which may bind is being handled; [`Bindings::end_opening`] must follow.
    pub(super) fn begin_opening(&self, scoid: Scoid) {
        self.lock().opening.entry(scoid).or_default().count += 1;
    }

    /// The message has been handled. If its client went meanwhile, what it bound goes too.
    pub(super) fn end_opening(&self, scoid: Scoid) -> Departure<T> {
        let mut table = self.lock();
        let opening = table
            .opening
            .get_mut(&scoid)
            .expect("every end has a begin");
        opening.count -= 1;
        if opening.count > 0 {
            return Departure {
                closed: Vec::new(),
                detach: false,
            };
        }
        let client_gone = opening.client_gone;
        table.opening.remove(&scoid);
        let closed = if client_gone {
            table.remove_client(scoid)
        } else {
            Vec::new()
        };
        Departure {
            closed,
            detach: client_gone,
        }
    }

    /// Binds a connection to a new OCB. What it was bound to before, if this was the last binding, is
    /// handed back: its client detached without a close, and has now used the id again.
    pub(super) fn bind(&self, key: Key, ocb: Arc<T>) -> Option<Arc<T>> {
        let bound = Bound {
            ocb,
            shares: Arc::new(()),
        };
        self.lock()
            .bound
            .insert(key, bound)
            .and_then(Bound::into_last)
    }

    /// Binds a connection to the OCB that another one has; what it was bound to before as in `bind`.
    ///
    /// # Errors
    /// `EBADF` if the other one is unknown.
    pub(super) fn share(&self, from: &Key, key: Key) -> Result<Option<Arc<T>>> {
        let mut table = self.lock();
        let source = table.bound.get(from).ok_or(Errno::EBADF)?;
        let bound = Bound {
            ocb: Arc::clone(&source.ocb),
            shares: Arc::clone(&source.shares),
        };
        Ok(table.bound.insert(key, bound).and_then(Bound::into_last))
    }

    /// Undoes a binding; the OCB is handed back if it was the last one.
    ///
    /// # Errors
    /// `EBADF` for an unknown binding.
    pub(super) fn unbind(&self, key: &Key) -> Result<Option<Arc<T>>> {
        self.lock()
            .bound
            .remove(key)
            .map(Bound::into_last)
            .ok_or(Errno::EBADF)
    }

    /// A client process has gone: all its bindings go.
    pub(super) fn client_gone(&self, scoid: Scoid) -> Departure<T> {
        let mut table = self.lock();
        let closed = table.remove_client(scoid);
        if let Some(opening) = table.opening.get_mut(&scoid) {
            opening.client_gone = true;
            return Departure {
                closed,
                detach: false,
            };
        }
        Departure {
            closed,
            detach: true,
        }
    }

    /// Everything that is bound, for closing when the dispatch ends.
    pub(super) fn drain(&self) -> Vec<Arc<T>> {
        self.lock()
            .bound
            .drain()
            .filter_map(|(_, bound)| bound.into_last())
            .collect()
    }

    fn lock(&self) -> MutexGuard<'_, Table<T>> {
        // No function of this file panics between two changes that belong together.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> Table<T> {
    fn remove_client(&mut self, scoid: Scoid) -> Vec<Arc<T>> {
        let removed = self.bound.extract_if(|key, _| key.scoid == scoid);
        removed.filter_map(|(_, bound)| bound.into_last()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(scoid: i32, coid: i32) -> Key {
        Key {
            nd: Nd::LOCAL,
            pid: Pid(100 + scoid),
            scoid: Scoid(scoid),
            coid: Coid(coid),
        }
    }

    #[test]
    fn an_unknown_binding_is_ebadf() {
        let bindings = Bindings::<u8>::default();
        assert_eq!(bindings.find(&key(1, 1)), Err(Errno::EBADF));
        assert_eq!(bindings.unbind(&key(1, 1)), Err(Errno::EBADF));
        assert_eq!(bindings.share(&key(1, 1), key(1, 2)), Err(Errno::EBADF));
    }

    #[test]
    fn a_shared_ocb_is_closed_with_its_last_binding() {
        let bindings = Bindings::default();
        assert_eq!(bindings.bind(key(1, 1), Arc::new('a')), None);
        assert_eq!(bindings.share(&key(1, 1), key(1, 2)), Ok(None));
        assert_eq!(bindings.share(&key(1, 2), key(2, 1)), Ok(None));
        assert_eq!(bindings.unbind(&key(1, 1)), Ok(None));
        assert_eq!(bindings.find(&key(1, 2)).as_deref(), Ok(&'a'));
        assert_eq!(bindings.unbind(&key(1, 2)), Ok(None));
        assert_eq!(bindings.unbind(&key(2, 1)).unwrap().as_deref(), Some(&'a'));
    }

    #[test]
    fn sharing_with_oneself_changes_nothing() {
        let bindings = Bindings::default();
        bindings.bind(key(1, 1), Arc::new('a'));
        assert_eq!(bindings.share(&key(1, 1), key(1, 1)), Ok(None));
        assert_eq!(bindings.unbind(&key(1, 1)).unwrap().as_deref(), Some(&'a'));
    }

    #[test]
    fn a_connection_bound_again_closes_what_it_was() {
        let bindings = Bindings::default();
        bindings.bind(key(1, 1), Arc::new('a'));
        assert_eq!(
            bindings.bind(key(1, 1), Arc::new('b')).as_deref(),
            Some(&'a')
        );
        assert_eq!(bindings.find(&key(1, 1)).as_deref(), Ok(&'b'));
    }

    #[test]
    fn a_dead_clients_bindings_go_and_the_others_stay() {
        let bindings = Bindings::default();
        bindings.bind(key(1, 1), Arc::new('a'));
        bindings.bind(key(1, 2), Arc::new('b'));
        bindings.share(&key(1, 2), key(2, 2)).unwrap();
        let departure = bindings.client_gone(Scoid(1));
        assert!(departure.detach);
        assert_eq!(
            departure.closed.iter().map(|ocb| **ocb).collect::<Vec<_>>(),
            ['a']
        );
        assert_eq!(bindings.find(&key(2, 2)).as_deref(), Ok(&'b'));
        assert_eq!(bindings.find(&key(1, 2)), Err(Errno::EBADF));
    }

    #[test]
    fn a_client_that_dies_during_its_open_leaves_no_binding() {
        let bindings = Bindings::default();
        bindings.begin_opening(Scoid(1));
        bindings.begin_opening(Scoid(1));
        assert!(!bindings.client_gone(Scoid(1)).detach);
        bindings.bind(key(1, 1), Arc::new('a'));
        assert!(!bindings.end_opening(Scoid(1)).detach);
        let departure = bindings.end_opening(Scoid(1));
        assert!(departure.detach);
        assert_eq!(departure.closed.len(), 1);
        assert_eq!(bindings.find(&key(1, 1)), Err(Errno::EBADF));
    }

    #[test]
    fn a_process_finds_its_binding_by_coid() {
        let bindings = Bindings::default();
        bindings.bind(key(7, 3), Arc::new(()));
        assert_eq!(
            bindings.key_of_process(Nd::LOCAL, Pid(107), Coid(3)),
            Ok(key(7, 3))
        );
        assert_eq!(
            bindings.key_of_process(Nd(1), Pid(107), Coid(3)),
            Err(Errno::EBADF)
        );
    }

    #[test]
    fn everything_is_handed_back_once_at_the_end() {
        let bindings = Bindings::default();
        bindings.bind(key(1, 1), Arc::new('a'));
        bindings.share(&key(1, 1), key(2, 1)).unwrap();
        assert_eq!(bindings.drain().len(), 1);
        assert_eq!(bindings.drain().len(), 0);
    }
}
