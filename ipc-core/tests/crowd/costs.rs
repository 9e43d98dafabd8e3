//! What a process holds, by the kernel's own books.

use std::{
    fmt, fs, thread,
    time::{Duration, Instant},
};

/// Bytes that the channel keeps once it was used by many: its doorbell.
const DOORBELL_LEN: f64 = 8192.0;

/// More descriptors than there should be are a leak after this long.
const GIVE_UP: Duration = Duration::from_secs(60);

/// Descriptors, threads, and bytes of regions that were touched.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Costs {
    pub(crate) descriptors: f64,
    pub(crate) threads: f64,
    /// Bytes of all shared mappings of regions that this process has touched.
    pub(crate) touched: f64,
    /// Bytes of everything else that is resident.
    pub(crate) private: f64,
}

impl Costs {
    pub(crate) fn now() -> Costs {
        let status = fs::read_to_string("/proc/self/status").expect("it is mounted");
        let kib = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            let text = line.expect("the kernel says so").trim();
            let number: f64 = text.trim_end_matches(" kB").parse().expect("a number");
            number * 1024.0
        };
        Costs {
            descriptors: entries("/proc/self/fd"),
            threads: entries("/proc/self/task"),
            touched: kib("RssShmem:"),
            private: kib("RssAnon:"),
        }
    }

    pub(crate) fn since(&self, before: &Costs) -> Costs {
        Costs {
            descriptors: self.descriptors - before.descriptors,
            threads: self.threads - before.threads,
            touched: self.touched - before.touched,
            private: self.private - before.private,
        }
    }

    pub(crate) fn per(&self, count: usize) -> Costs {
        let count = count as f64;
        Costs {
            descriptors: self.descriptors / count,
            threads: self.threads / count,
            touched: self.touched / count,
            private: self.private / count,
        }
    }

    /// What came since, for each of `count`, once it is no more than `descriptors_max` each: an attach has some for a
    /// moment longer than its answer takes.
    pub(crate) fn settled(&self, count: usize, descriptors_max: f64) -> Costs {
        let end = Instant::now() + GIVE_UP;
        loop {
            let costs = Costs::now().since(self).per(count);
            if costs.descriptors <= descriptors_max {
                return costs;
            }
            assert!(Instant::now() < end, "{costs}");
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// Waits until what came since has gone again. What is never given back is waited for for ever.
    pub(crate) fn until_given_back(&self) {
        let is_back = || {
            let now = Costs::now().since(self);
            now.descriptors <= 0.0 && now.threads <= 0.0 && now.touched <= DOORBELL_LEN
        };
        while !is_back() {
            thread::sleep(Duration::from_millis(5));
        }
    }
}

impl fmt::Display for Costs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:.2} descriptors, {:.0} bytes of shared memory touched, {:.0} bytes of its own, {:.2} threads for each",
            self.descriptors, self.touched, self.private, self.threads
        )
    }
}

/// Bytes of address space that this process has mapped.
pub(crate) fn address_space() -> usize {
    let statm = fs::read_to_string("/proc/self/statm").expect("it is mounted");
    let pages: usize = statm
        .split(' ')
        .next()
        .and_then(|pages| pages.parse().ok())
        .expect("a number");
    pages * 4096
}

fn entries(dir: &str) -> f64 {
    fs::read_dir(dir).expect("it is mounted").count() as f64
}
