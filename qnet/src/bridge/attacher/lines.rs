//! Who is next among the attaches that wait: nodes take turns, and no server has more under way than its share.
//!
//! A server that is stopped keeps each attach to it waiting for the whole of an attach's time. Those to others pass.

use std::collections::{HashMap, VecDeque};

use ipc_core::abi::{Nd, Pid};

use super::Attach;
use crate::limits::{ATTACH_THREADS_PER_SERVER, ATTACHES_WAITING_MAX};

/// The attaches that wait, by node and server.
#[derive(Default)]
pub(super) struct Lines {
    /// Nodes with attaches that wait; the first is next.
    order: VecDeque<Nd>,
    nodes: HashMap<Nd, OfNode>,
    /// Attaches under way, by server; none is 0.
    under_way: HashMap<Pid, usize>,
}

/// The attaches of one node's clients, in a line for each server. No line is empty.
#[derive(Default)]
struct OfNode {
    order: VecDeque<Pid>,
    servers: HashMap<Pid, VecDeque<Attach>>,
    /// Attaches in all lines.
    len: usize,
}

impl Lines {
    /// Puts an attach behind the others of its node and server; gives it back if there is no room.
    pub(super) fn push(&mut self, attach: Attach) -> Result<(), Attach> {
        let nd = attach.client.nd;
        let node = self.nodes.entry(nd).or_insert_with(|| {
            self.order.push_back(nd);
            OfNode::default()
        });
        if node.len >= ATTACHES_WAITING_MAX {
            node.forget_unwanted();
        }
        if node.len >= ATTACHES_WAITING_MAX {
            return Err(attach);
        }
        node.push(attach);
        Ok(())
    }

    /// The next attach to be made, which is under way from now on; `None` if there is none, or only such as have to
    /// wait until one to the same server has [ended](Lines::end).
    pub(super) fn next(&mut self) -> Option<Attach> {
        for _ in 0..self.order.len() {
            let nd = self.order.pop_front()?;
            let node = self.nodes.get_mut(&nd)?;
            let next = node.next(&self.under_way);
            match node.servers.is_empty() {
                true => drop(self.nodes.remove(&nd)),
                false => self.order.push_back(nd),
            }
            if let Some(attach) = next {
                *self.under_way.entry(attach.pid).or_default() += 1;
                return Some(attach);
            }
        }
        None
    }

    /// An attach to this server is not under way any more.
    pub(super) fn end(&mut self, pid: Pid) {
        if let Some(under_way) = self.under_way.get_mut(&pid) {
            *under_way -= 1;
            if *under_way == 0 {
                self.under_way.remove(&pid);
            }
        }
    }

    /// Gives up all that wait.
    pub(super) fn drain(&mut self) -> impl Iterator<Item = Attach> + use<> {
        self.order.clear();
        let nodes = std::mem::take(&mut self.nodes).into_values();
        nodes.flat_map(|node| node.servers.into_values().flatten())
    }
}

impl OfNode {
    fn push(&mut self, attach: Attach) {
        let pid = attach.pid;
        let line = self.servers.entry(pid).or_insert_with(|| {
            self.order.push_back(pid);
            VecDeque::new()
        });
        line.push_back(attach);
        self.len += 1;
    }

    /// The first attach, of the first server that may have one more under way.
    fn next(&mut self, under_way: &HashMap<Pid, usize>) -> Option<Attach> {
        for _ in 0..self.order.len() {
            let pid = self.order.pop_front()?;
            let has_turn = under_way.get(&pid).copied().unwrap_or(0) < ATTACH_THREADS_PER_SERVER;
            let line = self.servers.get_mut(&pid)?;
            let mut next = None;
            while has_turn && next.is_none() && !line.is_empty() {
                self.len -= 1;
                next = line.pop_front().filter(is_wanted);
            }
            match line.is_empty() {
                true => drop(self.servers.remove(&pid)),
                false => self.order.push_back(pid),
            }
            if next.is_some() {
                return next;
            }
        }
        None
    }

    /// Lets go of the attaches for clients that came and went.
    fn forget_unwanted(&mut self) {
        for line in self.servers.values_mut() {
            line.retain(is_wanted);
        }
        self.servers.retain(|_, line| !line.is_empty());
        self.order.retain(|pid| self.servers.contains_key(pid));
        self.len = self.servers.values().map(VecDeque::len).sum();
    }
}

fn is_wanted(attach: &Attach) -> bool {
    attach.wanted.strong_count() > 0
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use ipc_core::{
        SpeaksFor,
        abi::{Chid, Coid, Credentials},
    };
    use qnet_proto::InboundConn;

    use super::*;

    fn attach(nd: u32, pid: i32, wanted: &Arc<()>) -> Attach {
        Attach {
            conn: InboundConn::default(),
            wanted: Arc::downgrade(wanted),
            pid: Pid(pid),
            chid: Chid(1),
            client: SpeaksFor {
                nd: Nd(nd),
                pid: Pid(9),
                coid: Coid(1),
                srcnd: Nd(1),
                credentials: Credentials { uid: 0, gid: 0 },
            },
        }
    }

    fn named(attach: Option<Attach>) -> Option<(u32, i32)> {
        attach.map(|attach| (attach.client.nd.0, attach.pid.0))
    }

    #[test]
    fn nodes_take_turns() {
        let (mut lines, wanted) = (Lines::default(), Arc::new(()));
        for pid in 1..4 {
            assert!(lines.push(attach(1, pid, &wanted)).is_ok());
        }
        assert!(lines.push(attach(2, 9, &wanted)).is_ok());
        let order: Vec<_> = std::iter::from_fn(|| named(lines.next())).collect();
        assert_eq!(order, [(1, 1), (2, 9), (1, 2), (1, 3)]);
    }

    #[test]
    fn a_server_that_keeps_its_attaches_waiting_keeps_no_others() {
        let (mut lines, wanted) = (Lines::default(), Arc::new(()));
        for _ in 0..100 {
            assert!(lines.push(attach(1, 5, &wanted)).is_ok());
        }
        for _ in 0..ATTACH_THREADS_PER_SERVER {
            assert_eq!(named(lines.next()), Some((1, 5)));
        }
        assert_eq!(named(lines.next()), None, "its share is under way");
        assert!(lines.push(attach(1, 6, &wanted)).is_ok());
        assert_eq!(named(lines.next()), Some((1, 6)));
        lines.end(Pid(5));
        assert_eq!(named(lines.next()), Some((1, 5)));
        assert_eq!(named(lines.next()), None);
        assert_eq!(
            lines.drain().count(),
            100 - ATTACH_THREADS_PER_SERVER - 1,
            "no one was lost"
        );
    }

    #[test]
    fn clients_that_come_and_go_do_not_pile_up_and_are_not_attached() {
        let (mut lines, gone, wanted) = (Lines::default(), Arc::new(()), Arc::new(()));
        for _ in 0..ATTACHES_WAITING_MAX {
            assert!(lines.push(attach(1, 5, &gone)).is_ok());
        }
        assert!(lines.push(attach(1, 5, &gone)).is_err());
        assert!(lines.push(attach(2, 5, &wanted)).is_ok(), "another node's");
        drop(gone);
        assert!(lines.push(attach(1, 6, &wanted)).is_ok());
        assert_eq!(lines.drain().count(), 2);
    }
}
