//! Ctrl-C and SIGTERM as a flag, so that the bench unwinds and leaves nothing behind.

use std::sync::atomic::{AtomicBool, Ordering};

use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};

static ASKED: AtomicBool = AtomicBool::new(false);

extern "C" fn note(_signal: libc::c_int) {
    ASKED.store(true, Ordering::Relaxed);
}

/// Notes the two signals instead of dying by them.
pub fn notice() {
    set(SigHandler::Handler(note));
}

/// Dies by the two signals again: for forked children.
pub fn restore() {
    set(SigHandler::SigDfl);
}

/// Whether one of them has come.
pub fn asked() -> bool {
    ASKED.load(Ordering::Relaxed)
}

fn set(handler: SigHandler) {
    let action = SigAction::new(handler, SaFlags::empty(), SigSet::empty());
    for signal in [Signal::SIGINT, Signal::SIGTERM] {
        // SAFETY: the handler stores to an atomic and does nothing else, which is safe at any moment.
        unsafe { sigaction(signal, &action) }.expect("both signals can be handled");
    }
}
