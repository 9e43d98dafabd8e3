//! Values of a table that belong together: a list through the table, so that who looks for them looks at no others.
//!
//! One invariant: the neighbours of a value that is in the table are in the table, and in the same list.

use super::slab::Slab;

/// The index of nothing.
const NONE: u32 = u32::MAX;

/// The newest of a list, by its index.
#[derive(Clone, Copy)]
pub(super) struct Chain(u32);

/// Where in its list a value stands: the indices of its neighbours.
#[derive(Clone, Copy)]
pub(super) struct Link {
    newer: u32,
    older: u32,
}

/// A value that stands in a list.
pub(super) trait Chained {
    fn link(&mut self) -> &mut Link;
    fn older(&self) -> u32;
}

impl Default for Chain {
    fn default() -> Chain {
        Chain(NONE)
    }
}

impl Default for Link {
    fn default() -> Link {
        Link {
            newer: NONE,
            older: NONE,
        }
    }
}

impl Link {
    pub(super) fn older(self) -> u32 {
        self.older
    }
}

impl Chain {
    /// Puts a value into `table` and into this list; answers its index and generation.
    pub(super) fn enter<T: Chained>(&mut self, table: &mut Slab<T>, mut value: T) -> (u32, u32) {
        *value.link() = Link {
            newer: NONE,
            older: self.0,
        };
        let (index, generation) = table.insert(value);
        if let Some(older) = table.at_mut(self.0) {
            older.link().newer = index;
        }
        self.0 = index;
        (index, generation)
    }

    /// Index and generation of all in the list, the newest first.
    pub(super) fn iter<T: Chained>(self, table: &Slab<T>) -> impl Iterator<Item = (u32, u32)> {
        let newest = table.at(self.0).map(|found| (self.0, found));
        let all = std::iter::successors(newest, |(_, (_, value))| {
            let older = value.older();
            table.at(older).map(|found| (older, found))
        });
        all.map(|(index, (generation, _))| (index, generation))
    }
}

/// A value that stood here has left its table. `chain` is its list's; `None` if nobody has that any more.
pub(super) fn leave<T: Chained>(table: &mut Slab<T>, link: Link, chain: Option<&mut Chain>) {
    match table.at_mut(link.newer) {
        Some(newer) => newer.link().older = link.older,
        None => {
            if let Some(chain) = chain {
                chain.0 = link.older;
            }
        }
    }
    if let Some(older) = table.at_mut(link.older) {
        older.link().newer = link.newer;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Value(Link);

    impl Chained for Value {
        fn link(&mut self) -> &mut Link {
            &mut self.0
        }

        fn older(&self) -> u32 {
            self.0.older()
        }
    }

    fn all(chain: Chain, table: &Slab<Value>) -> Vec<u32> {
        chain.iter(table).map(|(index, _)| index).collect()
    }

    #[test]
    fn who_leaves_is_missing_and_nobody_else_is() {
        for leaver in 0..4 {
            let (mut table, mut chain, mut other) =
                (Slab::new(), Chain::default(), Chain::default());
            let handles = [(); 4].map(|()| {
                other.enter(&mut table, Value(Link::default()));
                chain.enter(&mut table, Value(Link::default()))
            });
            let mut left: Vec<u32> = handles.iter().rev().map(|(index, _)| *index).collect();
            assert_eq!(all(chain, &table), left);
            let (index, generation) = handles[leaver];
            let gone = table.remove(index, generation).expect("it is there");
            leave(&mut table, gone.0, Some(&mut chain));
            left.retain(|left| *left != index);
            assert_eq!(all(chain, &table), left);
            assert_eq!(all(other, &table).len(), 4);
            // Its index goes to one of the other list.
            assert_eq!(other.enter(&mut table, Value(Link::default())).0, index);
            assert_eq!(all(chain, &table), left);
            assert_eq!(all(other, &table).len(), 5);
        }
    }

    #[test]
    fn a_list_that_nobody_has_any_more_can_still_be_left() {
        let (mut table, mut chain) = (Slab::new(), Chain::default());
        let handles = [(); 3].map(|()| chain.enter(&mut table, Value(Link::default())));
        for (index, generation) in [handles[2], handles[0], handles[1]] {
            let gone = table.remove(index, generation).expect("it is there");
            leave(&mut table, gone.0, None);
        }
        assert_eq!(table.len(), 0);
    }
}
