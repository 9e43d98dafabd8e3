//! L10: one thread keeps many messages in flight on one connection; the server takes and answers what is
//! there at once.
//!
//! Every message is one of its own: 64 bytes there, 64 back, both checked, answered one by one, delivered in
//! the order of sending. What they share is locks, doorbells and looks.

use ipc_core::abi::Errno;
use ipc_core::{AttachOptions, Channel, MessageBatch, Pipeline, PipelineOptions};

use crate::method::{Arm, Side, Stopwatch};
use crate::payload::{self, SMALL_LEN};
use crate::products::{attach_with, serve};
use crate::setting::Setting;

/// Messages that the client submits, or takes replies of, before it does the other: what is in flight is to
/// keep the server busy meanwhile.
const BURST: u32 = 128;

/// Messages that the server takes at once.
const BATCH: usize = 512;

/// Builds the arm, with as many messages in flight as the setting says.
///
/// # Errors
/// What creating the channel or attaching answers.
pub fn arm(setting: &Setting) -> crate::Result<Arm> {
    setting
        .arm("in flight")
        .seat(setting.server(), |stage| {
            let channel = serve(setting, stage)?;
            Ok(Box::new(Server {
                channel,
                batch: MessageBatch::with_capacity(BATCH),
                number: 0,
            }))
        })?
        .seat(setting.client(), |stage| {
            let depth = setting.load.depth;
            let options = AttachOptions {
                slots: depth.next_power_of_two(),
                ..AttachOptions::default()
            };
            let connection = attach_with(setting, stage.heard[0], &options)?;
            let options = PipelineOptions {
                depth,
                len_max: SMALL_LEN,
                reply_len_max: SMALL_LEN,
            };
            Ok(Box::new(Client {
                pipeline: Pipeline::new(connection, &options)?,
                depth,
                submitted: 0,
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
            self.batch.reply_each(|message, reply| {
                self.number += 1;
                let bytes: &[u8; SMALL_LEN] = message
                    .short()
                    .and_then(|b| b.try_into().ok())
                    .ok_or(Errno::EBADMSG)?;
                if let Err(error) = payload::check_small(bytes, self.number) {
                    wrong = Some(error);
                }
                reply.append(bytes);
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
    depth: u32,
    /// The numbers of the last message submitted and of the last reply taken.
    submitted: u64,
    number: u64,
}

impl Client {
    fn submit(&mut self, count: u32) -> crate::Result<()> {
        for _ in 0..count {
            self.submitted += 1;
            self.pipeline.submit(&payload::small(self.submitted))?;
        }
        self.pipeline.flush();
        Ok(())
    }

    /// Takes the replies that are there, at least one.
    fn collect(&mut self) -> crate::Result<u32> {
        self.pipeline.wait(None)?;
        let mut taken = 0;
        while taken < BURST
            && let Some(answer) = self.pipeline.try_next()
        {
            self.number += 1;
            let mut bytes = [0; SMALL_LEN];
            answer.result?.read(0, &mut bytes);
            payload::check_small(&bytes, self.number)?;
            taken += 1;
        }
        Ok(taken)
    }
}

impl Side for Client {
    /// Records the mean interval between the completions that were taken together.
    fn run(&mut self, rounds: u32, watch: &mut Stopwatch) -> crate::Result<()> {
        let (mut to_go, mut last) = (rounds, watch.now());
        while to_go > 0 || self.pipeline.in_flight() > 0 {
            let room = self.depth - self.pipeline.in_flight() as u32;
            let count = to_go.min(room).min(BURST);
            self.submit(count)?;
            to_go -= count;
            let taken = self.collect()?;
            let now = watch.now();
            watch.record((now - last) / u64::from(taken));
            last = now;
        }
        Ok(())
    }
}
