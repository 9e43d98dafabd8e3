//! L10: one thread keeps many messages in flight and takes their completions in any order.

use ipc_core::{AttachOptions, Completion, CompletionQueue, Connection};

use crate::method::{Arm, Side, Stopwatch, silent};
use crate::payload::{self, SMALL_LEN};
use crate::products::{attach_with, receive_message, serve};
use crate::setting::Setting;

/// Messages in flight at once.
const DEPTH: u64 = 64;

/// Builds the arm.
///
/// # Errors
/// What creating the channel or attaching answers.
pub fn arm(setting: &Setting) -> crate::Result<Arm> {
    setting
        .arm("64 in flight")
        .seat(setting.server(), |stage| {
            let channel = serve(setting, stage)?;
            Ok(silent(move |number| {
                let message = receive_message(&channel)?;
                let mut bytes = [0; SMALL_LEN];
                message.read(0, &mut bytes)?;
                payload::check_small(&bytes, number)?;
                Ok(message.reply(0, &bytes)?)
            }))
        })?
        .seat(setting.client(), |stage| {
            let queue = CompletionQueue::new()?;
            let options = AttachOptions {
                slots: DEPTH as u32,
                queue: Some(&queue),
                ..AttachOptions::default()
            };
            let connection = attach_with(setting, stage.heard[0], &options)?;
            Ok(Box::new(Client {
                connection,
                queue,
                number: 0,
            }))
        })
}

struct Client {
    connection: Connection,
    queue: CompletionQueue,
    number: u64,
}

impl Client {
    fn submit(&mut self) -> crate::Result<()> {
        self.number += 1;
        let mut loan = self.connection.loan(SMALL_LEN, SMALL_LEN)?;
        loan.write(0, &payload::small(self.number));
        Ok(self.connection.submit(loan, self.number)?)
    }

    fn check(completion: Completion) -> crate::Result<()> {
        let number = completion.token;
        let mut bytes = [0; SMALL_LEN];
        completion.result?.read(0, &mut bytes);
        payload::check_small(&bytes, number)
    }
}

impl Side for Client {
    fn run(&mut self, rounds: u32, watch: &mut Stopwatch) -> crate::Result<()> {
        let (mut to_go, mut in_flight) = (rounds, 0);
        while to_go > 0 || in_flight > 0 {
            while to_go > 0 && in_flight < DEPTH {
                self.submit()?;
                to_go -= 1;
                in_flight += 1;
            }
            Client::check(self.queue.next(None)?)?;
            in_flight -= 1;
            while let Some(completion) = self.queue.try_next() {
                Client::check(completion)?;
                in_flight -= 1;
                watch.lap();
            }
            watch.lap();
        }
        Ok(())
    }
}
