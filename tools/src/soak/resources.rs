//! What a process holds, from the kernel's own books.

use std::{fs, sync::OnceLock, thread, time::Duration};

use serde::{Deserialize, Serialize};

/// What a process holds at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Resources {
    pub(super) descriptors: u64,
    /// Mappings of the library's shared memory.
    pub(super) mappings: u64,
    pub(super) threads: u64,
    /// Resident KiB.
    pub(super) resident_kib: u64,
}

/// Memory that the allocator may keep from a busy time: arenas for every thread.
const RESIDENT_SLACK_KIB: u64 = 96 << 10;

/// Looks at a process at rest, and the time between two: what the monitor thread is just closing is gone
/// in the later ones, and what has leaked is there in all. Where there is more than at the first rest it looks on, as on
/// a busy machine the monitor may not have had its turn.
const LOOKS: u32 = 10;
const LOOKS_MAX: u32 = 1000;
const LOOK_EVERY: Duration = Duration::from_millis(5);

impl Resources {
    /// Those that the calling process, at rest, keeps: the fewest of several looks.
    pub(super) fn kept_by_this_process() -> Resources {
        let look = |_| {
            thread::sleep(LOOK_EVERY);
            Resources::of_this_process()
        };
        let fewer = |a: Resources, b: Resources| Resources {
            descriptors: a.descriptors.min(b.descriptors),
            mappings: a.mappings.min(b.mappings),
            threads: a.threads.min(b.threads),
            resident_kib: a.resident_kib.min(b.resident_kib),
        };
        static FIRST: OnceLock<Resources> = OnceLock::new();
        let mut kept = (1..LOOKS).map(look).fold(look(0), fewer);
        let first = FIRST.get_or_init(|| kept);
        let mut looks = LOOKS;
        while looks < LOOKS_MAX && kept.growth_since(first).is_some() {
            kept = fewer(kept, look(looks));
            looks += 1;
        }
        kept
    }

    /// Those of the calling process.
    fn of_this_process() -> Resources {
        let entries = |folder: &str| fs::read_dir(folder).map_or(0, Iterator::count) as u64;
        let maps = fs::read_to_string("/proc/self/maps").unwrap_or_default();
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let resident = resident.and_then(|text| text.trim().trim_end_matches(" kB").parse().ok());
        Resources {
            // The descriptor that reads the folder is one of them, each time.
            descriptors: entries("/proc/self/fd"),
            mappings: maps
                .lines()
                .filter(|line| line.contains("memfd:qnet-"))
                .count() as u64,
            threads: entries("/proc/self/task"),
            resident_kib: resident.unwrap_or(0),
        }
    }

    /// What there is more of than before, at a moment when there should be as much.
    pub(super) fn growth_since(&self, before: &Resources) -> Option<String> {
        let same = [
            ("descriptors", self.descriptors, before.descriptors),
            ("mappings", self.mappings, before.mappings),
            ("threads", self.threads, before.threads),
        ];
        let grown = same.into_iter().find(|(_, now, before)| now > before);
        let memory = ("KiB of memory", self.resident_kib, before.resident_kib);
        let grown =
            grown.or(Some(memory).filter(|(_, now, before)| *now > before + RESIDENT_SLACK_KIB));
        grown.map(|(what, now, before)| format!("{now} {what}, {before} at an earlier rest"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_open_file_shows_as_growth() {
        let before = Resources::of_this_process();
        let _files: Vec<_> = (0..50)
            .map(|_| fs::File::open("/dev/null").expect("there"))
            .collect();
        let after = Resources::of_this_process();
        let said = after.growth_since(&before).expect("it has grown");
        assert!(said.contains("descriptors"), "{said}");
        assert_eq!(before.growth_since(&before), None);
    }
}
