//! Idle connections of the process, so that not every walk attaches anew.
//!
//! A connection is taken out while it is used and put back only when it is nobody's file: an open that
//! succeeds keeps what it was sent on. What is kept is connections, never what a path resolved to.

use std::sync::{Mutex, MutexGuard};

use crate::{
    Connection,
    abi::{
        Chid, Nd, Pid, Result,
        limits::{POOLED_MAX, POOLED_PER_SERVER_MAX},
    },
    sys::{fork::PerLife, mutex::lock},
};

/// A server, as this node names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Address {
    pub(crate) nd: Nd,
    pub(crate) pid: Pid,
    pub(crate) chid: Chid,
}

#[derive(Default)]
struct Pool {
    /// Longest idle first.
    idle: Vec<(Address, Connection)>,
}

static POOL: PerLife<Mutex<Pool>> = PerLife::new();

/// A connection to the server, and whether it has been used before.
///
/// # Errors
/// Those of [`Connection::attach`].
pub(crate) fn take(address: Address) -> Result<(Connection, bool)> {
    match take_idle(address) {
        Some(connection) => Ok((connection, true)),
        None => attach(address).map(|connection| (connection, false)),
    }
}

/// A connection that nobody has used before.
///
/// # Errors
/// Those of [`Connection::attach`].
pub(crate) fn attach(address: Address) -> Result<Connection> {
    Connection::attach(address.nd, address.pid, address.chid)
}

/// Gives a connection back that is not, or no longer, a file.
pub(crate) fn put(address: Address, connection: Connection) {
    if !connection.is_alive() {
        return;
    }
    let mut pool = pool();
    let same = pool
        .idle
        .iter()
        .filter(|(other, _)| *other == address)
        .count();
    let surplus = if same >= POOLED_PER_SERVER_MAX {
        pool.idle.iter().position(|(other, _)| *other == address)
    } else {
        (pool.idle.len() >= POOLED_MAX).then_some(0)
    };
    let dropped = surplus.map(|index| pool.idle.remove(index));
    pool.idle.push((address, connection));
    drop(pool);
    // Detaching takes its time; it is done without the lock.
    drop(dropped);
}

fn take_idle(address: Address) -> Option<Connection> {
    let (found, dead) = {
        let mut pool = pool();
        let dead: Vec<_> = pool
            .idle
            .extract_if(.., |(_, connection)| !connection.is_alive())
            .collect();
        let index = pool.idle.iter().rposition(|(other, _)| *other == address);
        (index.map(|index| pool.idle.remove(index).1), dead)
    };
    drop(dead);
    found
}

fn pool() -> MutexGuard<'static, Pool> {
    lock(POOL.get())
}
