//! Starts the children, looks, rests, kills, and judges what comes back.

use std::{
    io,
    process::ExitCode,
    sync::mpsc::{self, RecvTimeoutError},
    thread,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use ipc_core::{abi::Pid, set_runtime_dir, snapshot};
use nix::sys::signal::{SigSet, Signal};

use super::{
    account::Counts,
    child::{Child, Heard, Kind, Name},
    options::Options,
    protocol::{Command, Line},
    random::{Random, mix},
    report::Report,
};

/// How often the children's books are looked at.
const LOOK_EVERY: Duration = Duration::from_millis(100);

const PROGRESS_EVERY: Duration = Duration::from_secs(5);

/// How far a rest has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Running,
    ClientsGoToRest,
    ServersGoToRest,
}

struct Supervisor<'a> {
    options: &'a Options,
    children: Vec<Child>,
    lives: u64,
    random: Random,
    phase: Phase,
    heard: mpsc::Receiver<Heard>,
    sender: mpsc::Sender<Heard>,
    report: Report,
    /// The books of clients that were killed.
    closed: Counts,
    started: Instant,
    progress_at: Instant,
    look_at: Instant,
    kill_at: Instant,
    rest_at: Instant,
}

/// Runs the whole soak.
pub(super) fn run(options: &Options) -> ExitCode {
    let outcome = runtime_folder().and_then(|folder| {
        let report = soak(options, &folder);
        std::fs::remove_dir_all(&folder)?;
        report
    });
    let report = match outcome {
        Ok(report) => report,
        Err(error) => {
            eprintln!("ipc-soak: it cannot run: {error}");
            return ExitCode::from(2);
        }
    };
    report.print_progress(options.duration);
    if let Some(file) = &options.json
        && let Err(error) = report.write_json(file)
    {
        eprintln!("ipc-soak: {}: {error}", file.display());
        return ExitCode::from(2);
    }
    if report.violation_count > 0 {
        println!(
            "FAILED: seed {}; run it again with --seed {}",
            report.seed, report.seed
        );
        return ExitCode::FAILURE;
    }
    println!("ok: seed {}", report.seed);
    ExitCode::SUCCESS
}

/// A runtime directory of the soak's own.
fn runtime_folder() -> io::Result<std::path::PathBuf> {
    let folder = std::env::temp_dir().join(format!("ipc-soak-{}", std::process::id()));
    std::fs::create_dir(&folder)?;
    Ok(folder)
}

fn soak(options: &Options, folder: &std::path::Path) -> io::Result<Report> {
    set_runtime_dir(folder.to_path_buf());
    let (sender, heard) = mpsc::channel();
    catch_signals(sender.clone())?;
    let seed = options.seed.unwrap_or_else(any_seed);
    println!("seed {seed}");
    let now = Instant::now();
    let mut supervisor = Supervisor {
        options,
        children: Vec::new(),
        lives: 0,
        random: Random::new(seed),
        phase: Phase::Running,
        heard,
        sender,
        report: Report {
            seed,
            ..Report::default()
        },
        closed: Counts::default(),
        started: now,
        progress_at: now + PROGRESS_EVERY,
        look_at: now + LOOK_EVERY,
        kill_at: now + options.kill_every,
        rest_at: now + options.rest_every,
    };
    supervisor.run()?;
    Ok(supervisor.report)
}

