//! `qn net`: the nodes known to a qnet, and what it counts.

use std::process::ExitCode;

use ipc_core::file::read_dir;
use serde_json::{Value, json};

use super::{
    output::{Fault, Output, columns},
    stats::{self, Peer, Stats, histogram, size, time},
};

/// Lists the nodes; with `long` everything that is counted.
pub(super) fn net(output: &Output, long: bool, node: Option<&str>) -> Result<ExitCode, Fault> {
    let listed = names(node)?;
    // A qnet that does not tell is no reason to say nothing, unless it is another node's, which lists nothing here.
    let stats = match long || node.is_some() {
        true => stats::read(node)?,
        false => stats::read(node).unwrap_or_default(),
    };
    let names = all(listed, &stats);
    let whole = || -> Result<Value, Fault> {
        let told = serde_json::from_slice(&stats::text(node)?);
        told.map_err(|error| Fault::new(format!("the statistics are no JSON: {error}")))
    };
    let value = match (output.is_json(), long) {
        (true, true) => whole()?,
        (true, false) => json!(
            names
                .iter()
                .map(|name| brief(name, &stats))
                .collect::<Vec<_>>()
        ),
        (false, _) => Value::Null,
    };
    output.result(&value, || {
        let mut text = nodes_text(&names, &stats);
        if long {
            text.push_str(&details(&stats));
        }
        text
    })?;
    Ok(ExitCode::SUCCESS)
}

/// Every node of which the directory or the statistics know, each once.
fn all(mut names: Vec<String>, stats: &Stats) -> Vec<String> {
    names.extend(stats.nodes.iter().map(|peer| peer.name.clone()));
    names.extend((!stats.node.is_empty()).then(|| stats.node.clone()));
    names.sort_by_key(|name| stats::place_of(name));
    names.dedup();
    names
}

fn names(node: Option<&str>) -> Result<Vec<String>, Fault> {
    let dir = stats::directory(node);
    let fault = |errno| stats::fault(errno, &dir);
    let name = |entry: ipc_core::abi::Result<ipc_core::file::Entry>| {
        Ok(entry.map_err(fault)?.name.to_string_lossy().into_owned())
    };
    let entries = read_dir(&dir).map_err(fault)?;
    entries.map(name).collect()
}

fn peer<'a>(name: &str, stats: &'a Stats) -> Option<&'a Peer> {
    stats.nodes.iter().find(|peer| peer.name == name)
}

/// The descriptor and the state of a node: `here`, `up`, `connecting`, `down`, or only `known`.
fn standing<'a>(name: &str, stats: &'a Stats) -> (Option<u32>, Option<&'a str>) {
    match peer(name, stats) {
        Some(peer) => (Some(peer.nd), Some(&peer.state)),
        None if stats.node == name => (Some(0), Some("here")),
        None => (None, None),
    }
}

fn brief(name: &str, stats: &Stats) -> Value {
    let (nd, state) = standing(name, stats);
    let peer = peer(name, stats);
    json!({
        "node": name, "nd": nd, "state": state,
        "down_reason": peer.and_then(|peer| peer.down_reason.as_ref()),
        "down_ns": peer.and_then(|peer| peer.down_ns),
        "rtt_ns": peer.map(|peer| peer.rtt_ns).filter(|&ns| ns > 0),
        "messages_sent": peer.map(|peer| peer.messages_sent),
        "messages_received": peer.map(|peer| peer.messages_received),
        "bytes_sent": peer.map(|peer| peer.bytes_sent),
        "bytes_received": peer.map(|peer| peer.bytes_received),
        "packets_lost": peer.map(|peer| peer.packets_lost),
        "paths_up": peer.map(paths_up),
    })
}

fn paths_up(peer: &Peer) -> usize {
    peer.paths.iter().filter(|path| path.state == "up").count()
}

fn nodes_text(names: &[String], stats: &Stats) -> String {
    let row = |name: &String| {
        let (nd, state) = standing(name, stats);
        let mut row = vec![
            nd.map_or_else(|| "-".to_owned(), |nd| nd.to_string()),
            peer(name, stats).map_or_else(|| state.unwrap_or("-").to_owned(), stats::state_text),
        ];
        match peer(name, stats) {
            Some(peer) => row.extend([
                time(peer.rtt_ns),
                format!("{}/{}", paths_up(peer), peer.paths.len()),
                peer.messages_sent.to_string(),
                peer.messages_received.to_string(),
                peer.packets_lost.to_string(),
            ]),
            None => row.extend(["-"; 5].map(str::to_owned)),
        }
        row.push(name.clone());
        row
    };
    let rows: Vec<_> = names.iter().map(row).collect();
    let head = [
        "ND", "STATE", "RTT", "PATHS", "SENT", "RECEIVED", "LOST", "NODE",
    ];
    columns(&head, &rows)
}

