//! iceoryx2 request-response with messages of any size: slices, allocated once at their full length.

use iceoryx2::node::Node;
use iceoryx2::prelude::*;
use iceoryx2::service::port_factory::request_response::PortFactory;

use benches::Result;
use benches::exchange::{Exchange, answer};
use benches::method::{Side, silent, timed};
use benches::payload::SMALL_LEN;

use crate::iceoryx::node;
use crate::job::Job;

type Service = PortFactory<ipc::Service, [u8], (), [u8], ()>;

fn service(node: &Node<ipc::Service>) -> Result<Service> {
    let service = node
        .service_builder(&"bench-slice".try_into()?)
        .request_response::<[u8], [u8]>()
        .max_servers(1)
        .max_clients(1)
        .max_active_requests_per_client(1)
        .max_response_buffer_size(1)
        .enable_safe_overflow_for_requests(false)
        .enable_safe_overflow_for_responses(false)
        .enable_fire_and_forget_requests(false);
    Ok(service.open_or_create()?)
}

/// The answering side: it reads the message where it lies.
pub fn server(job: &Job) -> Result<Box<dyn Side>> {
    let node = node(job)?;
    let service = service(&node)?;
    let server = service
        .server_builder()
        .initial_max_slice_len(SMALL_LEN)
        .create()?;
    Ok(silent(move |_| {
        let _alive = (&node, &service);
        let request = loop {
            if let Some(request) = server.receive()? {
                break request;
            }
        };
        let reply = answer(request.payload());
        request
            .loan_slice_uninit(reply.len())?
            .write_from_slice(&reply)
            .send()?;
        Ok(())
    }))
}

/// The measuring side: one copy, from the private buffer into shared memory.
pub fn client(job: &Job) -> Result<Box<dyn Side>> {
    let node = node(job)?;
    let service = service(&node)?;
    let client = service
        .client_builder()
        .initial_max_slice_len(job.bytes.max(1))
        .create()?;
    let mut exchange = Exchange::new(job.bytes);
    Ok(timed(move |number| {
        let _alive = (&node, &service);
        let message = exchange.message(number);
        let pending = client
            .loan_slice_uninit(message.len())?
            .write_from_slice(message)
            .send()?;
        let response = loop {
            if let Some(response) = pending.receive()? {
                break response;
            }
        };
        exchange.check(response.payload())
    }))
}
