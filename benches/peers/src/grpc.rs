//! gRPC by tonic: one unary call at a time over one HTTP/2 connection.
//!
//! TCP_NODELAY is on at both ends; each end runs on one thread (tokio's current-thread runtime), since one
//! connection has work for one and a hand-over between threads costs a wake-up; windows hold a message of any
//! size. The codec passes bytes through: protobuf would only add to the time.

use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
use std::task::{Context, Poll};

use tokio::runtime::{Builder, Runtime};
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::codegen::http::uri::PathAndQuery;
use tonic::codegen::{BoxFuture, Bytes, Service, http};
use tonic::server::{NamedService, UnaryService};
use tonic::transport::server::TcpIncoming;
use tonic::transport::{Channel, Endpoint, Server};
use tonic::{Request, Response, Status};

use benches::Result;
use benches::exchange::{Exchange, answer};
use benches::method::{Side, Stage, silent, timed};

use crate::job::Job;

const PATH: &str = "/bench.Echo/Call";
/// The largest window that HTTP/2 knows.
const WINDOW_LEN: u32 = (1 << 31) - 1;

fn runtime() -> Result<Runtime> {
    Ok(Builder::new_current_thread().enable_all().build()?)
}

/// The answering side: one thread serves, beside the one that the bench talks to.
pub fn server(job: &Job, stage: &mut Stage) -> Result<Box<dyn Side>> {
    let address = SocketAddr::new(job.place.parse::<IpAddr>()?, 0);
    let runtime = runtime()?;
    let incoming = {
        let _inside = runtime.enter();
        TcpIncoming::bind(address)?.with_nodelay(Some(true))
    };
    stage.notice[0] = u64::from(incoming.local_addr()?.port());
    std::thread::spawn(move || {
        let served = Server::builder()
            .initial_stream_window_size(WINDOW_LEN)
            .initial_connection_window_size(WINDOW_LEN)
            .add_service(Echo)
            .serve_with_incoming(incoming);
        if let Err(fault) = runtime.block_on(served) {
            eprintln!("peers: gRPC: {fault}");
        }
    });
    Ok(silent(|_| Ok(())))
}

/// The measuring side.
pub fn client(job: &Job, stage: &Stage) -> Result<Box<dyn Side>> {
    let runtime = runtime()?;
    let target = format!("http://{}:{}", job.place, stage.heard[0][0]);
    let endpoint = Endpoint::from_shared(target)?
        .tcp_nodelay(true)
        .initial_stream_window_size(WINDOW_LEN)
        .initial_connection_window_size(WINDOW_LEN);
    let channel: Channel = runtime.block_on(endpoint.connect())?;
    let mut client = tonic::client::Grpc::new(channel);
    let mut exchange = Exchange::new(job.bytes);
    Ok(timed(move |number| {
        let message = Bytes::copy_from_slice(exchange.message(number));
        let reply = runtime.block_on(async {
            client.ready().await?;
            let path = PathAndQuery::from_static(PATH);
            let reply = client.unary(Request::new(message), path, Raw).await;
            reply.map_err(benches::Error::from)
        })?;
        exchange.check(reply.get_ref())
    }))
}

/// The service: bytes in, their answer out.
#[derive(Clone)]
struct Echo;

impl NamedService for Echo {
    const NAME: &'static str = "bench.Echo";
}

impl Service<http::Request<tonic::body::Body>> for Echo {
    type Response = http::Response<tonic::body::Body>;
    type Error = Infallible;
    type Future = BoxFuture<Self::Response, Infallible>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<std::result::Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<tonic::body::Body>) -> Self::Future {
        Box::pin(async move {
            let mut grpc =
                tonic::server::Grpc::new(Raw).apply_max_message_size_config(Some(usize::MAX), None);
            Ok(grpc.unary(Call, request).await)
        })
    }
}

struct Call;

impl UnaryService<Bytes> for Call {
    type Response = Bytes;
    type Future = std::future::Ready<std::result::Result<Response<Bytes>, Status>>;

    fn call(&mut self, request: Request<Bytes>) -> Self::Future {
        let reply = Bytes::copy_from_slice(&answer(request.get_ref()));
        std::future::ready(Ok(Response::new(reply)))
    }
}

/// A codec that changes nothing.
#[derive(Clone, Copy, Default)]
struct Raw;

impl Codec for Raw {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Raw;
    type Decoder = Raw;

    fn encoder(&mut self) -> Raw {
        Raw
    }

    fn decoder(&mut self) -> Raw {
        Raw
    }
}

impl Encoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, item: Bytes, into: &mut EncodeBuf<'_>) -> std::result::Result<(), Status> {
        use bytes::BufMut;
        into.put(item);
        Ok(())
    }
}

impl Decoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, from: &mut DecodeBuf<'_>) -> std::result::Result<Option<Bytes>, Status> {
        use bytes::Buf;
        let len = from.remaining();
        Ok(Some(from.copy_to_bytes(len)))
    }
}
