//! What a process holds that deaths of others must not leave behind.

use std::{fs, thread, time::Duration};

use ipc_core::runtime_dir;

/// Descriptors, shared mappings and threads of this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Holdings {
    descriptors: usize,
    mappings: usize,
    threads: usize,
}

impl Holdings {
    pub(crate) fn now() -> Holdings {
        let maps = fs::read_to_string("/proc/self/maps").expect("it is mounted");
        Holdings {
            descriptors: entries("/proc/self/fd"),
            mappings: maps.lines().filter(|line| line.contains("qnet-")).count(),
            threads: entries("/proc/self/task"),
        }
    }

    /// Waits until nothing more is held than this. What went is closed a moment after it went.
    pub(crate) fn must_come_back(self) {
        // A leak does not go away by itself, so this is for ever with one.
        let is_back = || {
            let now = Holdings::now();
            now.descriptors <= self.descriptors
                && now.mappings <= self.mappings
                && now.threads <= self.threads
        };
        for look in 0.. {
            if is_back() {
                return;
            }
            if look % 1000 == 999 {
                eprintln!("still held: {:?}, before: {self:?}", Holdings::now());
            }
            thread::sleep(Duration::from_millis(1));
        }
    }
}

/// Names of sockets of processes that are no more.
pub(crate) fn names_of_the_dead() -> Vec<String> {
    let names = fs::read_dir(runtime_dir()).expect("it is there").flatten();
    let names = names.filter_map(|entry| entry.file_name().into_string().ok());
    let is_dead = |name: &String| {
        let pid = name
            .strip_suffix(".sock")
            .and_then(|stem| stem.split('.').next());
        pid.and_then(|pid| pid.parse::<u32>().ok())
            .is_some_and(|pid| pid > 1 && !fs::exists(format!("/proc/{pid}")).is_ok_and(|is| is))
    };
    names.filter(is_dead).collect()
}

fn entries(dir: &str) -> usize {
    fs::read_dir(dir).expect("it is mounted").count()
}
