//! PRI: the priority that a receiving thread runs at.

use std::thread;

use ipc_core::{
    Channel,
    abi::{ChannelFlags, PulseCode},
    channel::{Following, following, forget_policy},
    set_priority,
};

use crate::suite::{
    echo::{channel, connect, message, pulse},
    place,
};

/// Puts the calling thread under SCHED_RR; says why not, where that is not permitted.
pub(crate) fn become_real_time(priority: i32) -> bool {
    let param = libc::sched_param {
        sched_priority: priority,
    };
    // SAFETY: 0 is the calling thread, and `param` is a live structure that the call only reads.
    let answer = unsafe { libc::sched_setscheduler(0, libc::SCHED_RR, &raw const param) };
    if answer != 0 {
        println!("skipped: real-time priorities are refused here; ulimit -r shows the limit");
    }
    forget_policy();
    answer == 0
}

/// The real-time priority that the kernel knows the calling thread by, 0 for an ordinary one.
pub(crate) fn kernel_priority() -> i32 {
    let mut param = libc::sched_param { sched_priority: -1 };
    // SAFETY: 0 is the calling thread, and `param` is a live structure of the type that the call fills.
    assert_eq!(unsafe { libc::sched_getparam(0, &raw mut param) }, 0);
    param.sched_priority
}

/// Receives a message sent at each of these priorities, and answers what the kernel said of the
/// receiving thread while it had it.
fn priorities_while_serving(channel: &Channel, sent: &[u8]) -> Vec<i32> {
    let connection = connect(channel.chid());
    thread::scope(|scope| {
        scope.spawn(|| {
            for priority in sent {
                set_priority(*priority);
                connection.send(b"x", &mut []).expect("it is answered");
            }
        });
        let serve = |_: &u8| {
            let message = message(channel);
            let now = kernel_priority();
            message.reply(0, b"").expect("the client waits");
            now
        };
        sent.iter().map(serve).collect()
    })
}

// covers: PRI-1
#[test]
fn a_real_time_server_runs_at_the_priority_of_what_it_received_until_its_next_receive() {
    let channel = channel();
    thread::scope(|scope| {
        scope.spawn(|| {
            if !become_real_time(5) {
                return;
            }
            let seen = priorities_while_serving(&channel, &[7, 20, 20, 3, 0, 255]);
            assert_eq!(seen, [7, 20, 20, 3, 1, 99]);
            assert_eq!(following(), Following::RealTime(99));
            channel
                .send_pulse(12, PulseCode(1), 0)
                .expect("there is room");
            pulse(&channel);
            assert_eq!(kernel_priority(), 12);
        });
    });
    assert_eq!(channel.stats().priorities_refused, 0);
}

// covers: PRI-1, CHN-5
#[test]
fn a_channel_of_fixed_priority_leaves_its_receivers_alone() {
    let channel = place::create(ChannelFlags::FIXED_PRIORITY);
    thread::scope(|scope| {
        scope.spawn(|| {
            if become_real_time(5) {
                let seen = priorities_while_serving(&channel, &[7, 20, 3]);
                assert_eq!(seen, [5, 5, 5]);
                assert_eq!(following(), Following::Unknown);
            }
        });
    });
}

// covers: PRI-1
#[test]
fn an_ordinary_server_stays_ordinary_and_that_is_visible() {
    let channel = channel();
    thread::scope(|scope| {
        scope.spawn(|| {
            let seen = priorities_while_serving(&channel, &[7, 200]);
            assert_eq!(seen, [0, 0]);
            assert_eq!(following(), Following::Ordinary);
        });
    });
}

// covers: PRI-1
#[test]
fn a_priority_that_the_system_refuses_is_counted_and_fails_nothing() {
    // Nodes that have to be started first are to be ordinary processes.
    place::nodes();
    thread::scope(|scope| {
        scope.spawn(|| {
            // A child inherits the policy, and as another user not the right to raise its priority.
            if become_real_time(5)
                && let Some(child) = place::start_as_nobody("priority::inside_refused", "")
            {
                child.end();
            }
        });
    });
}

#[test]
#[ignore = "run by a_priority_that_the_system_refuses_is_counted_and_fails_nothing as another user"]
fn inside_refused() {
    let channel = channel();
    assert_eq!(priorities_while_serving(&channel, &[20, 30]), [5, 5]);
    assert_eq!(following(), Following::Refused(5));
    assert_eq!(channel.stats().priorities_refused, 2);
}
