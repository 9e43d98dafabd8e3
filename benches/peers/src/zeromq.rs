//! ZeroMQ REQ/REP over TCP (libzmq): one I/O thread, which its guide advises up to a gigabyte a second;
//! TCP_NODELAY is its default.

use benches::Result;
use benches::exchange::{Exchange, answer};
use benches::method::{Side, Stage, silent, timed};

use crate::job::Job;

/// The answering side; tells its port.
pub fn server(job: &Job, stage: &mut Stage) -> Result<Box<dyn Side>> {
    let socket = zmq::Context::new().socket(zmq::REP)?;
    socket.bind(&format!("tcp://{}:*", job.place))?;
    let endpoint = socket.get_last_endpoint()?;
    let endpoint = endpoint.map_err(|_| "libzmq names an endpoint that is no text")?;
    let port = endpoint.rsplit(':').next().unwrap_or_default();
    stage.notice[0] = port.parse()?;
    let mut message = zmq::Message::new();
    Ok(silent(move |_| {
        socket.recv(&mut message, 0)?;
        Ok(socket.send(&*answer(&message), 0)?)
    }))
}

/// The measuring side.
pub fn client(job: &Job, stage: &Stage) -> Result<Box<dyn Side>> {
    let socket = zmq::Context::new().socket(zmq::REQ)?;
    socket.connect(&format!("tcp://{}:{}", job.place, stage.heard[0][0]))?;
    let mut exchange = Exchange::new(job.bytes);
    let mut reply = zmq::Message::new();
    Ok(timed(move |number| {
        socket.send(exchange.message(number), 0)?;
        socket.recv(&mut reply, 0)?;
        exchange.check(&reply)
    }))
}
