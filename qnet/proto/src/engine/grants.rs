//! Messages whose holder has room and that wait for their share of what may be granted to one peer.
//!
//! First come, first served, so that small ones do not keep a long one waiting for ever. Who gave up leaves a place
//! behind; there are never more such places than others.

use std::collections::VecDeque;

use crate::InboundCall;

#[derive(Default)]
pub(super) struct GrantLine {
    calls: VecDeque<InboundCall>,
    /// How many of them have ended.
    gone: usize,
}

impl GrantLine {
    pub(super) fn is_empty(&self) -> bool {
        self.calls.is_empty()
    }

    pub(super) fn push(&mut self, call: InboundCall) {
        self.calls.push_back(call);
    }

    /// The first that has not ended.
    pub(super) fn first(&mut self, lives: impl Fn(InboundCall) -> bool) -> Option<InboundCall> {
        while let Some(&call) = self.calls.front() {
            if lives(call) {
                return Some(call);
            }
            self.calls.pop_front();
            self.gone = self.gone.saturating_sub(1);
        }
        None
    }

    pub(super) fn pop(&mut self) {
        self.calls.pop_front();
    }

    /// One of those that wait has ended.
    pub(super) fn leave(&mut self, lives: impl Fn(InboundCall) -> bool) {
        self.gone += 1;
        if 2 * self.gone > self.calls.len() {
            self.calls.retain(|&call| lives(call));
            self.gone = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn those_that_left_are_passed_over_and_do_not_pile_up() {
        let call = |index| InboundCall::new(index, 1);
        let mut line = GrantLine::default();
        line.push(call(0));
        for index in 1..10_000 {
            line.push(call(index));
            line.leave(|call| call.index() == 0);
            assert!(line.calls.len() <= 3, "{}", line.calls.len());
        }
        line.push(call(7));
        assert_eq!(line.first(|_| true), Some(call(0)));
        line.pop();
        assert_eq!(line.first(|one| one == call(7)), Some(call(7)));
        line.pop();
        assert_eq!(line.first(|_| true), None);
        assert!(line.is_empty());
    }
}
