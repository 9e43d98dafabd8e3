//! A client: threads that do everything a client can, and their books.
//!
//! - `worker` one thread: a connection after the other, and what it does through each
//! - `judge` whether a send ended as it may
//! - `flight` many messages at once: submitted, unblocked, collected

mod flight;
mod judge;
mod worker;

use std::{
    process::ExitCode,
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

use ipc_core::Connection;

use super::{
    account::{Account, Counts},
    protocol::{Command, Line, commands, say, violation},
    random::Random,
    resources::Resources,
};
use worker::Worker;

/// What the threads of one client share.
struct Shared {
    accounts: Vec<Account>,
    state: Mutex<State>,
    changed: Condvar,
    /// Some thread has had a connection.
    attached: AtomicBool,
}

#[derive(Default)]
struct State {
    /// Process and channel; those of the first process are never killed.
    servers: Vec<(i32, i32)>,
    resting: bool,
    /// Threads that have let go of everything.
    at_rest: usize,
    /// A connection that several threads use, and any of them detaches.
    common: Option<Arc<Connection>>,
}

/// Works until the supervisor is gone.
pub(super) fn run(seed: u64, threads: u32) -> ExitCode {
    say_panics();
    let shared = Arc::new(Shared {
        accounts: (0..threads).map(|_| Account::new()).collect(),
        state: Mutex::default(),
        changed: Condvar::new(),
        attached: AtomicBool::new(false),
    });
    let mut random = Random::new(seed);
    for index in 0..threads as usize {
        let mut worker = Worker::new(Arc::clone(&shared), index, random.next());
        thread::spawn(move || worker.work());
    }
    for command in commands() {
        match command {
            Command::Look => shared.say_counts(),
            Command::Servers(servers) => shared.lock().servers = servers,
            Command::Rest => shared.rest(threads as usize),
            Command::Go => {
                shared.lock().resting = false;
                shared.changed.notify_all();
            }
        }
    }
    ExitCode::SUCCESS
}

/// Makes a panic on any thread a violation.
pub(super) fn say_panics() {
    std::panic::set_hook(Box::new(|info| violation(info.to_string())));
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn counts(&self) -> Counts {
        let mut sum = Counts::default();
        for (index, account) in self.accounts.iter().enumerate() {
            let counts = account.look();
            if !counts.is_balanced() {
                violation(format!(
                    "the books of thread {index} do not balance: {counts:?}"
                ));
            }
            sum.add(&counts);
        }
        sum
    }

    fn say_counts(&self) {
        say(&Line::Look(self.counts()));
    }

    fn rest(&self, threads: usize) {
        let mut state = self.lock();
        state.resting = true;
        while state.at_rest < threads {
            state = self
                .changed
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
        drop(state.common.take());
        drop(state);
        let attached = self.attached.load(Ordering::Relaxed);
        say(&Line::ClientRests {
            counts: self.counts(),
            resources: attached.then(Resources::kept_by_this_process),
        });
    }

    /// A worker's part of a rest: waits until it is over.
    fn wait_out_rest(&self) {
        let mut state = self.lock();
        state.at_rest += 1;
        self.changed.notify_all();
        while state.resting {
            state = self
                .changed
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
        state.at_rest -= 1;
    }
}
