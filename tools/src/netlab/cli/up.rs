//! `netlab up`.

use std::io::{self, Write};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::unistd::Pid;

use super::arguments::UpOptions;
use super::status;
use crate::netlab::control::{self, Control};
use crate::netlab::programs::Programs;
use crate::netlab::protocol::Order;
use crate::netlab::supervisor::{self, Home, LabPlan, NodePlan};
use crate::netlab::sys;

/// The switch has a port for each node, and addresses are numbered in one octet.
const NODES_MAX: usize = 64;

/// Brings a lab up as the options say.
pub(super) fn run(lab: &str, options: &UpOptions) -> io::Result<u8> {
    let plan = plan(lab, options)?;
    supervisor::start(&plan)?;
    let supervisor = Control::connect(lab)?.supervisor();
    if !options.quiet {
        status::run(lab, false)?;
        let first = &plan.nodes[0].name;
        let flag = if lab == "lab" {
            String::new()
        } else {
            format!("--lab {lab} ")
        };
        writeln!(
            io::stdout(),
            "\nNext: netlab {flag}shell {first}; netlab {flag}down ends it."
        )?;
    }
    if options.foreground {
        wait_for_stop(supervisor)?;
        // Whoever ended the lab before us has done what we would do.
        if let Ok(control) = Control::connect(lab) {
            control.order(&Order::Down)?;
        }
        control::wait_gone(supervisor);
    }
    Ok(0)
}

/// Waits until this process is told to stop, or the lab has ended.
fn wait_for_stop(supervisor: Pid) -> io::Result<()> {
    let mut stop = SigSet::empty();
    [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP]
        .into_iter()
        .for_each(|signal| stop.add(signal));
    stop.thread_block()?;
    let stop = SignalFd::with_flags(&stop, SfdFlags::SFD_CLOEXEC)?;
    let lab = sys::pidfd_open(supervisor)?;
    let mut ended = [stop.as_fd(), lab.as_fd()].map(|event| PollFd::new(event, PollFlags::POLLIN));
    poll(&mut ended, PollTimeout::NONE)?;
    Ok(())
}

fn plan(lab: &str, options: &UpOptions) -> io::Result<LabPlan> {
    let names = node_names(&options.nodes)?;
    for name in &options.unplugged {
        known(&names, name, "--unplugged")?;
    }
    let programs = if options.bare {
        Programs::unchecked()?
    } else {
        Programs::find()?
    };
    let homes = homes(options, &names)?;
    let nodes = names.iter().map(|name| NodePlan {
        name: name.clone(),
        unplugged: options.unplugged.contains(name),
        procmgr: !options.bare,
        qnet: !options.bare && !options.no_qnet,
        home: match homes.iter().find(|(node, _)| node == name) {
            Some((_, home)) => home.clone(),
            None if options.bare || options.no_home || !homes.is_empty() => Home::None,
            None => Home::Scratch,
        },
    });
    Ok(LabPlan {
        lab: lab.to_owned(),
        nodes: nodes.collect(),
        links: usize::from(options.links),
        mtu: options.mtu,
        programs,
        qnet_options: options.qnet_option.clone(),
        tied_to_stdin: options.tied,
    })
}

/// The nodes' names: those given, or so many as a number says.
fn node_names(given: &[String]) -> io::Result<Vec<String>> {
    let names = match given {
        [number] if number.bytes().all(|byte| byte.is_ascii_digit()) => {
            // One past the limit is refused below; a number that is no usize is past it, too.
            let count = number.parse().unwrap_or(usize::MAX).min(NODES_MAX + 1);
            (1..=count).map(|number| format!("node{number}")).collect()
        }
        names => names.to_vec(),
    };
    let mut seen = std::collections::BTreeSet::new();
    if let Some(twice) = names.iter().find(|name| !seen.insert(*name)) {
        return Err(invalid(format!("node {twice} is named twice")));
    }
    match names.len() {
        1..=NODES_MAX => Ok(names),
        _ => Err(invalid(format!("a lab has 1 to {NODES_MAX} nodes"))),
    }
}

/// Refuses what is not the name of a node.
fn known(names: &[String], node: &str, option: &str) -> io::Result<()> {
    match names.iter().any(|name| name == node) {
        true => Ok(()),
        false => Err(invalid(format!(
            "{option}: no node {node:?}; there are {}",
            names.join(", ")
        ))),
    }
}

fn homes(options: &UpOptions, names: &[String]) -> io::Result<Vec<(String, Home)>> {
    let parse = |text: &String| -> io::Result<(String, Home)> {
        let (node, home) = match text.split_once(':') {
            None => (text.as_str(), Home::Scratch),
            Some((node, dir)) => (node, Home::Dir(existing_dir(dir)?)),
        };
        known(names, node, "--home")?;
        Ok((node.to_owned(), home))
    };
    options.home.iter().map(parse).collect()
}

fn existing_dir(dir: &str) -> io::Result<PathBuf> {
    let path = Path::new(dir)
        .canonicalize()
        .map_err(|error| io::Error::new(error.kind(), format!("--home: {dir}: {error}")))?;
    match path.is_dir() {
        true => Ok(path),
        false => Err(invalid(format!("--home: {dir} is not a directory"))),
    }
}

fn invalid(text: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(given: &[&str]) -> io::Result<Vec<String>> {
        let given: Vec<String> = given.iter().map(|&name| name.to_owned()).collect();
        node_names(&given)
    }

    #[test]
    fn nodes_are_named_or_counted() {
        let same = |given: &[&str], expected: &[&str]| {
            let names = names(given);
            assert!(names.is_ok_and(|names| names == expected), "{given:?}");
        };
        same(&["a", "7"], &["a", "7"]);
        same(&["3"], &["node1", "node2", "node3"]);
        assert!(names(&["64"]).is_ok_and(|names| names.len() == NODES_MAX));
    }

    #[test]
    fn none_too_many_and_twice_the_same_are_refused() {
        for bad in [
            &["0"][..],
            &["65"],
            &["99999999999999999999"],
            &["a", "b", "a"],
        ] {
            assert!(names(bad).is_err(), "{bad:?}");
        }
    }
}
