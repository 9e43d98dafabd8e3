//! The channels of this process, and the sockets under which clients find them.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use crate::{
    abi::{ChannelFlags, Chid, Coid, Errno, Pulse, PulseCode, Result, Scoid, Tid, limits},
    channel::{Inner, accept::Acceptor, lobby::Lobby},
    process::{Alias, Monitor, Presence, WatchId},
    sys::{fork::PerLife, mutex::lock},
};

/// What one process has; a forked child starts with nothing.
#[derive(Default)]
struct Registry {
    channels: BTreeMap<i32, Arc<Inner>>,
    /// Where this process listens: under its pid, and under the aliases it claimed.
    listening: Vec<(Option<Alias>, WatchId)>,
    /// Its clients, under whatever name they found it.
    lobby: Arc<Lobby>,
}

static REGISTRY: PerLife<Mutex<Registry>> = PerLife::new();

fn with<T>(act: impl FnOnce(&mut Registry) -> T) -> T {
    act(&mut lock(REGISTRY.get()))
}

/// Adds the channel that `make` builds for the smallest free id, and sees to it that clients find it.
pub(super) fn add(make: impl FnOnce(Chid) -> Result<Arc<Inner>>) -> Result<Arc<Inner>> {
    with(|registry| {
        registry.listen(None)?;
        let chid = (1..=limits::CHANNELS_MAX as i32)
            .find(|chid| !registry.channels.contains_key(chid))
            .ok_or(Errno::EAGAIN)?;
        let channel = make(Chid(chid))?;
        registry.channels.insert(chid, Arc::clone(&channel));
        Ok(channel)
    })
}

pub(super) fn remove(chid: Chid) {
    // The channel itself goes outside of the lock: its connections may be unmapped with it.
    let gone = with(|registry| registry.channels.remove(&chid.0));
    drop(gone);
}

/// The channel of an attach: by its id, or the router for an attach to another node.
///
/// # Errors
/// `ESRCH` when there is none.
pub(super) fn find(chid: Chid, local: bool) -> Result<Arc<Inner>> {
    with(|registry| {
        let found = if local {
            registry.channels.get(&chid.0)
        } else {
            registry
                .channels
                .values()
                .find(|c| c.flags().contains(ChannelFlags::ROUTER))
        };
        found.map(Arc::clone).ok_or(Errno::ESRCH)
    })
}

/// Every channel of this process, by id.
pub(super) fn all() -> Vec<Arc<Inner>> {
    with(|registry| registry.channels.values().map(Arc::clone).collect())
}

/// The channel of this process with the smallest id above `chid`.
pub(super) fn after(chid: Chid) -> Option<Arc<Inner>> {
    with(|registry| {
        let mut above = registry.channels.range(chid.0.saturating_add(1)..);
        above.next().map(|(_, channel)| Arc::clone(channel))
    })
}

/// A connection of this process lost its server (CHN-4).
pub(crate) fn coid_died(coid: Coid) {
    for channel in all() {
        if channel.flags().contains(ChannelFlags::COID_DISCONNECT) {
            let pulse = Pulse {
                code: PulseCode::COID_DEATH,
                value: i64::from(coid.0),
                priority: limits::PRIORITY_DEFAULT,
                scoid: Scoid(0),
            };
            // A channel that was destroyed meanwhile has nobody left to tell.
            let _ = channel.post_own_pulse(pulse, false);
        }
    }
}

/// Makes this process answer under `alias` too, until it is [`retire`]d or ends.
///
/// # Errors
/// `EPERM` unless the process runs as the owner of the node; `EADDRINUSE` when another process
/// answers under the alias already.
pub fn claim_alias(alias: Alias) -> Result<()> {
    with(|registry| registry.listen(Some(alias)))
}

/// Takes this process's names out of the runtime directory, for a clean exit. What is not retired is
/// removed by whoever comes next.
pub fn retire() {
    let listening = with(|registry| std::mem::take(&mut registry.listening));
    if let Ok(monitor) = Monitor::current() {
        listening.into_iter().for_each(|(_, id)| monitor.remove(id));
    }
}

/// A thread of this process that sent or received has ended (CHN-5).
pub(super) fn thread_died(tid: Tid) {
    for channel in all() {
        if channel.flags().contains(ChannelFlags::THREAD_DEATH) {
            let pulse = Pulse {
                code: PulseCode::THREAD_DEATH,
                value: i64::from(tid.0),
                priority: limits::PRIORITY_DEFAULT,
                scoid: Scoid(0),
            };
            // A channel that was destroyed meanwhile has nobody left to tell.
            let _ = channel.post_own_pulse(pulse, false);
        }
    }
}

impl Registry {
    fn listen(&mut self, alias: Option<Alias>) -> Result<()> {
        let monitor = Monitor::current()?;
        // A program that closed all descriptors closed ours.
        self.listening.retain(|(_, id)| monitor.has(*id));
        if self.listening.iter().any(|(known, _)| *known == alias) {
            return Ok(());
        }
        let presence = match alias {
            None => Presence::of_this_process()?,
            Some(alias) => Presence::under_alias(alias)?,
        };
        let acceptor = Acceptor::new(presence, Arc::clone(&self.lobby))?;
        let id = monitor.add(Arc::new(acceptor))?;
        self.listening.push((alias, id));
        Ok(())
    }
}
