//! How exactly the network-handler thread ends its sleeps.

use std::io;

/// Has the calling thread's timed sleeps end when they are to, and not up to 50 us later, as the kernel has it
/// otherwise to end several with one interrupt. Real-time threads have no such slack.
///
/// # Errors
/// What the kernel answers.
pub fn ask_for_exact_sleeps() -> io::Result<()> {
    // 0 would bring back what the thread began with.
    let slack_ns: libc::c_ulong = 1;
    // SAFETY: no memory is passed.
    match unsafe { libc::prctl(libc::PR_SET_TIMERSLACK, slack_ns) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sleeps_have_no_slack_in_the_thread_that_asked() {
        let slack = || {
            // SAFETY: no memory is passed.
            unsafe { libc::prctl(libc::PR_GET_TIMERSLACK) }
        };
        let before = slack();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                ask_for_exact_sleeps().expect("any thread may ask");
                assert!(slack() <= 1);
            });
        });
        assert_eq!(slack(), before);
    }
}
