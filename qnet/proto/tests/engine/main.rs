//! The engine in single situations, a file for each subject, and against the corpus of its fuzz target.

mod corpus;
mod cost;
mod delivery;
mod exchange;
mod foresee;
#[path = "../../../fuzz/frame.rs"]
mod frame;
mod hostile;
mod limits;
mod links;
mod liveness;
mod names;
mod narrow;
mod pair;
mod runs;
#[path = "../../../fuzz/session.rs"]
mod session;
mod strangers;
mod together;
