//! A running qnet: both threads, what joins them, and the order of start and stop.

use std::{
    error, fmt,
    fs::File,
    io::{self, Read},
    os::fd::AsFd,
    sync::{Arc, mpsc},
    thread::{self, JoinHandle},
};

use ipc_core::{
    Alias, Channel, CompletionQueue,
    abi::{self, ChannelFlags, Errno, proc::PrefixFlags},
    claim_alias,
    proc::{Registration, attach_prefix},
    retire, runtime_dir,
};
use nix::{
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sched::{CpuSet, sched_setaffinity},
    sys::eventfd::{EfdFlags, EventFd},
    unistd::Pid,
};
use qnet_proto::{LinkConfig, NodeName};

use crate::{
    bridge::{Answers, Mailbox, Network, NetworkError, NetworkSetup, Request},
    config::Config,
    daemon::{StopReason, StopSignal},
    driver::{
        CaptureLink, FaultLink, FrameSocket, Interface, Link, LinkError, Mac, Poke, RingLink,
        Sieve, Tap, TapLink, ask_for_exact_sleeps, ask_for_turns,
    },
    limits::{NICE, RECEIVE_WINDOW_LEN, SLICE},
    netmgr::{self, NetManager, NetSetup, PREFIX},
};

/// A qnet that serves `/net` and moves messages between nodes.
pub struct Node {
    what: String,
    mailbox: Mailbox,
    net: Arc<Channel>,
    /// Written to by a thread that ends by itself.
    ended: Arc<EventFd>,
    registration: Option<Registration>,
    network: JoinHandle<Result<(), NetworkError>>,
    manager: JoinHandle<abi::Result<()>>,
}

/// Why qnet cannot start, or had to end. The text is meant for the operator.
#[derive(Debug)]
pub enum NodeError {
    /// The interface, the packet socket or io_uring.
    Link(LinkError),
    /// Another qnet answers for this node.
    AlreadyRunning,
    /// The runtime directory belongs to somebody else.
    NotOwner,
    /// Another node had the name before.
    NameInUse {
        /// The name.
        name: NodeName,
        /// Where the other node is.
        mac: Mac,
    },
    /// No process manager answers.
    NoProcmgr,
    /// `/net` could not be registered.
    Register(Errno),
    /// Something that every process needs was refused.
    System(&'static str, io::Error),
}

impl From<LinkError> for NodeError {
    fn from(error: LinkError) -> NodeError {
        NodeError::Link(error)
    }
}

impl From<NetworkError> for NodeError {
    fn from(error: NetworkError) -> NodeError {
        match error {
            NetworkError::Link(error) => NodeError::Link(error),
            NetworkError::NameInUse { name, mac } => NodeError::NameInUse { name, mac },
        }
    }
}

impl fmt::Display for NodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let dir = runtime_dir();
        let dir = dir.display();
        match self {
            NodeError::Link(error) => error.fmt(f),
            NodeError::AlreadyRunning => write!(
                f,
                "another qnet answers for the node at {dir} already; stop that one, or start this one \
                 with another --runtime-dir"
            ),
            NodeError::NotOwner => write!(
                f,
                "the runtime directory {dir} belongs to another user; run qnet as that user, or name a \
                 directory of your own: --runtime-dir DIR"
            ),
            NodeError::NameInUse { name, mac } => write!(
                f,
                "another node is called {name} already, that at {mac}; start this one under another name: --name NAME"
            ),
            NodeError::NoProcmgr => write!(
                f,
                "no process manager answers at {dir}; start one first: procmgr --runtime-dir {dir}"
            ),
            NodeError::Register(errno) => write!(
                f,
                "the process manager at {dir} does not let qnet register /net: {errno}; run qnet as the \
                 owner of the directory"
            ),
            NodeError::System(what, error) => write!(f, "cannot {what}: {error}"),
        }
    }
}

impl error::Error for NodeError {}

