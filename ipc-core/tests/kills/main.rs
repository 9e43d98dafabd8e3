//! `kill -9` at random moments, of clients and of servers: the other side learns of it, and nothing is left over.
//!
//! `IPC_CORE_KILLS=100000 cargo test -p ipc-core --test kills -- --nocapture` kills so many and prints how long the
//! others took to notice.

#[path = "../semantics/child.rs"]
#[allow(dead_code, reason = "shared with the tests of semantics")]
mod child;
mod clients;
mod leftovers;
mod nursery;
mod random;
mod servers;
mod times;

/// Kills that each of the two tests does unless told otherwise.
const KILLS_DEFAULT: u32 = 1000;

/// How many processes each test kills.
fn kills() -> u32 {
    match std::env::var("IPC_CORE_KILLS") {
        Ok(total) => total.parse::<u32>().expect("IPC_CORE_KILLS is a number") / 2,
        Err(_) => KILLS_DEFAULT,
    }
}
