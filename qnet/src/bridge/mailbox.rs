//! What other threads ask of the network-handler thread.

use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicBool, Ordering},
    mpsc,
};

use ipc_core::{
    EventReceipt,
    abi::{self, EventHandle},
};
use qnet_proto::{InboundConn, NodeInfo, NodeName};

use crate::{
    bridge::{Statistics, attacher::Attached},
    driver::Poke,
};

/// One thing to do for the network-handler thread.
pub(crate) enum Request {
    /// Find the node of this name; the answer goes to the resource-manager thread.
    Resolve(NodeName),
    /// Say which nodes are known.
    Nodes(mpsc::SyncSender<Vec<NodeInfo>>),
    /// Say what was counted.
    Statistics(mpsc::SyncSender<Statistics>),
    /// An attach to a local server, made by a helper thread, has ended.
    Attached {
        /// For whom it was made.
        conn: InboundConn,
        /// What came of it.
        outcome: abi::Result<Attached>,
    },
    /// A local server delivers an event to its remote client.
    Event {
        /// The connection of the client.
        conn: InboundConn,
        /// What the client registered.
        handle: EventHandle,
        /// Dropped when the client has taken it.
        receipt: EventReceipt,
    },
    /// The local server behind an inbound connection is gone.
    ServerDied(InboundConn),
    /// Say goodbye to the other nodes and end.
    Stop,
}

/// The requests that wait. Whoever puts one wakes the thread; the lock is held for the push alone.
#[derive(Clone)]
pub(crate) struct Mailbox(Arc<Inner>);

struct Inner {
    requests: Mutex<Vec<Request>>,
    /// Set after every request: the thread looks in every round, and seldom finds any.
    is_filled: AtomicBool,
    poke: Poke,
}

impl Mailbox {
    pub(crate) fn new(poke: Poke) -> Mailbox {
        Mailbox(Arc::new(Inner {
            requests: Mutex::default(),
            is_filled: AtomicBool::new(false),
            poke,
        }))
    }

    /// Puts a request and wakes the thread.
    pub(crate) fn put(&self, request: Request) {
        self.requests().push(request);
        self.0.is_filled.store(true, Ordering::Release);
        self.0.poke.poke();
    }

    /// The thread's side: takes all requests, in their order, into `into`, which is empty.
    pub(crate) fn take(&self, into: &mut Vec<Request>) {
        // A request that is put between this and the swap is taken now, and the next look is in vain.
        if self.0.is_filled.load(Ordering::Relaxed)
            && self.0.is_filled.swap(false, Ordering::Acquire)
        {
            self.take_all(into);
        }
    }

    fn take_all(&self, into: &mut Vec<Request>) {
        std::mem::swap(&mut *self.requests(), into);
    }

    fn requests(&self) -> std::sync::MutexGuard<'_, Vec<Request>> {
        self.0
            .requests
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}
