//! Both ends of a pipeline of 64-byte messages, for `pipeline` and `remote_pipeline`.
//!
//! Every message is one of its own, checked, answered one by one, delivered in the order of sending. What they
//! share is locks, doorbells and looks.

use ipc_core::abi::Errno;
use ipc_core::{AttachOptions, Channel, Connection, MessageBatch, Pipeline, PipelineOptions};

use crate::method::{Side, Stopwatch};
use crate::payload::{self, SMALL_LEN};
use crate::sys::counter::CallCounter;

/// Takes what is there at once. `ECHO`: answers with the message's own bytes, else with none.
pub(super) struct Server<const ECHO: bool> {
    channel: Channel,
    batch: MessageBatch,
    number: u64,
}

impl<const ECHO: bool> Server<ECHO> {
    /// Takes at most `batch` messages at once.
    pub(super) fn new(channel: Channel, batch: usize) -> Self {
        Server {
            channel,
            batch: MessageBatch::with_capacity(batch),
            number: 0,
        }
    }
}

impl<const ECHO: bool> Side for Server<ECHO> {
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
                    .and_then(|bytes| bytes.try_into().ok())
                    .ok_or(Errno::EBADMSG)?;
                if let Err(error) = payload::check_small(bytes, self.number) {
                    wrong = Some(error);
                }
                if ECHO {
                    reply.append(bytes);
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

/// One thread that submits and collects by turns. `ECHO`: the answers are the messages' own bytes, and checked.
pub(super) struct Client<const ECHO: bool> {
    pipeline: Pipeline,
    /// Messages that it submits, or takes replies of, before it does the other.
    burst: usize,
    /// Counters whose growth over a run is what the run counts.
    counters: Vec<CallCounter>,
    /// The numbers of the last message submitted and of the last reply taken.
    submitted: u64,
    number: u64,
}

impl<const ECHO: bool> Client<ECHO> {
    /// Keeps `depth` messages in flight on a connection that was attached with [`options`].
    ///
    /// # Errors
    /// As [`Pipeline::new`].
    pub(super) fn new(connection: Connection, depth: u32, burst: u32) -> crate::Result<Self> {
        let options = PipelineOptions {
            depth,
            len_max: SMALL_LEN,
            reply_len_max: if ECHO { SMALL_LEN } else { 0 },
        };
        Ok(Client {
            pipeline: Pipeline::new(connection, &options)?,
            burst: burst as usize,
            counters: Vec::new(),
            submitted: 0,
            number: 0,
        })
    }

    /// The same, counting system calls besides.
    pub(super) fn counting(self, counters: Vec<CallCounter>) -> Self {
        Client { counters, ..self }
    }

    fn submit(&mut self, count: u32) -> crate::Result<()> {
        for _ in 0..count {
            self.submitted += 1;
            self.pipeline.submit(&payload::small(self.submitted))?;
        }
        self.pipeline.flush();
        Ok(())
    }

    /// Takes the replies that are there. Waits for one when there is no room for a burst of messages, or none left
    /// to send: who waited before would have fewer in flight than it may, whenever the server is the faster side.
    fn collect(&mut self, is_last: bool) -> crate::Result<u32> {
        let room = self.pipeline.depth() - self.pipeline.in_flight();
        if is_last || room < self.burst {
            self.pipeline.wait(None)?;
        }
        let mut taken = 0;
        while taken < self.burst as u32
            && let Some(answer) = self.pipeline.try_next()
        {
            self.number += 1;
            let reply = answer.result?;
            if ECHO {
                let mut bytes = [0; SMALL_LEN];
                reply.read(0, &mut bytes);
                payload::check_small(&bytes, self.number)?;
            }
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

impl<const ECHO: bool> Side for Client<ECHO> {
    /// Records the mean interval between the completions that were taken together.
    fn run(&mut self, rounds: u32, watch: &mut Stopwatch) -> crate::Result<()> {
        let before = self.calls()?;
        let (mut to_go, mut last) = (rounds, watch.now());
        while to_go > 0 || self.pipeline.in_flight() > 0 {
            let room = self.pipeline.depth() - self.pipeline.in_flight();
            let count = to_go.min(room.min(self.burst) as u32);
            self.submit(count)?;
            to_go -= count;
            let taken = self.collect(to_go == 0)?;
            if taken > 0 {
                let now = watch.now();
                watch.record((now - last) / u64::from(taken));
                last = now;
            }
        }
        watch.count(self.calls()? - before);
        Ok(())
    }
}

/// How to attach for `depth` messages in flight.
pub(super) fn options(depth: u32) -> AttachOptions<'static> {
    AttachOptions {
        slots: depth.next_power_of_two(),
        ..AttachOptions::default()
    }
}