impl Supervisor<'_> {
    fn run(&mut self) -> io::Result<()> {
        for index in 0..self.options.servers {
            self.start(Kind::Server, index)?;
        }
        for index in 0..self.options.clients {
            self.start(Kind::Client, index)?;
        }
        let end = self.started + self.options.duration;
        let mut resting_to_end = false;
        loop {
            let due = self.look_at.min(Instant::now() + LOOK_EVERY);
            match self
                .heard
                .recv_timeout(due.saturating_duration_since(Instant::now()))
            {
                Ok(Heard::Interrupted) => {
                    self.report.interrupted = true;
                    break;
                }
                Ok(heard) => self.hear(heard)?,
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => {
                    unreachable!("invariant: one sender is ours")
                }
            }
            self.report.seconds = self.started.elapsed().as_secs_f64();
            if self.has_stalled() {
                break;
            }
            if self.phase != Phase::Running {
                continue;
            }
            // The last thing is a rest, so that what was sent is accounted for to the end.
            if resting_to_end {
                break;
            }
            if Instant::now() >= end {
                resting_to_end = true;
                self.go_to_rest();
            } else {
                self.act()?;
            }
        }
        self.sum_up();
        // Killed: what that leaves behind is in the soak's own folder, and goes with it.
        self.children.clear();
        Ok(())
    }

    /// Does what is due while everything runs.
    fn act(&mut self) -> io::Result<()> {
        let now = Instant::now();
        if now >= self.look_at {
            self.look_at = now + LOOK_EVERY;
            self.report.looks += 1;
            for child in self
                .children
                .iter_mut()
                .filter(|child| child.name.kind == Kind::Client)
            {
                child.tell(&Command::Look);
            }
        }
        if now >= self.progress_at {
            self.progress_at = now + PROGRESS_EVERY;
            self.sum_up();
            self.report.print_progress(self.options.duration);
        }
        if now >= self.rest_at {
            self.go_to_rest();
        } else if !self.options.kill_every.is_zero() && now >= self.kill_at {
            let twice_ms = 2 * self.options.kill_every.as_millis() as u64;
            self.kill_at = now + Duration::from_millis(self.random.below(twice_ms + 1));
            self.kill_one()?;
        }
        Ok(())
    }

    fn hear(&mut self, heard: Heard) -> io::Result<()> {
        let (name, line) = match heard {
            Heard::Said(name, line) => (name, line),
            Heard::Noise(name, text) => {
                println!("{}: {text}", who(name));
                return Ok(());
            }
            Heard::Ended(name) => return self.ended(name),
            Heard::Interrupted => return Ok(()),
        };
        let Some(at) = self.children.iter().position(|child| child.name == name) else {
            // Killed, after it said this.
            if let Line::Violation(what) = line {
                self.report.violation(&who(name), &what);
            }
            return Ok(());
        };
        self.children[at].owes_since = None;
        match line {
            Line::Violation(what) => self.report.violation(&who(name), &what),
            Line::Ready { chids } => {
                self.children[at].chids = chids;
                self.tell_of_servers();
            }
            Line::Look(counts) => self.looked(at, counts),
            Line::ClientRests { counts, resources } => {
                self.looked(at, counts);
                if counts.in_flight > 0 {
                    self.report
                        .violation(&who(name), &format!("in flight at rest: {counts:?}"));
                }
                if let Some(resources) = resources {
                    self.held(at, resources);
                }
                self.rest_on();
            }
            Line::ServerRests { served, resources } => {
                if name.index == 0 {
                    self.report.served = served;
                }
                self.held(at, resources);
                self.rest_on();
            }
        }
        Ok(())
    }

    fn looked(&mut self, at: usize, counts: Counts) {
        if !counts.is_balanced() {
            let who = who(self.children[at].name);
            self.report
                .violation(&who, &format!("the books do not balance: {counts:?}"));
        }
        self.children[at].counts = counts;
    }

    /// Compares what a child holds at a rest with its first.
    fn held(&mut self, at: usize, resources: super::resources::Resources) {
        let child = &mut self.children[at];
        match &child.resources {
            None => child.resources = Some(resources),
            Some(first) => {
                if let Some(grown) = resources.growth_since(first) {
                    let who = who(child.name);
                    self.report.violation(&who, &grown);
                }
            }
        }
    }

    /// A child's output ended: it was killed by us, or it should not have.
    fn ended(&mut self, name: Name) -> io::Result<()> {
        let Some(at) = self.children.iter().position(|child| child.name == name) else {
            return Ok(());
        };
        let mut child = self.children.remove(at);
        let how = child.kill();
        self.report
            .violation(&who(name), &format!("ended by itself: {how}"));
        self.close_books(&child);
        self.start(name.kind, name.index)
    }

    fn start(&mut self, kind: Kind, index: u32) -> io::Result<()> {
        self.lives += 1;
        let name = Name {
            kind,
            index,
            life: self.lives,
        };
        let child = Child::start(name, self.report.seed, self.options.threads, &self.sender)?;
        self.children.push(child);
        self.tell_of_servers();
        Ok(())
    }

    /// Tells all clients which channels there are, the steady server's first.
    fn tell_of_servers(&mut self) {
        let mut servers: Vec<&Child> = self.of(Kind::Server).collect();
        servers.sort_by_key(|server| server.name.index);
        if servers
            .first()
            .is_none_or(|first| first.name.index > 0 || first.chids.is_empty())
        {
            return;
        }
        let places = servers
            .iter()
            .flat_map(|server| server.chids.iter().map(|chid| (server.pid(), *chid)));
        let command = Command::Servers(places.collect());
        for child in self
            .children
            .iter_mut()
            .filter(|child| child.name.kind == Kind::Client)
        {
            child.tell(&command);
        }
    }

    fn kill_one(&mut self) -> io::Result<()> {
        let mortal: Vec<usize> = (0..self.children.len())
            .filter(|at| self.children[*at].name.index > 0)
            .collect();
        if mortal.is_empty() {
            return Ok(());
        }
        let mut child = self
            .children
            .remove(mortal[self.random.len_below(mortal.len())]);
        child.kill();
        match child.name.kind {
            Kind::Server => self.report.server_kills += 1,
            Kind::Client => self.report.client_kills += 1,
        }
        self.close_books(&child);
        self.start(child.name.kind, child.name.index)
    }

    fn close_books(&mut self, child: &Child) {
        let mut counts = child.counts;
        self.report.died_in_flight += counts.in_flight;
        counts.in_flight = 0;
        counts.oldest_ms = 0;
        self.closed.add(&counts);
    }

    fn go_to_rest(&mut self) {
        self.phase = Phase::ClientsGoToRest;
        for child in self
            .children
            .iter_mut()
            .filter(|child| child.name.kind == Kind::Client)
        {
            child.tell(&Command::Rest);
        }
    }

    /// The next step of a rest, once all who were asked have answered.
    fn rest_on(&mut self) {
        if self.children.iter().any(|child| child.owes_since.is_some()) {
            return;
        }
        match self.phase {
            Phase::Running => {}
            Phase::ClientsGoToRest => {
                self.phase = Phase::ServersGoToRest;
                for child in self
                    .children
                    .iter_mut()
                    .filter(|child| child.name.kind == Kind::Server)
                {
                    child.tell(&Command::Rest);
                }
            }
            Phase::ServersGoToRest => {
                self.phase = Phase::Running;
                self.report.rests += 1;
                let now = Instant::now();
                self.rest_at = now + self.options.rest_every;
                for child in self
                    .children
                    .iter_mut()
                    .filter(|child| child.name.kind == Kind::Client)
                {
                    child.tell(&Command::Go);
                }
            }
        }
    }

    /// Whether somebody waits for something that will not come.
    fn has_stalled(&mut self) -> bool {
        let stall = self.options.stall;
        let late = self.children.iter().find(|child| {
            let is_silent = child
                .owes_since
                .is_some_and(|since| since.elapsed() > stall);
            is_silent || Duration::from_millis(child.counts.oldest_ms) > stall
        });
        let Some(child) = late else {
            return false;
        };
        let what = format!(
            "nothing has moved for {} s: {:?}, in phase {:?}",
            stall.as_secs(),
            child.counts,
            self.phase
        );
        let who = who(child.name);
        for server in self.of(Kind::Server) {
            eprintln!(
                "server {}: {:?}",
                server.name.index,
                snapshot(Pid(server.pid()))
            );
        }
        self.report.violation(&who, &what);
        true
    }

    fn sum_up(&mut self) {
        let mut sum = self.closed;
        for child in &self.children {
            sum.add(&child.counts);
        }
        self.report.counts = sum;
    }

    fn of(&self, kind: Kind) -> impl Iterator<Item = &Child> {
        self.children
            .iter()
            .filter(move |child| child.name.kind == kind)
    }
}

fn who(name: Name) -> String {
    let kind = match name.kind {
        Kind::Server => "server",
        Kind::Client => "client",
    };
    format!("{kind} {} in life {}", name.index, name.life)
}

/// Turns Ctrl-C and SIGTERM into a word to the supervisor. Children inherit the blocked signals, and so end
/// when the supervisor says, not when the terminal does.
fn catch_signals(sender: mpsc::Sender<Heard>) -> io::Result<()> {
    let mut signals = SigSet::empty();
    signals.add(Signal::SIGINT);
    signals.add(Signal::SIGTERM);
    signals.thread_block()?;
    thread::spawn(
        move || {
            while signals.wait().is_ok() && sender.send(Heard::Interrupted).is_ok() {}
        },
    );
    Ok(())
}

fn any_seed() -> u64 {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    mix(now.as_nanos() as u64 ^ u64::from(std::process::id())) >> 16
}
