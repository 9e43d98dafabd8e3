//! A walk as it was traced: the steps of one run of the client, and whether they were what they had
//! to be.

use std::io;
use std::thread;
use std::time::{Duration, Instant};

use crate::netlab::lab::Lab;

use super::event::{self, Event};
use super::stage::{CLIENT, SERVER};

/// How long process managers may take to write what they did: longer than any takes that lives.
const TOLD_WITHIN: Duration = Duration::from_secs(30);

/// Everything that was traced while the client ran once.
pub(super) struct Walk {
    /// The client's messages, and qnet's network transactions, in order of their start.
    pub(super) events: Vec<Event>,
    /// What magenta's process manager saw meanwhile.
    pub(super) near_procmgr: Vec<Event>,
    /// What wintermute's process manager saw meanwhile.
    pub(super) far_procmgr: Vec<Event>,
}

impl Walk {
    /// Reads the walk that the client traced under `name`.
    fn read(lab: &Lab, name: &str) -> io::Result<Walk> {
        let mut events = event::read(lab, CLIENT, name)?;
        events.retain(|event| event.who == "client");
        let meanwhile = |node: &str, writer: &str| -> io::Result<Vec<Event>> {
            let mut seen = event::read(lab, node, writer)?;
            seen.retain(|event| {
                event.who == writer && events.iter().any(|own| own.overlaps(event))
            });
            Ok(seen)
        };
        let near_procmgr = meanwhile(CLIENT, "procmgr")?;
        let far_procmgr = meanwhile(SERVER, "procmgr")?;
        let resolutions = meanwhile(CLIENT, "qnet")?
            .into_iter()
            .filter(|event| event.step == "2a");
        events.extend(resolutions.collect::<Vec<Event>>());
        events.sort_by_key(Event::start_ns);
        Ok(Walk {
            events,
            near_procmgr,
            far_procmgr,
        })
    }

    /// The same, once both process managers have told of the open: they write after they have replied, and whoever they
    /// replied to may be faster. After a while it is read as it is.
    pub(super) fn read_whole(lab: &Lab, name: &str) -> io::Result<Walk> {
        let started = Instant::now();
        loop {
            let walk = Walk::read(lab, name)?;
            let saw = |seen: &[Event]| seen.iter().any(Event::is_connect);
            let is_whole = saw(&walk.near_procmgr) && saw(&walk.far_procmgr);
            if is_whole || started.elapsed() > TOLD_WITHIN {
                return Ok(walk);
            }
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// The message that opens the path at a step. (Before it the launcher's library may have asked
    /// whether the path is served at all.)
    pub(super) fn step(&self, step: &str) -> Option<&Event> {
        self.steps().filter(|event| event.step == step).last()
    }

    /// The messages that lead to the file, and qnet's own.
    fn steps(&self) -> impl Iterator<Item = &Event> {
        self.events
            .iter()
            .filter(|event| event.is_connect() || event.step == "2a")
    }

    /// The client's pid.
    pub(super) fn client_pid(&self) -> Option<i32> {
        self.events
            .iter()
            .find(|event| event.who == "client")
            .map(|event| event.pid)
    }

    /// What was not as it had to be; `resolved` says whether wintermute was known already.
    pub(super) fn faults(&self, resolved: bool) -> Vec<String> {
        let mut faults = Vec::new();
        let mut steps: Vec<&str> = self.steps().map(|event| event.step.as_str()).collect();
        steps.dedup();
        let wanted: &[&str] = if resolved {
            &["1", "2", "3", "4"]
        } else {
            &["1", "2", "2a", "3", "4"]
        };
        if steps != wanted {
            faults.push(format!(
                "the open took steps {} instead of {}",
                steps.join(", "),
                wanted.join(", ")
            ));
        }
        if !self
            .events
            .iter()
            .any(|event| event.is_write() && event.step == "4")
        {
            faults.push("no write went by step 4".into());
        }
        if !self
            .events
            .iter()
            .any(|event| event.is_close() && event.step == "4")
        {
            faults.push("no close went by step 4".into());
        }
        for (whose, seen) in [(CLIENT, &self.near_procmgr), (SERVER, &self.far_procmgr)] {
            if !seen.iter().any(Event::is_connect) {
                faults.push(format!("{whose}'s procmgr did not see the open"));
            }
            if let Some(data) = seen
                .iter()
                .find(|event| event.is_write() || event.is_close())
            {
                faults.push(format!("{whose}'s procmgr saw {}", data.msg));
            }
        }
        faults
    }
}

#[cfg(test)]
mod tests {
    use super::super::event::tests::event;
    use super::*;

    fn walk(steps: &[&str]) -> Walk {
        let connects = steps.iter().enumerate().map(|(index, step)| {
            let msg = if *step == "2a" {
                "who is wintermute"
            } else {
                "_IO_CONNECT open"
            };
            event(step, 1000 * index as u64, 1000 * index as u64 + 500, msg)
        });
        let data = [
            event("4", 90_000, 91_000, "_IO_WRITE 24 bytes"),
            event("4", 92_000, 93_000, "_IO_CLOSE"),
        ];
        let seen = vec![event("1", 0, 100, "_IO_CONNECT open")];
        Walk {
            events: connects.chain(data).collect(),
            near_procmgr: seen.clone(),
            far_procmgr: seen,
        }
    }

    #[test]
    fn a_first_walk_resolves_and_a_second_does_not() {
        let (first, second) = (
            walk(&["1", "2", "2a", "3", "4"]),
            walk(&["1", "2", "3", "4"]),
        );
        assert_eq!(first.faults(false), Vec::<String>::new());
        assert_eq!(second.faults(true), Vec::<String>::new());
        assert_eq!(first.faults(true).len(), 1);
        assert_eq!(second.faults(false).len(), 1);
    }

    #[test]
    fn a_process_manager_that_saw_data_is_a_fault() {
        let mut walk = walk(&["1", "2", "3", "4"]);
        walk.far_procmgr
            .push(event("4", 90_000, 91_000, "_IO_WRITE 24 bytes"));
        assert_eq!(walk.faults(true).len(), 1);
    }
}
