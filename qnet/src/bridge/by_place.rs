//! Which call a receive id stands for: asked when a client wants out.

use ipc_core::abi::Rcvid;

/// Calls by the places of their messages' receive ids.
///
/// Written with every message and hardly ever read, so that nothing is hashed and nothing taken out: what is found
/// may have ended, and its place may have had another message since. The finder holds the message against the id.
#[derive(Debug)]
pub(super) struct CallsByPlace<C>(Vec<Option<C>>);

impl<C: Copy> CallsByPlace<C> {
    pub(super) fn new() -> CallsByPlace<C> {
        CallsByPlace(Vec::new())
    }

    /// The message with this id waits for this call.
    pub(super) fn note(&mut self, id: Rcvid, call: C) {
        let place = id.place();
        if place >= self.0.len() {
            self.0.resize(place + 1, None);
        }
        self.0[place] = Some(call);
    }

    /// The one call that the message with this id can be waiting for.
    pub(super) fn get(&self, id: Rcvid) -> Option<C> {
        self.0.get(id.place()).copied().flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_has_the_call_of_its_last_message() {
        let id = |place: i64, generation: i64| Rcvid(generation << 32 | place);
        let mut calls = CallsByPlace::new();
        assert_eq!(calls.get(id(1, 0)), None);
        calls.note(id(3, 0), 'a');
        calls.note(id(1, 7), 'b');
        assert_eq!(
            (calls.get(id(3, 0)), calls.get(id(1, 7))),
            (Some('a'), Some('b'))
        );
        assert_eq!((calls.get(id(2, 0)), calls.get(id(4, 0))), (None, None));
        calls.note(id(3, 1), 'c');
        assert_eq!(calls.get(id(3, 1)), Some('c'));
    }
}
