//! Reading the tables of a node.

use crate::{
    abi::{
        Chid, Nd, Pid, Result,
        limits::QUERY_REPLY_LEN_MAX,
        proc::{Entry, Query, parse_page},
    },
    proc::client::{
        arrive::send_until_done,
        pool::{self, Address},
    },
};

/// A table of what a node runs; which one, the type of its entries says: [`NameEntry`], [`ProcessEntry`],
/// [`ChannelEntry`] or [`BlockedEntry`].
///
/// The node goes on meanwhile: a table that takes several pages may miss what moved between them.
///
/// # Errors
/// `ESRCH` no process manager, `EHOSTDOWN` and its like the node is not there.
///
/// [`NameEntry`]: crate::abi::proc::NameEntry
/// [`ProcessEntry`]: crate::abi::proc::ProcessEntry
/// [`ChannelEntry`]: crate::abi::proc::ChannelEntry
/// [`BlockedEntry`]: crate::abi::proc::BlockedEntry
pub fn table<E: Entry>(nd: Nd) -> Result<Vec<E>> {
    let address = Address {
        nd,
        pid: Pid::PROCMGR,
        chid: Chid::PROCMGR,
    };
    // A connection of its own: one that waited in the pool may lead to a process manager of before.
    let connection = pool::attach(address)?;
    let mut reply = vec![0; QUERY_REPLY_LEN_MAX];
    let mut entries = Vec::new();
    loop {
        let query = Query {
            table: E::TABLE,
            start: entries.len() as u32,
        };
        let answer = send_until_done(|| connection.send(&query.to_bytes(), &mut reply))?;
        let page = parse_page::<E>(&reply[..answer.len])?;
        let is_last = page.entries.is_empty();
        entries.extend(page.entries);
        if is_last || entries.len() >= page.total as usize {
            pool::put(address, connection);
            return Ok(entries);
        }
    }
}
