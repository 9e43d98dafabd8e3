//! N4, N14: messages one way, as many in flight as the setting says; what comes back is an empty reply.

use ipc_core::{CompletionQueue, Connection};

use crate::method::{Arm, Side, Stopwatch, silent};
use crate::payload::{self, SMALL_LEN};
use crate::products::daemons::{CLIENT_QNET, SERVER_QNET};
use crate::products::receive_message;
use crate::products::remote::{SERVER_SIDE, attach_queue, nodes, serve};
use crate::setting::Setting;
use crate::sys::counter::CallCounter;

/// Messages a second.
///
/// # Errors
/// What keeps a daemon from starting, or the client from attaching.
pub fn arm(setting: &Setting) -> crate::Result<Arm> {
    build(setting, "remote, in flight", false)
}

/// The same, and the system calls of both nodes' qnet are counted, wakes of blocked clients aside.
///
/// # Errors
/// As [`arm`], and tracing not permitted.
pub fn counted(setting: &Setting) -> crate::Result<Arm> {
    build(setting, "qnet calls", true)
}

fn build(setting: &Setting, name: &'static str, counts: bool) -> crate::Result<Arm> {
    let [client, _] = setting.nodes()?;
    let depth = setting.load.depth;
    nodes(setting, name, |setting, stage| {
        let channel = serve(setting, stage)?;
        Ok(silent(move |number| {
            let message = receive_message(&channel)?;
            let mut bytes = [0; SMALL_LEN];
            message.read(0, &mut bytes)?;
            payload::check_small(&bytes, number)?;
            Ok(message.reply(0, &[])?)
        }))
    })?
    .seat(setting.client(), |stage| {
        let mut counters = Vec::new();
        if counts {
            for side in [SERVER_QNET, CLIENT_QNET] {
                counters.push(
                    CallCounter::of_process(stage.heard[side][0] as u32).map_err(|fault| {
                        format!("cannot count system calls: {fault}; it needs root")
                    })?,
                );
            }
        }
        let queue = CompletionQueue::new()?;
        let connection = attach_queue(setting, client, stage.heard[SERVER_SIDE], &queue)?;
        Ok(Box::new(Client {
            connection,
            queue,
            counters,
            depth,
            number: 0,
        }))
    })
}

struct Client {
    connection: Connection,
    queue: CompletionQueue,
    counters: Vec<CallCounter>,
    depth: u32,
    number: u64,
}

impl Client {
    fn submit(&mut self) -> crate::Result<()> {
        self.number += 1;
        let mut loan = self.connection.loan(SMALL_LEN, 0)?;
        loan.write(0, &payload::small(self.number));
        Ok(self.connection.submit(loan, self.number)?)
    }

    fn calls(&self) -> crate::Result<u64> {
        let mut sum = 0;
        for counter in &self.counters {
            sum += counter.count()?;
        }
        Ok(sum)
    }
}

impl Side for Client {
    fn run(&mut self, rounds: u32, watch: &mut Stopwatch) -> crate::Result<()> {
        let before = self.calls()?;
        let (mut to_go, mut in_flight) = (rounds, 0);
        while to_go > 0 || in_flight > 0 {
            while to_go > 0 && in_flight < self.depth {
                self.submit()?;
                to_go -= 1;
                in_flight += 1;
            }
            self.queue.next(None)?.result?;
            in_flight -= 1;
            while let Some(completion) = self.queue.try_next() {
                completion.result?;
                in_flight -= 1;
            }
            watch.lap();
        }
        watch.count(self.calls()? - before);
        Ok(())
    }
}