fn details(stats: &Stats) -> String {
    let mut text = String::new();
    for peer in &stats.nodes {
        text.push_str(&peer_text(peer));
    }
    text.push_str(&links_text(stats));
    let bridge = &stats.bridge;
    text.push_str(&format!(
        "\nMessages to other nodes {} (replies {}, errors {}, unanswered {}), from other nodes {} (replies {}, errors \
         {}, unanswered {}, waited for a buffer {}); pulses {}, lost {}; attaches refused {}; connections out {}, in {}\n",
        bridge.messages_out, bridge.replies_in, bridge.errors_in, stats.pending_out, bridge.messages_in,
        bridge.replies_out, bridge.errors_out, stats.pending_in, bridge.messages_staged, bridge.pulses,
        bridge.pulses_lost, bridge.attaches_refused, stats.connections_out, stats.connections_in,
    ));
    text.push_str(&drops_text(stats));
    text
}

/// What was dropped, and of whom or through which link: a frame of a peer's session stands under both.
fn drops_text(stats: &Stats) -> String {
    let row = |count: u64, of: &str, reason: &str| {
        let words = [count.to_string(), of.to_owned(), reason.to_owned()];
        words.to_vec()
    };
    let of_links = stats.links.iter().flat_map(|link| {
        let drops = link.drops();
        drops.map(|(reason, count)| row(count, &link.interface, reason))
    });
    let of_peers = stats.nodes.iter().flat_map(|peer| {
        let drops = peer.dropped.iter();
        drops.map(|(reason, count)| row(*count, &peer.name, reason))
    });
    let rows: Vec<_> = of_links.chain(of_peers).collect();
    if rows.is_empty() {
        return String::new();
    }
    let head = ["DROPPED", "LINK, NODE", "REASON"];
    format!("\n{}", columns(&head, &rows))
}

fn peer_text(peer: &Peer) -> String {
    let mut text = format!(
        "\n{}: {}, sessions {}; frames sent {} (acknowledgements alone {}), received {}; packets lost {}, records lost {}, \
         probe timeouts {}\n  records per frame sent      {}\n  records per frame received  {}\n",
        peer.name,
        stats::state_text(peer),
        peer.sessions,
        peer.frames_sent,
        peer.acks_sent,
        peer.frames_received,
        peer.packets_lost,
        peer.records_lost,
        peer.probe_timeouts,
        histogram(&peer.bundles_sent),
        histogram(&peer.bundles_received),
    );
    let row = |path: &stats::Path| {
        vec![
            path.interface.clone(),
            path.state.clone(),
            time(path.rtt_ns),
            size(path.window_len as f64),
            size(path.in_flight_len as f64),
            path.mtu.to_string(),
            size(path.bytes_sent as f64),
            size(path.bytes_received as f64),
            path.packets_lost.to_string(),
            path.probe_timeouts.to_string(),
            path.failures.to_string(),
            path.mac.clone(),
        ]
    };
    let rows: Vec<_> = peer.paths.iter().map(row).collect();
    if !rows.is_empty() {
        let head = [
            "PATH", "STATE", "RTT", "WINDOW", "FLYING", "MTU", "SENT", "RECEIVED", "LOST",
            "TIMEOUTS", "FAILED", "ADDRESS",
        ];
        text.push_str(&columns(&head, &rows));
    }
    text
}

fn links_text(stats: &Stats) -> String {
    let row = |link: &stats::Link| {
        vec![
            link.interface.clone(),
            if link.carrier { "up" } else { "down" }.to_owned(),
            link.mtu.to_string(),
            link.frames_sent.to_string(),
            size(link.bytes_sent as f64),
            link.frames_received.to_string(),
            size(link.bytes_received as f64),
            link.sends_failed.to_string(),
            link.drops()
                .map(|(_, count)| count)
                .sum::<u64>()
                .to_string(),
            link.receive_restarts.to_string(),
            link.mac.clone(),
            histogram(&link.batches),
        ]
    };
    let rows: Vec<_> = stats.links.iter().map(row).collect();
    let head = [
        "LINK",
        "CARRIER",
        "MTU",
        "FRAMES",
        "SENT",
        "FRAMES",
        "RECEIVED",
        "REFUSED",
        "DROPPED",
        "RESTARTS",
        "ADDRESS",
        "FRAMES PER CALL",
    ];
    format!(
        "\n{}  {} system calls; frames per call that sent any: {}\n",
        columns(&head, &rows),
        stats.link.waits,
        histogram(&stats.link.batches)
    )
}
