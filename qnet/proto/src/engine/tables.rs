//! Everything that has a handle: calls and connections of all peers.

use super::Load;
use super::calls::{InCall, OutCall};
use super::conns::{InConn, OutConn};
use super::slab::Slab;
use crate::{InboundCall, InboundConn, OutboundCall, OutboundConn};

pub(super) struct Tables {
    out_calls: Slab<OutCall>,
    in_calls: Slab<InCall>,
    out_conns: Slab<OutConn>,
    in_conns: Slab<InConn>,
}

macro_rules! table {
    ($field:ident, $handle:ident, $value:ident, $find:ident, $find_mut:ident, $insert:ident, $remove:ident, $select:ident) => {
        pub(super) fn $find(&self, handle: $handle) -> Option<&$value> {
            self.$field.find(handle.index, handle.generation)
        }

        pub(super) fn $find_mut(&mut self, handle: $handle) -> Option<&mut $value> {
            self.$field.find_mut(handle.index, handle.generation)
        }

        pub(super) fn $insert(&mut self, value: $value) -> $handle {
            let (index, generation) = self.$field.insert(value);
            $handle::new(index, generation)
        }

        pub(super) fn $remove(&mut self, handle: $handle) -> Option<$value> {
            self.$field.remove(handle.index, handle.generation)
        }

        /// The handles of those that `wanted` picks, by index.
        pub(super) fn $select(&self, wanted: impl Fn(&$value) -> bool) -> Vec<$handle> {
            let picked = self.$field.iter().filter(|(_, _, value)| wanted(value));
            picked
                .map(|(index, generation, _)| $handle::new(index, generation))
                .collect()
        }
    };
}

impl Tables {
    pub(super) fn new() -> Tables {
        Tables {
            out_calls: Slab::new(),
            in_calls: Slab::new(),
            out_conns: Slab::new(),
            in_conns: Slab::new(),
        }
    }

    table!(
        out_calls,
        OutboundCall,
        OutCall,
        out_call,
        out_call_mut,
        insert_out_call,
        remove_out_call,
        out_calls_where
    );
    table!(
        in_calls,
        InboundCall,
        InCall,
        in_call,
        in_call_mut,
        insert_in_call,
        remove_in_call,
        in_calls_where
    );
    table!(
        out_conns,
        OutboundConn,
        OutConn,
        out_conn,
        out_conn_mut,
        insert_out_conn,
        remove_out_conn,
        out_conns_where
    );
    table!(
        in_conns,
        InboundConn,
        InConn,
        in_conn,
        in_conn_mut,
        insert_in_conn,
        remove_in_conn,
        in_conns_where
    );

    /// As [`remove_out_call`](Self::remove_out_call), for who needs no more than a last look.
    pub(super) fn end_out_call<R>(
        &mut self,
        call: OutboundCall,
        last: impl FnOnce(&OutCall) -> R,
    ) -> Option<R> {
        self.out_calls.end(call.index, call.generation, last)
    }

    /// As [`remove_in_call`](Self::remove_in_call), for who needs no more than a last look.
    pub(super) fn end_in_call<R>(
        &mut self,
        call: InboundCall,
        last: impl FnOnce(&InCall) -> R,
    ) -> Option<R> {
        self.in_calls.end(call.index, call.generation, last)
    }

    /// Whether an inbound call is open and nothing was answered yet.
    pub(super) fn waits_for_answer(&self, call: InboundCall) -> bool {
        self.in_call(call).is_some_and(|call| call.answer.is_none())
    }

    pub(super) fn load(&self) -> Load {
        Load {
            outbound_calls: self.out_calls.len(),
            inbound_calls: self.in_calls.len(),
            outbound_conns: self.out_conns.len(),
            inbound_conns: self.in_conns.len(),
        }
    }

    /// Connections of local clients to remote channels.
    pub(super) fn out_conn_count(&self) -> usize {
        self.out_conns.len()
    }
}
