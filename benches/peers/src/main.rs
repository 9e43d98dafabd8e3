//! Peers of the benchmark: one side of one of them, as the command line says; started by `benches` only.
//!
//! Each is its authors' released crate in the configuration they advise for latency, which its file names.

mod grpc;
mod iceoryx;
mod iceoryx_event;
mod iceoryx_slice;
mod job;
mod zenoh_query;
mod zeromq;

use std::process::ExitCode;

use benches::Result;
use benches::method::{Side, Stage, guest};

use job::Job;

fn main() -> ExitCode {
    match guest::live(build) {
        Ok(()) => ExitCode::SUCCESS,
        Err(fault) => {
            eprintln!("peers: {fault}");
            ExitCode::FAILURE
        }
    }
}

fn build(stage: &mut Stage, arguments: &[String]) -> Result<Box<dyn Side>> {
    let (names, job) = Job::parse(arguments)?;
    match names {
        ["iceoryx2", "server"] => iceoryx::server(&job),
        ["iceoryx2", "client"] => iceoryx::client(&job),
        ["iceoryx2-slice", "server"] => iceoryx_slice::server(&job),
        ["iceoryx2-slice", "client"] => iceoryx_slice::client(&job),
        ["iceoryx2-event", "server"] => iceoryx_event::server(&job),
        ["iceoryx2-event", "client"] => iceoryx_event::client(&job),
        ["grpc", "server"] => grpc::server(&job, stage),
        ["grpc", "client"] => grpc::client(&job, stage),
        ["zenoh", "server"] => zenoh_query::server(&job),
        ["zenoh", "client"] => zenoh_query::client(&job),
        ["zeromq", "server"] => zeromq::server(&job, stage),
        ["zeromq", "client"] => zeromq::client(&job, stage),
        [peer, end] => Err(format!("no peer has the end {peer} {end}").into()),
    }
}
