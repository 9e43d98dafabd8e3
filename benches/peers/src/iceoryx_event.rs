//! iceoryx2 events, blocking: a notification each way. They carry a number, no payload, which is what is
//! checked; beside a send that carries 64 bytes they are context, no goal.

use iceoryx2::node::Node;
use iceoryx2::port::listener::Listener;
use iceoryx2::port::notifier::Notifier;
use iceoryx2::prelude::*;

use benches::Result;
use benches::method::{Side, silent, timed};
use benches::payload;

use crate::iceoryx::node;
use crate::job::Job;

/// Event ids in use: notifications that arrive together merge by id.
const IDS: u64 = 128;

/// One direction's ends.
struct Ends {
    _node: Node<ipc::Service>,
    notifier: Notifier<ipc::Service>,
    listener: Listener<ipc::Service>,
}

impl Ends {
    fn open(job: &Job, out: &str, back: &str) -> Result<Ends> {
        let node = node(job)?;
        let service = |name: &str| -> Result<_> {
            let service = node.service_builder(&name.try_into()?).event();
            Ok(service
                .max_notifiers(1)
                .max_listeners(1)
                .event_id_max_value(IDS as usize)
                .open_or_create()?)
        };
        let notifier = service(out)?.notifier_builder().create()?;
        let listener = service(back)?.listener_builder().create()?;
        Ok(Ends {
            _node: node,
            notifier,
            listener,
        })
    }

    fn notify(&self, number: u64) -> Result<()> {
        let id = EventId::new((number % IDS) as usize);
        self.notifier.notify_with_custom_event_id(id)?;
        Ok(())
    }

    fn wait(&self, number: u64) -> Result<()> {
        let (mut seen, mut others) = (0, 0);
        while seen + others == 0 {
            self.listener.blocking_wait(|event| {
                if event.id.as_value() as u64 == number % IDS {
                    seen += 1;
                } else {
                    others += 1;
                }
            })?;
        }
        if (seen, others) == (1, 0) {
            Ok(())
        } else {
            Err(payload::wrong(number))
        }
    }
}

/// The answering side.
pub fn server(job: &Job) -> Result<Box<dyn Side>> {
    let ends = Ends::open(job, "bench-back", "bench-out")?;
    Ok(silent(move |number| {
        ends.wait(number)?;
        ends.notify(number)
    }))
}

/// The measuring side.
pub fn client(job: &Job) -> Result<Box<dyn Side>> {
    let ends = Ends::open(job, "bench-out", "bench-back")?;
    Ok(timed(move |number| {
        ends.notify(number)?;
        ends.wait(number)
    }))
}
