//! The lab as the supervisor keeps it: nodes, their wiring, and what can be done to both.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Component, Path};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use nix::sys::wait::{WaitPidFlag, waitpid};
use nix::unistd::Pid;

use super::LabPlan;
use super::daemon::{Daemon, Place, Starting};
use super::node::{Node, silence_ipv6};
use super::wiring::Wiring;
use crate::netlab::protocol::{
    CableStatus, Cut, Entrance, Faults, LabStatus, NodeStatus, SwitchCounters,
};

/// Daemons that have not stopped after this time are killed with the lab.
const STOP_TIMEOUT: Duration = Duration::from_secs(3);
const STOP_INTERVAL: Duration = Duration::from_millis(5);

/// A lab.
pub(super) struct Lab {
    plan: LabPlan,
    user_namespace: bool,
    state: Mutex<State>,
}

struct State {
    nodes: Vec<Node>,
    /// One for each number of link; at least one.
    wirings: Vec<Wiring>,
}

impl Lab {
    /// Makes nodes and cables; starts nothing. The caller's network namespace becomes the switch.
    pub(super) fn build(plan: &LabPlan, user_namespace: bool) -> io::Result<Lab> {
        silence_ipv6();
        let wirings = (0..plan.links.max(1)).map(Wiring::new);
        let mut wirings = wirings.collect::<io::Result<Vec<Wiring>>>()?;
        let nodes = (0..plan.nodes.len())
            .map(|index| Node::build(plan, index, wirings[0].links()))
            .collect::<io::Result<Vec<Node>>>()
            .map_err(|error| {
                io::Error::new(error.kind(), format!("cannot make the nodes: {error}"))
            })?;
        wirings
            .iter_mut()
            .try_for_each(|wiring| wiring.join(&nodes))?;
        Ok(Lab {
            plan: plan.clone(),
            user_namespace,
            state: Mutex::new(State { nodes, wirings }),
        })
    }

    /// Starts all daemons: those of a node one after the other, the nodes side by side.
    pub(super) fn start_daemons(&self) -> io::Result<()> {
        let names: Vec<(String, Vec<String>)> = self
            .lock()
            .nodes
            .iter()
            .map(|node| {
                (
                    node.name.clone(),
                    node.daemons.iter().map(|d| d.name.clone()).collect(),
                )
            })
            .collect();
        thread::scope(|scope| {
            let starts: Vec<_> = names
                .iter()
                .map(|(node, daemons)| {
                    scope.spawn(move || {
                        daemons
                            .iter()
                            .try_for_each(|daemon| self.start(node, daemon))
                    })
                })
                .collect();
            starts.into_iter().try_for_each(|start| {
                start
                    .join()
                    .unwrap_or_else(|_| Err(io::Error::other("starting a daemon panicked")))
            })
        })
    }

    /// Starts a daemon that does not run and waits until it is ready.
    pub(super) fn start(&self, node: &str, daemon: &str) -> io::Result<()> {
        let starting = self.spawn(node, daemon)?;
        starting.wait_ready()
    }

    fn spawn(&self, node: &str, daemon: &str) -> io::Result<Starting> {
        let mut state = self.lock();
        let node = state.node(node)?;
        let place = Place {
            node: &node.name.clone(),
            dir: &node.dir.clone(),
            namespaces: &Arc::clone(&node.namespaces),
            environment: node.environment(&self.plan),
        };
        node.daemon(daemon)?.start(&place)
    }

    /// Adds a server of the user's to a node and starts it.
    pub(super) fn serve(&self, node: &str, daemon: &str, command: Vec<String>) -> io::Result<()> {
        if command.is_empty() {
            return Err(invalid("no program given".into()));
        }
        let mut state = self.lock();
        let on = state.node(node)?;
        if on.daemon(daemon).is_ok() {
            return Err(invalid(format!("{node} has a daemon {daemon} already")));
        }
        on.daemons.push(Daemon::new(daemon, command));
        drop(state);
        self.start(node, daemon)
    }

    /// Sends a daemon a signal; after SIGKILL, waits until it is gone.
    pub(super) fn kill(&self, node: &str, daemon: &str, signal: Signal) -> io::Result<()> {
        if !self.lock().node(node)?.daemon(daemon)?.signal(signal) {
            return Err(invalid(format!("{daemon} on {node} does not run")));
        }
        if signal == Signal::SIGKILL {
            self.wait_gone(|name, of| name == daemon && of == node);
        }
        Ok(())
    }

