//! zenoh queries between two sessions that are told each other's address: no scouting, no router.
//!
//! As its documentation advises for latency: the low-latency transport (which needs QoS off and messages
//! below 64 KiB; larger ones use the ordinary transport), express messages, which are not held back to be
//! batched, a declared querier, replies without consolidation, and answers from the callback itself.

use std::sync::mpsc;
use std::time::Duration;

use zenoh::Wait;
use zenoh::query::ConsolidationMode;

use benches::Result;
use benches::exchange::{Exchange, answer};
use benches::method::{Side, silent, timed};

use crate::job::Job;

const KEY: &str = "bench/echo";
/// The server has its network namespace to itself.
const PORT: u16 = 7447;
/// What the low-latency transport carries, less room for its headers.
const LOW_LATENCY_LEN_MAX: usize = 60 << 10;
/// A query unanswered for so long is an error.
const PATIENCE: Duration = Duration::from_secs(10);

fn session(job: &Job, role: &str) -> Result<zenoh::Session> {
    let endpoint = format!("[\"tcp/{}:{PORT}\"]", job.place);
    let mut config = zenoh::Config::default();
    let low_latency = job.bytes <= LOW_LATENCY_LEN_MAX;
    let settings = [
        ("mode", "\"peer\"".to_owned()),
        ("scouting/multicast/enabled", "false".to_owned()),
        ("scouting/gossip/enabled", "false".to_owned()),
        ("listen/endpoints", "[]".to_owned()),
        (role, endpoint),
        ("transport/unicast/lowlatency", low_latency.to_string()),
        ("transport/unicast/qos/enabled", (!low_latency).to_string()),
    ];
    for (key, value) in settings {
        config.insert_json5(key, &value)?;
    }
    zenoh::open(config).wait()
}

/// The answering side: zenoh's own threads call back.
pub fn server(job: &Job) -> Result<Box<dyn Side>> {
    let session = session(job, "listen/endpoints")?;
    let queryable = session
        .declare_queryable(KEY)
        .complete(true)
        .callback(|query| {
            let message = query.payload().map(|bytes| bytes.to_bytes());
            let reply = answer(&message.unwrap_or_default());
            let sent = query.reply(KEY, &*reply).express(true).wait();
            if let Err(fault) = sent {
                eprintln!("peers: zenoh: {fault}");
            }
        })
        .wait()?;
    Ok(silent(move |_| {
        let _alive = (&session, &queryable);
        Ok(())
    }))
}

/// The measuring side.
pub fn client(job: &Job) -> Result<Box<dyn Side>> {
    let session = session(job, "connect/endpoints")?;
    let querier = session
        .declare_querier(KEY)
        .express(true)
        .consolidation(ConsolidationMode::None)
        .timeout(PATIENCE)
        .wait()?;
    while !querier.matching_status().wait()?.matching() {
        std::thread::sleep(Duration::from_millis(1));
    }
    let mut exchange = Exchange::new(job.bytes);
    let (reply_tx, reply_rx) = mpsc::channel();
    Ok(timed(move |number| {
        let _alive = &session;
        let tell = reply_tx.clone();
        querier
            .get()
            .payload(exchange.message(number))
            .callback(move |reply| {
                let _ = tell.send(reply);
            })
            .wait()?;
        let reply = reply_rx.recv_timeout(PATIENCE)?;
        let sample = reply
            .into_result()
            .map_err(|fault| format!("zenoh answers an error: {fault:?}"))?;
        exchange.check(&sample.payload().to_bytes())
    }))
}
