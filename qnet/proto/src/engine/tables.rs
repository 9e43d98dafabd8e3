//! Everything that has a handle: calls and connections of all peers.
//!
//! The calls of a connection are in a list, and so are the connections of local clients to a peer: what ends with one of
//! them is found without a look at what others have.

use super::Load;
use super::calls::{InCall, OutCall};
use super::chain::{Chain, leave};
use super::conns::{InConn, OutConn};
use super::in_runs::InRun;
use super::out_runs::OutRun;
use super::slab::Slab;
use crate::{
    InboundCall, InboundConn, InboundRun, OutboundCall, OutboundConn, OutboundRun, PeerId,
};

pub(super) struct Tables {
    out_calls: Slab<OutCall>,
    in_calls: Slab<InCall>,
    in_runs: Slab<InRun>,
    out_runs: Slab<OutRun>,
    out_conns: Slab<OutConn>,
    in_conns: Slab<InConn>,
    /// Connections of local clients, by the number of the peer.
    out_conns_to: Vec<Chain>,
}

macro_rules! table {
    ($field:ident, $handle:ident, $value:ident, $find:ident, $find_mut:ident) => {
        pub(super) fn $find(&self, handle: $handle) -> Option<&$value> {
            self.$field.find(handle.index, handle.generation)
        }

        pub(super) fn $find_mut(&mut self, handle: $handle) -> Option<&mut $value> {
            self.$field.find_mut(handle.index, handle.generation)
        }
    };
}

/// Calls or runs of them, each in the list of its connection as long as that is there.
macro_rules! listed {
    ($field:ident, $handle:ident, $value:ident, $insert:ident, $remove:ident, $of:ident, $conns:ident,
     $conn_handle:ident, $chain:ident) => {
        pub(super) fn $insert(&mut self, value: $value) -> $handle {
            let conn = value.conn;
            let conn = self.$conns.find_mut(conn.index, conn.generation);
            let (index, generation) = match conn {
                Some(conn) => conn.$chain.enter(&mut self.$field, value),
                None => self.$field.insert(value),
            };
            $handle::new(index, generation)
        }

        pub(super) fn $remove(&mut self, handle: $handle) -> Option<$value> {
            let gone = self.$field.remove(handle.index, handle.generation)?;
            let conn = self.$conns.find_mut(gone.conn.index, gone.conn.generation);
            leave(
                &mut self.$field,
                gone.link,
                conn.map(|conn| &mut conn.$chain),
            );
            Some(gone)
        }

        /// Those of a connection, the newest first; none of one that is not there any more.
        pub(super) fn $of(&self, conn: $conn_handle) -> impl Iterator<Item = $handle> {
            let conn = self.$conns.find(conn.index, conn.generation);
            let chain = conn.map(|conn| conn.$chain).unwrap_or_default();
            let all = chain.iter(&self.$field);
            all.map(|(index, generation)| $handle::new(index, generation))
        }
    };
}

macro_rules! end {
    ($field:ident, $handle:ident, $value:ident, $end:ident, $conns:ident) => {
        /// As removing it, for who needs no more than a last look.
        pub(super) fn $end<R>(
            &mut self,
            handle: $handle,
            last: impl FnOnce(&$value) -> R,
        ) -> Option<R> {
            let last_look = |call: &$value| (last(call), call.conn, call.link);
            let ended = self.$field.end(handle.index, handle.generation, last_look);
            let (found, conn, link) = ended?;
            let conn = self.$conns.find_mut(conn.index, conn.generation);
            leave(&mut self.$field, link, conn.map(|conn| &mut conn.calls));
            Some(found)
        }
    };
}

impl Tables {
    pub(super) fn new() -> Tables {
        Tables {
            out_calls: Slab::new(),
            in_calls: Slab::new(),
            in_runs: Slab::new(),
            out_runs: Slab::new(),
            out_conns: Slab::new(),
            in_conns: Slab::new(),
            out_conns_to: Vec::new(),
        }
    }