    /// Stops a daemon if it runs, and starts it.
    pub(super) fn restart(&self, node: &str, daemon: &str) -> io::Result<()> {
        if self
            .lock()
            .node(node)?
            .daemon(daemon)?
            .signal(Signal::SIGTERM)
            && !self.wait_gone(|name, of| name == daemon && of == node)
        {
            return Err(io::Error::other(format!(
                "{daemon} on {node} did not stop on SIGTERM; netlab kill {node} {daemon} ends it"
            )));
        }
        self.start(node, daemon)
    }

    /// Stops all daemons, the last started first; the names of those that did not stop.
    pub(super) fn stop_daemons(&self) -> Vec<String> {
        let longest = self
            .lock()
            .nodes
            .iter()
            .map(|node| node.daemons.len())
            .max()
            .unwrap_or(0);
        for rank in (0..longest).rev() {
            let mut wanted = Vec::new();
            for node in &self.lock().nodes {
                if let Some(daemon) = node.daemons.get(rank).filter(|d| d.signal(Signal::SIGTERM)) {
                    wanted.push((daemon.name.clone(), node.name.clone()));
                }
            }
            let is_wanted = |name: &str, of: &str| wanted.iter().any(|(d, n)| d == name && n == of);
            // One that does not stop is told at the end; the others are still stopped in order.
            self.wait_gone(is_wanted);
        }
        let state = self.lock();
        let running = state.nodes.iter().flat_map(|node| {
            let alive = node.daemons.iter().filter(|daemon| daemon.pid().is_some());
            alive.map(|daemon| format!("{} on {}", daemon.name, node.name))
        });
        running.collect()
    }

    /// Waits until no daemon that `which` picks lives; false: some still do.
    fn wait_gone(&self, which: impl Fn(&str, &str) -> bool) -> bool {
        let deadline = Instant::now() + STOP_TIMEOUT;
        loop {
            self.reap();
            let state = self.lock();
            let alive = state.nodes.iter().any(|node| {
                let alive =
                    |daemon: &Daemon| daemon.pid().is_some() && which(&daemon.name, &node.name);
                node.daemons.iter().any(alive)
            });
            drop(state);
            if !alive || Instant::now() >= deadline {
                return !alive;
            }
            thread::sleep(STOP_INTERVAL);
        }
    }

    /// Buries processes that have ended: daemons, and orphans, whom process 1 inherits.
    pub(super) fn reap(&self) {
        // Under the lock, so that a pid is known before its end is.
        let mut state = self.lock();
        while let Ok(status) = waitpid(None::<Pid>, Some(WaitPidFlag::WNOHANG)) {
            let Some(pid) = status.pid() else { break };
            let mut daemons = state.nodes.iter_mut().flat_map(|node| &mut node.daemons);
            if let Some(daemon) = daemons.find(|daemon| daemon.pid() == Some(pid)) {
                daemon.bury(status);
            }
        }
    }

    /// What a process needs to enter a node: words and descriptors.
    pub(super) fn entrance(&self, node: &str) -> io::Result<(Entrance, Vec<OwnedFd>)> {
        let mut state = self.lock();
        let node = state.node(node)?;
        let mut fds = Vec::new();
        let own = |kind: &str| File::open(format!("/proc/self/ns/{kind}")).map(OwnedFd::from);
        if self.user_namespace {
            fds.push(own("user")?);
        }
        let [mount, net, host_name] = node.namespaces.descriptors();
        fds.push(mount.try_clone_to_owned()?);
        fds.push(own("pid")?);
        fds.push(net.try_clone_to_owned()?);
        fds.push(host_name.try_clone_to_owned()?);
        let entrance = Entrance {
            user_namespace: self.user_namespace,
            dir: node.dir.clone(),
            environment: node.environment(&self.plan),
        };
        Ok((entrance, fds))
    }

    /// Opens a file below a node's directory.
    pub(super) fn open(&self, node: &str, path: &Path) -> io::Result<OwnedFd> {
        if !path
            .components()
            .all(|part| matches!(part, Component::Normal(_)))
        {
            return Err(invalid(format!(
                "{} is not a path below the node's directory",
                path.display()
            )));
        }
        let path = self.lock().node(node)?.dir.join(path);
        File::open(&path)
            .map(OwnedFd::from)
            .map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", path.display())))
    }

