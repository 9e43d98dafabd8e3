//! One child process, as the supervisor holds it.

use std::{
    io::{self, BufRead, BufReader, Write},
    process::{self, ChildStdin, Stdio},
    sync::mpsc,
    thread,
    time::Instant,
};

use super::{
    account::Counts, protocol::Command, protocol::Line, random::mix, resources::Resources,
};

/// What a child is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    Server,
    Client,
}

/// A child among its kind, in one of its lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Name {
    pub(super) kind: Kind,
    pub(super) index: u32,
    pub(super) life: u64,
}

/// What the supervisor hears of its children.
#[derive(Debug)]
pub(super) enum Heard {
    Said(Name, Line),
    /// A line that is none: what a library prints, say.
    Noise(Name, String),
    Ended(Name),
    /// The user wants it to end.
    Interrupted,
}

/// A running child. Killed when it is dropped.
pub(super) struct Child {
    pub(super) name: Name,
    process: process::Child,
    told: ChildStdin,
    /// A server's channels, once it said them.
    pub(super) chids: Vec<i32>,
    /// A client's books when it was last looked at.
    pub(super) counts: Counts,
    /// What it held at its first rest.
    pub(super) resources: Option<Resources>,
    /// Since when it owes an answer.
    pub(super) owes_since: Option<Instant>,
}

impl Child {
    /// Starts a child; what it says goes to `heard`.
    pub(super) fn start(
        name: Name,
        seed: u64,
        threads: u32,
        heard: &mpsc::Sender<Heard>,
    ) -> io::Result<Child> {
        let role = match name.kind {
            Kind::Server => "server",
            Kind::Client => "client",
        };
        let seed = mix(seed ^ mix(u64::from(name.index) << 40 | name.life << 1 | name.kind as u64));
        let mut process = process::Command::new("/proc/self/exe")
            .args([role, &seed.to_string(), &threads.to_string()])
            .env("QNET_RUNTIME_DIR", ipc_core::runtime_dir())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let told = process.stdin.take().expect("invariant: it was piped");
        let said = process.stdout.take().expect("invariant: it was piped");
        let heard = heard.clone();
        thread::spawn(move || {
            for line in BufReader::new(said).lines().map_while(Result::ok) {
                let what = match serde_json::from_str(&line) {
                    Ok(line) => Heard::Said(name, line),
                    Err(_) => Heard::Noise(name, line),
                };
                if heard.send(what).is_err() {
                    return;
                }
            }
            // A supervisor that no longer listens has ended itself.
            let _ = heard.send(Heard::Ended(name));
        });
        Ok(Child {
            name,
            process,
            told,
            chids: Vec::new(),
            counts: Counts::default(),
            resources: None,
            owes_since: None,
        })
    }

    pub(super) fn pid(&self) -> i32 {
        self.process.id().cast_signed()
    }

    /// Tells the child something; one that died meanwhile is noticed by its end.
    pub(super) fn tell(&mut self, command: &Command) {
        if matches!(command, Command::Look | Command::Rest) {
            self.owes_since.get_or_insert_with(Instant::now);
        }
        let _ = self.told.write_all(command.encode().as_bytes());
    }

    /// Kills the child as `kill -9` does; answers how it ended.
    pub(super) fn kill(&mut self) -> String {
        // It may have ended by itself; the status says so.
        let _ = self.process.kill();
        match self.process.wait() {
            Ok(status) => status.to_string(),
            Err(error) => error.to_string(),
        }
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        self.kill();
    }
}
