//! What must be true of every call, kept outside of all nodes.

use std::collections::BTreeMap;

use super::pattern::Key;

#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Entry {
    pub(crate) deliveries: u32,
    pub(crate) outcomes: u32,
    /// The client's node was restarted, or the client went: no outcome is owed.
    pub(crate) is_orphan: bool,
}

#[derive(Default)]
pub(crate) struct Ledger {
    entries: BTreeMap<Key, Entry>,
    /// Which node, in which of its lives, a client's connection leads to: what it sends reaches no other.
    servers: BTreeMap<(usize, u32, i32), (usize, u32)>,
}

impl Ledger {
    pub(crate) fn sent(&mut self, key: Key) {
        assert!(
            self.entries.insert(key, Entry::default()).is_none(),
            "keys are unique"
        );
    }

    /// A server of this node, in this life of it, got the message.
    pub(crate) fn delivered(&mut self, key: Key, server: usize, life: u32) {
        let conn = (key.client, key.life, key.coid);
        let first = self.servers.entry(conn).or_insert((server, life));
        assert_eq!(
            *first,
            (server, life),
            "{key:?} was delivered to another life"
        );
        let entry = self
            .entries
            .get_mut(&key)
            .unwrap_or_else(|| panic!("{key:?} was delivered and never sent"));
        entry.deliveries += 1;
        assert!(entry.deliveries == 1, "{key:?} was delivered twice");
    }

    /// The client got an outcome; `by_server` if it is a server's answer.
    pub(crate) fn ended(&mut self, key: Key, by_server: bool) {
        let entry = self
            .entries
            .get_mut(&key)
            .expect("only calls that were sent end");
        entry.outcomes += 1;
        assert!(entry.outcomes == 1, "{key:?} ended twice");
        assert!(!entry.is_orphan, "{key:?} ended after its client was gone");
        assert!(
            !by_server || entry.deliveries == 1,
            "{key:?} was answered and never delivered"
        );
    }

    pub(crate) fn orphaned(&mut self, key: Key) {
        self.entries
            .get_mut(&key)
            .expect("only calls that were sent are orphaned")
            .is_orphan = true;
    }

    /// The calls of one client's node in one life.
    pub(crate) fn orphan_life(&mut self, client: usize, life: u32) {
        for (key, entry) in &mut self.entries {
            if key.client == client && key.life == life && entry.outcomes == 0 {
                entry.is_orphan = true;
            }
        }
    }

    /// Calls whose client waits.
    pub(crate) fn open(&self) -> Vec<Key> {
        let waits = |entry: &Entry| entry.outcomes == 0 && !entry.is_orphan;
        self.entries
            .iter()
            .filter(|(_, entry)| waits(entry))
            .map(|(key, _)| *key)
            .collect()
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(crate) fn answered(&self) -> usize {
        self.entries
            .values()
            .filter(|entry| entry.outcomes == 1 && entry.deliveries == 1)
            .count()
    }
}
