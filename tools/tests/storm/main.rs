//! Labs in a storm: processes killed and cables cut at random moments under load, floods of bad frames, slow
//! and dead neighbours, crowds of nodes. What a server and its clients may rely on holds all the same.
//!
//! Each test is short as part of a whole run, and as long as an environment variable says when run by hand:
//! `QNET_KILLS=200 cargo test --release -p tools --test storm kills -- --nocapture` prints how long blocked
//! calls took to end. No test limits a time but by a watchdog, which tells a hang from slowness.

mod blast;
mod crowd;
mod cuts;
mod double;
mod endurance;
mod figures;
mod journal;
mod kills;
mod leftovers;
mod load;
mod meter;
mod neighbours;
mod random;
#[path = "../support/mod.rs"]
mod support;
