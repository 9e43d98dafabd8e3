//! The server's own copies of messages, and the room for them.

use std::{cell::RefCell, ops::Deref};

use crate::{abi::limits::SPARE_MESSAGES_MAX, channel::attached::InFlight};

/// The server's own copy of a message.
#[derive(Debug)]
pub(super) struct Private(Option<Box<InFlight>>);

thread_local! {
    /// Room for messages whose predecessors were answered: a move of a received message is a move of a pointer.
    #[allow(clippy::vec_box, reason = "what is kept is the box")]
    static SPARE: RefCell<Vec<Box<InFlight>>> = const { RefCell::new(Vec::new()) };
}

impl Private {
    pub(super) fn of(message: &InFlight) -> Private {
        match SPARE.try_with(|spare| spare.borrow_mut().pop()) {
            Ok(Some(mut spare)) => {
                *spare = *message;
                Private(Some(spare))
            }
            // Also in a thread that is ending.
            _ => Private(Some(Box::new(*message))),
        }
    }
}

impl Deref for Private {
    type Target = InFlight;

    fn deref(&self) -> &InFlight {
        self.0.as_deref().expect("invariant: there until the drop")
    }
}

impl Drop for Private {
    fn drop(&mut self) {
        let Some(used) = self.0.take() else {
            return;
        };
        // In a thread that is ending it is freed.
        let _ = SPARE.try_with(|spare| {
            let mut spare = spare.borrow_mut();
            if spare.len() < SPARE_MESSAGES_MAX {
                spare.push(used);
            }
        });
    }
}
