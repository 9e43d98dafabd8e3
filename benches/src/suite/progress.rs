//! How far the run is, on a terminal.

use indicatif::{ProgressBar, ProgressStyle};

/// A bar with the plan at hand and the time still to go; nothing where standard error is no terminal.
///
/// It is drawn when something has been done, never by a thread of its own: the bench forks, and a thread
/// would take CPU time from what is measured.
#[derive(Debug)]
pub(super) struct Progress {
    bar: ProgressBar,
}

impl Progress {
    pub(super) fn new(steps: u64) -> Progress {
        let style = ProgressStyle::with_template("{bar:30} {percent:>3} %  {msg}  {eta} to go")
            .unwrap_or_else(|_| ProgressStyle::default_bar());
        let bar = ProgressBar::new(steps).with_style(style);
        Progress { bar }
    }

    /// Says what is being measured.
    pub(super) fn show(&self, what: String) {
        self.bar.set_message(what);
    }

    /// A step is done.
    pub(super) fn step(&self) {
        self.bar.inc(1);
    }

    /// Puts the bar where `steps` are done, when a plan needed fewer than thought.
    pub(super) fn jump(&self, steps: u64) {
        self.bar.set_position(steps);
    }

    /// A line above the bar.
    pub(super) fn tell(&self, line: &str) {
        self.bar.suspend(|| eprintln!("benches: {line}"));
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
