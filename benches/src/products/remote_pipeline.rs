//! N4, N14: messages one way, as many in flight as the setting says; what comes back is an empty reply.
//!
//! As at home (`pipeline`), the client submits and collects by bursts, and the server answers what is there at
//! once; every message is one of its own, checked, and answered one by one.

use ipc_core::{AttachOptions, Channel, MessageBatch, Pipeline, PipelineOptions};

use crate::method::{Arm, Side, Stopwatch};
use crate::payload::{self, SMALL_LEN};
use crate::products::daemons::{CLIENT_QNET, SERVER_QNET};
use crate::products::remote::{SERVER_SIDE, attach_with, nodes, serve};
use crate::setting::Setting;
use crate::sys::counter::CallCounter;

/// Messages that the server takes at once.
const BATCH: usize = 128;

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
        Ok(Box::new(Server {
            channel: serve(setting, stage)?,
            batch: MessageBatch::with_capacity(BATCH),
            number: 0,
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
        let options = AttachOptions {
            slots: depth.next_power_of_two(),
            ..AttachOptions::default()
        };
        let connection = attach_with(setting, client, stage.heard[SERVER_SIDE], &options)?;
        let options = PipelineOptions {
            depth,
            len_max: SMALL_LEN,
            reply_len_max: 0,
        };
        Ok(Box::new(Client {
            pipeline: Pipeline::new(connection, &options)?,
            counters,
            number: 0,
        }))
    })
}

struct Server {
    channel: Channel,
    batch: MessageBatch,
    number: u64,
}

impl Side for Server {
    fn run(&mut self, rounds: u32, _: &mut Stopwatch) -> crate::Result<()> {
        let last = self.number + u64::from(rounds);
        while self.number < last {
            if let Some(pulse) = self.channel.receive_batch(&mut self.batch)? {
                return Err(format!("a pulse where messages were due: {pulse:?}").into());
            }
            let mut wrong = None;
            self.batch.reply_each(|message, _| {
                self.number += 1;
                let mut bytes = [0; SMALL_LEN];
                message.read(0, &mut bytes)?;
                if let Err(error) = payload::check_small(&bytes, self.number) {
                    wrong = Some(error);
                }
                Ok(0)
            })?;
            if let Some(error) = wrong {
                return Err(error);
            }
        }
        Ok(())
    }
}

struct Client {
    pipeline: Pipeline,
    counters: Vec<CallCounter>,
    /// Of the last message submitted.
    number: u64,
}

impl Client {
    fn submit(&mut self, count: u32) -> crate::Result<()> {
        for _ in 0..count {
            self.number += 1;
            self.pipeline.submit(&payload::small(self.number))?;
        }
        self.pipeline.flush();
        Ok(())
    }

    /// Takes the replies that are there, at least one.
    fn collect(&mut self) -> crate::Result<u32> {
        self.pipeline.wait(None)?;
        let mut taken = 0;
        while let Some(answer) = self.pipeline.try_next() {
            answer.result?;
            taken += 1;
        }
        Ok(taken)
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
    /// Records the mean interval between the completions that were taken together.
    fn run(&mut self, rounds: u32, watch: &mut Stopwatch) -> crate::Result<()> {
        let before = self.calls()?;
        let (mut to_go, mut last) = (rounds, watch.now());
        while to_go > 0 || self.pipeline.in_flight() > 0 {
            let room = self.pipeline.depth() - self.pipeline.in_flight();
            let count = to_go.min(room as u32);
            self.submit(count)?;
            to_go -= count;
            let taken = self.collect()?;
            let now = watch.now();
            watch.record((now - last) / u64::from(taken));
            last = now;
        }
        watch.count(self.calls()? - before);
        Ok(())
    }
}
