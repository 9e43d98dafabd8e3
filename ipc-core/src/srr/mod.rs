//! Pure Send/Receive/Reply: what is queued, who is blocked on what, and what each event changes.
//!
//! ```text
//!                arrive            receive               reply | error
//!   (client runs) ----> SEND-blocked ----> REPLY-blocked ----> (client runs)
//!                          | cancel            | cancel, no UNBLOCK flag
//!                          +--> withdrawn      +--> abandoned
//!                                              | cancel, UNBLOCK flag
//!                                              +--> still REPLY-blocked, one unblock pulse
//! ```
//!
//! Knows no memory, no clock, no thread: a table is changed by events and answers what the shell has
//! to do. The one invariant: the queue holds exactly the SEND-blocked of the transactions, and a message
//! leaves once.

#![forbid(unsafe_code)]

#[cfg(test)]
mod matrix;
#[cfg(test)]
mod model;
mod queue;
mod shelf;
mod table;
mod transactions;

pub(crate) use table::{Cancelled, Delivery, Table, Want, Wish};
#[cfg(test)]
pub(crate) use transactions::visits;
