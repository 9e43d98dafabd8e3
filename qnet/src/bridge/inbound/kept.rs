//! What the connections of remote clients keep in memory when nothing is under way: pages that long messages once touched.
//!
//! A connection that falls idle keeps them, as the next long message would have to get them anew, unless all of them
//! together keep too much: then it gives its own back.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use ipc_core::Connection;

use crate::limits::{KEPT_LEN_MAX, KEPT_LEN_MIN};

/// Bytes that all connections keep, busy ones included.
#[derive(Clone, Debug, Default)]
pub(super) struct KeptByAll(Arc<AtomicUsize>);

/// What one of them keeps; no longer once this is dropped.
#[derive(Debug)]
pub(super) struct Kept {
    len: usize,
    all: KeptByAll,
}

impl Kept {
    pub(super) fn new(all: &KeptByAll) -> Kept {
        let all = all.clone();
        Kept { len: 0, all }
    }

    /// The connection has made room for a message.
    pub(super) fn note(&mut self, connection: &Connection) {
        self.set(connection.kept_len());
    }

    /// A message and its answer are done with.
    pub(super) fn trim(&mut self, connection: &Connection) {
        // While others are under way it keeps what it has.
        if self.is_too_much() && connection.give_back().is_ok() {
            self.set(0);
        }
    }

    fn is_too_much(&self) -> bool {
        self.len >= KEPT_LEN_MIN && self.all.0.load(Ordering::Relaxed) > KEPT_LEN_MAX
    }

    fn set(&mut self, len: usize) {
        let before = std::mem::replace(&mut self.len, len);
        self.all.0.fetch_add(len, Ordering::Relaxed);
        self.all.0.fetch_sub(before, Ordering::Relaxed);
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        self.set(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_keeps_little_keeps_it_and_who_has_gone_keeps_nothing() {
        let all = KeptByAll::default();
        let mut few = Kept::new(&all);
        few.set(KEPT_LEN_MIN - 1);
        let mut many = Kept::new(&all);
        many.set(KEPT_LEN_MIN);
        assert!(!many.is_too_much());
        let mut rest = Kept::new(&all);
        rest.set(KEPT_LEN_MAX);
        assert!(many.is_too_much() && rest.is_too_much() && !few.is_too_much());
        rest.set(0);
        assert!(!many.is_too_much());
        drop((few, many, rest));
        assert_eq!(all.0.load(Ordering::Relaxed), 0);
    }
}
