//! What is ours by its address, and the descriptor behind it. Takes no lock, so that a fork finds nobody at work: not
//! another thread, and not the one that forks, in a signal's handler, either.

use std::ffi::c_int;
use std::ptr;
use std::sync::atomic::{AtomicI32, AtomicPtr, AtomicUsize, Ordering};

/// Places that are made at a time.
const PLACES: usize = 64;

/// Addresses of what is ours: none is 0 or [`TAKEN`], and each is there once.
pub(crate) struct Addresses {
    first: Row,
    /// How many there are: a program that has none looks at no place.
    count: AtomicUsize,
}

/// Some places, and where there are more. None ever goes, so that nobody looks at what is no more.
struct Row {
    places: [Place; PLACES],
    next: AtomicPtr<Row>,
}

struct Place {
    /// 0 in one that is free.
    address: AtomicUsize,
    fd: AtomicI32,
}

/// In the place of an address that is about to be written. What ends meanwhile, as the other threads do for a child of a
/// fork, has lost that place and nothing else.
const TAKEN: usize = usize::MAX;

impl Addresses {
    pub(crate) const fn new() -> Addresses {
        Addresses {
            first: Row::new(),
            count: AtomicUsize::new(0),
        }
    }

    /// Notes what has just come to be at an address.
    pub(crate) fn insert(&self, address: usize, fd: c_int) {
        let place = self.take_place();
        place.fd.store(fd, Ordering::Relaxed);
        self.count.fetch_add(1, Ordering::Relaxed);
        // Whoever finds the address finds the descriptor, and what stands at the address.
        place.address.store(address, Ordering::Release);
    }

    /// The descriptor behind an address.
    pub(crate) fn find(&self, address: usize) -> Option<c_int> {
        let place = self.place_of(address)?;
        Some(place.fd.load(Ordering::Relaxed))
    }

    /// Forgets an address; answers the descriptor behind it. Of several threads one gets it.
    pub(crate) fn remove(&self, address: usize) -> Option<c_int> {
        let place = self.place_of(address)?;
        let fd = place.fd.load(Ordering::Relaxed);
        let free = place
            .address
            .compare_exchange(address, 0, Ordering::AcqRel, Ordering::Relaxed);
        free.ok()?;
        self.count.fetch_sub(1, Ordering::Relaxed);
        Some(fd)
    }

    fn place_of(&self, address: usize) -> Option<&Place> {
        if self.count.load(Ordering::Relaxed) == 0 || [0, TAKEN].contains(&address) {
            return None;
        }
        self.rows()
            .flat_map(|row| &row.places)
            .find(|place| place.address.load(Ordering::Acquire) == address)
    }

    fn take_place(&self) -> &Place {
        let is_taken = |place: &&Place| {
            let taken =
                place
                    .address
                    .compare_exchange(0, TAKEN, Ordering::Relaxed, Ordering::Relaxed);
            taken.is_ok()
        };
        loop {
            let mut places = self.rows().flat_map(|row| &row.places);
            if let Some(place) = places.find(is_taken) {
                return place;
            }
            let last = self.rows().last().unwrap_or(&self.first);
            let fresh = Box::into_raw(Box::new(Row::new()));
            let null = ptr::null_mut();
            let added =
                last.next
                    .compare_exchange(null, fresh, Ordering::AcqRel, Ordering::Relaxed);
            if added.is_err() {
                // SAFETY: another thread was faster: this row was never shown to anybody.
                drop(unsafe { Box::from_raw(fresh) });
            }
        }
    }

    fn rows(&self) -> impl Iterator<Item = &Row> {
        std::iter::successors(Some(&self.first), |row| {
            // SAFETY: null, or a row that `take_place` has leaked for the life of the process; it is shown complete by the
            // release of that, and only its atomics change.
            unsafe { row.next.load(Ordering::Acquire).as_ref() }
        })
    }
}

impl Row {
    const fn new() -> Row {
        Row {
            places: [const {
                Place {
                    address: AtomicUsize::new(0),
                    fd: AtomicI32::new(-1),
                }
            }; PLACES],
            next: AtomicPtr::new(ptr::null_mut()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    #[test]
    fn what_was_noted_is_found_until_it_is_removed() {
        let addresses = Addresses::new();
        assert_eq!(addresses.find(16), None);
        for at in 1..=1000 {
            addresses.insert(16 * at, at as c_int);
        }
        assert_eq!(addresses.find(16 * 1000), Some(1000));
        assert_eq!(addresses.find(17), None);
        assert_eq!(addresses.find(0), None);
        assert_eq!(addresses.find(TAKEN), None);
        for at in 1..=1000 {
            assert_eq!(addresses.remove(16 * at), Some(at as c_int));
            assert_eq!(addresses.remove(16 * at), None);
        }
        // The same places again.
        let rows = addresses.rows().count();
        for at in 1..=1000 {
            addresses.insert(16 * at, -(at as c_int));
        }
        assert_eq!(addresses.rows().count(), rows);
        assert_eq!(addresses.find(32), Some(-2));
    }

    #[test]
    fn threads_find_what_they_noted_themselves() {
        let addresses = Addresses::new();
        thread::scope(|scope| {
            for thread in 1..=4 {
                let addresses = &addresses;
                scope.spawn(move || {
                    for turn in 0..200 {
                        let all = (0..100).map(|at| (thread << 20 | turn << 8 | at) * 16);
                        for address in all.clone() {
                            addresses.insert(address, thread as c_int);
                        }
                        for address in all {
                            assert_eq!(addresses.find(address), Some(thread as c_int));
                            assert_eq!(addresses.remove(address), Some(thread as c_int));
                        }
                    }
                });
            }
        });
        assert_eq!(addresses.count.into_inner(), 0);
    }
}
