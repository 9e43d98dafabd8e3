//! Many messages at once: submitted, some unblocked, all collected.

use std::{collections::HashMap, time::Duration};

use ipc_core::{
    Completion,
    abi::{ChannelFlags, Errno},
    set_priority,
};

use super::{
    judge::{UNTOUCHED, wrong},
    worker::{Line, Worker},
};
use crate::soak::{
    message::{Act, Order},
    protocol::violation,
    server::UNBLOCKED,
};

/// How long a completion may take before it is said to be missing.
const PATIENCE: Duration = Duration::from_secs(30);

/// A message in flight.
struct Submitted {
    order: Order,
    room: usize,
    /// The server was told that its client wants out.
    unblocked: bool,
}

impl Worker {
    /// Submits a few messages and collects their answers; with `detach` the connection goes meanwhile.
    pub(super) fn fly(&mut self, line: &Line, detach: bool) {
        let mut flying = HashMap::new();
        for _ in 0..=self.random.below(12) {
            self.submit(line, &mut flying);
        }
        for (token, submitted) in &mut flying {
            if self.random.once_in(6) {
                submitted.unblocked = true;
                match line.connection.unblock(*token) {
                    // It is answered already, or the monitor of the server has more to do than it can.
                    Ok(()) | Err(Errno::ESRCH | Errno::EAGAIN) => {}
                    Err(error) if line.excuses.contains(&error) => {}
                    Err(error) => violation(format!("an unblock: {error}")),
                }
            }
        }
        if detach {
            line.connection.detach();
        }
        while !flying.is_empty() {
            let queue = self
                .queue
                .as_ref()
                .expect("invariant: the line has a queue");
            match queue.next(Some(PATIENCE)) {
                Ok(completion) => self.collect(line, &mut flying, completion, detach),
                Err(error) => {
                    let missing: Vec<_> = flying.keys().collect();
                    violation(format!("no completion of {missing:?}: {error}"));
                }
            }
        }
        let queue = self
            .queue
            .as_ref()
            .expect("invariant: the line has a queue");
        if let Some(more) = queue.try_next() {
            violation(format!("a completion that nobody waits for: {more:?}"));
        }
    }

    fn submit(&mut self, line: &Line, flying: &mut HashMap<u64, Submitted>) {
        set_priority(self.random.below(256) as u8);
        let (order, len, room) = self.order(line);
        let mut loan = match line.connection.loan(len, room) {
            Ok(loan) => loan,
            // Others are in flight, and have the slots or the room.
            Err(Errno::EAGAIN) => return,
            Err(error) if line.excuses.contains(&error) => return,
            Err(error) => return violation(format!("a loan of {len} and {room} bytes: {error}")),
        };
        loan.write(0, &order.message(len));
        self.account().begin();
        match line.connection.submit(loan, order.number) {
            Ok(()) => {
                let unblocked = false;
                flying.insert(
                    order.number,
                    Submitted {
                        order,
                        room,
                        unblocked,
                    },
                );
            }
            Err(error) => {
                self.account().end(false);
                if !line.excuses.contains(&error) {
                    violation(format!("a submit: {error}"));
                }
            }
        }
    }

    fn collect(
        &mut self,
        line: &Line,
        flying: &mut HashMap<u64, Submitted>,
        completion: Completion,
        detached: bool,
    ) {
        let Some(submitted) = flying.remove(&completion.token) else {
            return violation(format!("an unknown completion: {completion:?}"));
        };
        self.account().end(completion.result.is_ok());
        if completion.coid != line.connection.coid() {
            violation(format!(
                "a completion of {:?}, not {:?}",
                completion.coid,
                line.connection.coid()
            ));
        }
        let mut excuses = line.excuses.clone();
        if detached {
            excuses.push(Errno::EBADF);
        }
        if submitted.unblocked {
            excuses.push(Errno::EINTR);
            if line
                .connection
                .channel_flags()
                .contains(ChannelFlags::UNBLOCK)
            {
                excuses.push(UNBLOCKED);
            }
        }
        if submitted.order.act == Act::Restart {
            // Who submits decides whether to send again.
            excuses.push(Errno::ERESTART);
        }
        let mut buffer = vec![UNTOUCHED; submitted.room];
        let outcome = completion.result.map(|answer| {
            answer.read(0, &mut buffer);
            answer.reply()
        });
        if let Some(wrong) = wrong(&submitted.order, &outcome, &buffer, &excuses) {
            violation(format!("submitted: {wrong}"));
        }
    }
}
