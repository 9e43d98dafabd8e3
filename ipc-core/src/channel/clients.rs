//! The client processes of one channel, by the ids the server knows them by.

use crate::abi::{ClientInfo, Errno, Result, Scoid};

/// Who has which scoid. An id stays taken until it is freed, also when its client has gone (CHN-3).
#[derive(Debug, Default)]
pub(super) struct Clients(Vec<Option<Client>>);

#[derive(Debug)]
struct Client {
    info: ClientInfo,
    connections: u32,
}

impl Clients {
    /// Ids that are taken.
    pub(super) fn count(&self) -> usize {
        self.0.iter().flatten().count()
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
        let is_same = |client: &Client| client.info == info && client.connections > 0;
        let known = self
            .0
            .iter()
            .position(|client| client.as_ref().is_some_and(is_same));
        let index = known.unwrap_or_else(|| self.free_index());
        self.0[index]
            .get_or_insert(Client {
                info,
                connections: 0,
            })
            .connections += 1;
        Scoid(index as i32 + 1)
    }

    /// A connection fewer; answers whether it was the client's last.
    pub(super) fn leave(&mut self, scoid: Scoid) -> bool {
        let Some(Some(client)) = self.0.get_mut(scoid.0 as usize - 1) else {
            return false;
        };
        client.connections -= 1;
        client.connections == 0
    }

    /// Lets an id be used again.
    pub(super) fn free(&mut self, scoid: Scoid) {
        self.0[scoid.0 as usize - 1] = None;
    }

    fn free_index(&mut self) -> usize {
        let free = self.0.iter().position(Option::is_none);
        free.unwrap_or_else(|| {
            self.0.push(None);
            self.0.len() - 1
        })
    }

    fn client(&self, scoid: Scoid) -> Result<&Client> {
        let index = usize::try_from(scoid.0)
            .ok()
            .and_then(|id| id.checked_sub(1));
        index
            .and_then(|index| self.0.get(index)?.as_ref())
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
