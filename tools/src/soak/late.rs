//! Answers that come later, from another thread, by the receive id.

use std::{
    sync::{Arc, atomic::Ordering, mpsc},
    thread,
    time::{Duration, Instant},
};

use ipc_core::{Channel, abi::Rcvid};

use super::{message::Order, server::Counters};

/// A message that was kept.
pub(super) struct Kept {
    pub(super) channel: Arc<Channel>,
    pub(super) id: Rcvid,
    pub(super) order: Order,
    pub(super) due: Instant,
}

/// Answers what comes out of `kept`, each no earlier than it is due.
pub(super) fn run(kept: &mpsc::Receiver<Kept>, counters: &Counters) {
    let mut waiting: Vec<Kept> = Vec::new();
    loop {
        let next = waiting.iter().map(|kept| kept.due).min();
        let wait = next.map_or(Duration::from_secs(3600), |due| {
            due.saturating_duration_since(Instant::now())
        });
        match kept.recv_timeout(wait) {
            Ok(kept) => waiting.push(kept),
            Err(mpsc::RecvTimeoutError::Timeout) => {}
            Err(mpsc::RecvTimeoutError::Disconnected) => return,
        }
        let now = Instant::now();
        for kept in waiting.extract_if(.., |kept| kept.due <= now) {
            let bytes = kept.order.reply(kept.order.reply_len as usize);
            counters.answered(kept.channel.reply(kept.id, kept.order.status(), &bytes));
            counters.kept.fetch_sub(1, Ordering::AcqRel);
        }
    }
}

/// Starts the thread that answers late.
pub(super) fn start(counters: &Arc<Counters>) -> mpsc::Sender<Kept> {
    let (sender, receiver) = mpsc::channel();
    let counters = Arc::clone(counters);
    thread::spawn(move || run(&receiver, &counters));
    sender
}
