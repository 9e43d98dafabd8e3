//! `qn ps`, `channels`, `blocked`, `names`: what a node runs.

use std::process::ExitCode;

use ipc_core::{
    abi::{
        ChannelStats, Nd, Pid,
        proc::{
            BlockState, BlockedEntry, ChannelEntry, CountersEntry, Entry, NameEntry, ProcessEntry,
        },
    },
    file::describe_missing_procmgr,
    proc::{resolve_node, table},
};
use serde_json::json;

use super::{
    cli::OfNode,
    output::{Fault, Output, columns},
};

pub(super) fn ps(output: &Output, of: &OfNode) -> Result<ExitCode, Fault> {
    let table = ask::<ProcessEntry>(of)?;
    let value = |entry: &ProcessEntry| {
        json!({
            "pid": entry.pid.0, "name": entry.name, "uid": entry.uid, "gid": entry.gid,
            "channels": entry.channels, "prefixes": entry.prefixes,
        })
    };
    let row = |entry: &ProcessEntry| {
        vec![
            entry.pid.to_string(),
            entry.uid.to_string(),
            entry.channels.to_string(),
            entry.prefixes.to_string(),
            entry.name.clone(),
        ]
    };
    show(
        output,
        &table,
        &["PID", "UID", "CHANNELS", "PREFIXES", "NAME"],
        value,
        row,
    )
}

pub(super) fn channels(output: &Output, of: &OfNode) -> Result<ExitCode, Fault> {
    let table = ask::<ChannelEntry>(of)?;
    // An older process manager does not know them.
    let counters = ask::<CountersEntry>(of).unwrap_or_default();
    let of_channel = |entry: &ChannelEntry| {
        let is_same = |one: &&CountersEntry| (one.pid, one.chid) == (entry.pid, entry.chid);
        counters.iter().find(is_same).map(|one| one.stats)
    };
    let flags = |entry: &ChannelEntry| {
        entry
            .flags
            .iter_names()
            .map(|(name, _)| name.to_lowercase())
            .collect::<Vec<_>>()
    };
    let value = |entry: &ChannelEntry| {
        json!({
            "pid": entry.pid.0, "chid": entry.chid.0, "flags": flags(entry),
            "receive_blocked": entry.receive_blocked, "send_blocked": entry.send_blocked,
            "reply_blocked": entry.reply_blocked,
            "counters": of_channel(entry).map(|of| json!({
                "messages": of.messages, "pulses": of.pulses, "replies": of.replies,
                "wakes_sent": of.wakes_sent, "wakes_avoided": of.wakes_avoided,
                "spins_won": of.spins_won, "spins_lost": of.spins_lost,
                "dropped_unanswered": of.dropped_unanswered,
                "priorities_refused": of.priorities_refused, "faults": of.faults,
            })),
        })
    };
    let row = |entry: &ChannelEntry| {
        let mut row = vec![
            entry.pid.to_string(),
            entry.chid.to_string(),
            entry.receive_blocked.to_string(),
            entry.send_blocked.to_string(),
            entry.reply_blocked.to_string(),
        ];
        let of = of_channel(entry);
        let cell = |value: fn(ChannelStats) -> u64| {
            of.map_or_else(|| "-".to_owned(), |of| value(of).to_string())
        };
        row.extend([
            cell(|of| of.messages),
            cell(|of| of.wakes_sent),
            cell(|of| of.wakes_avoided),
            cell(|of| of.spins_won),
            cell(|of| of.spins_lost),
            cell(|of| of.dropped_unanswered + of.faults),
            flags(entry).join(","),
        ]);
        row
    };
    show(
        output,
        &table,
        &[
            "PID", "CHID", "RECEIVE", "SEND", "REPLY", "MESSAGES", "WOKEN", "AWAKE", "SPINS",
            "IN VAIN", "FAULTS", "FLAGS",
        ],
        value,
        row,
    )
}