    table!(out_calls, OutboundCall, OutCall, out_call, out_call_mut);
    table!(in_calls, InboundCall, InCall, in_call, in_call_mut);
    table!(in_runs, InboundRun, InRun, in_run, in_run_mut);
    table!(out_runs, OutboundRun, OutRun, out_run, out_run_mut);
    table!(out_conns, OutboundConn, OutConn, out_conn, out_conn_mut);
    table!(in_conns, InboundConn, InConn, in_conn, in_conn_mut);

    listed!(
        out_calls,
        OutboundCall,
        OutCall,
        insert_out_call,
        remove_out_call,
        out_calls_of,
        out_conns,
        OutboundConn,
        calls
    );
    listed!(
        in_calls,
        InboundCall,
        InCall,
        insert_in_call,
        remove_in_call,
        in_calls_of,
        in_conns,
        InboundConn,
        calls
    );
    listed!(
        out_runs,
        OutboundRun,
        OutRun,
        insert_out_run,
        remove_out_run,
        out_runs_of,
        out_conns,
        OutboundConn,
        runs
    );
    listed!(
        in_runs,
        InboundRun,
        InRun,
        insert_in_run,
        remove_in_run,
        in_runs_of,
        in_conns,
        InboundConn,
        runs
    );
    end!(out_calls, OutboundCall, OutCall, end_out_call, out_conns);
    end!(in_calls, InboundCall, InCall, end_in_call, in_conns);

    pub(super) fn insert_out_conn(&mut self, conn: OutConn) -> OutboundConn {
        let at = conn.peer.0 as usize;
        if at >= self.out_conns_to.len() {
            self.out_conns_to.resize_with(at + 1, Chain::default);
        }
        let (index, generation) = self.out_conns_to[at].enter(&mut self.out_conns, conn);
        OutboundConn::new(index, generation)
    }

    pub(super) fn remove_out_conn(&mut self, conn: OutboundConn) -> Option<OutConn> {
        let gone = self.out_conns.remove(conn.index, conn.generation)?;
        let chain = self.out_conns_to.get_mut(gone.peer.0 as usize);
        leave(&mut self.out_conns, gone.link, chain);
        Some(gone)
    }

    /// The connections of local clients to a peer, the newest first.
    pub(super) fn out_conns_to(&self, peer: PeerId) -> impl Iterator<Item = OutboundConn> {
        let chain = self.out_conns_to.get(peer.0 as usize).copied();
        let all = chain.unwrap_or_default().iter(&self.out_conns);
        all.map(|(index, generation)| OutboundConn::new(index, generation))
    }

    pub(super) fn insert_in_conn(&mut self, conn: InConn) -> InboundConn {
        let (index, generation) = self.in_conns.insert(conn);
        InboundConn::new(index, generation)
    }

    pub(super) fn remove_in_conn(&mut self, conn: InboundConn) -> Option<InConn> {
        self.in_conns.remove(conn.index, conn.generation)
    }

    /// Whether an inbound call is open and nothing was answered yet.
    pub(super) fn waits_for_answer(&self, call: InboundCall) -> bool {
        self.in_call(call).is_some_and(|call| call.answer.is_none())
    }

    pub(super) fn load(&self) -> Load {
        let out_runs = self.out_runs.iter().map(OutRun::waiting_count);
        let in_runs = self.in_runs.iter().map(InRun::open_count);
        Load {
            outbound_calls: self.out_calls.len() + out_runs.sum::<usize>(),
            inbound_calls: self.in_calls.len() + in_runs.sum::<usize>(),
            outbound_conns: self.out_conns.len(),
            inbound_conns: self.in_conns.len(),
        }
    }

    /// Connections of local clients to remote channels.
    pub(super) fn out_conn_count(&self) -> usize {
        self.out_conns.len()
    }
}
