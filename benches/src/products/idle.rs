//! L12: a server that waits, a client that is attached, and nothing to do.
//!
//! A thread that is not scheduled makes no system call: what is counted is how often any thread of the
//! two processes was put on a CPU, as their `schedstat` tells. Zero proves zero.

use std::fs;
use std::thread;
use std::time::Duration;

use crate::method::{Arm, Seat, Side, Stopwatch, silent};
use crate::products::{attach, receive_message, serve};
use crate::setting::Setting;

/// The two processes hear of the block too: this long they may take to fall asleep again.
const SETTLING: Duration = Duration::from_millis(20);
const ROUND: Duration = Duration::from_millis(5);

/// Builds the arm: server, client, and an observer.
///
/// # Errors
/// What creating the channel or attaching answers.
pub fn arm(setting: &Setting) -> crate::Result<Arm> {
    setting
        .arm("idle")
        .seat(setting.server(), |stage| {
            let channel = serve(setting, stage)?;
            thread::spawn(move || {
                while let Ok(message) = receive_message(&channel) {
                    drop(message);
                }
            });
            Ok(silent(|_| Ok(())))
        })?
        .seat(setting.client(), |stage| {
            let connection = attach(setting, stage.heard[0])?;
            stage.notice[0] = u64::from(std::process::id());
            Ok(silent(move |_| {
                if connection.is_alive() {
                    Ok(())
                } else {
                    Err("the server is gone".into())
                }
            }))
        })?
        .seat(
            Seat {
                name: "observer",
                ..setting.client()
            },
            |stage| {
                let pids = stage.heard.iter().map(|notice| notice[0]).collect();
                Ok(Box::new(Observer { pids }))
            },
        )
}

struct Observer {
    pids: Vec<u64>,
}

impl Side for Observer {
    fn run(&mut self, rounds: u32, watch: &mut Stopwatch) -> crate::Result<()> {
        thread::sleep(SETTLING);
        let before = self.runs()?;
        for _ in 0..rounds {
            thread::sleep(ROUND);
            watch.lap();
        }
        watch.count(self.runs()? - before);
        Ok(())
    }
}

impl Observer {
    /// How often threads of the observed processes were put on a CPU so far.
    fn runs(&self) -> crate::Result<u64> {
        let mut runs = 0;
        for pid in &self.pids {
            for task in fs::read_dir(format!("/proc/{pid}/task"))? {
                let text = fs::read_to_string(task?.path().join("schedstat"))?;
                let last = text
                    .split_whitespace()
                    .nth(2)
                    .and_then(|count| count.parse::<u64>().ok());
                runs += last.ok_or("schedstat has three numbers where the kernel keeps them")?;
            }
        }
        Ok(runs)
    }
}