/// The outcome of setting the network-handler thread up: a ring is made by the thread that uses it.
type SetUp = Result<(), NodeError>;

impl Node {
    /// Starts both threads and registers `/net`. Returns when other processes can use it.
    ///
    /// # Errors
    /// What is missing, wrong or refused; nothing is left behind then.
    pub fn start(config: Config) -> Result<Node, NodeError> {
        let sockets = config.interfaces.iter();
        let sockets: Vec<FrameSocket> = sockets
            .map(|name| FrameSocket::packet(name, config.ethertype))
            .collect::<Result<_, _>>()?;
        Node::start_over(config, sockets)
    }

    /// As [`start`](Self::start), over sockets that are open, one for each interface of the configuration: what
    /// a simulated network needs, which has no interfaces that could be opened by name.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    ///
    /// # Panics
    /// When there are more or fewer sockets than interfaces.
    pub fn start_over(config: Config, sockets: Vec<FrameSocket>) -> Result<Node, NodeError> {
        assert_eq!(
            sockets.len(),
            config.interfaces.len(),
            "a socket for each interface"
        );
        let started = Node::try_start(config, sockets);
        if started.is_err() {
            retire();
        }
        started
    }

    fn try_start(config: Config, sockets: Vec<FrameSocket>) -> Result<Node, NodeError> {
        let interfaces: Vec<Interface> = sockets
            .iter()
            .map(|socket| socket.interface().clone())
            .collect();
        let router = ChannelFlags::ROUTER | ChannelFlags::UNBLOCK | ChannelFlags::DISCONNECT;
        let router = Arc::new(Channel::create(router).map_err(system("create a channel"))?);
        let net = Channel::create(ChannelFlags::DISCONNECT).map_err(system("create a channel"))?;
        let net = Arc::new(net);
        claim_alias(Alias::Qnet).map_err(|errno| match errno {
            Errno::EADDRINUSE => NodeError::AlreadyRunning,
            Errno::EPERM | Errno::EACCES => NodeError::NotOwner,
            errno => system("listen in the runtime directory")(errno),
        })?;

        let poke = Poke::new().map_err(|error| NodeError::System("open an eventfd", error))?;
        let mailbox = Mailbox::new(poke.clone());
        let answers = Answers::new(Arc::clone(&net));
        let ended = new_event()?;
        let links = interfaces.iter().map(|interface| LinkConfig {
            mac: interface.mac,
            mtu: interface.frame_mtu(),
        });
        let mut engine = qnet_proto::Config::new(config.name, links.collect(), entropy()?);
        engine.ethertype = config.ethertype;
        engine.seals = config.seal;
        engine.tolerance = config.tolerance;
        // A silent node must not be asked whether it lives before it would be given up.
        engine.keepalive_idle = engine.keepalive_idle.max(config.tolerance);
        engine.resolve_timeout = config.resolve_timeout;
        // As much as the system lets the socket keep; the engine demands two frames.
        let keep = sockets.iter().map(FrameSocket::receive_window_len).min();
        let keep = keep.map_or(u32::MAX, |len| u32::try_from(len).unwrap_or(u32::MAX));
        let mtu = interfaces.iter().map(|interface| interface.mtu).max();
        let least = 2 * mtu.unwrap_or(0) as u32;
        engine.receive_window_len = RECEIVE_WINDOW_LEN.min(keep).max(least);
        let sieves: io::Result<Vec<Sieve>> = sockets.iter().map(Sieve::of).collect();
        let setup = NetworkSetup {
            engine,
            sieves: sieves.map_err(|error| NodeError::System("duplicate a descriptor", error))?,
            interfaces: interfaces.clone(),
            hosts: config.hosts.clone(),
            users: config.users.clone(),
            channel: router,
            queue: Arc::new(CompletionQueue::new().map_err(system("make a completion queue"))?),
            mailbox: mailbox.clone(),
            answers: answers.clone(),
        };
        let (name, what) = (config.name, describe(&config, &interfaces));
        let names = config.interfaces.clone();
        let tap = Tap::new(names.clone());
        let wire = Wire {
            sockets,
            poke,
            tap: tap.clone(),
        };
        let network = start_network(config, wire, setup, Arc::clone(&ended))?;
        let net_setup = NetSetup {
            own: name,
            links: names,
            mailbox: mailbox.clone(),
            tap,
        };
        let manager = NetManager::new(net_setup, Arc::clone(&net), answers);
        let mut node = Node {
            what,
            mailbox,
            manager: start_manager(manager, Arc::clone(&ended))?,
            net,
            ended,
            registration: None,
            network,
        };
        match attach_prefix(PREFIX, &node.net, PrefixFlags::DIR) {
            Ok(registration) => node.registration = Some(registration),
            Err(errno) => {
                // Why it cannot start matters more than how its threads end.
                let _ = node.stop();
                return Err(match errno {
                    Errno::ESRCH => NodeError::NoProcmgr,
                    errno => NodeError::Register(errno),
                });
            }
        }
        Ok(node)
    }

