//! The resource-manager thread: `/net`.
//!
//! Knows no frame and no session: what it does not know itself it asks the network-handler thread for.
//! The one invariant: it never waits for another node. A client that names a node not known yet is kept
//! until the answer has come, while others are served.

#![forbid(unsafe_code)]

mod files;
mod names;
pub(crate) mod policy;

use std::{collections::HashMap, sync::Arc, time::Duration};

use ipc_core::{
    Channel, Received, ReceivedMessage,
    abi::{
        Chid, Errno, Nd, Pid, PulseCode, Result,
        io::{CONNECT_LEN_MAX, CONNECT_TYPE, Connect, message_type},
        limits::PRIORITY_DEFAULT,
    },
    resmgr::Dispatch,
    trace,
};
use qnet_proto::NodeName;

pub(crate) use files::NetSetup;

use crate::{
    bridge::{Answer, Answers, Mailbox, RESOLVED, Request},
    limits::PARKED_MAX,
    netmgr::files::Net,
};

/// The prefix that the thread serves.
pub(crate) const PREFIX: &str = "/net";
/// The pulse that ends the thread.
const STOP: PulseCode = PulseCode(2);

/// The resource-manager thread's state.
pub struct NetManager {
    channel: Arc<Channel>,
    dispatch: Dispatch<Net>,
    mailbox: Mailbox,
    answers: Answers,
    /// Messages that wait for a node to be found.
    parked: HashMap<NodeName, Vec<ReceivedMessage>>,
}

impl NetManager {
    pub(crate) fn new(setup: NetSetup, channel: Arc<Channel>, answers: Answers) -> NetManager {
        NetManager {
            channel,
            mailbox: setup.mailbox.clone(),
            dispatch: Dispatch::new(Net::new(setup)),
            answers,
            parked: HashMap::new(),
        }
    }

    /// Serves `/net` until [`stop`].
    ///
    /// # Errors
    /// What receiving on a live channel answers.
    pub fn run(&mut self) -> Result<()> {
        loop {
            match self.channel.receive() {
                Ok(Received::Message(message)) => self.message(message),
                Ok(Received::Pulse(pulse)) => match pulse.code {
                    STOP => return Ok(()),
                    RESOLVED => self.resolved(),
                    _ => self.dispatch.handle(&self.channel, Received::Pulse(pulse)),
                },
                Err(Errno::EINTR) => {}
                Err(errno) => return Err(errno),
            }
        }
    }

    fn message(&mut self, message: ReceivedMessage) {
        match self.unknown_node(&message) {
            Some(name) => self.park(name, message),
            None => self
                .dispatch
                .handle(&self.channel, Received::Message(message)),
        }
    }

    /// The node that has to be found before the message can be answered.
    fn unknown_node(&self, message: &ReceivedMessage) -> Option<NodeName> {
        let bytes = message.read_vec(0, CONNECT_LEN_MAX).ok()?;
        if message_type(&bytes) != Some(CONNECT_TYPE) {
            return None;
        }
        let connect = Connect::parse(&bytes).ok()?;
        self.dispatch.manager().unknown_node(&connect)
    }

    fn park(&mut self, name: NodeName, message: ReceivedMessage) {
        if self.parked.values().map(Vec::len).sum::<usize>() >= PARKED_MAX {
            // A client that died meanwhile needs no answer.
            let _ = message.error(Errno::EAGAIN);
            return;
        }
        let waiting = self.parked.entry(name).or_default();
        waiting.push(message);
        if waiting.len() == 1 {
            self.mailbox.put(Request::Resolve(name));
        }
    }

    fn resolved(&mut self) {
        while let Some(answer) = self.answers.take() {
            note(&answer);
            let waiting = self.parked.remove(&answer.name).unwrap_or_default();
            if let Ok(nd) = answer.outcome {
                self.dispatch.manager().learn(answer.name, nd);
            }
            for message in waiting {
                match answer.outcome {
                    Ok(_) => self
                        .dispatch
                        .handle(&self.channel, Received::Message(message)),
                    // As above.
                    Err(errno) => drop(message.error(errno)),
                }
            }
        }
    }
}

/// Makes [`NetManager::run`] on this channel return.
///
/// # Errors
/// `EAGAIN` when the channel's queue of pulses is full.
pub fn stop(channel: &Channel) -> Result<()> {
    channel.send_pulse(PRIORITY_DEFAULT, STOP, 0)
}

/// Step 2a of the walk, in the trace and in the log.
fn note(answer: &Answer) {
    let Some(transaction) = &answer.transaction else {
        return;
    };
    let nd = answer.outcome.unwrap_or(Nd::LOCAL);
    let result = match (answer.outcome, transaction.mac) {
        (Ok(nd), Some(mac)) => format!("nd {nd} at {mac}"),
        (Ok(nd), None) => format!("nd {nd}"),
        (Err(errno), _) => format!("{errno:?}"),
    };
    tracing::debug!("{} resolved over the network: {result}", answer.name);
    if trace::is_on() {
        trace::write(&trace::Event {
            who: "qnet",
            step: "2a",
            nd,
            pid: Pid::SELF,
            chid: Chid(0),
            node: Some(answer.name.as_str()),
            message: &format!("resolve \"{}\" by broadcast", answer.name),
            sent_len: transaction.sent_len,
            reply_len: transaction.reply_len,
            result: &result,
            elapsed: Duration::from_nanos(transaction.elapsed.as_nanos() as u64),
        });
    }
}
