//! `netlab status`.

use std::io::{self, Write};

use crate::netlab::control::{self, Control};
use crate::netlab::protocol::{Answer, CableStatus, Cut, DaemonStatus, LabStatus, Order};

/// Prints how a lab is.
pub(super) fn run(lab: &str, json: bool) -> io::Result<u8> {
    let control = Control::connect(lab)?;
    let supervisor = control.supervisor();
    let Answer::Status(mut status) = control.order(&Order::Status)?.0 else {
        return Err(io::Error::other(
            "the supervisor answered something else than its status",
        ));
    };
    status.supervisor_pid = supervisor.as_raw();
    let mut out = io::stdout().lock();
    if json {
        let text = serde_json::to_string_pretty(&status).map_err(io::Error::other)?;
        writeln!(out, "{text}")?;
    } else {
        write!(out, "{}", table(&status))?;
        let others = control::running_labs()
            .into_iter()
            .filter(|name| name != lab);
        let others: Vec<String> = others.collect();
        if !others.is_empty() {
            writeln!(out, "\nOther labs: {}", others.join(", "))?;
        }
    }
    Ok(0)
}

fn table(status: &LabStatus) -> String {
    let mut text = format!(
        "lab {}: supervisor pid {}, {}\n\n{:<12} {:<18} {:<11} {:<6} {:>9} {:>9}  daemons (pid in the lab)\n",
        status.lab,
        status.supervisor_pid,
        wire(status),
        "node",
        "ethernet",
        "address",
        "link",
        "sent",
        "received",
    );
    for node in &status.nodes {
        text += &format!(
            "{:<12} {:<18} {:<11} {:<6} {:>9} {:>9}  {}\n",
            node.name,
            node.mac,
            node.address,
            node.links.first().map_or("", link),
            node.link.tx.frames,
            node.link.rx.frames,
            node.daemons
                .iter()
                .map(daemon)
                .collect::<Vec<_>>()
                .join(", "),
        );
        for cable in node.links.iter().skip(1) {
            text += &format!(
                "{:<12} {:<18} {:<11} {:<6} {:>9} {:>9}\n",
                "",
                cable.mac,
                cable.interface,
                link(cable),
                cable.link.tx.frames,
                cable.link.rx.frames,
            );
        }
    }
    text
}

fn wire(status: &LabStatus) -> String {
    let mtu = status.nodes.first().map_or(0, |node| node.link.mtu);
    if status.switch != "seeded" {
        return format!("kernel bridge, mtu {mtu}");
    }
    let counters = &status.counters;
    let mut text = format!("seeded switch, mtu {mtu}");
    if let Some(faults) = &status.faults {
        text += &format!(
            ": loss {} %, dup {} %, reorder {} %, delay {} us, seed {}",
            faults.loss, faults.dup, faults.reorder, faults.delay_us, faults.seed
        );
    }
    text + &format!(
        "\n  frames: {} in, {} out, {} lost, {} doubled, {} overtaken, {} cut off, {} overrun",
        counters.received,
        counters.sent,
        counters.lost,
        counters.duplicated,
        counters.reordered,
        counters.cut,
        counters.overrun
    )
}

fn link(cable: &CableStatus) -> &'static str {
    match cable.cut {
        Cut::None if cable.link.carrier => "up",
        Cut::None => "down",
        Cut::Link => "cut",
        Cut::Both => "silent",
        Cut::From => "mute",
        Cut::To => "deaf",
    }
}

fn daemon(daemon: &DaemonStatus) -> String {
    match (daemon.pid, &daemon.ended) {
        (Some(pid), _) => format!("{} {pid}", daemon.name),
        (None, Some(ended)) => format!("{} ({ended})", daemon.name),
        (None, None) => format!("{} (never started)", daemon.name),
    }
}