pub(super) fn blocked(output: &Output, of: &OfNode) -> Result<ExitCode, Fault> {
    let mut table = ask::<BlockedEntry>(of)?;
    // Whoever asks is REPLY-blocked on the process manager while it looks: that is no news. Its own pid
    // counts on this node only.
    let own = Pid(std::process::id().cast_signed());
    table.retain(|entry| of.node.is_some() || entry.nd != Nd::LOCAL || entry.pid != own);
    let state = |entry: &BlockedEntry| match entry.state {
        BlockState::Send => "SEND",
        BlockState::Receive => "RECEIVE",
        BlockState::Reply => "REPLY",
    };
    // A receiver has no message; which of its process's threads it is, is not known.
    let known = |number: i64| (number != 0).then_some(number);
    let value = |entry: &BlockedEntry| {
        json!({
            "state": state(entry), "nd": entry.nd.0, "pid": entry.pid.0,
            "tid": known(entry.tid.0.into()), "coid": known(entry.coid.0.into()),
            "priority": known(entry.priority.into()),
            "on_pid": entry.on_pid.0, "on_chid": entry.on_chid.0,
        })
    };
    let or_dash = |number| known(number).map_or_else(|| "-".to_owned(), |known| known.to_string());
    let row = |entry: &BlockedEntry| {
        vec![
            state(entry).to_owned(),
            entry.nd.to_string(),
            entry.pid.to_string(),
            or_dash(entry.tid.0.into()),
            or_dash(entry.priority.into()),
            format!("{}/{}", entry.on_pid, entry.on_chid),
        ]
    };
    show(
        output,
        &table,
        &["STATE", "ND", "PID", "TID", "PRIORITY", "ON PID/CHID"],
        value,
        row,
    )
}

pub(super) fn names(output: &Output, of: &OfNode) -> Result<ExitCode, Fault> {
    let table = ask::<NameEntry>(of)?;
    let path = |entry: &NameEntry| String::from_utf8_lossy(&entry.path).into_owned();
    let flags = |entry: &NameEntry| {
        entry
            .flags
            .iter_names()
            .map(|(name, _)| name.to_lowercase())
            .collect::<Vec<_>>()
    };
    let value = |entry: &NameEntry| {
        json!({
            "path": path(entry), "pid": entry.pid.0, "chid": entry.chid.0, "handle": entry.handle,
            "flags": flags(entry), "uid": entry.uid, "id": entry.id.0,
        })
    };
    let row = |entry: &NameEntry| {
        vec![
            path(entry),
            format!("{}/{}", entry.pid, entry.chid),
            entry.uid.to_string(),
            flags(entry).join(","),
        ]
    };
    show(
        output,
        &table,
        &["PATH", "PID/CHID", "UID", "FLAGS"],
        value,
        row,
    )
}

fn show<E>(
    output: &Output,
    table: &[E],
    head: &[&str],
    value: impl Fn(&E) -> serde_json::Value,
    row: impl Fn(&E) -> Vec<String>,
) -> Result<ExitCode, Fault> {
    let values: Vec<_> = table.iter().map(value).collect();
    let text = || columns(head, &table.iter().map(row).collect::<Vec<_>>());
    output.result(&json!(values), text)?;
    Ok(ExitCode::SUCCESS)
}

fn ask<E: Entry>(of: &OfNode) -> Result<Vec<E>, Fault> {
    let Some(node) = &of.node else {
        return table(Nd::LOCAL).map_err(|errno| {
            let cause = describe_missing_procmgr().unwrap_or_else(|| errno.to_string());
            Fault::with_errno(
                format!("the process manager does not answer: {cause}"),
                errno,
            )
        });
    };
    let path = format!("/net/{node}");
    let nd = resolve_node(node).map_err(|errno| Fault::on_path(errno, &path))?;
    table(nd).map_err(|errno| Fault::on_path(errno, &path))
}
