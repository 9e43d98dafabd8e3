//! iceoryx2 request-response, busy-polling, as its own benchmark does it: one client, one server, a payload
//! of fixed size loaned and written in place, no buffers beyond one, no overflow.

use iceoryx2::node::Node;
use iceoryx2::prelude::*;
use iceoryx2::service::port_factory::request_response::PortFactory;

use benches::Result;
use benches::exchange::{Exchange, answer};
use benches::method::{Side, silent, timed};
use benches::payload::SMALL_LEN;

use crate::job::Job;

/// One cache line.
type Line = [u8; SMALL_LEN];
type Service = PortFactory<ipc::Service, Line, (), Line, ()>;

/// A node whose files lie in the directory of the run and go with it.
pub fn node(job: &Job) -> Result<Node<ipc::Service>> {
    set_log_level(LogLevel::Error);
    let mut config = Config::default();
    config.global.set_root_path(&Path::new(job.place.as_bytes())?);
    config.global.prefix = FileName::new(prefix(job).as_bytes())?;
    let node = NodeBuilder::new()
        .config(&config)
        // The bench ends its sides by signal; a handler would only delay that.
        .signal_handling_mode(SignalHandlingMode::Disabled);
    Ok(node.create()?)
}

/// The run's directory and this arm's in it, as one name: shared memory is named so, and swept with the run.
fn prefix(job: &Job) -> String {
    let names: Vec<_> = std::path::Path::new(&job.place).components().collect();
    let last = names.iter().skip(names.len().saturating_sub(2));
    let last: Vec<_> = last.map(|name| name.as_os_str().to_string_lossy()).collect();
    format!("{}-", last.join("-"))
}

fn service(job: &Job, node: &Node<ipc::Service>) -> Result<Service> {
    if job.bytes != SMALL_LEN {
        return Err("this service carries one cache line".into());
    }
    let service = node
        .service_builder(&"bench-line".try_into()?)
        .request_response::<Line, Line>()
        .max_servers(1)
        .max_clients(1)
        .max_active_requests_per_client(1)
        .max_response_buffer_size(1)
        .enable_safe_overflow_for_requests(false)
        .enable_safe_overflow_for_responses(false)
        .enable_fire_and_forget_requests(false);
    Ok(service.open_or_create()?)
}

/// The answering side.
pub fn server(job: &Job) -> Result<Box<dyn Side>> {
    let node = node(job)?;
    let service = service(job, &node)?;
    let server = service.server_builder().create()?;
    Ok(silent(move |_| {
        let _alive = (&node, &service);
        let request = loop {
            if let Some(request) = server.receive()? {
                break request;
            }
        };
        let mut line = [0; SMALL_LEN];
        line.copy_from_slice(&answer(request.payload()));
        request.loan_uninit()?.write_payload(line).send()?;
        Ok(())
    }))
}

/// The measuring side.
pub fn client(job: &Job) -> Result<Box<dyn Side>> {
    let node = node(job)?;
    let service = service(job, &node)?;
    let client = service.client_builder().create()?;
    let mut exchange = Exchange::new(SMALL_LEN);
    Ok(timed(move |number| {
        let _alive = (&node, &service);
        let mut line = [0; SMALL_LEN];
        line.copy_from_slice(exchange.message(number));
        let pending = client.loan_uninit()?.write_payload(line).send()?;
        let response = loop {
            if let Some(response) = pending.receive()? {
                break response;
            }
        };
        exchange.check(response.payload())
    }))
}
