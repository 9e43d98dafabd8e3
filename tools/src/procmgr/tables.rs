//! Tables of what the node runs, gathered by asking each of its processes.
//!
//! A process that is stopped does not answer, so this has a thread of its own: nobody who wants a path
//! resolved waits for it.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    os::unix::fs::MetadataExt,
    path::Path,
    sync::mpsc::{self, Receiver, Sender},
    thread,
};

use ipc_core::{
    ChannelSnapshot, ReceivedMessage,
    abi::{
        Coid, Errno, Nd, Pid, Tid,
        proc::{
            BlockState, BlockedEntry, ChannelEntry, CountersEntry, NameEntry, ProcessEntry, Query,
            Table, pack_page,
        },
    },
    runtime_dir, snapshot,
};
use tracing::debug;

/// A query that waits for its answer.
pub(super) struct Job {
    pub(super) message: ReceivedMessage,
    pub(super) query: Query,
    /// What is registered, for the table of processes.
    pub(super) names: Vec<NameEntry>,
}

/// The thread that gathers tables.
pub(super) struct Tables(Sender<Job>);

impl Tables {
    /// Starts the thread; it ends with the last [`Tables`].
    ///
    /// # Errors
    /// No thread can be started.
    pub(super) fn start() -> std::io::Result<Tables> {
        let (sender, jobs) = mpsc::channel();
        thread::Builder::new()
            .name("tables".to_owned())
            .spawn(move || run(&jobs))?;
        Ok(Tables(sender))
    }

    /// Answers the query, soon.
    pub(super) fn gather(&self, job: Job) {
        if let Err(mpsc::SendError(job)) = self.0.send(job) {
            // The thread is gone, which only a panic of it brings about.
            job.message.error(Errno::EIO).ok();
        }
    }
}

fn run(jobs: &Receiver<Job>) {
    for Job {
        message,
        query,
        names,
    } in jobs
    {
        let (start, room) = (query.start, message.reply_len_max());
        let channels = channels_of_the_node();
        let reply = match query.table {
            Table::Names => pack_page(&names, start, room),
            Table::Processes => pack_page(&processes(&channels, &names), start, room),
            Table::Channels => pack_page(&channel_entries(&channels), start, room),
            Table::Counters => pack_page(&counters(&channels), start, room),
            Table::Blocked => pack_page(&blocked(&channels), start, room),
        };
        message.reply(0, &reply).ok();
    }
}

type Channels = BTreeMap<i32, Vec<ChannelSnapshot>>;

/// The channels of each process that has a socket in the runtime directory. One that does not answer, or
/// has gone meanwhile, has none.
fn channels_of_the_node() -> Channels {
    let ask = |pid: i32| {
        let answer = snapshot(Pid(pid));
        if let Err(errno) = &answer {
            debug!("pid {pid} does not say what channels it has: {errno}");
        }
        (
            pid,
            answer.map(|answer| answer.channels).unwrap_or_default(),
        )
    };
    pids_in(&runtime_dir()).into_iter().map(ask).collect()
}

/// The processes that have a socket, under their pid or, if that name was taken, under it and more; the aliases
/// are no pids of their own.
fn pids_in(dir: &Path) -> BTreeSet<i32> {
    let Ok(entries) = fs::read_dir(dir) else {
        return BTreeSet::new();
    };
    let pid = |entry: fs::DirEntry| -> Option<i32> {
        let name = entry.file_name();
        let stem = name.to_str()?.strip_suffix(".sock")?;
        let (pid, _) = stem.split_once('.').unwrap_or((stem, ""));
        pid.parse().ok()
    };
    entries
        .flatten()
        .filter_map(pid)
        .filter(|&pid| pid > 1 && is_running(pid))
        .collect()
}

fn is_running(pid: i32) -> bool {
    Path::new("/proc").join(pid.to_string()).exists()
}

fn processes(channels: &Channels, names: &[NameEntry]) -> Vec<ProcessEntry> {
    let owners = names.iter().map(|name| name.pid.0);
    let pids: BTreeSet<i32> = channels.keys().copied().chain(owners).collect();
    let entry = |pid: i32| {
        let proc = Path::new("/proc").join(pid.to_string());
        let owner = fs::metadata(&proc).ok();
        let name = fs::read_to_string(proc.join("comm")).unwrap_or_default();
        ProcessEntry {
            pid: Pid(pid),
            uid: owner.as_ref().map_or(u32::MAX, MetadataExt::uid),
            gid: owner.as_ref().map_or(u32::MAX, MetadataExt::gid),
            channels: channels
                .get(&pid)
                .map_or(0, |channels| channels.len() as u32),
            prefixes: names.iter().filter(|name| name.pid.0 == pid).count() as u32,
            name: name.trim_end().to_owned(),
        }
    };
    pids.into_iter().map(entry).collect()
}

