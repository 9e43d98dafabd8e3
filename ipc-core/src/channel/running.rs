//! The priority that a receiving thread runs at: that of what it received, until its next receive (PRI-1).
//!
//! Only a thread that runs under a real-time policy (SCHED_FIFO, SCHED_RR) follows its senders. An ordinary
//! one stays ordinary: on Linux the step into a real-time class is not one of degree, and a server that loops
//! there takes a processor from everybody else, so it is for the program to make. The policy is asked for
//! once per thread; the kernel is told only when the priority changes.

use std::cell::Cell;

use crate::{
    abi::{ChannelFlags, Errno, Priority},
    channel::Inner,
    sys::thread,
};

/// Whether the calling thread runs at the priority of what it received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Following {
    /// It received nothing yet, or nothing since it was told to look at its policy again.
    Unknown,
    /// It does not run under a real-time policy, and keeps its own priority.
    Ordinary,
    /// It runs at this real-time priority, 1..=99.
    RealTime(i32),
    /// The system refused: `RLIMIT_RTPRIO` is too low and the process has no `CAP_SYS_NICE`. It keeps the
    /// priority it had; [`ChannelStats::priorities_refused`](crate::ChannelStats) counts how often.
    Refused(i32),
}

thread_local! {
    static FOLLOWING: Cell<Following> = const { Cell::new(Following::Unknown) };
}

/// How the calling thread's priority follows its senders'. Of a channel with `FIXED_PRIORITY` nobody's does.
pub fn following() -> Following {
    FOLLOWING.get()
}

/// Has the calling thread look at its policy again with its next receive: to be called after the policy
/// was changed.
pub fn forget_policy() {
    FOLLOWING.set(Following::Unknown);
}

/// The real-time priority of messages sent at `priority`: the same number, as far as there are as many.
fn real_time(priority: Priority) -> i32 {
    i32::from(priority).clamp(1, 99)
}

/// Something of this priority was received on the channel by the calling thread.
pub(super) fn follow(channel: &Inner, priority: Priority) {
    let current = FOLLOWING.get();
    let fixed = ChannelFlags::FIXED_PRIORITY | ChannelFlags::ROUTER;
    if current == Following::Ordinary || channel.flags.intersects(fixed) {
        return;
    }
    let now = match current {
        Following::Unknown => {
            // From now on the thread's end is noticed (CHN-5).
            thread::current_tid();
            thread::real_time_priority()
        }
        Following::RealTime(now) | Following::Refused(now) => Some(now),
        Following::Ordinary => None,
    };
    let Some(now) = now else {
        FOLLOWING.set(Following::Ordinary);
        return;
    };
    let wanted = real_time(priority);
    let outcome = if wanted == now {
        Ok(())
    } else {
        thread::set_real_time_priority(wanted)
    };
    FOLLOWING.set(match outcome {
        Ok(()) => Following::RealTime(wanted),
        Err(Errno::EPERM) => {
            channel.counters.priorities_refused.add_one();
            Following::Refused(now)
        }
        // The thread left its real-time policy meanwhile.
        Err(_) => Following::Ordinary,
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    // covers: PRI-1
    #[test]
    fn priorities_keep_their_order_and_stay_in_the_systems_bounds() {
        let mapped: Vec<i32> = (0..=Priority::MAX).map(real_time).collect();
        assert!(mapped.is_sorted());
        assert_eq!(
            (mapped[0], mapped[10], mapped[63], mapped[255]),
            (1, 10, 63, 99)
        );
    }
}