    /// A packet socket at every port, and the nodes' names.
    pub(super) fn capture(&self) -> io::Result<(Vec<String>, Vec<OwnedFd>)> {
        let mut state = self.lock();
        let State { nodes, wirings } = &mut *state;
        let (mut names, mut sockets) = (Vec::new(), Vec::new());
        for wiring in wirings {
            let (more_names, more_sockets) = wiring.capture(nodes)?;
            names.extend(more_names);
            sockets.extend(more_sockets);
        }
        Ok((names, sockets))
    }

    /// Cuts a node off, or heals it (`Cut::None`); `node` `None` means all, and so does `link`.
    pub(super) fn cut(&self, node: Option<&str>, link: Option<usize>, cut: Cut) -> io::Result<()> {
        let mut state = self.lock();
        let State { nodes, wirings } = &mut *state;
        if let Some(link) = link.filter(|link| *link >= wirings.len()) {
            return Err(invalid(format!(
                "no link {link}: the nodes of this lab have {}, counted from 0 (netlab up --links N)",
                wirings.len()
            )));
        }
        if let Some(name) = node.filter(|name| nodes.iter().all(|node| node.name != *name)) {
            return Err(no_node(name, nodes));
        }
        for node in nodes
            .iter_mut()
            .filter(|other| node.is_none_or(|name| other.name == name))
        {
            for (number, cable) in node.cables.iter_mut().enumerate() {
                if link.is_none_or(|link| link == number) {
                    cable.cut = cut;
                    cable.gate.set(cut);
                    wirings[number]
                        .links()
                        .set_up(&cable.port, cut != Cut::Link)?;
                }
            }
        }
        wirings.iter_mut().try_for_each(|wiring| wiring.join(nodes))
    }

    /// Injects faults, or stops doing so.
    pub(super) fn set_faults(&self, faults: Option<Faults>) -> io::Result<()> {
        let mut state = self.lock();
        let State { nodes, wirings } = &mut *state;
        wirings.iter_mut().try_for_each(|wiring| {
            wiring.set_faults(faults.clone());
            wiring.join(nodes)
        })
    }

    /// How everything is.
    pub(super) fn status(&self) -> io::Result<LabStatus> {
        self.reap();
        let mut state = self.lock();
        let State { nodes, wirings } = &mut *state;
        let mut statuses = Vec::new();
        for node in nodes.iter() {
            let mut links = Vec::new();
            for (number, cable) in node.cables.iter().enumerate() {
                let mut link = wirings[number].links().state(&cable.port)?;
                // What the port receives, the node has sent.
                std::mem::swap(&mut link.rx, &mut link.tx);
                links.push(CableStatus {
                    interface: cable.interface.clone(),
                    mac: node.mac(number),
                    cut: cable.cut,
                    link,
                });
            }
            statuses.push(NodeStatus {
                name: node.name.clone(),
                mac: links[0].mac.clone(),
                address: node.address().to_string(),
                cut: links[0].cut,
                link: links[0].link.clone(),
                links,
                daemons: node.daemons.iter().map(Daemon::status).collect(),
            });
        }
        let mut counters = SwitchCounters::default();
        wirings
            .iter()
            .for_each(|wiring| counters.add(&wiring.counters()));
        let mut kinds = wirings.iter().map(Wiring::kind);
        let kind = kinds.find(|kind| *kind == "seeded").unwrap_or("bridge");
        Ok(LabStatus {
            lab: self.plan.lab.clone(),
            supervisor_pid: 0,
            switch: kind.to_owned(),
            faults: wirings[0].faults().cloned(),
            counters,
            nodes: statuses,
        })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn node(&mut self, name: &str) -> io::Result<&mut Node> {
        let position = self.nodes.iter().position(|node| node.name == name);
        match position {
            Some(index) => Ok(&mut self.nodes[index]),
            None => Err(no_node(name, &self.nodes)),
        }
    }
}

impl Node {
    fn daemon(&mut self, name: &str) -> io::Result<&mut Daemon> {
        let names: Vec<String> = self
            .daemons
            .iter()
            .map(|daemon| daemon.name.clone())
            .collect();
        let found = self.daemons.iter_mut().find(|daemon| daemon.name == name);
        found.ok_or_else(|| {
            invalid(format!(
                "{} has no daemon {name}; it has {}",
                self.name,
                names.join(", ")
            ))
        })
    }
}

fn no_node(name: &str, nodes: &[Node]) -> io::Error {
    let names: Vec<&str> = nodes.iter().map(|node| node.name.as_str()).collect();
    invalid(format!(
        "no node {name:?} in this lab; there are {}",
        names.join(", ")
    ))
}

fn invalid(text: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, text)
}