    /// What runs here, for the ready notice.
    pub fn what(&self) -> &str {
        &self.what
    }

    /// Blocks until a signal asks to stop; `None` when a thread has ended by itself, and then
    /// [`Node::stop`] says why.
    ///
    /// # Errors
    /// The signal cannot be waited for.
    pub fn wait(&self, stop: &StopSignal) -> io::Result<Option<StopReason>> {
        loop {
            let mut ready = [
                PollFd::new(stop.as_fd(), PollFlags::POLLIN),
                PollFd::new(self.ended.as_fd(), PollFlags::POLLIN),
            ];
            match poll(&mut ready, PollTimeout::NONE) {
                Ok(_) | Err(nix::errno::Errno::EINTR) => {}
                Err(errno) => return Err(errno.into()),
            }
            let has_ended = ready[1].any().unwrap_or(false);
            if let Some(reason) = stop.try_take()? {
                return Ok(Some(reason));
            }
            if has_ended {
                return Ok(None);
            }
        }
    }

    /// Takes `/net` back, says goodbye to the other nodes and ends both threads.
    ///
    /// # Errors
    /// Why a thread had ended before.
    pub fn stop(self) -> Result<(), NodeError> {
        drop(self.registration);
        // A thread that has ended already needs no telling.
        let _ = netmgr::stop(&self.net);
        self.mailbox.put(Request::Stop);
        let network = self.network.join();
        let manager = self.manager.join();
        retire();
        network.map_err(|_| panicked())??;
        let served = manager.map_err(|_| panicked())?;
        served.map_err(system("receive messages for /net"))
    }
}

fn describe(config: &Config, interfaces: &[Interface]) -> String {
    let links = interfaces.iter().map(|interface| {
        let Interface { name, mac, mtu, .. } = interface;
        format!("{name} ({mac}, mtu {mtu})")
    });
    let links: Vec<String> = links.collect();
    format!("qnet {} on {}", config.name, links.join(" and "))
}

/// What the link is made of.
struct Wire {
    sockets: Vec<FrameSocket>,
    poke: Poke,
    tap: Tap,
}

