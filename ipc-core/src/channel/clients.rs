//! The client processes of one channel, by the ids the server knows them by.

use std::collections::HashMap;

use crate::{
    abi::{ClientInfo, Errno, Result, Scoid},
    free_indices::FreeIndices,
};

/// Who has which scoid. An id stays taken until it is freed, also when its client has gone (CHN-3).
#[derive(Debug, Default)]
pub(super) struct Clients {
    clients: Vec<Option<Client>>,
    free: FreeIndices,
    /// Where those stand that are connected.
    connected: HashMap<ClientInfo, u32>,
}

#[derive(Debug)]
struct Client {
    info: ClientInfo,
    connections: u32,
}

impl Clients {
    /// Ids that are taken.
    pub(super) fn count(&self) -> usize {
        self.free.taken()
    }

    /// Who stands behind an id.
    ///
    /// # Errors
    /// `EINVAL` for an id that nobody has.
    pub(super) fn info(&self, scoid: Scoid) -> Result<ClientInfo> {
        self.client(scoid).map(|client| client.info)
    }

    /// Whether the client of an id is still connected.
    ///
    /// # Errors
    /// `EINVAL` for an id that nobody has.
    pub(super) fn is_connected(&self, scoid: Scoid) -> Result<bool> {
        self.client(scoid).map(|client| client.connections > 0)
    }

    /// A connection more of a client: several share an id, but one that went gets a new one.
    pub(super) fn enter(&mut self, info: ClientInfo) -> Scoid {
        let index = *self
            .connected
            .entry(info)
            .or_insert_with(|| self.free.take());
        let at = index as usize;
        if at == self.clients.len() {
            self.clients.push(None);
        }
        self.clients[at]
            .get_or_insert(Client {
                info,
                connections: 0,
            })
            .connections += 1;
        Scoid(index as i32 + 1)
    }

    /// A connection fewer; answers whether it was the client's last.
    pub(super) fn leave(&mut self, scoid: Scoid) -> bool {
        let Some(Some(client)) = self.clients.get_mut(scoid.0 as usize - 1) else {
            return false;
        };
        client.connections -= 1;
        if client.connections == 0 {
            self.connected.remove(&client.info);
        }
        client.connections == 0
    }

    /// Lets an id be used again.
    pub(super) fn free(&mut self, scoid: Scoid) {
        let index = scoid.0 - 1;
        if self.clients[index as usize].take().is_some() {
            self.free.give_back(index.cast_unsigned());
        }
    }

    fn client(&self, scoid: Scoid) -> Result<&Client> {
        let index = usize::try_from(scoid.0)
            .ok()
            .and_then(|id| id.checked_sub(1));
        index
            .and_then(|index| self.clients.get(index)?.as_ref())
            .ok_or(Errno::EINVAL)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::abi::{Credentials, Nd, Pid};

    fn info(pid: i32) -> ClientInfo {
        ClientInfo {
            nd: Nd::LOCAL,
            pid: Pid(pid),
            credentials: Credentials::default(),
        }
    }

    // covers: CHN-3, CHN-6
    #[test]
    fn connections_of_a_client_share_an_id_that_is_kept_until_it_is_freed() {
        let mut clients = Clients::default();
        let first = clients.enter(info(7));
        assert_eq!(clients.enter(info(7)), first);
        assert_ne!(clients.enter(info(8)), first);
        assert!(!clients.leave(first));
        assert!(clients.leave(first));
        assert_eq!(clients.is_connected(first), Ok(false));
        assert_ne!(clients.enter(info(7)), first, "not used again yet");
        clients.free(first);
        assert_eq!(clients.info(first), Err(Errno::EINVAL));
        assert_eq!(clients.enter(info(9)), first);
    }
}
