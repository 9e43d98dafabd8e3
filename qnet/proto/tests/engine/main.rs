//! The engine in single situations, and against the corpus of its fuzz target.

mod behaviour;
mod corpus;
#[path = "../../../fuzz/frame.rs"]
mod frame;
mod pair;
