//! What others have built for the same job, as arms: their sides are processes of the package `peers`.
//!
//! That package is a workspace of its own, so that a plain build compiles none of it. Its program lies beside
//! the one that runs, in `target/peers`; where it has not been built, goals against peers are not measured.

mod package;

use std::sync::atomic::{AtomicU32, Ordering};

use crate::method::{Arm, Program};
use crate::nodes::Node;
use crate::setting::Setting;

pub use package::{BUILD_COMMAND, build, is_built};

static NUMBER: AtomicU32 = AtomicU32::new(0);

/// iceoryx2 request-response, one cache line, busy-polling.
///
/// # Errors
/// The program is not built, or what iceoryx2 answers.
pub fn iceoryx2(setting: &Setting) -> crate::Result<Arm> {
    local(setting, "iceoryx2", "iceoryx2")
}

/// iceoryx2 request-response with messages of the setting's size, busy-polling.
///
/// # Errors
/// As [`iceoryx2`].
pub fn iceoryx2_slice(setting: &Setting) -> crate::Result<Arm> {
    local(setting, "iceoryx2", "iceoryx2-slice")
}

/// iceoryx2 events, blocking: no payload.
///
/// # Errors
/// As [`iceoryx2`].
pub fn iceoryx2_event(setting: &Setting) -> crate::Result<Arm> {
    local(setting, "iceoryx2 events", "iceoryx2-event")
}

/// gRPC (tonic), one unary call at a time.
///
/// # Errors
/// The program is not built, or what tonic answers.
pub fn grpc(setting: &Setting) -> crate::Result<Arm> {
    network(setting, "gRPC", "grpc")
}

/// A zenoh query at a time.
///
/// # Errors
/// The program is not built, or what zenoh answers.
pub fn zenoh(setting: &Setting) -> crate::Result<Arm> {
    network(setting, "zenoh", "zenoh")
}

/// ZeroMQ REQ/REP.
///
/// # Errors
/// The program is not built, or what libzmq answers.
pub fn zeromq(setting: &Setting) -> crate::Result<Arm> {
    network(setting, "ZeroMQ", "zeromq")
}

fn local(setting: &Setting, name: &'static str, peer: &str) -> crate::Result<Arm> {
    // Each arm has files of its own: what a killed one left is nobody's business.
    let place = setting
        .runtime_dir
        .join(NUMBER.fetch_add(1, Ordering::Relaxed).to_string());
    std::fs::create_dir_all(&place)?;
    let place = place.display().to_string();
    let end = |end| program(peer, end, setting.bytes, place.clone());
    setting
        .arm(name)
        .seat_program(setting.server(), &end("server"), || Ok(()))?
        .seat_program(setting.client(), &end("client"), || Ok(()))
}

fn network(setting: &Setting, name: &'static str, peer: &str) -> crate::Result<Arm> {
    let [client, server] = setting.nodes()?;
    let place = server.address.to_string();
    let end = |end| program(peer, end, setting.bytes, place.clone());
    let enter = |node: &Node| node.enter();
    setting
        .arm(name)
        .seat_program(setting.server(), &end("server"), || enter(server))?
        .seat_program(setting.client(), &end("client"), || enter(client))
}

fn program(peer: &str, end: &str, bytes: usize, place: String) -> Program {
    Program {
        path: package::program(),
        arguments: vec![peer.to_owned(), end.to_owned(), bytes.to_string(), place],
    }
}