fn start_network(
    config: Config,
    wire: Wire,
    setup: NetworkSetup,
    ended: Arc<EventFd>,
) -> Result<JoinHandle<Result<(), NetworkError>>, NodeError> {
    let (to, from) = mpsc::sync_channel::<SetUp>(1);
    let run = move || {
        if let Err(error) = ask_for_turns(SLICE, NICE) {
            tracing::debug!("the network-handler thread keeps its turns of the processor: {error}");
        }
        if let Err(error) = ask_for_exact_sleeps() {
            tracing::debug!("the network-handler thread sleeps longer than it means to: {error}");
        }
        let made = pin(&config.cpus)
            .and_then(|()| open_link(&config, wire, &setup))
            .and_then(|link| Network::new(setup, link).map_err(system("configure the network")))
            // A node that says it is ready is known to the others.
            .and_then(|mut network| {
                network
                    .announce()
                    .map(|()| network)
                    .map_err(NodeError::from)
            });
        let outcome = match made {
            Ok(mut network) => {
                let _ = to.send(Ok(()));
                network.run()
            }
            Err(error) => {
                let _ = to.send(Err(error));
                Ok(())
            }
        };
        let _ = ended.write(1);
        outcome
    };
    let thread = thread::Builder::new()
        .name("qnet-network".into())
        .spawn(run)
        .map_err(|error| NodeError::System("start the network-handler thread", error))?;
    match from.recv() {
        Ok(set_up) => set_up.map(|()| thread),
        Err(_) => Err(panicked()),
    }
}

fn start_manager(
    mut manager: NetManager,
    ended: Arc<EventFd>,
) -> Result<JoinHandle<abi::Result<()>>, NodeError> {
    let run = move || {
        let outcome = manager.run();
        let _ = ended.write(1);
        outcome
    };
    let thread = thread::Builder::new()
        .name("qnet-manager".into())
        .spawn(run);
    thread.map_err(|error| NodeError::System("start the resource-manager thread", error))
}

/// Keeps the calling thread on the CPUs named; on any, if none is.
fn pin(cpus: &[usize]) -> Result<(), NodeError> {
    if cpus.is_empty() {
        return Ok(());
    }
    let mut set = CpuSet::new();
    let outcome = cpus
        .iter()
        .try_for_each(|cpu| set.set(*cpu))
        .and_then(|()| sched_setaffinity(Pid::from_raw(0), &set));
    outcome.map_err(|errno| {
        let error = io::Error::new(
            io::Error::from(errno).kind(),
            format!("{errno}; name CPUs that are there and allowed (`lscpu -e`, `taskset -p $$`): --cpu 0"),
        );
        NodeError::System("run on the CPUs of --cpu", error)
    })
}

/// The ring, and around it what records the wire and what makes it bad: recordings show what the wire really
/// carried.
fn open_link(
    config: &Config,
    wire: Wire,
    setup: &NetworkSetup,
) -> Result<Box<dyn Link>, NodeError> {
    let mut ring = RingLink::open_ports(wire.sockets, wire.poke, setup.doorbells())?;
    ring.spin_for(config.spin);
    let mut link: Box<dyn Link> = Box::new(TapLink::new(ring, wire.tap));
    if let Some(path) = &config.capture {
        let capture = CaptureLink::create_ports(link, path, &config.interfaces);
        link =
            Box::new(capture.map_err(|error| NodeError::System("write the capture file", error))?);
    }
    if let Some(plan) = config.faults {
        tracing::warn!("the wire is made bad on purpose: {plan:?}");
        link = Box::new(FaultLink::new(link, plan));
    }
    Ok(link)
}

/// Fresh random bytes, so that no two lives of a node are alike.
fn entropy() -> Result<[u8; 32], NodeError> {
    let mut bytes = [0; 32];
    File::open("/dev/urandom")
        .and_then(|mut file| file.read_exact(&mut bytes))
        .map_err(|error| NodeError::System("read /dev/urandom", error))?;
    Ok(bytes)
}

fn new_event() -> Result<Arc<EventFd>, NodeError> {
    EventFd::from_value_and_flags(0, EfdFlags::EFD_CLOEXEC)
        .map(Arc::new)
        .map_err(|errno| NodeError::System("open an eventfd", errno.into()))
}

fn system(what: &'static str) -> impl Fn(Errno) -> NodeError {
    move |errno| NodeError::System(what, errno.into())
}

fn panicked() -> NodeError {
    let error = io::Error::other("it panicked; the log above says where");
    NodeError::System("go on: a thread ended", error)
}
