//! The monotonic clock.

use std::time::Duration;

use nix::time::{ClockId, clock_gettime};

/// Nanoseconds of `CLOCK_MONOTONIC`: the same instant for every process of the machine.
pub(crate) fn monotonic_ns() -> u64 {
    let now = clock_gettime(ClockId::CLOCK_MONOTONIC).expect("CLOCK_MONOTONIC always exists");
    now.tv_sec().cast_unsigned() * 1_000_000_000 + now.tv_nsec().cast_unsigned()
}

/// A moment on this CPU, in units that only tell a short span from a long one: nanoseconds, or on x86-64 ticks of
/// the time-stamp counter, of which there are one to five in a nanosecond. It takes half as long to ask for.
#[inline]
#[cfg_attr(
    all(target_arch = "x86_64", not(miri)),
    allow(unsafe_code, reason = "an instruction that has no safe name")
)]
pub(crate) fn ticks() -> u64 {
    #[cfg(all(target_arch = "x86_64", not(miri)))]
    // SAFETY: every x86-64 processor has the instruction; it reads a counter and touches no memory. Linux lets
    // ordinary programs use it unless one forbids it to itself (PR_SET_TSC), as its own clock functions do.
    return unsafe { std::arch::x86_64::_rdtsc() };
    #[cfg(not(all(target_arch = "x86_64", not(miri))))]
    return monotonic_ns();
}

/// The instant `timeout` from now in nanoseconds of [`monotonic_ns`]; one that overflows never comes.
pub(crate) fn deadline_ns(timeout: Duration) -> u64 {
    let span_ns = u64::try_from(timeout.as_nanos()).unwrap_or(u64::MAX);
    monotonic_ns().saturating_add(span_ns)
}