fn each(channels: &Channels) -> impl Iterator<Item = (Pid, &ChannelSnapshot)> {
    channels
        .iter()
        .flat_map(|(&pid, of_pid)| of_pid.iter().map(move |one| (Pid(pid), one)))
}

fn channel_entries(channels: &Channels) -> Vec<ChannelEntry> {
    let entry = |(pid, channel): (Pid, &ChannelSnapshot)| ChannelEntry {
        pid,
        chid: channel.chid,
        flags: channel.flags,
        receive_blocked: channel.receivers as u32,
        send_blocked: channel.send_blocked as u32,
        reply_blocked: channel.reply_blocked as u32,
    };
    each(channels).map(entry).collect()
}

fn counters(channels: &Channels) -> Vec<CountersEntry> {
    let entry = |(pid, channel): (Pid, &ChannelSnapshot)| {
        Some(CountersEntry {
            pid,
            chid: channel.chid,
            stats: channel.stats?,
        })
    };
    each(channels).filter_map(entry).collect()
}

fn blocked(channels: &Channels) -> Vec<BlockedEntry> {
    each(channels)
        .flat_map(|(pid, channel)| blocked_on(pid, channel))
        .collect()
}

fn blocked_on(pid: Pid, channel: &ChannelSnapshot) -> Vec<BlockedEntry> {
    let receiver = BlockedEntry {
        state: BlockState::Receive,
        nd: Nd::LOCAL,
        pid,
        tid: Tid(0),
        coid: Coid(0),
        on_pid: pid,
        on_chid: channel.chid,
        priority: 0,
    };
    let clients = channel.blocked.iter().map(|client| BlockedEntry {
        state: if client.rcvid.is_some() {
            BlockState::Reply
        } else {
            BlockState::Send
        },
        nd: client.nd,
        pid: client.pid,
        tid: client.tid,
        coid: client.coid,
        priority: client.priority.into(),
        ..receiver
    });
    std::iter::repeat_n(receiver, channel.receivers)
        .chain(clients)
        .collect()
}

#[cfg(test)]
mod tests {
    use ipc_core::{
        BlockedThread,
        abi::{ChannelFlags, Chid, Rcvid},
    };

    use super::*;

    #[test]
    fn only_sockets_of_running_processes_count() {
        let dir = tempfile::tempdir().unwrap();
        let own = std::process::id().cast_signed();
        let own_socket = format!("{own}.sock");
        let parent = std::os::unix::process::parent_id().cast_signed();
        let parents_socket = format!("{parent}.0123456789abcdef.sock");
        for name in [
            "1.sock",
            "net.sock",
            "x.sock",
            "0.sock",
            "-3.sock",
            "99999999.sock",
            "7.x.y",
            &own_socket,
            &parents_socket,
        ] {
            fs::write(dir.path().join(name), "").unwrap();
        }
        assert_eq!(pids_in(dir.path()), BTreeSet::from([own, parent]));
    }

    #[test]
    fn every_blocked_thread_has_a_line() {
        let client = BlockedThread {
            nd: Nd(2),
            pid: Pid(7),
            tid: Tid(8),
            coid: Coid(9),
            priority: 10,
            rcvid: None,
        };
        let channel = ChannelSnapshot {
            chid: Chid(1),
            flags: ChannelFlags::empty(),
            receivers: 2,
            connections: 2,
            send_blocked: 1,
            reply_blocked: 1,
            pulses: 0,
            stats: None,
            blocked: vec![
                client,
                BlockedThread {
                    rcvid: Some(Rcvid(4)),
                    ..client
                },
            ],
        };
        let table = blocked(&BTreeMap::from([(5, vec![channel])]));
        let states: Vec<_> = table.iter().map(|entry| (entry.state, entry.pid)).collect();
        let expected = [
            (BlockState::Receive, Pid(5)),
            (BlockState::Receive, Pid(5)),
            (BlockState::Send, Pid(7)),
            (BlockState::Reply, Pid(7)),
        ];
        assert_eq!(states, expected);
        assert!(table.iter().all(|entry| entry.on_pid == Pid(5)));
    }
}
