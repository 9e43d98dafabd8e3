//! A clock cheap enough to read once a round trip.
//!
//! On x86-64 with an invariant time-stamp counter a reading costs a few nanoseconds, against 25 and more
//! for the vDSO: beside a 400 ns round trip that difference would show in the ratio.

use std::time::{Duration, Instant};

/// Reads ticks; `ns_per_tick` turns differences into nanoseconds.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    ns_per_tick: f64,
    origin: Instant,
    counter: bool,
}

impl Clock {
    /// Calibrates against the monotonic clock (20 ms) where the counter can be trusted.
    pub fn calibrate() -> Clock {
        let origin = Instant::now();
        if !counter_is_invariant() {
            return Clock {
                ns_per_tick: 1.0,
                origin,
                counter: false,
            };
        }
        let first = read_counter();
        std::thread::sleep(Duration::from_millis(20));
        let ticks = read_counter().wrapping_sub(first);
        let ns_per_tick = origin.elapsed().as_nanos() as f64 / ticks as f64;
        Clock {
            ns_per_tick,
            origin,
            counter: true,
        }
    }

    /// The present, in ticks.
    #[inline(always)]
    pub fn now(&self) -> u64 {
        if self.counter {
            read_counter()
        } else {
            self.origin.elapsed().as_nanos() as u64
        }
    }

    /// What a difference of two readings is in nanoseconds.
    #[inline]
    pub fn ns(&self, ticks: u64) -> f64 {
        ticks as f64 * self.ns_per_tick
    }

    /// How many ticks `ns` nanoseconds are; none for a negative time.
    pub fn ticks(&self, ns: f64) -> u64 {
        (ns / self.ns_per_tick) as u64
    }

    /// What is read, for the report.
    pub fn source(&self) -> &'static str {
        if self.counter {
            "tsc"
        } else {
            "clock_monotonic"
        }
    }
}

#[cfg(target_arch = "x86_64")]
#[inline(always)]
fn read_counter() -> u64 {
    // SAFETY: RDTSC reads a register; every x86-64 has it, and Linux leaves it enabled for user code.
    unsafe { core::arch::x86_64::_rdtsc() }
}

#[cfg(not(target_arch = "x86_64"))]
fn read_counter() -> u64 {
    0
}

/// The kernel's own judgement: it uses the counter as its clock only when it is synchronous and invariant.
fn counter_is_invariant() -> bool {
    cfg!(target_arch = "x86_64")
        && std::fs::read_to_string(
            "/sys/devices/system/clocksource/clocksource0/current_clocksource",
        )
        .is_ok_and(|source| matches!(source.trim(), "tsc" | "kvm-clock"))
}
