//! L9: eight clients saturate one server.
//!
//! What is counted is how often the server had to be woken: its voluntary context switches, each of which
//! some client ended by a system call. Waking a client that sleeps until its reply costs one in any design.

use nix::sys::resource::{UsageWho, getrusage};

use crate::method::{Arm, Seat, Side, Stopwatch};
use crate::payload::SMALL_LEN;
use crate::products::{attach, receive_message, serve, small};
use crate::setting::Setting;

const CLIENTS: u32 = 8;

/// Builds the arm.
///
/// # Errors
/// What creating the channel or attaching answers.
pub fn arm(setting: &Setting) -> crate::Result<Arm> {
    let arm = setting.arm("8 clients").seat(setting.server(), |stage| {
        let channel = serve(setting, stage)?;
        Ok(Box::new(Server { channel }))
    })?;
    (0..CLIENTS).try_fold(arm, |arm, _| {
        arm.seat(
            Seat {
                name: "one of 8 clients",
                ..setting.client()
            },
            |stage| Ok(small::asking(attach(setting, stage.heard[0])?)),
        )
    })
}

struct Server {
    channel: ipc_core::Channel,
}

impl Side for Server {
    fn run(&mut self, rounds: u32, watch: &mut Stopwatch) -> crate::Result<()> {
        let before = sleeps()?;
        for _ in 0..rounds * CLIENTS {
            let message = receive_message(&self.channel)?;
            let mut bytes = [0; SMALL_LEN];
            message.read(0, &mut bytes)?;
            message.reply(0, &bytes)?;
        }
        watch.count(sleeps()? - before);
        Ok(())
    }
}

fn sleeps() -> crate::Result<u64> {
    Ok(getrusage(UsageWho::RUSAGE_THREAD)?.voluntary_context_switches() as u64)
}
